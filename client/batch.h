/* batch.h - one line of --batch: a JSON object whose keys are the options' long names. */
#ifndef TERN_BATCH_H
#define TERN_BATCH_H

#include "client/job_options.h"

/* Sets o, which was made by job_options_init or _copy, from one line. Besides the options:
 * `command` a list, `env` an object, `payload` the text itself, `payload_base64`. Values are JSON
 * numbers (durations in seconds, sizes in bytes) or the option's text. -EINVAL with a text in
 * *ret_error, owned by the caller. */
int batch_read_line(struct str line, struct job_options *o, char **ret_error);
/* Nothing but white space. */
bool batch_is_blank(struct str line);

#endif
