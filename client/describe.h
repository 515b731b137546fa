/* describe.h - jobs in a few words, for people. All texts are owned by the caller. */
#ifndef TERN_DESCRIBE_H
#define TERN_DESCRIBE_H

#include "client/tern.h"
#include "proto/base/base.h"

/* How an attempt ended: the error's text where there is one, else from the reason: `exit status 3`,
 * `signal 9 (Killed)`, `over its time limit`. reason and error may be NULL. */
char *describe_end(const char *reason, int64_t exit_code, int64_t signal, const char *error);
/* The command line, or the handler. */
char *describe_work(const struct tern_job_view *job);
/* The pool, and who chose it; NULL: none yet. */
char *describe_pool(const struct tern_job_view *job);
/* `1.234 s`; NULL for TERN_UNSET. */
char *describe_us(int64_t us);
/* How long ago: `3m`, `2d`; NULL for TERN_UNSET. */
char *describe_age(int64_t ms);
/* RFC 3339; NULL for TERN_UNSET. */
char *describe_time(int64_t ms);

#endif
