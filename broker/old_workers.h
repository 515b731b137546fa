/* old_workers.h - the rows of workers that came and went: each start of a worker that was handed a job has one, which the history of its
 * jobs names. Those that nothing names any more are deleted.
 *
 * No index leads from a worker to its attempts, as each attempt would pay for it. So now and then some rows are taken that are older
 * than finished jobs are kept, all attempts are looked through for them, a few at a time, and what was not found goes. */
#ifndef TERN_OLD_WORKERS_H
#define TERN_OLD_WORKERS_H

#include "proto/base/clock.h"
#include "proto/base/map.h"
#include "proto/message.h"

struct broker;

struct old_workers {
    enum { OLD_WORKERS_TAKING, OLD_WORKERS_LOOKING, OLD_WORKERS_DELETING } doing;
    struct idmap rows;       /* that were taken, and not found yet: to themselves */
    uint64_t after;          /* TAKING: behind this one */
    struct attempt_ref at;   /* LOOKING: behind this one */
    int64_t next_mono_ms;    /* when to go on; 0: at the broker's start */
};

void old_workers_fini(struct old_workers *o);
/* It is a worker's again. */
void old_workers_keep(struct old_workers *o, uint64_t row);
void old_workers_tick(struct broker *b, struct now now);

#endif
