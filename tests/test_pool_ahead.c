/* test_pool_ahead.c - runs that a process was given ahead: they wait as the others do, are run once, and none pays for what
 * another one did; whatever dies, stops, lasts or scribbles in front of them. */
#include "tests/ahead_rig.h"

#include <signal.h>

#include "proto/base/rng.h"

/* ---- cases ----------------------------------------------------------------------------------- */

static void what_is_ahead_still_waits(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 4, HOLD(50), WELL, WELL, WELL, WELL);
    assert_int_equal(pool_load(g->pool).used, 1);
    assert_int_equal(pool_load(g->pool).waiting, 4);
    assert_int_equal(g->started, id);
    finish(g, id + 4);
    assert_done(g, id, id + 4);
    assert_int_equal(pool_load(g->pool).waiting, 0);
    rig_close(g);
}

static void a_killed_process_costs_the_run_that_had_begun(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 6, HOLD(60000), WELL, WELL, WELL, WELL, WELL, WELL);
    wait_ran(id);
    kill(child_pid(), SIGKILL);
    finish(g, id + 6);
    assert_ended(g, id, ENDING_FAILED, REASON_SIGNAL, 1);
    assert_int_equal(outcome_of(g, id)->signal, SIGKILL);
    assert_done(g, id + 1, id + 6);
    rig_close(g);
}

/* Those before it have ended but not been sent; those behind it have not begun. */
static void a_crash_costs_neither_those_before_nor_those_behind(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 6, HOLD(20), WELL, WELL, WELL, { "dies", "", 0, 0, 0 }, WELL, WELL);
    wait_ran(id + 4);
    nap(50);
    zygote_on_readable(zygote, clock_now()); /* of its end first */
    finish(g, id + 6);
    assert_done(g, id, id + 3);
    assert_ended(g, id + 4, ENDING_FAILED, REASON_SIGNAL, 1);
    assert_done(g, id + 5, id + 6);
    rig_close(g);
}

static void one_that_had_not_begun_is_not_to_blame(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    be_quick(g);
    kill(child_pid(), SIGSTOP);
    uint64_t id = give(g, &(struct what)WELL);
    pool_tick(g->pool, clock_now());
    assert_int_equal(g->started, id);
    kill(child_pid(), SIGKILL);
    finish(g, id);
    assert_done(g, id, id);
    rig_close(g);
}

/* As soon as it is seen to be long; here both slots have such a one, and then one is free. */
static void behind_a_long_one_nothing_is_stuck(void **state)
{
    (void)state;
    struct rig *g = rig_open(2);
    uint64_t id = SET_UP(g, 6, HOLD(60000), HOLD(60000), WELL, WELL, WELL, WELL, WELL, WELL);
    while (g->pool->n_ahead)
        turn(g);
    assert_int_equal(g->pool->n_waiting, 6);
    pool_stop(g->pool, id + 1, 1, REASON_CANCELLED, 60000, clock_now());
    finish(g, id + 6);
    assert_null(g->runs[id]);
    assert_ended(g, id + 1, ENDING_CANCELLED, REASON_CANCELLED, 1);
    assert_done(g, id + 2, id + 7);
    cancel_all(g, id);
    rig_close(g);
}

static void a_result_does_not_wait_for_the_long_run_behind_it(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 2, WELL, WELL, HOLD(60000));
    finish(g, id + 1);
    assert_done(g, id, id + 1);
    cancel_all(g, id);
    rig_close(g);
}

static void what_is_ahead_is_taken_back_and_cancelled(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 5, HOLD(100), WELL, WELL, WELL, WELL, WELL);
    struct run *taken = pool_take_waiting(g->pool, id + 3, 1);
    assert_non_null(taken);
    run_free(taken);
    pool_stop(g->pool, id + 2, 1, REASON_CANCELLED, 5000, clock_now());
    assert_ended(g, id + 2, ENDING_CANCELLED, REASON_CANCELLED, 0);
    finish(g, id + 4);
    assert_int_equal(n_ran(id + 3), 0);
    assert_done(g, id, id + 1);
    assert_done(g, id + 4, id + 5);
    rig_close(g);
}

static void cancelled_in_front_of_others_it_alone_hears_of_it(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 3, HOLD(60000), WELL, WELL, WELL);
    wait_ran(id);
    pool_stop(g->pool, id, 1, REASON_CANCELLED, 60000, clock_now());
    finish(g, id + 3);
    assert_ended(g, id, ENDING_CANCELLED, REASON_CANCELLED, 1);
    assert_done(g, id + 1, id + 3);
    rig_close(g);
}

