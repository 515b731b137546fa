/* test_route.c - the tag chooses the pool; where a handler lacks the form for it, the next best. */
#include "broker/route.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define BOTH (FORM_BLOCKING | FORM_ASYNC)

static struct measure unknown, computes = { .decided = TAG_CPU }, reads = { .decided = TAG_IO }, waits = { .decided = TAG_SLOW_IO };

static const struct worker_pool all[N_POOLS] = { { .slots = 1 }, { .slots = 1 }, { .slots = 1 } };

static int pool(enum tag tag, unsigned forms, bool thread_safe, bool suspect)
{
    struct class c = { .tag = tag, .suspect = suspect, .measure = &unknown };
    struct worker_handler h = { .forms = forms, .tag = TAG_AUTO, .thread_safe = thread_safe };
    return route(&c, &h, all);
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
    struct class cpu = { .tag = TAG_CPU, .measure = &reads }, unset = { .tag_unset = true, .measure = &reads };
    struct class said_to_be_auto = { .measure = &unknown };
    assert_int_equal(route_tag(&cpu, &h), TAG_CPU);
    assert_int_equal(route_chosen_by(&cpu, &h), CHOSEN_BY_JOB);
    assert_int_equal(route_tag(&unset, &h), TAG_SLOW_IO);
    assert_int_equal(route_chosen_by(&unset, &h), CHOSEN_BY_HANDLER);
    assert_int_equal(route_tag(&said_to_be_auto, &h), TAG_CPU); /* as nothing is measured yet */
    assert_int_equal(route_chosen_by(&said_to_be_auto, &h), CHOSEN_BY_DEFAULT);
}

static void auto_follows_what_was_measured(void **state)
{
    (void)state;
    static const struct {
        struct measure *measure;
        unsigned forms;
        bool thread_safe;
        enum tag tag;
        int pool;
    } cases[] = {
        { &unknown, BOTH, true, TAG_CPU, POOL_PROCESS },
        { &computes, BOTH, true, TAG_CPU, POOL_PROCESS },
        { &computes, FORM_ASYNC, true, TAG_CPU, POOL_LOOP },
        { &reads, BOTH, true, TAG_IO, POOL_THREAD },
        { &reads, FORM_BLOCKING, false, TAG_IO, POOL_PROCESS },
        { &reads, FORM_ASYNC, true, TAG_IO, POOL_LOOP },
        { &waits, BOTH, true, TAG_SLOW_IO, POOL_LOOP },
        { &waits, BOTH, false, TAG_SLOW_IO, POOL_LOOP },
        { &waits, FORM_BLOCKING, true, TAG_SLOW_IO, POOL_THREAD },
        { &waits, FORM_BLOCKING, false, TAG_SLOW_IO, POOL_PROCESS },
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++)
        for (int unset = 0; unset < 2; unset++) { /* the job says auto, or its handler does */
            struct class c = { .tag_unset = unset, .measure = cases[i].measure };
            struct worker_handler h = { .forms = cases[i].forms, .tag = unset ? TAG_AUTO : TAG_CPU, .thread_safe = cases[i].thread_safe };
            assert_int_equal(route_tag(&c, &h), cases[i].tag);
            assert_int_equal(route(&c, &h, all), cases[i].pool);
            assert_int_equal(route_chosen_by(&c, &h), cases[i].measure == &unknown ? CHOSEN_BY_DEFAULT : CHOSEN_BY_AUTO);
        }
}

static void what_only_a_process_can_limit_stays_there_under_auto(void **state)
{
    (void)state;
    struct worker_handler h = { .forms = BOTH, .thread_safe = true };
    struct class c = { .isolated = true, .measure = &waits }, asked = { .isolated = true, .tag = TAG_IO, .measure = &waits };
    assert_int_equal(route(&c, &h, all), POOL_PROCESS);
    assert_int_equal(route_chosen_by(&c, &h), CHOSEN_BY_DEFAULT);
    assert_int_equal(route(&asked, &h, all), POOL_THREAD);
}

static void a_suspect_was_put_where_it_is_for_that(void **state)
{
    (void)state;
    struct worker_handler both = { .forms = BOTH, .thread_safe = true }, async = { .forms = FORM_ASYNC };
    struct class c = { .tag = TAG_IO, .suspect = true, .measure = &unknown };
    assert_int_equal(route_chosen_by(&c, &both), CHOSEN_FOR_SUSPECT);
    assert_int_equal(route_chosen_by(&c, &async), CHOSEN_BY_JOB);
}

static void a_command_is_taken_to_the_loop_by_its_tag_alone(void **state)
{
    (void)state;
    char program[] = "rsync";
    struct class c = { .program = program, .measure = &waits }, asked = { .program = program, .tag = TAG_SLOW_IO, .measure = &waits };
    struct worker_handler exec = { .forms = BOTH, .tag = TAG_AUTO, .thread_safe = true };
    assert_int_equal(route(&c, &exec, all), POOL_THREAD);
    assert_int_equal(route(&asked, &exec, all), POOL_LOOP);
}

static void auto_makes_do_with_the_pools_that_a_worker_has(void **state)
{
    (void)state;
    char program[] = "rsync";
    static const struct worker_pool threads[N_POOLS] = { [POOL_THREAD] = { .slots = 1 } },
                                    processes[N_POOLS] = { [POOL_PROCESS] = { .slots = 1 } },
                                    loop[N_POOLS] = { [POOL_LOOP] = { .slots = 1 } };
    struct worker_handler both = { .forms = BOTH, .tag = TAG_AUTO, .thread_safe = true };
    struct class c = { .measure = &waits }, command = { .program = program, .measure = &reads },
                 asked = { .tag = TAG_CPU, .measure = &waits }, bounded = { .isolated = true, .measure = &waits },
                 suspect = { .suspect = true, .measure = &waits };
    assert_int_equal(route(&c, &both, threads), POOL_THREAD);
    assert_int_equal(route(&c, &both, processes), POOL_PROCESS);
    c.measure = &unknown;
    assert_int_equal(route(&c, &both, threads), POOL_THREAD);
    assert_int_equal(route(&c, &both, loop), POOL_LOOP);
    assert_int_equal(route(&command, &both, processes), POOL_PROCESS);
    assert_int_equal(route(&command, &both, loop), POOL_THREAD); /* where it waits */
    assert_int_equal(route(&asked, &both, threads), POOL_PROCESS);
    assert_int_equal(route(&bounded, &both, threads), POOL_PROCESS);
    assert_int_equal(route(&suspect, &both, threads), POOL_PROCESS);
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
        cmocka_unit_test(auto_follows_what_was_measured),
        cmocka_unit_test(what_only_a_process_can_limit_stays_there_under_auto),
        cmocka_unit_test(a_suspect_was_put_where_it_is_for_that),
        cmocka_unit_test(a_command_is_taken_to_the_loop_by_its_tag_alone),
        cmocka_unit_test(auto_makes_do_with_the_pools_that_a_worker_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
