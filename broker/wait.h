/* wait.h - who waits for jobs to end. A wait on a range is (range, cursor): everything before the cursor has ended, and
 * the job at the cursor is watched. When it ends the cursor moves on, past all that has ended meanwhile; so a wait on a million
 * jobs costs as much memory as one on a single job, and no count that could go wrong. */
#ifndef TERN_WAIT_H
#define TERN_WAIT_H

#include "broker/broker.h"

struct wait {
    struct link of_peer, link;  /* link: in b->any_waits or b->moving_waits, or in watch->waits */
    struct peer *peer;          /* borrowed */
    uint64_t req;
    bool any, found;            /* found: at least one job that the peer may see */
    int64_t owner;              /* only this owner's jobs; 0: all */
    struct range *ranges;       /* owned */
    size_t n_ranges, at_range;
    uint64_t cursor;
    bool tells;                 /* what, of its one job */
    uint64_t what;
};

struct watch {
    struct link waits;          /* of struct wait */
};

/* ranges are clamped to the jobs that exist now. */
void wait_start(struct broker *b, struct peer *p, const struct msg_wait *m);
/* For a job that was submitted in this turn; the answer is to tell what came of it, if it can be told at once. */
void wait_start_new(struct broker *b, struct peer *p, uint64_t req, uint64_t what, uint64_t id);
void wait_stop(struct broker *b, struct wait *w);
/* A job has reached a terminal state. */
void wait_on_end(struct broker *b, uint64_t id);
/* Moves the cursors on, a bounded step a turn. True when there is more to do. */
bool wait_tick(struct broker *b);

#endif
