/* test_zygote_wrong.c - what goes wrong in a process costs its own attempt alone, is recorded as what it was, and leaves nothing
 * behind: handlers that crash, swell, hang, hide and scribble, and commands. */
#include "tests/zygote_rig.h"

#include <signal.h>

/* ---- handlers that go wrong ------------------------------------------------------------------ */

static void a_crash_is_recorded_as_its_signal(void **state)
{
    (void)state;
    struct rig *g = rig_open(2, 0);
    give_id(g->process, 1, "aborts");
    give_id(g->process, 2, "well");
    give_id(g->process, 3, "exits");
    give_id(g->process, 4, "well");
    finish(g, 4);
    assert_int_equal(outcome_of(g, 1)->ending, ENDING_FAILED);
    assert_int_equal(outcome_of(g, 1)->reason, REASON_SIGNAL);
    assert_int_equal(outcome_of(g, 1)->signal, SIGABRT);
    assert_int_equal(outcome_of(g, 3)->reason, REASON_EXIT);
    assert_int_equal(outcome_of(g, 3)->exit_code, 5);
    assert_well(g, 2);
    assert_well(g, 4);
    rig_close(g);
}

static void past_its_memory_a_handler_is_killed(void **state)
{
    (void)state;
    struct rig *g = rig_open(1, 0);
    struct run_job j = job_of(1, "eats");
    j.memory_bytes = 100 << 20;
    give(g->process, &j);
    give_id(g->process, 2, "eats"); /* without a limit */
    give_id(g->process, 3, "small");
    finish(g, 3);
    assert_int_equal(outcome_of(g, 1)->ending, ENDING_FAILED);
    assert_int_equal(outcome_of(g, 1)->reason, REASON_MEMORY_LIMIT);
    assert_in_range(outcome_of(g, 1)->max_rss_kb, 100 << 10, 600 << 10);
    assert_int_equal(outcome_of(g, 2)->ending, ENDING_DONE);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* which keep memory of their own */
    assert_in_range(outcome_of(g, 2)->max_rss_kb, 300 << 10, 400 << 10);
    assert_in_range(outcome_of(g, 3)->max_rss_kb, 100, 100 << 10); /* not blamed for what ran before it */
#endif
    j = job_of(4, "well");
    j.memory_bytes = 100 << 20;
    give(g->thread, &j);
    finish(g, 4);
    assert_int_equal(outcome_of(g, 4)->for_good, 1);
    rig_close(g);
}

static void one_that_hangs_and_hides_is_ended_at_its_limit(void **state)
{
    (void)state;
    struct rig *g = rig_open(2, 0);
    struct run_job j = job_of(1, "hangs");
    j.timeout_ms = 300;
    give(g->process, &j);
    turns(g, 200);
    assert_in_range(count_tree(), 4, 8);
    finish(g, 1);
    assert_int_equal(outcome_of(g, 1)->ending, ENDING_FAILED);
    assert_int_equal(outcome_of(g, 1)->reason, REASON_TIME_LIMIT);
    assert_in_range(outcome_of(g, 1)->wall_us, 300000, 5000000);
    assert_int_equal(count_tree(), 2); /* the zygote alone */
    j = job_of(2, "hangs");
    give(g->process, &j);
    turns(g, 100);
    pool_stop(g->process, 2, 1, REASON_CANCELLED, 0, clock_now());
    finish(g, 2);
    assert_int_equal(outcome_of(g, 2)->ending, ENDING_CANCELLED);
    assert_int_equal(count_tree(), 2);
    rig_close(g);
}

static void what_a_job_leaves_behind_is_ended_before_its_outcome(void **state)
{
    (void)state;
    struct rig *g = rig_open(1, 0);
    give_id(g->process, 1, "leaves");
    finish(g, 1);
    assert_well(g, 1);
    assert_int_equal(count_tree(), 3); /* the zygote, the child */
    struct run_job j = job_of(2, "exec");
    give_script(g->process, j, "(setsid env -i sleep 1000 </dev/null >/dev/null 2>&1 &); echo x");
    finish(g, 2);
    assert_true(outcome_of(g, 2)->ending == ENDING_DONE);
    assert_int_equal(count_tree(), 3);
    give_id(g->process, 3, "swarms");
    finish(g, 3);
    assert_int_equal(outcome_of(g, 3)->exit_code, 9);
    assert_int_equal(count_tree(), 2);
    rig_close(g);
}

static void what_a_process_leaves_behind_is_reaped_before_its_outcome(void **state)
{
    (void)state;
    struct rig *g = rig_open(1, 0);
    for (uint64_t i = 1; i <= 200; i++) { /* without the wait for what is dead, one in 300 was early */
        give_id(g->process, i, "bequeaths");
        finish(g, i);
        assert_int_equal(outcome_of(g, i)->exit_code, 9);
        assert_int_equal(count_tree(), 2);
    }
    rig_close(g);
}

