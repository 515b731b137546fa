/* test_leaving.c - a worker goes when it has been idle, has lived, or has worked for long enough. */
#include "worker/leaving.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static enum leave ask(struct leaving *l, size_t held, int64_t ms, int64_t *ret_due)
{
    struct now now = { .mono_ms = ms };
    return leaving_ask(l, held, now, ret_due);
}

static void without_limits_it_stays(void **state)
{
    (void)state;
    struct leaving l;
    int64_t due;
    leaving_init(&l, 0, 0, 0, (struct now){ .mono_ms = 100 });
    l.n_started = 1000000;
    assert_int_equal(ask(&l, 0, INT64_MAX / 2, &due), LEAVE_NOT);
    assert_true(due == NEVER);
}

static void idle_counts_from_the_last_job(void **state)
{
    (void)state;
    struct leaving l;
    int64_t due;
    leaving_init(&l, 1000, 0, 0, (struct now){ .mono_ms = 100 });
    assert_int_equal(ask(&l, 0, 1099, &due), LEAVE_NOT);
    assert_int_equal(due, 1100);
    assert_int_equal(ask(&l, 1, 1099, &due), LEAVE_NOT);
    assert_true(due == NEVER);
    assert_int_equal(ask(&l, 1, 9000, &due), LEAVE_NOT); /* a long job is no idleness */
    assert_int_equal(ask(&l, 0, 9999, &due), LEAVE_NOT);
    assert_int_equal(due, 10000);
    assert_int_equal(ask(&l, 0, 10000, &due), LEAVE_IDLE);
}

static void its_time_ends_whatever_it_does(void **state)
{
    (void)state;
    struct leaving l;
    int64_t due;
    leaving_init(&l, 0, 5000, 0, (struct now){ .mono_ms = 100 });
    assert_int_equal(ask(&l, 3, 5099, &due), LEAVE_NOT);
    assert_int_equal(due, 5100);
    assert_int_equal(ask(&l, 3, 5100, &due), LEAVE_TIME);
    leaving_init(&l, INT64_MAX / 2, INT64_MAX / 2, 0, (struct now){ .mono_ms = INT64_MAX / 2 + 10 });
    assert_int_equal(ask(&l, 0, INT64_MAX / 2 + 20, &due), LEAVE_NOT); /* no sum overflows */
}

static void jobs_are_counted_as_they_start(void **state)
{
    (void)state;
    struct leaving l;
    int64_t due;
    leaving_init(&l, 0, 0, 2, (struct now){ .mono_ms = 100 });
    l.n_started = 1;
    assert_int_equal(ask(&l, 1, 200, &due), LEAVE_NOT);
    l.n_started = 2;
    assert_int_equal(ask(&l, 1, 200, &due), LEAVE_ENOUGH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_limits_it_stays),
        cmocka_unit_test(idle_counts_from_the_last_job),
        cmocka_unit_test(its_time_ends_whatever_it_does),
        cmocka_unit_test(jobs_are_counted_as_they_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
