/* link.h - the worker's side of the talk with the broker, without any I/O.
 *
 * Nothing in here knows a socket, a clock, a descriptor or a thread: time is a parameter,
 * randomness and pools are passed in, messages come decoded and leave encoded. One owner, one
 * thread. A turn of the owner is, in this order:
 *
 *      link_recv         each message that has arrived
 *      (the pools)       report through link_on_started and link_on_finished, also from inside the
 *                        verbs of link_pools
 *      link_tick         does what is due
 *      link_flush        says what there is to say; tells when to come back
 *      link_take_message until there is none; each goes to the socket. Where the socket refuses
 *                        one: link_on_unsent, then link_flush again for the next time
 *      link_take_reopen  true: close the socket and connect anew; what was under way on the old one
 *                        must never arrive
 *      link_is_over      true: leave
 *
 * Turns must come as often as link_flush asks: a longer gap is taken for a standstill of the
 * worker itself, and the silence of the broker during it is forgiven.
 *
 * Sessions: HELLO lists all that is held; WELCOME brings a new (epoch, session). There is one
 * HELLO at a time on a connection, so that its WELCOME is known to be the answer. Messages of
 * another session are dropped. Whenever a message could not be sent, the session is over and the
 * next HELLO tells the broker how things are: so no message but RESULT is ever kept to be sent
 * again, and a RESULT is made anew from the outcome, which is held until RECORDED. */
#ifndef TERN_LINK_H
#define TERN_LINK_H

#include "proto/base/rng.h"
#include "worker/run.h"

struct worker_link;

/* What the link asks of the pools: the verbs of pool.h, with the pool as a number. */
struct link_pools {
    void *ctx; /* borrowed: the first argument of all */
    void (*give)(void *ctx, enum pool_kind pool, struct run *r, struct now now);
    struct run *(*take_waiting)(void *ctx, enum pool_kind pool, uint64_t job, uint64_t attempt);
    void (*stop)(void *ctx, enum pool_kind pool, uint64_t job, uint64_t attempt, enum reason reason,
                 int64_t grace_ms, struct now now);
    struct pool_load (*load)(void *ctx, enum pool_kind pool);
    void (*answer)(void *ctx, enum pool_kind pool, uint64_t job, uint64_t attempt, const struct message *answer,
                   struct now now);
};

/* All borrowed; must outlive the link. */
struct link_options {
    const char *name, *host, *software;
    const char *isolation; /* for people */
    uint64_t pid;
    unsigned char instance[16]; /* random, new at each start of the worker */
    const struct str *queues;   /* none: all */
    size_t n_queues;
    const struct handler_info *handlers;
    size_t n_handlers;
    const struct str *notices;  /* what is wrong with this worker, for people */
    size_t n_notices;
    const struct str *labels;
    size_t n_labels;
    const struct amount *amounts;
    size_t n_amounts;
    bool pool_on[N_POOLS];      /* others are never called */
    bool insist;                /* not let in: asks again, for there are other brokers */
    struct link_pools pools;
    struct rng *rng;            /* jitter */
};

struct worker_link *link_new(const struct link_options *o, struct now now);
/* Frees what it owns: finished attempts. Waiting and running ones belong to their pools. NULL is
 * fine; returns NULL. */
struct worker_link *link_free(struct worker_link *l);

/* ---- in -------------------------------------------------------------------------------------- */

void link_recv(struct worker_link *l, const struct message *m, struct now now);
/* A pool has begun it. */
void link_on_started(struct worker_link *l, struct attempt_ref ref);
/* r is finished, its outcome set, and names its job as the broker does; the link owns it from here on. ENDING_LOST with REASON_NONE:
 * handed back. */
void link_on_finished(struct worker_link *l, struct run *r);
/* The handler of an attempt, which runs, asks something of the broker (asks.h): it is answered through link_pools, perhaps at once,
 * unless it ends before. */
void link_on_asked(struct worker_link *l, struct attempt_ref ref, const struct message *ask, struct now now);
/* The socket refused a message: it is not connected, or its queue is full. */
void link_on_unsent(struct worker_link *l, struct now now);
/* Nothing new starts, what waits is given back; what runs at deadline_ms (monotonic; NEVER) is
 * told to stop and given back as it ends. Again: the earlier deadline counts. */
void link_drain(struct worker_link *l, int64_t deadline_ms, struct now now);
/* Drains, and all that runs is stopped without grace. */
void link_drain_at_once(struct worker_link *l, struct now now);
/* Nothing new starts and what waits is given back, until link_resume. */
void link_quiet(struct worker_link *l, struct now now);
void link_resume(struct worker_link *l, struct now now);
/* Other queues from now on (borrowed), told by a new HELLO. */
void link_set_queues(struct worker_link *l, const struct str *queues, size_t n, struct now now);
/* Other handlers and notices from now on (borrowed), told by a new HELLO. What waits for a handler that is gone is given
 * back. */
void link_set_handlers(struct worker_link *l, const struct handler_info *handlers, size_t n, const struct str *notices,
                       size_t n_notices, struct now now);
void link_tick(struct worker_link *l, struct now now);
/* Returns the monotonic time in ms when it wants the next turn, at the latest. */
int64_t link_flush(struct worker_link *l, struct now now);

/* ---- out ------------------------------------------------------------------------------------- */

/* Moves the oldest message into *ret, which the caller frees (buf_fini). False when there is
 * none. */
bool link_take_message(struct worker_link *l, struct buf *ret);
/* True once each time it is wanted. */
bool link_take_reopen(struct worker_link *l);
/* Drained, or not let in: *ret_status is the exit status. */
bool link_is_over(const struct worker_link *l, int *ret_status);

/* For people, and for tests. */
struct link_view {
    bool connected, quiet, draining;
    bool refused;      /* not let in so far */
    uint64_t epoch, session;
    size_t held;       /* attempts in any state */
    size_t unfinished; /* of these, waiting and running ones */
    size_t unrecorded; /* of these, finished ones */
};
struct link_view link_view(const struct worker_link *l);

/* Of the attempts in a pool that have not finished. */
struct link_tally {
    size_t held;    /* all of them */
    size_t started; /* of these */
    size_t parked;  /* of these: they wait for their job's children */
};
struct link_tally link_tally(const struct worker_link *l, enum pool_kind pool);

#endif
