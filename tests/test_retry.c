/* test_retry.c - how long a job waits before it is tried again, and when it is not: the whole table
 * of verdicts. */
#include "broker/retry.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "broker/job.h"

static struct rng rng;

static int set_up(void **state)
{
    (void)state;
    const char *seed = getenv("SEED");
    uint64_t n = seed ? strtoull(seed, NULL, 0) : 8128;
    print_message("SEED=%" PRIu64 "\n", n);
    rng_init(&rng, n);
    return 0;
}

/* ---- backoff --------------------------------------------------------------------------------- */

/* The least and the most of many tries. */
static void span_of(int64_t min_ms, int64_t max_ms, uint64_t n, int64_t *ret_least,
                    int64_t *ret_most)
{
    *ret_least = INT64_MAX;
    *ret_most = 0;
    for (int i = 0; i < 3000; i++) {
        int64_t wait = retry_backoff(min_ms, max_ms, n, &rng);
        *ret_least = min_i64(*ret_least, wait);
        *ret_most = max_i64(*ret_most, wait);
    }
}

static void the_wait_doubles_up_to_the_most(void **state)
{
    (void)state;
    static const int64_t whole[] = { 1000,  2000,  4000,   8000,   16000,
                                     32000, 64000, 100000, 100000, 100000 };
    for (uint64_t n = 1; n <= ELEMENTS(whole); n++) {
        int64_t least, most, all = whole[n - 1];
        span_of(1000, 100000, n, &least, &most);
        assert_in_range(least, all / 2, all / 2 + all / 50);
        assert_in_range(most, all - all / 50, all);
    }
}

static void at_most_half_of_the_wait_is_jitter_and_all_of_it_is_used(void **state)
{
    (void)state;
    int tenths[11] = { 0 };
    for (int i = 0; i < 10000; i++) {
        int64_t wait = retry_backoff(1000, 1000, 1, &rng);
        assert_in_range(wait, 500, 1000);
        tenths[(wait - 500) / 50]++;
    }
    for (int i = 0; i < 10; i++)
        assert_in_range(tenths[i], 800, 1200);
}

static void the_same_seed_gives_the_same_wait(void **state)
{
    (void)state;
    struct rng a, b;
    rng_init(&a, 6);
    rng_init(&b, 6);
    for (uint64_t n = 1; n < 100; n++)
        assert_int_equal(retry_backoff(1000, 600000, n, &a), retry_backoff(1000, 600000, n, &b));
}

static void no_number_of_failures_overflows(void **state)
{
    (void)state;
    static const uint64_t failures[] = { 1, 2, 62, 63, 64, 65, 1000000, UINT64_MAX };
    static const int64_t bounds[] = { 0,        1, 2, 3, 1000, 600000, INT64_MAX / 2, INT64_MAX - 1,
                                      INT64_MAX };
    for (size_t n = 0; n < ELEMENTS(failures); n++)
        for (size_t i = 0; i < ELEMENTS(bounds); i++)
            for (size_t k = 0; k < ELEMENTS(bounds); k++) {
                int64_t most = max_i64(bounds[k], 1);
                int64_t wait = retry_backoff(bounds[i], bounds[k], failures[n], &rng);
                if (wait < 1 || wait > most)
                    fail_msg("%" PRId64 "..%" PRId64 ", failure %" PRIu64 ": %" PRId64, bounds[i],
                             bounds[k], failures[n], wait);
            }
}

static void a_least_over_the_most_is_the_most(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++)
        assert_in_range(retry_backoff(5000, 100, 1, &rng), 50, 100);
}

/* ---- verdicts -------------------------------------------------------------------------------- */

static struct job_row running_job(void)
{
    return (struct job_row){
        .id = 1, .state = STATE_RUNNING, .attempt = 1, .timeout_ms = UNSET, .retries = UNSET,
        .backoff_min_ms = UNSET, .backoff_max_ms = UNSET, .crash_limit = UNSET,
    };
}

static struct outcome ended(enum ending ending, enum reason reason)
{
    struct outcome o;
    record_init(RECORD_outcome, &o);
    o.ending = ending;
    o.reason = reason;
    return o;
}

