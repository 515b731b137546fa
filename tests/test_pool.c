/* test_pool.c - the same cases on all three pools: how attempts end, are told to stop, are bounded and measured. */
#include "tests/pool_rig.h"

#include <signal.h>

#include "proto/output.h"

static void a_job_is_done_and_has_its_result(void **state)
{
    struct rig *g = rig_new(state, 2);
    struct run_job j = job_of(g, 7, "well", "some bytes");
    give(g, &j);
    finish(g, 1);
    const struct outcome *o = outcome_of(g, 7);
    assert_int_equal(o->ending, ENDING_DONE);
    assert_int_equal(o->reason, REASON_NONE);
    assert_int_equal(o->attempt, 1);
    assert_int_equal(o->pool, g->kind);
    assert_text(o->result, "some bytes");
    assert_true(o->output.n > 5 && memcmp(o->output.p + 5, "line of job 7\n", 14) == 0);
    assert_int_equal(pool_load(g->pool).used, 0);
    rig_free(g);
}

static void failures_say_what_and_whether_for_good(void **state)
{
    struct rig *g = rig_new(state, 2);
    struct run_job j[] = { job_of(g, 1, "badly", "later"), job_of(g, 2, "badly", "!"), job_of(g, 3, "badly", ""),
                           job_of(g, 4, "unheard-of", "") };
    for (size_t i = 0; i < ELEMENTS(j); i++)
        give(g, &j[i]);
    finish(g, ELEMENTS(j));
    for (size_t i = 0; i < ELEMENTS(j); i++) {
        assert_int_equal(outcome_of(g, i + 1)->ending, ENDING_FAILED);
        assert_int_equal(outcome_of(g, i + 1)->reason, REASON_HANDLER_ERROR);
    }
    assert_text(outcome_of(g, 1)->error, "not now: later");
    assert_int_equal(outcome_of(g, 1)->for_good, 0);
    assert_text(outcome_of(g, 2)->error, "never: ?!");
    assert_int_equal(outcome_of(g, 2)->for_good, 1);
    assert_text(outcome_of(g, 3)->error, "No space left on device");
    assert_int_equal(outcome_of(g, 3)->for_good, 0);
    rig_free(g);
}

static void a_time_limit_ends_the_attempt(void **state)
{
    struct rig *g = rig_new(state, 2);
    struct run_job j = job_of(g, 1, "long", "");
    int64_t from_us = clock_mono_us();
    j.timeout_ms = 100;
    give(g, &j);
    finish(g, 1);
    assert_int_equal(outcome_of(g, 1)->ending, ENDING_FAILED);
    assert_int_equal(outcome_of(g, 1)->reason, REASON_TIME_LIMIT);
    assert_in_range(clock_mono_us() - from_us, 99000, 20000000); /* limits count whole milliseconds */
    wait_unused(g);
    rig_free(g);
}

static void a_cancelled_job_ends(void **state)
{
    struct rig *g = rig_new(state, 1);
    give_id(g, 1, "long");
    give_id(g, 2, "long"); /* waits for the slot */
    begin(g, 1);
    turns(g, 30);
    pool_stop(g->pool, 2, 1, REASON_CANCELLED, 5000, clock_now());
    finish(g, 1);
    pool_stop(g->pool, 1, 1, REASON_CANCELLED, 5000, clock_now());
    pool_stop(g->pool, 3, 1, REASON_CANCELLED, 5000, clock_now()); /* not here */
    finish(g, 2);
    for (uint64_t i = 1; i <= 2; i++) {
        assert_int_equal(outcome_of(g, i)->ending, ENDING_CANCELLED);
        assert_int_equal(outcome_of(g, i)->reason, REASON_CANCELLED);
    }
    assert_int_equal(g->n_started, 1);
    wait_unused(g);
    rig_free(g);
}

