/* loop_task.h - a job on the loop: a coroutine, what it waits for, and the thread's side of the
 * loop pool.
 *
 * All of it belongs to the loop's thread, but for what says otherwise. A coroutine waits for one
 * thing at a time, so timers, polls and transfers can never outlive their job. */
#ifndef TERN_LOOP_TASK_H
#define TERN_LOOP_TASK_H

#include "worker/coroutine.h"
#include "worker/task.h"

#include <uv.h>

struct loop_curl;

/* What the loop's thread works on. */
struct looper {
    uv_loop_t uv;
    struct coroutine_arena *arena; /* owned */
    struct loop_task **running;    /* owned: by number of their slot */
    size_t n_running, n_slots;
    struct mailbox ended;          /* to the link's thread: tasks */
    struct loop_curl *curl;        /* owned; NULL before the first transfer */
    bool closing;
    /* Which job has the thread, since when (0: none): read by the link's thread, only through
     * __atomic builtins. */
    uint64_t busy_job;
    int64_t busy_since_us;
};

struct loop_task {
    struct task task;            /* first: cast back from its mail */
    struct looper *looper;       /* borrowed */
    struct coroutine *coroutine; /* owned */
    uv_timer_t timer;            /* of tern_await_ms; closed with the task */
    bool waiting, told;          /* suspended in an await; told to stop */
    bool warned;                 /* that it blocks the loop */
    unsigned refused_awaits;
    int64_t began_us, cpu_us;
};

/* A handler that has the thread for longer is named in the log. */
#define LOOP_BLOCKED_US 100000

/* Runs the handler until its first await. */
void loop_task_begin(struct looper *l, struct loop_task *t);
/* Ends its await early, and every later one at once. */
void loop_task_tell_stop(struct loop_task *t);
/* Drops it where it stands. */
void loop_task_drop(struct loop_task *t);

/* For the awaits, within the coroutine. */
static inline struct loop_task *loop_task_of(struct tern_job *j)
{
    return container_of(j, struct loop_task, task.call);
}
/* 0, or -ECANCELED: the job should stop, and waits for nothing any more. */
int loop_task_may_wait(struct loop_task *t);
/* Waits for loop_task_wake. 0, or -ECANCELED when it was told to stop instead. */
int loop_task_wait(struct loop_task *t);

/* From a callback of the loop, never from one of curl's. Nothing happens when it does not wait. */
void loop_task_wake(struct loop_task *t);

#endif
