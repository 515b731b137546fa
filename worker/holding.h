/* holding.h - the attempts that a worker holds, from RUN until RECORDED or GIVEN, by (job,
 * attempt). */
#ifndef TERN_HOLDING_H
#define TERN_HOLDING_H

#include "proto/base/list.h"
#include "proto/base/map.h"
#include "worker/run.h"

struct holding {
    struct link all;     /* in holding_table.all */
    struct link said;    /* once finished: in the link's unsent or sent */
    struct holding *next;   /* another attempt of the same job; rare */
    uint64_t job, attempt;
    enum pool_kind pool;
    int64_t kill_grace_ms;
    struct run *run;     /* borrowed from its pool; owned once finished */
    bool started, finished;
    bool dropped;        /* no longer ours: it was told to stop, its outcome will be thrown away */
    int64_t sent_ms;     /* of the RESULT */
    size_t result_bytes; /* about what its RESULT takes */
    struct link asks;    /* of struct ask: the link's */
    size_t n_awaits;     /* of these: for its children's ends */
    struct link reports; /* in the link's to_report: how far it is has not been said */
    int64_t percent;     /* UNSET: it has not said */
};

struct holding_table {
    struct link all;      /* oldest first */
    struct idmap by_job;
    size_t n, n_finished;
    struct holding_count {
        size_t held, started, parked;
    } of[N_POOLS];        /* what has not finished */
};

void holding_init(struct holding_table *t);
/* Frees the table, and the runs of finished attempts. */
void holding_fini(struct holding_table *t);
struct holding *holding_find(const struct holding_table *t, uint64_t job, uint64_t attempt);
/* It must not be there yet. */
struct holding *holding_add(struct holding_table *t, struct run *r);
void holding_start(struct holding_table *t, struct holding *h);
/* It asks for its children's ends, or (-1) has been told. */
void holding_await(struct holding_table *t, struct holding *h, int by);
void holding_finish(struct holding_table *t, struct holding *h);
/* Frees h, and its run when it is finished. */
void holding_remove(struct holding_table *t, struct holding *h);

#endif