struct verdict_case {
    enum ending ending;
    bool for_good, cancel_asked, started;
    int64_t retries, handler_retries, crash_limit;
    uint64_t failures, crashes; /* before */
    enum job_state to;
    uint64_t failures_after, crashes_after;
};

/* ending, for good, cancel asked, started | retries, the handler's, crash limit | before | after */
static const struct verdict_case cases[] = {
    { ENDING_DONE, 0, 0, 1, UNSET, 0, UNSET, 0, 0, STATE_DONE, 0, 0 },
    { ENDING_DONE, 0, 1, 1, UNSET, 0, UNSET, 2, 1, STATE_DONE, 2, 1 }, /* before the cancel */
    { ENDING_EXPIRED, 0, 0, 0, 5, 0, UNSET, 1, 1, STATE_EXPIRED, 1, 1 },
    /* failures, bounded by the retries */
    { ENDING_FAILED, 0, 0, 1, UNSET, 0, UNSET, 0, 0, STATE_DEAD, 1, 0 },
    { ENDING_FAILED, 0, 0, 1, 0, 5, UNSET, 0, 0, STATE_DEAD, 1, 0 },
    { ENDING_FAILED, 0, 0, 1, 1, 0, UNSET, 0, 0, STATE_SCHEDULED, 1, 0 },
    { ENDING_FAILED, 0, 0, 1, 1, 0, UNSET, 1, 0, STATE_DEAD, 2, 0 },
    { ENDING_FAILED, 0, 0, 1, UNSET, 3, UNSET, 2, 0, STATE_SCHEDULED, 3, 0 },
    { ENDING_FAILED, 0, 0, 1, UNSET, 3, UNSET, 3, 0, STATE_DEAD, 4, 0 },
    { ENDING_FAILED, 0, 0, 0, 1, 0, UNSET, 0, 0, STATE_SCHEDULED, 1, 0 },
    { ENDING_FAILED, 1, 0, 1, 9, 9, UNSET, 0, 0, STATE_DEAD, 1, 0 }, /* for good */
    { ENDING_FAILED, 0, 1, 1, 9, 9, UNSET, 0, 0, STATE_CANCELLED, 1, 0 },
    { ENDING_FAILED, 0, 0, 1, 1, 0, 1, 0, 5, STATE_SCHEDULED, 1, 5 }, /* apart from crashes */
    /* losses, bounded by the crash limit: three when nobody says otherwise */
    { ENDING_LOST, 0, 0, 1, UNSET, 0, UNSET, 0, 0, STATE_QUEUED, 0, 1 },
    { ENDING_LOST, 0, 0, 1, UNSET, 0, UNSET, 0, 1, STATE_QUEUED, 0, 2 },
    { ENDING_LOST, 0, 0, 1, UNSET, 0, UNSET, 0, 2, STATE_DEAD, 0, 3 },
    { ENDING_LOST, 0, 0, 1, UNSET, 0, 1, 0, 0, STATE_DEAD, 0, 1 },
    { ENDING_LOST, 0, 0, 1, UNSET, 0, 10, 0, 8, STATE_QUEUED, 0, 9 },
    { ENDING_LOST, 0, 0, 1, UNSET, 0, 10, 0, 9, STATE_DEAD, 0, 10 },
    { ENDING_LOST, 0, 0, 0, UNSET, 0, UNSET, 0, 2, STATE_QUEUED, 0, 2 }, /* had not started */
    { ENDING_LOST, 0, 0, 0, UNSET, 0, 1, 0, 9, STATE_QUEUED, 0, 9 },
    { ENDING_LOST, 0, 0, 1, 0, 0, UNSET, 7, 0, STATE_QUEUED, 7, 1 }, /* apart from failures */
    { ENDING_LOST, 0, 1, 1, UNSET, 0, UNSET, 0, 0, STATE_CANCELLED, 0, 1 },
    { ENDING_LOST, 0, 1, 0, UNSET, 0, UNSET, 0, 0, STATE_CANCELLED, 0, 0 },
    /* stopped */
    { ENDING_CANCELLED, 0, 1, 1, UNSET, 0, UNSET, 0, 0, STATE_CANCELLED, 0, 0 },
    { ENDING_CANCELLED, 0, 0, 1, UNSET, 0, UNSET, 3, 2, STATE_QUEUED, 3, 2 }, /* unasked */
};

