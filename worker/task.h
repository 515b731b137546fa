/* task.h - one attempt on its way through the thread pool or the loop pool: made by the link's
 * thread, run by another, handed back, freed by the link's thread. Its run stays with its slot for
 * all that time, also when that is stuck. */
#ifndef TERN_TASK_H
#define TERN_TASK_H

#include "worker/call.h"
#include "worker/mailbox.h"
#include "worker/pool_kind.h"

struct task {
    struct mail mail;                   /* first: a task in a mailbox is cast back from it */
    bool asks;                          /* never: a struct task_ask in the same mailbox does */
    struct link link;                   /* in a list of its pool's own */
    struct slot *slot;                  /* borrowed; looked into by the link thread only; NULL: ahead */
    size_t number;                      /* of the slot */
    struct run *run;                    /* borrowed: the slot's */
    const struct tern_handler *handler; /* borrowed: fixed for life; NULL: a part, of a function */
    struct tern_job call;
    int r;                              /* what the handler returned */
    bool reports;                       /* that it has a report is on its way: only through __atomic builtins */
    void *pool;                         /* borrowed: the kind's */
    /* Of the thread pool, under its lock: */
    struct task *next; /* what its thread went on to, on the same slot */
    struct asking *asking; /* borrowed: its thread waits for an answer */
    bool told;         /* to stop: its thread goes on to nothing */
};

/* What a task's handler asks (asks.h), on the way to the link's thread: in the mailbox of the tasks that have ended, so that its
 * task is still there when it is read. */
struct task_ask {
    struct mail mail;   /* first */
    bool asks;
    struct task *task;  /* borrowed */
    struct buf request; /* owned; empty: only a report, how far it is stands in its task */
};
static inline struct task_ask *task_ask_of(struct mail *m) { return ((struct task_ask *)m)->asks ? (struct task_ask *)m : NULL; }
/* Takes request. */
struct task_ask *task_ask_new(struct task *t, struct buf *request);
/* A report of t, or NULL: one is on its way, and will tell what t says now. */
struct task_ask *task_report_new(struct task *t);
void task_ask_free(struct task_ask *a);
/* On the link's thread: the slot of its task asks. a is gone. */
void task_ask_post(struct task_ask *a, struct pool *p, struct now now);

/* Fills in a task of a run, that has no slot yet. -ENOENT: no such handler; t is untouched. */
int task_init(struct task *t, struct run *r, struct now now);
/* The same, of the slot's run. */
int task_init_of_slot(struct task *t, const struct pool *p, struct slot *s, struct now now);
void task_fini(struct task *t);
/* After its pool's close: there is no slot any more, and the run goes too. */
void task_fini_run(struct task *t);
/* CPU time of the calling thread. */
int64_t task_thread_cpu_us(void);

#endif