static void one_that_waits_for_a_descriptor_hears_it_too(void **state)
{
    struct rig *g = rig_new(state, 1);
    give_id(g, 1, "dry");
    begin(g, 1);
    turns(g, 30);
    pool_stop(g->pool, 1, 1, REASON_CANCELLED, 5000, clock_now());
    finish(g, 1);
    assert_int_equal(outcome_of(g, 1)->ending, ENDING_CANCELLED);
    assert_in_range(outcome_of(g, 1)->wall_us, 1, 4000000); /* before the grace was over */
    rig_free(g);
}

static void what_runs_is_handed_back(void **state)
{
    struct rig *g = rig_new(state, 3);
    for (uint64_t i = 1; i <= 5; i++)
        give_id(g, i, "long");
    begin(g, 3);
    turns(g, 30);
    for (uint64_t i = 5; i >= 4; i--) {
        struct run *taken = pool_take_waiting(g->pool, i, 1);
        assert_non_null(taken);
        run_free(taken);
    }
    assert_null(pool_take_waiting(g->pool, 1, 1)); /* runs */
    pool_stop_all(g->pool, 5000, clock_now());
    finish(g, 3);
    for (uint64_t i = 1; i <= 3; i++) {
        assert_int_equal(outcome_of(g, i)->ending, ENDING_LOST);
        assert_int_equal(outcome_of(g, i)->reason, REASON_NONE);
    }
    rig_free(g);
}

static void a_time_limit_counts_from_the_begin(void **state)
{
    struct rig *g = rig_new(state, 1);
    for (uint64_t i = 1; i <= 4; i++)
        give_id(g, i, "short");
    struct run_job j = job_of(g, 5, "short", "");
    j.timeout_ms = 150;
    give(g, &j);
    finish(g, 5);
    assert_int_equal(outcome_of(g, 5)->ending, ENDING_DONE);
    rig_free(g);
}

static void computing_and_waiting_are_told_apart(void **state)
{
    struct rig *g = rig_new(state, 2);
    give_id(g, 1, "burn");
    finish(g, 1);
    give_id(g, 2, "short");
    finish(g, 2);
    const struct outcome *burnt = outcome_of(g, 1), *waited = outcome_of(g, 2);
    assert_in_range(burnt->cpu_us, 59000, 1000000);
    assert_in_range(burnt->wall_us, 59000, 10000000);
    assert_in_range(waited->wall_us, 50000, 5000000);
    assert_in_range(waited->cpu_us, 0, 40000);
    if (g->kind == POOL_PROCESS)
        assert_in_range(burnt->max_rss_kb, 100, 10 << 20);
    else
        assert_true(burnt->max_rss_kb == UNSET);
    rig_free(g);
}

/* Threads and coroutines are given up, and replaced while that is allowed; a process is killed. */
static void one_that_does_not_hear_costs_its_own_attempt_alone(void **state)
{
    struct rig *g = rig_new(state, 1);
    struct run_job j = job_of(g, 1, "deaf", "");
    j.timeout_ms = 50;
    j.kill_grace_ms = 50;
    give(g, &j);
    give_id(g, 2, "well");
    finish(g, 2);
    assert_int_equal(outcome_of(g, 1)->reason, REASON_TIME_LIMIT);
    assert_int_equal(outcome_of(g, 2)->ending, ENDING_DONE);
    assert_int_equal(pool_load(g->pool).slots, 1);
    assert_false(pool_is_spent(g->pool));
    if (g->kind == POOL_LOOP)
        assert_int_equal(pool_load(g->pool).stuck, 1); /* for ever: it never returns */
    else
        wait_unused(g);
    give_id(g, 3, "well");
    finish(g, 3);
    rig_free(g);
}

