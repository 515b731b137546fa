/* test_route.c - the tag chooses the pool; where a handler lacks the form for it, the next best. */
#include "broker/route.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define BOTH (FORM_BLOCKING | FORM_ASYNC)

static int pool(enum tag tag, unsigned forms, bool thread_safe, bool suspect)
{
    struct class c = { .tag = tag, .suspect = suspect };
    struct worker_handler h = { .forms = forms, .tag = TAG_AUTO, .thread_safe = thread_safe };
    return route(&c, &h);
}

static void computing_goes_to_a_process(void **state)
{
    (void)state;
    assert_int_equal(pool(TAG_CPU, BOTH, true, false), POOL_PROCESS);
    assert_int_equal(pool(TAG_CPU, FORM_BLOCKING, true, false), POOL_PROCESS);
    assert_int_equal(pool(TAG_CPU, FORM_BLOCKING, false, false), POOL_PROCESS);
}

static void short_io_goes_to_a_thread(void **state)
{
    (void)state;
    assert_int_equal(pool(TAG_IO, BOTH, true, false), POOL_THREAD);
    assert_int_equal(pool(TAG_IO, FORM_BLOCKING, true, false), POOL_THREAD);
}

static void long_waits_go_to_the_loop(void **state)
{
    (void)state;
    assert_int_equal(pool(TAG_SLOW_IO, BOTH, true, false), POOL_LOOP);
    assert_int_equal(pool(TAG_SLOW_IO, BOTH, false, false), POOL_LOOP);
    assert_int_equal(pool(TAG_SLOW_IO, FORM_ASYNC, true, false), POOL_LOOP);
}

static void a_long_wait_of_a_handler_that_blocks_goes_to_a_thread(void **state)
{
    (void)state;
    assert_int_equal(pool(TAG_SLOW_IO, FORM_BLOCKING, true, false), POOL_THREAD);
}

static void a_handler_that_is_only_async_runs_on_the_loop_whatever_the_tag(void **state)
{
    (void)state;
    for (int tag = TAG_AUTO; tag <= TAG_SLOW_IO; tag++)
        assert_int_equal(pool((enum tag)tag, FORM_ASYNC, true, false), POOL_LOOP);
}

static void what_is_not_safe_in_threads_never_runs_in_one(void **state)
{
    (void)state;
    for (int tag = TAG_AUTO; tag <= TAG_SLOW_IO; tag++)
        for (unsigned forms = 0; forms < 4; forms++)
            for (int suspect = 0; suspect < 2; suspect++)
                assert_int_not_equal(pool((enum tag)tag, forms, false, suspect), POOL_THREAD);
    assert_int_equal(pool(TAG_IO, FORM_BLOCKING, false, false), POOL_PROCESS);
    assert_int_equal(pool(TAG_SLOW_IO, FORM_BLOCKING, false, false), POOL_PROCESS);
}

static void a_suspect_runs_in_a_process_where_its_handler_allows_it(void **state)
{
    (void)state;
    for (int tag = TAG_AUTO; tag <= TAG_SLOW_IO; tag++) {
        assert_int_equal(pool((enum tag)tag, BOTH, true, true), POOL_PROCESS);
        assert_int_equal(pool((enum tag)tag, FORM_BLOCKING, true, true), POOL_PROCESS);
        assert_int_equal(pool((enum tag)tag, FORM_ASYNC, true, true), POOL_LOOP);
    }
}

static void a_handler_without_a_form_has_no_pool(void **state)
{
    (void)state;
    for (int tag = TAG_AUTO; tag <= TAG_SLOW_IO; tag++)
        assert_int_equal(pool((enum tag)tag, 0, true, false), -1);
}

static void the_submitters_tag_wins_over_the_handlers(void **state)
{
    (void)state;
    struct worker_handler h = { .forms = BOTH, .tag = TAG_SLOW_IO, .thread_safe = true };
    struct class cpu = { .tag = TAG_CPU }, unset = { .tag = TAG_CPU, .tag_unset = true };
    struct class said_to_be_auto = { .tag = TAG_AUTO };
    assert_int_equal(route_tag(&cpu, &h), TAG_CPU);
    assert_int_equal(route_tag(&unset, &h), TAG_SLOW_IO);
    assert_int_equal(route_tag(&said_to_be_auto, &h), TAG_CPU); /* as nothing is measured yet */
}

static enum tag measured(double runs, double wall_us, double cpu_us)
{
    struct worker_handler h = { .forms = BOTH, .tag = TAG_IO, .thread_safe = true };
    struct class c = { .runs = runs, .mean_wall_us = wall_us, .mean_cpu_us = cpu_us };
    c.tag = TAG_AUTO;
    return route_tag(&c, &h);
}

static void auto_is_a_process_until_five_runs_are_known(void **state)
{
    (void)state;
    assert_int_equal(measured(0, 0, 0), TAG_CPU);
    assert_int_equal(measured(4, 2000000, 100), TAG_CPU);
    assert_int_equal(measured(5, 2000000, 100), TAG_SLOW_IO);
}

static void auto_follows_what_was_measured(void **state)
{
    (void)state;
    assert_int_equal(measured(9, 1000, 900), TAG_CPU);
    assert_int_equal(measured(9, 1000, 500), TAG_CPU);
    assert_int_equal(measured(9, 1000, 499), TAG_IO);
    assert_int_equal(measured(9, 499999, 10), TAG_IO);
    assert_int_equal(measured(9, 500000, 10), TAG_SLOW_IO);
    assert_int_equal(measured(9, 60e6, 30e6), TAG_CPU);
    assert_int_equal(measured(9, 0, 0), TAG_CPU);
}

static void an_auto_of_the_handler_is_measured_too(void **state)
{
    (void)state;
    struct worker_handler h = { .forms = BOTH, .tag = TAG_AUTO, .thread_safe = true };
    struct class c = { .tag_unset = true, .runs = 9, .mean_wall_us = 1e6, .mean_cpu_us = 1e3 };
    assert_int_equal(route_tag(&c, &h), TAG_SLOW_IO);
    assert_int_equal(route(&c, &h), POOL_LOOP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(computing_goes_to_a_process),
        cmocka_unit_test(short_io_goes_to_a_thread),
        cmocka_unit_test(long_waits_go_to_the_loop),
        cmocka_unit_test(a_long_wait_of_a_handler_that_blocks_goes_to_a_thread),
        cmocka_unit_test(a_handler_that_is_only_async_runs_on_the_loop_whatever_the_tag),
        cmocka_unit_test(what_is_not_safe_in_threads_never_runs_in_one),
        cmocka_unit_test(a_suspect_runs_in_a_process_where_its_handler_allows_it),
        cmocka_unit_test(a_handler_without_a_form_has_no_pool),
        cmocka_unit_test(the_submitters_tag_wins_over_the_handlers),
        cmocka_unit_test(auto_is_a_process_until_five_runs_are_known),
        cmocka_unit_test(auto_follows_what_was_measured),
        cmocka_unit_test(an_auto_of_the_handler_is_measured_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