static void what_has_begun_is_not_taken_back_but_stopped(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 3, HOLD(20), HOLD(60000), WELL, WELL);
    wait_ran(id + 1);
    assert_null(pool_take_waiting(g->pool, id + 1, 1));
    pool_stop(g->pool, id + 1, 1, REASON_CANCELLED, 60000, clock_now());
    finish(g, id + 3);
    assert_done(g, id, id);
    assert_ended(g, id + 1, ENDING_CANCELLED, REASON_CANCELLED, 1);
    assert_done(g, id + 2, id + 3);
    rig_close(g);
}

static void a_cancel_that_comes_too_late_stops_nobody_else(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 2, HOLD(20), HOLD(100), WELL);
    wait_ran(id + 1);
    pool_stop(g->pool, id, 1, REASON_CANCELLED, 0, clock_now());
    finish(g, id + 2);
    assert_done(g, id, id + 2);
    rig_close(g);
}

static void one_that_ended_within_its_limit_is_done(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 2, { "hold", "20", 300, 0, 0 }, HOLD(400), WELL);
    wait_ran(id + 1);
    nap(300); /* the pool hears of it later */
    finish(g, id + 2);
    assert_done(g, id, id + 2);
    rig_close(g);
}

static void all_that_has_begun_is_handed_back(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 2, HOLD(20), HOLD(60000), WELL);
    wait_ran(id + 1);
    pool_stop_all(g->pool, 60000, clock_now());
    finish(g, id + 2);
    assert_done(g, id, id);
    assert_ended(g, id + 1, ENDING_LOST, REASON_NONE, 1);
    assert_done(g, id + 2, id + 2);
    rig_close(g);
}

static void a_drain_takes_back_all_that_is_ahead(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 5, HOLD(100), WELL, WELL, WELL, WELL, WELL);
    for (uint64_t i = 5; i > 0; i--) {
        struct run *taken = pool_take_waiting(g->pool, id + i, 1);
        assert_non_null(taken);
        run_free(taken);
    }
    finish(g, id);
    nap(20);
    for (uint64_t i = 1; i <= 5; i++)
        assert_int_equal(n_ran(id + i), 0);
    assert_done(g, id, id);
    rig_close(g);
}

/* More often than there are places in what is shared, while a result arrives piece by piece. */
static void what_is_given_again_and_again_is_run_once(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    struct what w[21] = { { "large", "", 0, 0, 0 } };
    for (size_t i = 1; i < ELEMENTS(w); i++)
        w[i] = (struct what)WELL;
    uint64_t id = set_up(g, w, ELEMENTS(w), ELEMENTS(w) - 1), last = id + ELEMENTS(w) - 1;
    pid_t child = child_pid();
    size_t n_recalled = 0;
    while (!g->runs[id]) {
        n_recalled += g->pool->n_ahead;
        g->pool->ops->recall(g->pool);
        turn(g);
    }
    assert_true(n_recalled >= 40);
    finish(g, last);
    assert_done(g, id, last);
    assert_int_equal(child_pid(), child);
    rig_close(g);
}

static void what_can_expire_or_is_limited_is_not_given_ahead(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 1, HOLD(100), WELL, { "well", "", 0, 20, 0 }, WELL);
    nap(30);
    finish(g, id + 3);
    assert_done(g, id, id + 1);
    assert_ended(g, id + 2, ENDING_EXPIRED, REASON_EXPIRED, 0);
    assert_done(g, id + 3, id + 3);
    id = SET_UP(g, 1, HOLD(20), WELL, { "well", "", 0, 0, INT64_C(1) << 40 }, WELL);
    finish(g, id + 3);
    assert_done(g, id, id + 3);
    id = SET_UP(g, 0, { "hold", "20", 0, 0, INT64_C(1) << 40 }, WELL);
    finish(g, id + 1);
    assert_done(g, id, id + 1);
    rig_close(g);
}

static void one_that_scribbles_over_what_is_shared_is_to_blame(void **state)
{
    (void)state;
    static const char *const kinds[] = { "zeros", "ones", "random", "numbers", "places" };
    struct rig *g = rig_open(1);
    for (size_t i = 0; i < ELEMENTS(kinds); i++) {
        uint64_t id = SET_UP(g, 4, HOLD(20), { "scribbles", kinds[i], 0, 0, 0 }, WELL, WELL, WELL);
        finish(g, id + 4);
        assert_done(g, id, id);
        assert_int_equal(outcome_of(g, id + 1)->ending, ENDING_FAILED);
        assert_int_equal(n_ran(id + 1), 1);
        assert_done(g, id + 2, id + 4);
    }
    rig_close(g);
}

