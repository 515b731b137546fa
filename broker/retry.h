/* retry.h - what becomes of a job when an attempt of it has ended: pure arithmetic. */
#ifndef TERN_RETRY_H
#define TERN_RETRY_H

#include "broker/store.h"
#include "proto/base/rng.h"

#define RETRY_BACKOFF_MIN_MS 1000
#define RETRY_BACKOFF_MAX_MS (10 * 60 * 1000)
#define RETRY_CRASH_LIMIT 3

/* How long to wait before the next attempt after the n-th failure (n >= 1): min doubled n - 1 times, at most max, of which a
 * random half is taken off ("equal jitter", Brooker, AWS Architecture Blog 2015). In ms. */
int64_t retry_backoff(int64_t min_ms, int64_t max_ms, uint64_t n, struct rng *rng);

struct verdict {
    enum job_state to;
    int64_t wait_ms; /* of SCHEDULED */
    uint64_t failures, crashes;
    enum reason reason;
};

/* job: as stored, while RUNNING; handler_retries: what the handler declares; started: the attempt had STARTED (only then a
 * loss counts). */
struct verdict retry_judge(const struct job_row *job, const struct outcome *o, int64_t handler_retries, bool started,
                           struct rng *rng);

#endif
