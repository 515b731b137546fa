/* resume.c - a long computation that goes on where the attempt before it was: it counts the primes below its payload, and leaves a
 * checkpoint every so often. Kill the worker while it runs: the next attempt's log says where it began.
 *
 *     tern submit --handler primes --payload 20000000 --wait */
#include <tern/handler.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST UINT64_C(1000000000)
#define STEP 20000 /* numbers between two checkpoints */

/* What a checkpoint is. The next attempt may run on another machine, of the same kind. */
struct state {
    uint64_t next, found;
};

static bool is_prime(uint64_t n)
{
    if (n < 4)
        return n > 1;
    for (uint64_t i = 3; i * i <= n; i += 2)
        if (n % i == 0)
            return false;
    return n % 2 != 0;
}

static struct state begin(struct tern_job *job)
{
    struct state s = { 0, 0 };
    size_t n;
    const void *left = tern_checkpoint_get(job, &n);
    if (left && n == sizeof s) {
        memcpy(&s, left, sizeof s);
        tern_log(job, "attempt %" PRIu64 " goes on at %" PRIu64, tern_attempt(job), s.next);
    }
    return s;
}

static int primes(struct tern_job *job)
{
    size_t n;
    const char *payload = tern_payload(job, &n);
    char text[24] = "";
    if (n == 0 || n >= sizeof text)
        return tern_fail_for_good(job, "the payload must be a number");
    memcpy(text, payload, n);
    uint64_t below = strtoull(text, NULL, 10);
    if (below > MOST)
        return tern_fail_for_good(job, "the payload must be at most %" PRIu64, MOST);
    for (struct state s = begin(job);; s.next++) {
        if (s.next >= below) {
            int digits = snprintf(text, sizeof text, "%" PRIu64, s.found);
            return tern_result(job, text, (size_t)digits);
        }
        if (s.next % STEP == 0 && tern_checkpoint(job, &s, sizeof s) < 0)
            tern_log(job, "not kept at %" PRIu64, s.next); /* no reason to stop: only more to do again */
        if (s.next % STEP == 0)
            tern_progress(job, (int)(100 * s.next / below));
        if (s.next % STEP == 0 && tern_should_stop(job))
            return tern_fail(job, "told to stop at %" PRIu64, s.next);
        s.found += is_prime(s.next);
    }
}

static const struct tern_handler handlers[] = {
    {
        .name = "primes",
        .description = "how many primes there are below the payload; goes on where it was",
        .blocking = primes,
        .tag = TERN_TAG_CPU,
        .retries = 5,
    },
};
TERN_MODULE(handlers);