static void no_other_attempt_can_be_finished(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 3, { "forges", "", 0, 0, 0 }, WELL, WELL, WELL);
    finish(g, id + 3);
    assert_ended(g, id, ENDING_FAILED, REASON_HANDLER_ERROR, 1);
    assert_done(g, id + 1, id + 3);
    assert_true(str_is(outcome_of(g, id + 1)->result, "well"));
    rig_close(g);
}

/* What had ended before it is done, though none of it was sent; and nothing else is blamed for good, or runs twice unsaid. */
static void one_that_babbles_costs_neither_those_before_nor_those_behind(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    for (int i = 0; i < 20; i++) {
        uint64_t id = SET_UP(g, 5, WELL, WELL, { "babbles", "", 0, 0, 0 }, WELL, WELL, WELL);
        finish(g, id + 5);
        assert_done(g, id, id + 1);
        for (uint64_t job = id + 2; job <= id + 5; job++) {
            const struct outcome *o = outcome_of(g, job);
            assert_int_equal(n_ran(job), 1);
            assert_true(o->ending == ENDING_DONE || o->ending == ENDING_LOST || job == id + 2);
        }
    }
    rig_close(g);
}

/* ---- commands: nothing behind one begins before it has ended --------------------------------- */

static void deaths_at_random_cost_one_run_each(void **state)
{
    (void)state;
    struct rig *g = rig_open(3);
    struct rng rng;
    rng_init(&rng, 4);
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < 100; i++)
            give(g, i % 10 ? &(struct what)WELL : &(struct what)HOLD(1));
        for (uint64_t i = rng_below(&rng, 30); i > 0; i--)
            turn(g);
        pid_t pid = pool_load(g->pool).used ? any_child_pid() : 0; /* none while it waits after early deaths */
        if (pid)
            kill(pid, SIGKILL);
    }
    finish(g, g->last);
    size_t n_failed = 0;
    for (uint64_t job = 1; job <= g->last; job++) {
        if (outcome_of(g, job)->ending == ENDING_DONE) {
            assert_int_equal(n_ran(job), 1);
        } else {
            assert_int_equal(outcome_of(g, job)->reason, REASON_SIGNAL);
            assert_in_range(n_ran(job), 0, 1);
            n_failed++;
        }
    }
    assert_in_range(n_failed, 0, 40); /* one a death */
    rig_close(g);
}

static void a_pool_closes_with_runs_ahead(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    SET_UP(g, 3, HOLD(60000), WELL, WELL, WELL);
    rig_close(g);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_ahead_still_waits),
        cmocka_unit_test(a_killed_process_costs_the_run_that_had_begun),
        cmocka_unit_test(a_crash_costs_neither_those_before_nor_those_behind),
        cmocka_unit_test(one_that_had_not_begun_is_not_to_blame),
        cmocka_unit_test(behind_a_long_one_nothing_is_stuck),
        cmocka_unit_test(a_result_does_not_wait_for_the_long_run_behind_it),
        cmocka_unit_test(what_is_ahead_is_taken_back_and_cancelled),
        cmocka_unit_test(cancelled_in_front_of_others_it_alone_hears_of_it),
        cmocka_unit_test(what_has_begun_is_not_taken_back_but_stopped),
        cmocka_unit_test(a_cancel_that_comes_too_late_stops_nobody_else),
        cmocka_unit_test(one_that_ended_within_its_limit_is_done),
        cmocka_unit_test(all_that_has_begun_is_handed_back),
        cmocka_unit_test(a_drain_takes_back_all_that_is_ahead),
        cmocka_unit_test(what_is_given_again_and_again_is_run_once),
        cmocka_unit_test(what_can_expire_or_is_limited_is_not_given_ahead),
        cmocka_unit_test(one_that_scribbles_over_what_is_shared_is_to_blame),
        cmocka_unit_test(one_that_babbles_costs_neither_those_before_nor_those_behind),
        cmocka_unit_test(no_other_attempt_can_be_finished),
        cmocka_unit_test(deaths_at_random_cost_one_run_each),
        cmocka_unit_test(a_pool_closes_with_runs_ahead),
    };
    return ahead_main(argc, argv, tests, ELEMENTS(tests));
}
