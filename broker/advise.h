/* advise.h - is a handler's tag right, by what was measured; if not, why, and what another would gain. Pure.
 *
 * It speaks only of what is clear: after ADVISE_RUNS_NEEDED runs, where the middle half of them agree with the mean, where a run takes
 * long enough for its pool to matter, and where the other tag means another pool. */
#ifndef TERN_ADVISE_H
#define TERN_ADVISE_H

#include "broker/measure.h"
#include "broker/worker.h"

#define ADVISE_RUNS_NEEDED 50

/* What is known of the runs with one tag. */
struct advise_case {
    const char *name;                   /* borrowed: of the handler, or of the command's program */
    enum tag asked;
    const struct tally *tally;          /* borrowed */
    uint64_t runs;                      /* of the handler, with any tag */
    enum tag decided;                   /* what `auto` is */
    const struct worker_handler *handler; /* borrowed: as a connected worker declares it; NULL: none does */
    uint64_t slots[N_POOLS];            /* of all connected workers that have it */
};

struct advice_given {
    const char *verdict;    /* static: right, wrong, auto (it decides by itself), past (no longer in use), unknown */
    int64_t better;         /* enum tag; UNSET but for wrong */
    int64_t most_now, most_then; /* jobs a second in thousandths, as far as slots and cores go; UNSET where nothing follows */
    char *why, *gain;       /* owned by the caller; gain is NULL but for wrong */
};
struct advice_given advise(const struct advise_case *c);

#endif
