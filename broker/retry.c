/* retry.c - retries bound failures, the crash limit bounds losses of the worker; neither stands in for the other. */
#include "broker/retry.h"

int64_t retry_backoff(int64_t min_ms, int64_t max_ms, uint64_t n, struct rng *rng)
{
    int64_t wait = max_i64(min_ms, 1);
    for (uint64_t i = 1; i < n && wait < max_ms; i++)
        wait = wait > max_ms / 2 ? max_ms : wait * 2;
    wait = min_i64(wait, max_i64(max_ms, 1));
    return wait - (int64_t)rng_below(rng, (uint64_t)wait / 2 + 1);
}

static struct verdict after_failure(struct verdict v, const struct job_row *job, const struct outcome *o,
                                    int64_t handler_retries, struct rng *rng)
{
    v.failures++;
    int64_t retries = or_default(job->retries, handler_retries);
    if (o->for_good || (int64_t)v.failures > retries) {
        v.to = STATE_DEAD;
        return v;
    }
    int64_t min_ms = or_default(job->backoff_min_ms, RETRY_BACKOFF_MIN_MS);
    int64_t max_ms = or_default(job->backoff_max_ms, max_i64(RETRY_BACKOFF_MAX_MS, min_ms));
    v.to = STATE_SCHEDULED;
    v.wait_ms = retry_backoff(min_ms, max_ms, v.failures, rng);
    return v;
}

static struct verdict after_loss(struct verdict v, const struct job_row *job, bool started)
{
    v.crashes += started;
    bool too_often = started && (int64_t)v.crashes >= or_default(job->crash_limit, RETRY_CRASH_LIMIT);
    v.to = too_often ? STATE_DEAD : STATE_QUEUED;
    return v;
}

struct verdict retry_judge(const struct job_row *job, const struct outcome *o, int64_t handler_retries, bool started,
                           struct rng *rng)
{
    struct verdict v = { .to = STATE_DONE, .failures = job->failures, .crashes = job->crashes,
                         .reason = (enum reason)o->reason };
    if (o->ending == ENDING_DONE)
        return v;
    if (o->ending == ENDING_EXPIRED) {
        v.to = STATE_EXPIRED;
        return v;
    }
    if (job->cancel_asked) {
        v.failures += o->ending == ENDING_FAILED;
        v.crashes += o->ending == ENDING_LOST && started;
        v.to = STATE_CANCELLED;
        return v;
    }
    if (o->ending == ENDING_FAILED)
        return after_failure(v, job, o, handler_retries, rng);
    if (o->ending == ENDING_LOST)
        return after_loss(v, job, started);
    v.to = STATE_QUEUED; /* stopped, though nobody asked for it: it runs again */
    return v;
}
