/* loop_offload.h - what a job on the loop has another pool do: a function in a thread or a process, a command. The awaits of
 * handler.h; on the loop's thread. */
#ifndef TERN_LOOP_OFFLOAD_H
#define TERN_LOOP_OFFLOAD_H

#include "worker/handler.h"

int loop_await_thread(struct tern_job *j, int (*function)(struct tern_job *, void *), void *arg);
/* reply: all zero. */
int loop_await_command(struct tern_job *j, const struct tern_command *c, struct tern_reply *reply);
int loop_await_process(struct tern_job *j, const struct tern_process *c, struct tern_reply *reply);

#endif
