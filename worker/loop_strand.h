/* loop_strand.h - a line of execution on the loop: a coroutine that waits for one thing at a time. A job has one for its
 * handler, and one for each task that it starts.
 *
 * All of it belongs to the loop's thread. What wakes a strand is a callback of the loop, or another strand: then it is
 * resumed a little later, on the loop's own stack. */
#ifndef TERN_LOOP_STRAND_H
#define TERN_LOOP_STRAND_H

#include "proto/base/list.h"
#include "worker/coroutine.h"

struct loop_task;
struct looper;

struct strand {
    struct loop_task *job;             /* borrowed: whose it is */
    void (*function)(struct strand *); /* what it runs */
    void (*ended)(struct strand *);    /* called on the loop's own stack; frees it where need be */
    struct coroutine *coroutine;       /* owned; NULL once it has ended */
    struct link ready;                 /* in the looper's list of this name */
    bool waiting, told;                /* suspended in an await; told to stop */
    bool deaf;                         /* it is never resumed again */
    unsigned refused_awaits;
};

/* Fills in a strand; it runs from its first resume on. -EAGAIN, -ENOMEM: there is no room for its stack. */
int strand_init(struct strand *s, struct loop_task *job, void (*function)(struct strand *), void (*ended)(struct strand *));
/* Runs it until it waits or ends. From the loop's own stack. */
void strand_resume(struct strand *s);
/* Resumes it, from a callback of the loop but never from one of curl's. Nothing happens when it does not wait. */
void strand_wake(struct strand *s);
/* Has it resumed soon. From anywhere on the loop's thread. */
void strand_ready(struct strand *s);
/* Ends its await early, and every later one at once. From anywhere on the loop's thread. */
void strand_tell_stop(struct strand *s);
/* All that are to be resumed soon are now, and what that brings about too. */
void strand_resume_ready(struct looper *l);
/* Given up where it stands. */
void strand_drop(struct strand *s);

/* ---- for the awaits, within the coroutine ------------------------------------------------------ */

/* 0, or -ECANCELED: it should stop, and waits for nothing any more. */
int strand_may_wait(struct strand *s);
/* Waits until it is woken. 0, or -ECANCELED when it was told to stop by then. */
int strand_wait(struct strand *s);

#endif
