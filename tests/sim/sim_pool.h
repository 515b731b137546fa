/* sim_pool.h - a worker's pools as lists: a job runs for a time that its number decides, and ends as fate_of says. */
#ifndef TERN_SIM_POOL_H
#define TERN_SIM_POOL_H

#include "tests/sim/world.h"

#define BEGUN_REMEMBERED 16
#define MIN_RUN_MS 1 /* of the quick handler: what prefetch is counted from */

struct sim_pool {
    struct link waiting; /* of struct run */
    struct link running;
    struct link parked;  /* those that wait for their children, */
    struct link ready;   /* and those that wait no longer, but for room */
    size_t n_waiting, n_running, n_parked, n_parents;
};

struct sim_pools {
    struct world *world;      /* borrowed */
    struct worker_link *link; /* borrowed: who is told */
    struct sim_pool of[N_POOLS];
    struct attempt_ref begun[BEGUN_REMEMBERED]; /* the last, whatever became of them */
    size_t n_begun;
};

void sim_pools_init(struct sim_pools *p, struct world *w);
/* For the link. */
struct link_pools sim_pools_verbs(struct sim_pools *p);
/* Ends what is due, begins what there is room for. */
void sim_pools_turn(struct sim_pools *p);
/* Calls check for every attempt that runs, and was not told to stop. */
void sim_pools_each_running(struct sim_pools *p, void (*check)(void *ctx, uint64_t job, uint64_t attempt), void *ctx);
/* The process is gone, and all that it held. */
void sim_pools_drop(struct sim_pools *p);

#endif
