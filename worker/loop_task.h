/* loop_task.h - a job on the loop: its strands, and the thread's side of the loop pool.
 *
 * All of it belongs to the loop's thread, but for what says otherwise. A strand waits for one thing at a time, and a job
 * ends only once all its strands have: so timers, polls and transfers can never outlive it. */
#ifndef TERN_LOOP_TASK_H
#define TERN_LOOP_TASK_H

#include "worker/loop_blocked.h"
#include "worker/loop_part.h"
#include "worker/loop_strand.h"
#include "worker/task.h"

#include "proto/base/map.h"

#include <uv.h>

struct loop_curl;

/* What the loop's thread works on. */
struct looper {
    uv_loop_t uv;
    struct coroutine_arena *arena; /* owned */
    struct loop_task **running;    /* owned: by number of their slot */
    size_t n_running, n_slots;
    size_t n_tasks;                /* that jobs have started, and that have not ended */
    struct strand *current;        /* what runs; NULL between two */
    struct link ready;             /* strands that are to be resumed */
    uv_idle_t kick;                /* runs while there are any */
    struct mailbox ended;          /* to the link's thread: tasks */
    struct mailbox notes;          /* to the link's thread: struct part_note; `ended` wakes it */
    struct part_line lines[N_POOLS];
    struct idmap parts;            /* struct part_wait, borrowed, by number: handed over, and not back */
    bool pinned;                   /* a stack must stay for ever */
    struct loop_curl *curl;        /* owned; NULL before the first transfer */
    struct loop_busy busy;
    bool closing;
};

/* So many tasks may all jobs of the loop have at a time. */
#define LOOP_TASKS_MAX 10000u

/* What of a job waits for a pool. */
struct in_line {
    struct link link;  /* in the pool's line; a list of its own when nothing waits */
    struct link waits; /* struct part_wait */
};

struct loop_task {
    struct task task;      /* first: cast back from its mail */
    struct looper *looper; /* borrowed */
    struct strand strand;  /* the handler's own */
    struct link tasks;     /* owned: struct tern_task, those that have ended too while their handle is kept */
    size_t n_tasks;        /* that have not ended */
    struct in_line in_line[N_POOLS];
    struct link asks;      /* of struct loop_ask: the answers that its strands wait for */
    bool joining;          /* its handler has returned, and waits for them */
    bool is_deaf;          /* a task of it was given up, as it does not hear that it should stop */
    int64_t began_us, cpu_us;
};

/* Runs the handler until its first await. */
void loop_task_begin(struct looper *l, struct loop_task *t);
/* Ends the awaits of all its strands early, and every later one at once. */
void loop_task_tell_stop(struct loop_task *t);
/* Drops it where it stands. */
void loop_task_drop(struct loop_task *t);

/* For the awaits, within a coroutine: the strand that runs. */
static inline struct strand *strand_of(struct tern_job *j)
{
    return container_of(j, struct loop_task, task.call)->looper->current;
}

#endif
