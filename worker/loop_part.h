/* loop_part.h - the loop's side of what other pools do for its jobs: who waits in line for which pool, who has handed over.
 *
 * A pool gets at most twice as many parts as it has slots: so a plain job never waits behind more than these, and no queue
 * is longer. All others wait in line here, where each holds its coroutine and nothing else, and the jobs take turns. What
 * is done for a job never waits for a job in turn, so that nothing can lock up. */
#ifndef TERN_LOOP_PART_H
#define TERN_LOOP_PART_H

#include "worker/part.h"

struct looper;
struct strand;
struct tern_job;

struct part_line {
    struct link jobs; /* struct loop_task, in turn: those of which a part waits here */
    size_t n_out, max; /* handed over; 0: there is no such pool */
};

/* From the loop to the link's thread. */
struct part_note {
    struct mail mail; /* first */
    enum { NOTE_BEGIN, NOTE_STOP } what;
    struct part *part;   /* BEGIN: given */
    enum pool_kind pool; /* STOP: of which part, which may have ended */
    uint64_t number;
    int64_t grace_ms;
};

/* Fills in what is the same for all parts of that job; job.handler and what belongs to it is the caller's to add. */
struct part *loop_part_new(struct tern_job *j, enum part_kind kind, enum pool_kind pool);
void loop_part_free(struct part *p);
/* Waits until it has ended: 0, and p->run has its outcome; -ECANCELED: it was not begun, -EOPNOTSUPP: there is no such
 * pool. Once begun it is told to stop when the strand is, and waited for: it may use what is the handler's. *p is NULL
 * where it is another's to free, as the worker ends. job: what to run; borrowed. */
int loop_part_await(struct tern_job *j, struct part **p, const struct run_job *job);
/* It is back, with its outcome. */
void loop_part_ended(struct looper *l, struct part *p);

#endif
