/* record.h - the independent record: what clients were told and what handlers did, to hold the database against. */
#ifndef TERN_SIM_RECORD_H
#define TERN_SIM_RECORD_H

#include "tests/sim/world.h"

/* What a handler does is decided by (seed, job, attempt) alone. */
enum fate { FATE_DONE, FATE_FAILS, FATE_FAILS_FOR_GOOD };
enum fate record_fate(const struct world *w, uint64_t job, uint64_t attempt);

struct record *record_new(void);
void record_free(struct record *r);
void record_acknowledged(struct world *w, uint64_t first, uint64_t count);
void record_cancel_asked(struct world *w, uint64_t job);
void record_started(struct world *w, const void *worker, uint64_t job, uint64_t attempt);
void record_ended(struct world *w, const void *worker, uint64_t job, uint64_t attempt, bool by_itself);
void record_worker_died(struct world *w, const void *worker);
size_t record_count(const struct world *w);

/* After every commit: what must hold at any time. */
void record_check_turn(struct world *w);
/* All that was acknowledged has ended? Asks the store. */
bool record_all_ended(struct world *w);
/* At the end: what must hold of every job. */
void record_check_end(struct world *w);

#endif