static void too_many_that_do_not_hear_spend_the_pool(void **state)
{
    struct rig *g = rig_new(state, 2);
    if (g->kind == POOL_PROCESS) {
        rig_free(g);
        skip();
    }
    for (uint64_t i = 1; i <= 5; i++) {
        struct run_job j = job_of(g, i, "deaf", "");
        j.timeout_ms = 30;
        give(g, &j);
    }
    finish(g, 5);
    assert_true(pool_is_spent(g->pool));
    assert_int_equal(pool_load(g->pool).stuck, 5);
    assert_int_equal(pool_load(g->pool).slots, 1);
    rig_free(g); /* does not wait for them */
}

static void descriptors_can_be_awaited_on_the_loop_alone(void **state)
{
    struct rig *g = rig_new(state, 2);
    for (uint64_t i = 1; i <= 50; i++)
        give_id(g, i, "pipe");
    finish(g, 50);
    for (uint64_t i = 1; i <= 50; i++)
        assert_int_equal(outcome_of(g, i)->ending, ENDING_DONE);
    rig_free(g);
}

static void assert_stdout(struct str output, const char *text)
{
    struct str bytes;
    int stream;
    struct buf all;
    buf_init(&all, LIMIT_RESULT_BYTES);
    while (output_next(&output, &stream, &bytes))
        if (stream == OUTPUT_STDOUT)
            assert_int_equal(buf_add(&all, bytes.p, bytes.n), 0);
    assert_text(buf_str(&all), text);
    buf_fini(&all);
}

static void a_command_runs_in_every_pool(void **state)
{
    static const char *const scripts[] = { "echo out; echo err >&2", "exit 3", "kill -9 $$", "sleep 60" };
    struct rig *g = rig_new(state, 4);
    for (size_t i = 0; i < ELEMENTS(scripts); i++) {
        struct buf payload = own_zygote_script(scripts[i]);
        struct run_job j = job_of(g, i + 1, "exec", "");
        j.payload = buf_str(&payload);
        j.timeout_ms = i == 3 ? 200 : UNSET;
        give(g, &j);
        buf_fini(&payload);
    }
    finish(g, ELEMENTS(scripts));
    assert_int_equal(outcome_of(g, 1)->ending, ENDING_DONE);
    assert_stdout(outcome_of(g, 1)->output, "out\n");
    assert_int_equal(outcome_of(g, 2)->reason, REASON_EXIT);
    assert_int_equal(outcome_of(g, 2)->exit_code, 3);
    assert_int_equal(outcome_of(g, 3)->reason, REASON_SIGNAL);
    assert_int_equal(outcome_of(g, 3)->signal, SIGKILL);
    assert_int_equal(outcome_of(g, 4)->reason, REASON_TIME_LIMIT);
    rig_free(g);
}

static void a_pool_closes_while_jobs_run_and_wait(void **state)
{
    struct rig *g = rig_new(state, 3);
    for (uint64_t i = 1; i <= 6; i++)
        give_id(g, i, i % 2 ? "long" : "dry");
    begin(g, 3);
    turns(g, 20);
    rig_free(g);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        IN_EACH_POOL(a_job_is_done_and_has_its_result),
        IN_EACH_POOL(failures_say_what_and_whether_for_good),
        IN_EACH_POOL(a_time_limit_ends_the_attempt),
        IN_EACH_POOL(a_cancelled_job_ends),
        IN_EACH_POOL(one_that_waits_for_a_descriptor_hears_it_too),
        IN_EACH_POOL(what_runs_is_handed_back),
        IN_EACH_POOL(a_time_limit_counts_from_the_begin),
        IN_EACH_POOL(computing_and_waiting_are_told_apart),
        IN_EACH_POOL(one_that_does_not_hear_costs_its_own_attempt_alone),
        IN_EACH_POOL(too_many_that_do_not_hear_spend_the_pool),
        IN_EACH_POOL(descriptors_can_be_awaited_on_the_loop_alone),
        IN_EACH_POOL(a_command_runs_in_every_pool),
        IN_EACH_POOL(a_pool_closes_while_jobs_run_and_wait),
    };
    init_handlers();
    return own_zygote_main(argc, argv, tests, ELEMENTS(tests));
}
