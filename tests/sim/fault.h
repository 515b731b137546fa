/* fault.h - what may go wrong, and whether it does now.
 *
 * Each kind is drawn by lots of its own, and each fault that happens has a number: so a run can be repeated with some of its faults
 * left out, while the others stay what they were. That is how shrink.c finds the shortest run that still fails. */
#ifndef TERN_SIM_FAULT_H
#define TERN_SIM_FAULT_H

#include "proto/base/rng.h"

#define FAULTS(F)                                                                                                        \
    F(BROKER_DIES, "broker dies") F(BROKER_STALLS, "broker stands still") F(POWER_FAILS, "power fails")                  \
    F(DISK_FULL, "disk is full") F(DISK_BREAKS, "disk breaks") F(WORKER_DIES, "worker dies")                             \
    F(WORKER_STALLS, "worker stands still") F(WORKER_LEAVES, "worker is drained") F(CLIENT_DIES, "client dies")          \
    F(CUT, "connection is cut") F(ONE_WAY, "one direction stands still") F(LOSE_CONNECTION, "message and connection lost") \
    F(LOSE, "message lost") F(REPEAT, "message repeated") F(REORDER, "messages change places") F(CLOCK_JUMPS, "clock jumps")

enum fault {
#define FAULT_ENUM(NAME, text) FAULT_##NAME,
    FAULTS(FAULT_ENUM)
#undef FAULT_ENUM
    N_FAULTS
};

#define FAULT_EVENTS_MAX 8192

/* Numbers of faults that happened, or that are the only ones to happen. */
struct fault_list {
    size_t n;
    uint32_t at[FAULT_EVENTS_MAX];
};

struct faults {
    uint64_t seed;
    bool may[N_FAULTS];
    bool over;                     /* nothing goes wrong any more */
    struct rng lots[N_FAULTS];
    uint32_t drawn[N_FAULTS];
    const struct fault_list *only; /* borrowed; NULL: all that are drawn */
    struct fault_list *happened;   /* borrowed; NULL: not kept */
    struct rng details;            /* of the fault that happens now */
};

void faults_init(struct faults *f, uint64_t seed);
/* NULL, or, once in n on the average where this kind may happen: it happens now, and its details are drawn from what is returned
 * (until the next call). */
struct rng *fault_draw(struct faults *f, enum fault kind, unsigned n);
const char *fault_text(enum fault kind);

#endif
