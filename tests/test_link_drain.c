/* test_link_drain.c - how a worker goes quiet, and drains. */
#include "tests/link_rig.h"

static void a_quiet_worker_gives_back_what_waits_and_takes_nothing(void **state)
{
    struct fixture *f = *state;
    for (uint64_t job = 1; job <= 3; job++)
        tell_run(f, job, 1);
    link_quiet(f->link, f->now);
    turn(f);
    assert_int_equal(find_said(f, MSG_GIVEN)->given.attempts[0].job, 3);
    assert_int_equal(find_said(f, MSG_BEAT)->beat.pools[1].slots, 0);
    tell_run(f, 4, 1);
    assert_int_equal(find_said(f, MSG_GIVEN)->given.attempts[0].job, 4);
    assert_int_equal(f->pools[POOL_THREAD].n_running, 2);
    link_resume(f->link, f->now);
    turn(f);
    assert_int_equal(find_said(f, MSG_BEAT)->beat.pools[1].slots, 2);
    tell_run(f, 5, 1);
    assert_int_equal(f->pools[POOL_THREAD].n_waiting, 1);
    assert_false(is_over(f));
}

static void draining_gives_back_what_waits_and_lets_the_rest_finish(void **state)
{
    struct fixture *f = *state;
    for (uint64_t job = 1; job <= 4; job++)
        tell_run(f, job, 1);
    link_drain(f->link, f->now.mono_ms + 60000, f->now);
    turn(f);
    const struct message *m = find_said(f, MSG_GIVEN);
    assert_int_equal(m->given.n_attempts, 2);
    assert_int_equal(m->given.attempts[0].started, 0);
    assert_int_equal(find_said(f, MSG_BEAT)->beat.pools[1].slots, 0);
    answer_beats(f);
    finish(f, 1, 1);
    finish(f, 2, 1);
    turn(f);
    assert_int_equal(find_said(f, MSG_RESULT)->result.n_outcomes, 2);
    assert_int_equal(f->pools[POOL_THREAD].stops, 0);
    tell_of(f, MSG_RECORDED, 1, 1);
    assert_false(is_over(f));
    tell_of(f, MSG_RECORDED, 2, 1);
    assert_non_null(find_said(f, MSG_BYE));
    assert_true(is_over(f));
}

static void at_the_deadline_what_runs_is_stopped_and_given_back(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    link_drain(f->link, f->now.mono_ms + 1000, f->now);
    turn(f);
    assert_int_equal(f->due_ms, f->now.mono_ms + 1000);
    pass(f, 990);
    turn(f);
    assert_int_equal(f->pools[POOL_THREAD].stops, 0);
    pass(f, 10);
    turn(f);
    assert_int_equal(f->pools[POOL_THREAD].stops, 1);
    assert_int_equal(f->pools[POOL_THREAD].stop_reason, REASON_NONE);
    finish_as(f, 1, 1, ENDING_LOST, REASON_NONE, NULL);
    turn(f);
    const struct message *m = find_said(f, MSG_GIVEN);
    assert_int_equal(m->given.attempts[0].started, 1);
    assert_true(str_is(m->given.attempts[0].text, "worker drained"));
    assert_false(is_over(f)); /* until the broker is known to have read it */
    answer_beats(f);
    assert_true(is_over(f));
}

static void a_second_term_stops_all_without_grace(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    link_drain(f->link, f->now.mono_ms + 60000, f->now);
    turn(f);
    link_drain_at_once(f->link, f->now);
    assert_int_equal(f->pools[POOL_THREAD].stops, 1);
    assert_int_equal(f->pools[POOL_THREAD].stop_grace_ms, 0);
}

static void a_drain_asked_for_at_the_broker_has_no_deadline(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    tell_bare(f, MSG_DRAIN);
    assert_int_equal(find_said(f, MSG_BEAT)->beat.pools[1].slots, 0);
    for (int i = 0; i < 10000; i++) {
        pass(f, 1000);
        turn(f);
        answer_beats(f);
    }
    assert_int_equal(f->pools[POOL_THREAD].stops, 0);
    finish(f, 1, 1);
    turn(f);
    tell_of(f, MSG_RECORDED, 1, 1);
    assert_true(is_over(f));
}

static void a_worker_that_holds_nothing_drains_at_once(void **state)
{
    struct fixture *f = *state;
    link_drain(f->link, f->now.mono_ms + 60000, f->now);
    turn(f);
    assert_non_null(find_said(f, MSG_BYE));
    assert_true(is_over(f));
}

static void a_worker_that_never_met_a_broker_drains_at_once(void **state)
{
    struct fixture *f = *state;
    f->refuse = true;
    turn(f);
    link_drain(f->link, f->now.mono_ms + 60000, f->now);
    turn(f);
    assert_true(is_over(f));
}

static void draining_without_a_broker_waits_5_s_for_the_last_results(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    f->refuse = true;
    finish(f, 1, 1);
    turn(f);
    link_drain(f->link, f->now.mono_ms + 60000, f->now);
    int64_t from_ms = f->now.mono_ms;
    for (turn(f); !is_over(f); turn(f))
        pass(f, 10);
    assert_int_equal(f->now.mono_ms - from_ms, 5000);
}

static void hello_of_a_draining_worker_says_so(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    link_drain(f->link, f->now.mono_ms + 60000, f->now);
    turn(f);
    pass(f, 1000);
    tell_bare(f, MSG_HELLO_AGAIN);
    const struct message *m = find_said(f, MSG_HELLO);
    assert_int_equal(m->hello.draining, 1);
    assert_int_equal(m->hello.pools[1].slots, 0);
}

static void what_was_given_back_between_hello_and_welcome_is_given_after_it(void **state)
{
    struct fixture *f = *state;
    for (uint64_t job = 1; job <= 3; job++)
        tell_run(f, job, 1);
    pass(f, 1000);
    tell_bare(f, MSG_HELLO_AGAIN);
    assert_int_equal(find_said(f, MSG_HELLO)->hello.n_held, 3);
    link_drain(f->link, NEVER, f->now);
    turn(f);
    assert_int_equal(f->n_said, 0);
    f->session++;
    tell_welcome(f, NULL, 0);
    assert_int_equal(find_said(f, MSG_GIVEN)->given.attempts[0].job, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_SESSION(a_quiet_worker_gives_back_what_waits_and_takes_nothing),
        IN_SESSION(draining_gives_back_what_waits_and_lets_the_rest_finish),
        IN_SESSION(at_the_deadline_what_runs_is_stopped_and_given_back),
        IN_SESSION(a_second_term_stops_all_without_grace),
        IN_SESSION(a_drain_asked_for_at_the_broker_has_no_deadline),
        IN_SESSION(a_worker_that_holds_nothing_drains_at_once),
        CASE(a_worker_that_never_met_a_broker_drains_at_once),
        IN_SESSION(draining_without_a_broker_waits_5_s_for_the_last_results),
        IN_SESSION(hello_of_a_draining_worker_says_so),
        IN_SESSION(what_was_given_back_between_hello_and_welcome_is_given_after_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
