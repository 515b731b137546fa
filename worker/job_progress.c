/* job_progress.c - how far a job is: the function of handler.h, the same in every pool. */
#include "worker/job_progress.h"

#include "proto/base/clock.h"
#include "worker/call.h"

/* A job that says more than every percentage once does not go on at the price of all others. */
#define TOLD_AT_ONCE 200
#define TOLD_EVERY_US 10000

static bool may_tell(struct job_progress *p)
{
    if (p->n < TOLD_AT_ONCE) {
        p->n++;
        return true;
    }
    int64_t now_us = clock_mono_us();
    if (now_us - p->told_us < TOLD_EVERY_US)
        return false;
    p->told_us = now_us;
    return true;
}

bool job_progress_set(struct job_progress *p, int64_t percent)
{
    int shown = percent < 0 ? 0 : percent > 100 ? 100 : (int)percent;
    if (shown == __atomic_load_n(&p->percent, __ATOMIC_RELAXED) || !may_tell(p))
        return false;
    __atomic_store_n(&p->percent, shown, __ATOMIC_RELAXED);
    return true;
}

void tern_progress(struct tern_job *job, int percent)
{
    if (job->report && job_progress_set(&job->progress, percent))
        job->report(job);
}

void call_progress(const struct tern_job *j, struct attempt_progress *ret)
{
    *ret = (struct attempt_progress){ j->job->job, j->job->attempt, __atomic_load_n(&j->progress.percent, __ATOMIC_RELAXED) };
}
