/* job_progress.c - how far a job is: the function of handler.h, the same in every pool. */
#include "worker/call.h"

#include "proto/base/clock.h"

/* A job that says more than every percentage once does not go on at the price of all others. */
#define REPORTS_FREE 200
#define REPORTS_SPACING_US 10000

static bool may_report(struct tern_job *job)
{
    if (job->n_reports < REPORTS_FREE) {
        job->n_reports++;
        return true;
    }
    int64_t now_us = clock_mono_us();
    if (now_us - job->reported_us < REPORTS_SPACING_US)
        return false;
    job->reported_us = now_us;
    return true;
}

void tern_progress(struct tern_job *job, int percent)
{
    int shown = percent < 0 ? 0 : percent > 100 ? 100 : percent;
    if (!job->report || shown == __atomic_load_n(&job->percent, __ATOMIC_RELAXED) || !may_report(job))
        return;
    __atomic_store_n(&job->percent, shown, __ATOMIC_RELAXED);
    job->report(job);
}

void call_progress(const struct tern_job *j, struct attempt_progress *ret)
{
    *ret = (struct attempt_progress){ j->job->job, j->job->attempt, __atomic_load_n(&j->percent, __ATOMIC_RELAXED) };
}
