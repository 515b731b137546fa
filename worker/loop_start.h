/* loop_start.h - the tasks that a job on the loop starts: several things at once within one job. Behind tern_start and
 * what belongs to it (handler.h); on the loop's thread. */
#ifndef TERN_LOOP_START_H
#define TERN_LOOP_START_H

#include "worker/handler.h"

struct loop_task;

int loop_start(struct tern_job *j, struct tern_task **ret, int (*function)(struct tern_job *, void *), void *arg);
int loop_await_all(struct tern_job *j, struct tern_task *const *tasks, size_t n);
int loop_await_any(struct tern_job *j, struct tern_task *const *tasks, size_t n);
int loop_end(struct tern_job *j, struct tern_task *k);
int loop_end_all(struct tern_job *j);

/* Tells all tasks of a job to stop. */
void loop_start_tell_stop(struct loop_task *t);
/* The same, waits until they have ended, and frees their handles. Within the handler's coroutine. */
void loop_start_end_all(struct loop_task *t);
/* Drops them where they stand. */
void loop_start_drop(struct loop_task *t);

#endif
