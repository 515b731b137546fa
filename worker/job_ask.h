/* job_ask.h - how the functions of handler.h ask the broker (asks.h), the same in every pool. */
#ifndef TERN_JOB_ASK_H
#define TERN_JOB_ASK_H

#include "worker/call.h"

/* On success the answer is the caller's: message_fini, then buf_fini. -ECANCELED: the job should stop. */
int job_ask(struct tern_job *j, const struct message *m, struct message *ret, struct buf *ret_bytes);
/* Notes why it was in vain, for the job's record; returns r. */
int job_in_vain(struct tern_job *j, int r, const char *format, ...) printf_like(3, 4);
/* The same, in the broker's words. */
int job_refused(struct tern_job *j, uint64_t code, struct str text);

#endif
