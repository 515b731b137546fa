/* test_pool_queue.c - the same cases on all three pools: what waits for a slot, and in which order it begins. */
#include "tests/pool_rig.h"

#include <stdio.h>

#include "proto/base/rng.h"
#include "proto/output.h"

static void one_that_has_expired_never_starts(void **state)
{
    struct rig *g = rig_new(state, 1);
    struct run_job j = job_of(g, 2, "well", "");
    j.expire_in_ms = 20;
    give_id(g, 1, "short");
    give(g, &j);
    finish(g, 2);
    assert_int_equal(outcome_of(g, 1)->ending, ENDING_DONE);
    assert_int_equal(outcome_of(g, 2)->ending, ENDING_EXPIRED);
    assert_int_equal(outcome_of(g, 2)->reason, REASON_EXPIRED);
    assert_int_equal(g->n_started, 1);
    rig_free(g);
}

static void slots_bound_what_runs_and_the_order_is_kept(void **state)
{
    struct rig *g = rig_new(state, 3);
    for (uint64_t i = 1; i <= 12; i++)
        give_id(g, i, "short");
    while (g->n_finished < 12) {
        struct pool_load load = pool_load(g->pool);
        assert_int_equal(load.slots, 3);
        assert_true(load.used <= 3);
        assert_int_equal(load.used + load.waiting + g->n_finished, 12);
        assert_int_equal(g->n_started, g->n_finished + load.used);
        turn(g, clock_now().mono_ms + 10000);
    }
    for (uint64_t i = 0; i < 12; i++)
        assert_int_equal(g->started[i], i + 1);
    rig_free(g);
}

static void a_thousand_jobs_finish_exactly_once(void **state)
{
    struct rig *g = rig_new(state, 8);
    for (uint64_t i = 1; i <= 1000; i++) {
        char text[32];
        snprintf(text, sizeof text, "%d", (int)i);
        struct run_job j = job_of(g, i, "well", text);
        give(g, &j);
    }
    finish(g, 1000);
    turns(g, 20);
    assert_int_equal(g->n_finished, 1000);
    bool seen[1001] = { false };
    list_each(l, &g->finished) {
        const struct run *r = list_entry(l, const struct run, link);
        char text[32];
        assert_in_range(r->job.job, 1, 1000);
        assert_false(seen[r->job.job]);
        seen[r->job.job] = true;
        snprintf(text, sizeof text, "%d", (int)r->job.job);
        assert_int_equal(r->outcome.ending, ENDING_DONE);
        assert_text(r->outcome.result, text);
    }
    rig_free(g);
}

static void what_waits_can_be_taken_back_and_stopped(void **state)
{
    struct rig *g = rig_new(state, 1);
    give_id(g, 1, "short");
    for (uint64_t i = 2; i <= 6; i++)
        give_id(g, i, "well");
    begin(g, 1);
    turns(g, 5);
    struct run *taken = pool_take_waiting(g->pool, 3, 1), *last = pool_take_waiting(g->pool, 6, 1);
    assert_non_null(taken);
    assert_null(pool_take_waiting(g->pool, 3, 1));
    assert_int_equal(last->job.job, 6);
    pool_stop(g->pool, 4, 1, REASON_CANCELLED, 1000, clock_now());
    assert_int_equal(outcome_of(g, 4)->ending, ENDING_CANCELLED);
    finish(g, 4);
    static const uint64_t started[] = { 1, 2, 5 };
    assert_int_equal(g->n_started, ELEMENTS(started));
    assert_memory_equal(g->started, started, sizeof started);
    run_free(taken);
    run_free(last);
    rig_free(g);
}

/* Each ends once, or is given back once, whatever is asked of it while it begins. */
static void what_is_stopped_and_taken_back_at_any_moment_is_there_once(void **state)
{
    enum { JOBS = 1500 };
    struct rig *g = rig_new(state, 4);
    struct rng rng;
    rng_init(&rng, 7);
    size_t n_taken = 0;
    for (uint64_t next = 1; g->n_finished + n_taken < JOBS;) {
        for (size_t i = 0; i < 50 && next <= JOBS; i++)
            give_id(g, next++, "well");
        for (size_t i = 0; i < 3; i++) {
            uint64_t stopped = 1 + rng_below(&rng, JOBS), wanted = 1 + rng_below(&rng, JOBS);
            pool_stop(g->pool, stopped, 1, REASON_CANCELLED, 1000, clock_now());
            struct run *r = pool_take_waiting(g->pool, wanted, 1);
            n_taken += r != NULL;
            if (r)
                run_free(r);
        }
        turn(g, clock_now().mono_ms + 1);
    }
    turns(g, 20);
    assert_int_equal(g->n_finished + n_taken, JOBS);
    bool seen[JOBS + 1] = { false };
    list_each(l, &g->finished) {
        const struct run *r = list_entry(l, const struct run, link);
        assert_false(seen[r->job.job]);
        seen[r->job.job] = true;
    }
    for (size_t i = 0; i < g->n_started; i++)
        assert_true(seen[g->started[i]]);
    assert_int_equal(pool_load(g->pool).used + pool_load(g->pool).waiting, 0);
    rig_free(g);
}

static void what_waits_behind_commands_runs_after_them(void **state)
{
    struct rig *g = rig_new(state, 2);
    struct buf payload = own_zygote_script("sleep .05");
    for (uint64_t i = 1; i <= 2; i++) {
        struct run_job j = job_of(g, i, "exec", "");
        j.payload = buf_str(&payload);
        give(g, &j);
    }
    buf_fini(&payload);
    begin(g, 2);
    for (uint64_t i = 3; i <= 8; i++)
        give_id(g, i, "well");
    finish(g, 8);
    rig_free(g);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        IN_EACH_POOL(one_that_has_expired_never_starts),
        IN_EACH_POOL(slots_bound_what_runs_and_the_order_is_kept),
        IN_EACH_POOL(a_thousand_jobs_finish_exactly_once),
        IN_EACH_POOL(what_waits_can_be_taken_back_and_stopped),
        IN_EACH_POOL(what_is_stopped_and_taken_back_at_any_moment_is_there_once),
        IN_EACH_POOL(what_waits_behind_commands_runs_after_them),
    };
    init_handlers();
    return own_zygote_main(argc, argv, tests, ELEMENTS(tests));
}