static void one_that_scribbles_costs_its_own_attempt(void **state)
{
    (void)state;
    struct rig *g = rig_open(3, 0);
    give_id(g->process, 1, "garbles");
    give_id(g->process, 2, "closes");
    give_id(g->process, 3, "well");
    finish(g, 3);
    assert_int_equal(outcome_of(g, 1)->reason, REASON_HANDLER_ERROR);
    assert_int_equal(outcome_of(g, 2)->reason, REASON_SIGNAL);
    assert_well(g, 3);
    rig_close(g);
}

static void one_that_stops_itself_is_ended_at_its_limit(void **state)
{
    (void)state;
    struct rig *g = rig_open(1, 0);
    struct run_job j = job_of(1, "stops");
    j.timeout_ms = 100;
    give(g->process, &j);
    j = job_of(2, "exec");
    j.timeout_ms = 100;
    give_script(g->process, j, "kill -STOP $PPID; sleep 1000"); /* the child that runs it */
    finish(g, 2);
    assert_int_equal(outcome_of(g, 1)->reason, REASON_TIME_LIMIT);
    assert_int_equal(outcome_of(g, 2)->reason, REASON_TIME_LIMIT);
    rig_close(g);
}

/* ---- commands -------------------------------------------------------------------------------- */

static void commands_end_as_what_they_were_in_each_pool(void **state)
{
    (void)state;
    struct rig *g = rig_open(3, 0);
    for (uint64_t i = 0; i < 2; i++) {
        struct pool *p = i ? g->thread : g->process;
        struct run_job j = job_of(10 * i + 1, "exec");
        give_script(p, j, "echo out; exit 3");
        j = job_of(10 * i + 2, "exec");
        j.timeout_ms = 200;
        give_script(p, j, "echo before; setsid sleep 1000 & trap '' TERM; sleep 1000; sleep 1000; sleep 1000");
        j = job_of(10 * i + 3, "exec");
        j.memory_bytes = 50 << 20;
        give_script(p, j, "x=$(head -c 200000000 /dev/zero | tr '\\0' x); sleep 1000");
        j = job_of(10 * i + 4, "exec");
        give_script(p, j, "yes | head -c 100000000");
    }
    finish(g, 8);
    for (uint64_t i = 0; i < 20; i += 10) {
        assert_int_equal(outcome_of(g, i + 1)->exit_code, 3);
        assert_memory_equal(outcome_of(g, i + 1)->output.p, "\1\0\0\0\4out\n", 9);
        assert_int_equal(outcome_of(g, i + 2)->reason, REASON_TIME_LIMIT);
        assert_memory_equal(outcome_of(g, i + 2)->output.p, "\1\0\0\0\7before\n", 12);
        assert_int_equal(outcome_of(g, i + 3)->reason, REASON_MEMORY_LIMIT);
        assert_int_equal(outcome_of(g, i + 4)->ending, ENDING_DONE);
        assert_in_range(outcome_of(g, i + 4)->output.n, 900000, LIMIT_RESULT_BYTES);
    }
    assert_in_range(count_tree(), 3, 6); /* zygote, launcher, idle children */
    rig_close(g);
}

static void a_command_holds_no_thread(void **state)
{
    (void)state;
    struct rig *g = rig_open(1, 0);
    struct run_job j;
    for (uint64_t i = 1; i <= 90; i++) {
        j = job_of(i, "exec");
        give_script(g->thread, j, "sleep 0.3");
    }
    int64_t from_us = clock_mono_us();
    finish(g, 90);
    assert_true(clock_mono_us() - from_us < 5000000);
    for (uint64_t i = 1; i <= 90; i++)
        assert_int_equal(outcome_of(g, i)->ending, ENDING_DONE);
    rig_close(g);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crash_is_recorded_as_its_signal),
        cmocka_unit_test(past_its_memory_a_handler_is_killed),
        cmocka_unit_test(one_that_hangs_and_hides_is_ended_at_its_limit),
        cmocka_unit_test(what_a_job_leaves_behind_is_ended_before_its_outcome),
        cmocka_unit_test(what_a_process_leaves_behind_is_reaped_before_its_outcome),
        cmocka_unit_test(one_that_scribbles_costs_its_own_attempt),
        cmocka_unit_test(one_that_stops_itself_is_ended_at_its_limit),
        cmocka_unit_test(commands_end_as_what_they_were_in_each_pool),
        cmocka_unit_test(a_command_holds_no_thread),
    };
    return rig_main(argc, argv, tests, ELEMENTS(tests));
}
