/* part.h - a piece of a job on the loop that another pool does for it: a function in a thread or in a process, a command.
 * It is a run of that pool like any other, and takes a slot of it; only its end is told to the loop instead of the broker.
 *
 * Made on the loop's thread, given to the link's, given back with its outcome. */
#ifndef TERN_PART_H
#define TERN_PART_H

#include "worker/mailbox.h"
#include "worker/run.h"

struct tern_job;

/* Numbers of parts have this bit, which no job's number has. */
#define PART_BIT (1ull << 63)

enum part_kind { PART_FUNCTION, PART_PROCESS, PART_COMMAND };

struct part {
    struct mail mail;          /* first: on its way between the threads */
    enum part_kind kind;
    enum pool_kind pool;
    uint64_t number;           /* with PART_BIT: stands where a job's number stands, with the attempt 1 */
    const struct run_job *of;  /* borrowed: the job */
    size_t slot;               /* of the job, on the loop */
    struct run *run;           /* owned until it is given to the pool, and again once it has ended */
    /* PART_FUNCTION */
    int (*function)(struct tern_job *, void *);
    void *arg;                 /* borrowed */
    int r;                     /* what it returned */
    int state;                 /* enum part_state: only through __atomic builtins */
    /* On the link's thread: r has its outcome, and is the callee's. */
    void (*on_finished)(void *ctx, struct part *p, struct run *r);
    void *ctx;
};

/* RETURNED: nothing of the handler's is looked at any more. */
enum part_state { PART_WAITING, PART_CALLED, PART_RETURNED };

/* In a thread: calls the function. */
int part_call(struct part *p, struct tern_job *job);

static inline bool run_is_part(const struct run_job *job) { return job->job & PART_BIT; }

#endif
