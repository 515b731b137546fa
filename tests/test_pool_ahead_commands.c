/* test_pool_ahead_commands.c - commands among runs that a process was given ahead: nothing behind one begins before it has ended. */
#include "tests/ahead_rig.h"

static void commands_and_handlers_run_one_after_the_other(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 5, SCRIPT("sleep .1"), SCRIPT("exit 3"), WELL, SCRIPT("kill -9 $$"), SCRIPT(":"), WELL);
    wait_ran(id);
    nap(20);
    assert_int_equal(n_ran(id + 1), 0);
    finish(g, id + 5);
    assert_done(g, id, id);
    assert_ended(g, id + 1, ENDING_FAILED, REASON_EXIT, 1);
    assert_done(g, id + 2, id + 2);
    assert_ended(g, id + 3, ENDING_FAILED, REASON_SIGNAL, 1);
    assert_done(g, id + 4, id + 5);
    rig_close(g);
}

static void a_command_does_not_wait_for_the_long_one_behind_it(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 2, SCRIPT(":"), SCRIPT(":"), SCRIPT("sleep 60"));
    finish(g, id + 1);
    assert_done(g, id, id + 1);
    cancel_all(g, id);
    assert_ended(g, id + 2, ENDING_CANCELLED, REASON_CANCELLED, n_ran(id + 2));
    rig_close(g);
}

static void a_command_that_is_cancelled_costs_nothing_behind_it(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 3, SCRIPT("exec sleep 60"), SCRIPT(":"), WELL, SCRIPT(":"));
    wait_ran(id);
    pool_stop(g->pool, id + 1, 1, REASON_CANCELLED, 60000, clock_now());
    assert_ended(g, id + 1, ENDING_CANCELLED, REASON_CANCELLED, 0);
    pool_stop(g->pool, id, 1, REASON_CANCELLED, 60000, clock_now());
    finish(g, id + 3);
    assert_ended(g, id, ENDING_CANCELLED, REASON_CANCELLED, 1);
    assert_done(g, id + 2, id + 3);
    rig_close(g);
}

static void a_process_killed_under_a_command_costs_that_alone(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 3, WELL, SCRIPT("kill -9 $PPID; sleep 60"), SCRIPT(":"), WELL);
    finish(g, id + 3);
    assert_done(g, id, id);
    assert_ended(g, id + 1, ENDING_FAILED, REASON_SIGNAL, 1);
    assert_done(g, id + 2, id + 3);
    rig_close(g);
}

/* True when it came while that one asked. */
static bool is_given_while_one_asks(struct rig *g)
{
    uint64_t id = SET_UP(g, 1, SCRIPT(":"), ASKS);
    while (g->asked != id + 1)
        turn(g);
    give(g, &(struct what)WELL);
    pool_tick(g->pool, clock_now());
    bool given = g->pool->n_ahead == 1;
    answer(g);
    finish(g, g->last);
    assert_done(g, id, g->last);
    return given;
}

static void what_comes_while_one_behind_a_command_asks_runs_too(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    int left = 100;
    while (!is_given_while_one_asks(g))
        assert_true(left-- > 0);
    rig_close(g);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_and_handlers_run_one_after_the_other),
        cmocka_unit_test(a_command_does_not_wait_for_the_long_one_behind_it),
        cmocka_unit_test(a_command_that_is_cancelled_costs_nothing_behind_it),
        cmocka_unit_test(a_process_killed_under_a_command_costs_that_alone),
        cmocka_unit_test(what_comes_while_one_behind_a_command_asks_runs_too),
    };
    return ahead_main(argc, argv, tests, ELEMENTS(tests));
}