static void every_ending_has_its_verdict(void **state)
{
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        const struct verdict_case *c = &cases[i];
        struct job_row j = running_job();
        j.retries = c->retries;
        j.crash_limit = c->crash_limit;
        j.cancel_asked = c->cancel_asked;
        j.failures = c->failures;
        j.crashes = c->crashes;
        struct outcome o = ended(c->ending, REASON_EXIT);
        o.for_good = c->for_good;
        struct verdict v = retry_judge(&j, &o, c->handler_retries, c->started, &rng);
        if (v.to != c->to || v.failures != c->failures_after || v.crashes != c->crashes_after ||
            v.reason != REASON_EXIT)
            fail_msg("case %zu: %s, %" PRIu64 " failures, %" PRIu64 " crashes", i, state_name(v.to),
                     v.failures, v.crashes);
        if (v.to == STATE_SCHEDULED)
            assert_in_range(v.wait_ms, 1, RETRY_BACKOFF_MAX_MS);
        else
            assert_int_equal(v.wait_ms, 0);
    }
}

static void the_wait_follows_the_jobs_own_backoff(void **state)
{
    (void)state;
    struct job_row j = running_job();
    struct outcome o = ended(ENDING_FAILED, REASON_EXIT);
    j.retries = 100;
    j.backoff_min_ms = 20000;
    j.backoff_max_ms = 30000;
    for (int i = 0; i < 100; i++) {
        j.failures = 0;
        assert_in_range(retry_judge(&j, &o, 0, true, &rng).wait_ms, 10000, 20000);
        j.failures = 1;
        assert_in_range(retry_judge(&j, &o, 0, true, &rng).wait_ms, 15000, 30000);
    }
}

static void without_a_backoff_of_its_own_it_is_1_s_to_10_min(void **state)
{
    (void)state;
    struct job_row j = running_job();
    struct outcome o = ended(ENDING_FAILED, REASON_EXIT);
    j.retries = 100;
    for (int i = 0; i < 100; i++) {
        j.failures = 0;
        assert_in_range(retry_judge(&j, &o, 0, true, &rng).wait_ms, 500, 1000);
        j.failures = 50;
        assert_in_range(retry_judge(&j, &o, 0, true, &rng).wait_ms, 300000, 600000);
    }
}

static void a_least_wait_over_10_min_is_kept(void **state)
{
    (void)state;
    struct job_row j = running_job();
    struct outcome o = ended(ENDING_FAILED, REASON_EXIT);
    j.retries = 1;
    j.backoff_min_ms = 3600000;
    for (int i = 0; i < 100; i++)
        assert_in_range(retry_judge(&j, &o, 0, true, &rng).wait_ms, 1800000, 3600000);
}

static void every_verdict_is_a_legal_move_of_a_running_job(void **state)
{
    (void)state;
    for (uint64_t ending = 0; ending <= ENDING_LOST + 3; ending++)
        for (unsigned bits = 0; bits < 64; bits++) {
            struct job_row j = running_job();
            struct outcome o = ended((enum ending)ending, REASON_SIGNAL);
            o.for_good = bits & 1;
            j.cancel_asked = bits & 2;
            j.crashes = bits & 8 ? 5 : 0;
            j.failures = bits & 16 ? 5 : 0;
            struct verdict v = retry_judge(&j, &o, bits & 32 ? 9 : 0, bits & 4, &rng);
            assert_true(job_may_move(STATE_RUNNING, v.to));
            assert_true(v.failures - j.failures + v.crashes - j.crashes <= 1);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_wait_doubles_up_to_the_most),
        cmocka_unit_test(at_most_half_of_the_wait_is_jitter_and_all_of_it_is_used),
        cmocka_unit_test(the_same_seed_gives_the_same_wait),
        cmocka_unit_test(no_number_of_failures_overflows),
        cmocka_unit_test(a_least_over_the_most_is_the_most),
        cmocka_unit_test(every_ending_has_its_verdict),
        cmocka_unit_test(the_wait_follows_the_jobs_own_backoff),
        cmocka_unit_test(without_a_backoff_of_its_own_it_is_1_s_to_10_min),
        cmocka_unit_test(a_least_wait_over_10_min_is_kept),
        cmocka_unit_test(every_verdict_is_a_legal_move_of_a_running_job),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
