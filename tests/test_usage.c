/* test_usage.c - time without a core is told from time that was waited. */
#include "worker/usage.h"

#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/clock.h"

static void time_off_the_core_is_divided_by_why_it_was_lost(void **state)
{
    (void)state;
    static const struct {
        struct usage u;
        int64_t wall_us, ready_us;
    } cases[] = {
        { { 100, 0, 0 }, 100, 0 },    { { 100, 0, 0 }, 150, 50 },    { { 10, 5, 0 }, 1000, 0 },       { { 100, 0, 9 }, 800, 700 },
        { { 100, 1, 9 }, 800, 630 },  { { 100, 9, 1 }, 800, 70 },    { { 400, 2, 2 }, 100, 0 },       { { 0, 0, 0 }, 0, 0 },
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++)
        assert_int_equal(usage_ready_us(&cases[i].u, cases[i].wall_us), cases[i].ready_us);
}

static void compute(int64_t us)
{
    struct usage from, to;
    usage_of_thread(&from);
    do
        usage_of_thread(&to);
    while (to.cpu_us - from.cpu_us < us);
}

/* Eight processes on one core: each has an eighth of it. */
static int64_t share_of_one_in_a_crowd(void)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((unsigned)sched_getcpu(), &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    pid_t others[7];
    for (size_t i = 0; i < ELEMENTS(others); i++)
        if (!(others[i] = fork())) {
            compute(10000000);
            _exit(0);
        }
    struct usage from, to;
    int64_t peak_kb, at_us = clock_mono_us();
    usage_of_process(&from, &peak_kb);
    compute(60000);
    int64_t wall_us = clock_mono_us() - at_us;
    usage_of_process(&to, &peak_kb);
    for (size_t i = 0; i < ELEMENTS(others); i++) {
        kill(others[i], SIGKILL);
        waitpid(others[i], NULL, 0);
    }
    struct usage u = usage_between(&from, &to);
    assert_true(wall_us > 2 * u.cpu_us); /* there was a crowd */
    return 100 * u.cpu_us / max_i64(wall_us - usage_ready_us(&u, wall_us), 1);
}

static void what_computes_in_a_crowd_is_known_to_compute(void **state)
{
    (void)state;
    assert_in_range(share_of_one_in_a_crowd(), 60, 101);
}

static void what_sleeps_is_known_to_wait(void **state)
{
    (void)state;
    struct usage from, to;
    int64_t at_us = clock_mono_us();
    usage_of_thread(&from);
    for (int i = 0; i < 20; i++)
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    usage_of_thread(&to);
    int64_t wall_us = clock_mono_us() - at_us;
    struct usage u = usage_between(&from, &to);
    assert_true(u.waits >= 20);
    assert_true(usage_ready_us(&u, wall_us) < wall_us / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_off_the_core_is_divided_by_why_it_was_lost),
        cmocka_unit_test(what_computes_in_a_crowd_is_known_to_compute),
        cmocka_unit_test(what_sleeps_is_known_to_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
