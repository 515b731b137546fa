/* measure.h - what was measured of each handler, over all its queues: by the tag that was asked for. A command counts by its program.
 *
 * Means and quantiles are of the last 128 to 256 runs (sketch.h); a mean is time over runs, so a share of CPU time is that of the time the
 * handler took, as slots see it: a slot is held for the mean (Little's law), however the runs differ. What is in memory is written to
 * the store once a second where it has changed; a crash loses at most what came since. Pure, but for the store that is passed in. */
#ifndef TERN_MEASURE_H
#define TERN_MEASURE_H

#include "broker/sketch.h"
#include "broker/store.h"
#include "proto/base/map.h"

/* One attempt that a handler has ended. */
struct run_measured {
    enum tag asked;                   /* TAG_AUTO: none, or that */
    enum pool_kind pool;
    int64_t wall_us, cpu_us;          /* UNSET: not measured */
    int64_t ready_us;                 /* of wall_us: it was ready, but no core was free; or UNSET */
    int64_t wait_us;                  /* from when it could have started to its start; or UNSET */
    int64_t memory_kb;                /* or UNSET */
    int64_t ended_ms;
};

/* Of the runs with one tag. */
struct tally {
    uint64_t runs;                    /* since ever */
    enum pool_kind pool;              /* of the last one */
    int64_t last_ms;                  /* when it ended */
    uint64_t last_run;                /* and which one of the handler's it was, from 1 on */
    double recent, wall_us, cpu_us, ready_us; /* lately: runs, and the sums of their times */
    struct sketch wall, share, wait, memory;  /* us, parts of 1000, us, KiB */
    bool changed;                     /* since it was last saved */
};

struct measure {
    char *handler, *program;          /* owned; program NULL but for commands */
    uint64_t runs;                    /* of all tags */
    struct tally *tallies[N_TAGS];    /* owned; by the tag asked for; NULL: no run */
    enum tag decided;                 /* what `auto` is; TAG_AUTO while that is not known */
};

struct measures {
    struct strmap by_key;             /* of struct measure, borrowed from `all` */
    struct measure **all;             /* owned; at most LIMIT_MEASURES */
    size_t n, cap;
    size_t next_saved;                /* where saving goes on */
    struct measure shared;            /* of all that came later: it decides nothing */
};

/* Reads what was saved. Rows that make no sense are left out. */
int measures_load(struct measures *m, struct store *s);
void measures_fini(struct measures *m);
/* Finds or makes; past LIMIT_MEASURES the shared one. program: unset but for commands. */
struct measure *measures_intern(struct measures *m, struct str handler, struct str program);
/* Saves some of what has changed. 1: there is more; 0; < 0: the store failed. */
int measures_save(struct measures *m, struct store *s);

void measure_run(struct measures *all, struct measure *m, const struct run_measured *run);

/* ---- what follows from it ------------------------------------------------------------------------- */

/* Lately, over some of the tags. */
struct measure_means {
    double runs;    /* how many count */
    double wall_us, cpu_us, ready_us; /* of one */
    double share;   /* CPU time over the time in which it had a core or did not want one: 0 to 1, more with several threads */
};
struct measure_means tally_means(const struct tally *t);
struct measure_means measure_means(const struct measure *m);
/* What a handler does, given what it was taken for (TAG_AUTO: nothing yet): a border must be passed clearly to be taken for something
 * else. TAG_AUTO: too few runs. */
enum tag measure_decide(struct measure_means now, enum tag before);

#endif
