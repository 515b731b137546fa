/* job_text.h - makes what a handler said fit to be a text on the wire and on a terminal. */
#ifndef TERN_JOB_TEXT_H
#define TERN_JOB_TEXT_H

#include "proto/base/base.h"

/* In place: at most max bytes, control characters become spaces, what is not well-formed UTF-8
 * becomes `?`. */
void job_text_clean(char *text, size_t max);

#endif
