/* job_progress.h - how far a job is, and whether that is worth telling. */
#ifndef TERN_JOB_PROGRESS_H
#define TERN_JOB_PROGRESS_H

#include "proto/base/base.h"

struct job_progress {
    int percent;     /* -1: not said. Another thread may read it: only through __atomic builtins */
    unsigned n;      /* changes so far, at most those that are told at once; */
    int64_t told_us; /* and when the last one behind them was */
};
#define JOB_PROGRESS_UNSAID ((struct job_progress){ .percent = -1 })

/* True: it is to be told. What is less than 0 or more than 100 is taken for these. */
bool job_progress_set(struct job_progress *p, int64_t percent);

#endif
