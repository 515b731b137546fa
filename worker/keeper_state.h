/* keeper_state.h - what a keeper is made of, for the files of the keeper alone: keeper.c (its life, and that of its runner), keeper_runs.c
 * (the runs that the runner has), keeper_lines.c (what it writes on its standard error), keeper_asks.c (asks in both protocols). */
#ifndef TERN_KEEPER_STATE_H
#define TERN_KEEPER_STATE_H

#include "proto/base/list.h"
#include "proto/base/map.h"
#include "worker/frame.h"
#include "worker/job_progress.h"
#include "worker/runner_process.h"

#define KEEPER_LINE_BYTES 512

/* Lines for the worker's log. */
struct keeper_lines {
    char line[KEEPER_LINE_BYTES], last[KEEPER_LINE_BYTES];
    size_t n_bytes, n_lines;
    int64_t while_until_ms;
};

/* A run that the runner has. */
struct kept {
    struct link link;
    uint64_t number;       /* to the worker, which may serve several brokers, */
    uint64_t job, attempt; /* and to the runner, which is one broker's at a time */
    struct buf output; /* owned: marked chunks */
    int64_t began_us, cpu_us;
    bool told;         /* to stop */
    struct job_progress progress;
    struct link asks;  /* of struct kept_ask, owned: what it waits for */
    size_t n_asks;
};

struct keeper {
    struct runner *runner; /* borrowed */
    struct runner_process process;
    struct frames worker, talk; /* with the worker; with the runner */
    struct frames early;   /* what the runner is told once it is ready, so that what it writes before is no run's; no descriptor */
    size_t capacity;
    int64_t pool;          /* UNSET: it only tells what it has */
    struct link kept;      /* of struct kept, owned */
    struct idmap by_job;
    struct idmap asks;     /* of struct kept_ask, by number */
    uint64_t n_asked;
    size_t n_kept;
    bool ready, over;
    char *why;             /* owned: what the runner did that ended it; NULL: it ended by itself */
    int sigchld;
    int64_t kill_at_ms;    /* NEVER: nothing is due */
    int64_t base_kb;       /* its peak of memory when the kernel was last told to forget it */
    struct keeper_lines lines;
};

static inline bool keeper_is_shared(const struct keeper *k) { return k->pool != POOL_PROCESS; }

/* ---- keeper.c --------------------------------------------------------------------------------- */

/* To the worker, and to the runner. */
void keeper_say(struct keeper *k, const struct message *m);
void keeper_tell(struct keeper *k, enum record_kind kind, const void *record);
/* The runner has done what it must not, and why says so (taken): it is listened to no longer. */
void keeper_end_runner(struct keeper *k, char *why);

/* ---- keeper_lines.c --------------------------------------------------------------------------- */

/* Reads what there is of the runner's standard error: for the log of the one run that it has, else for the worker's. */
void keeper_read_lines(struct keeper *k);
/* What is left of a line that has not ended. */
void keeper_end_line(struct keeper *k);

/* ---- keeper_runs.c ---------------------------------------------------------------------------- */

/* From the worker. */
void keeper_run(struct keeper *k, const struct run_job *job);
void keeper_stop(struct keeper *k, const struct attempt_ref *ref);
void keeper_on_answer(struct keeper *k, const struct message *m);
/* From the runner. */
void keeper_on_done(struct keeper *k, const struct runner_done *d);
void keeper_on_failed(struct keeper *k, const struct runner_failed *f);
void keeper_on_log(struct keeper *k, const struct runner_log *l);
void keeper_on_progress(struct keeper *k, const struct runner_progress *p);
/* Its number is the run's own; from here on it has the keeper's. */
void keeper_on_ask(struct keeper *k, struct message *ask);
/* The runner is ready: what it has begins now. */
void keeper_begin_runs(struct keeper *k);
/* The runner has ended with this status, and text says how: the worker is told so of each run that it had. */
void keeper_end_runs(struct keeper *k, int status, const char *text);
/* A child has ended, and has left its own children to this process: unless a run has begun whose they may be. */
void keeper_end_more_strays(struct keeper *k);

#endif
