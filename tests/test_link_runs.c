/* test_link_runs.c - the worker's side of leases: runs that it is given, and results until they are recorded. */
#include "tests/link_rig.h"

/* ---- the fixture ----------------------------------------------------------------------------- */

static void restart_broker(struct fixture *f)
{
    f->epoch++;
    f->session = 1;
}

/* ---- runs and results ------------------------------------------------------------------------ */

static void a_run_starts_and_is_reported(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    assert_int_equal(f->pools[POOL_THREAD].n_running, 1);
    const struct message *m = find_said(f, MSG_STARTED);
    assert_non_null(m);
    assert_int_equal(m->epoch, 7);
    assert_int_equal(m->session, 3);
    assert_int_equal(m->started.n_attempts, 1);
    assert_int_equal(m->started.attempts[0].job, 1);
    assert_int_equal(m->started.attempts[0].attempt, 1);
}

static void run_of_an_old_session_is_dropped(void **state)
{
    struct fixture *f = *state;
    f->session = 2;
    tell_run(f, 1, 1);
    f->session = 3;
    f->epoch = 6;
    tell_run(f, 1, 1);
    assert_int_equal(link_view(f->link).held, 0);
    assert_int_equal(f->n_said, 0);
}

static void run_is_dropped_while_a_hello_is_under_way(void **state)
{
    struct fixture *f = *state;
    pass(f, 1000);
    tell_bare(f, MSG_HELLO_AGAIN);
    tell_run(f, 1, 1);
    assert_int_equal(link_view(f->link).held, 0);
}

static void a_repeated_run_is_ignored(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    tell_run(f, 1, 1);
    assert_int_equal(f->pools[POOL_THREAD].n_running, 1);
    assert_int_equal(f->n_said, 0);
    finish(f, 1, 1);
    turn(f);
    tell_run(f, 1, 1);
    assert_int_equal(f->pools[POOL_THREAD].n_running, 0);
    assert_int_equal(link_view(f->link).held, 1);
}

static void two_attempts_of_one_job_are_held_apart(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    tell_run(f, 1, 2);
    finish(f, 1, 1);
    turn(f);
    assert_int_equal(find_said(f, MSG_RESULT)->result.outcomes[0].attempt, 1);
    tell_of(f, MSG_RECORDED, 1, 1);
    assert_int_equal(link_view(f->link).held, 1);
    finish(f, 1, 2);
    turn(f);
    assert_int_equal(find_said(f, MSG_RESULT)->result.outcomes[0].attempt, 2);
}

static void all_that_ended_in_one_turn_is_in_one_message(void **state)
{
    struct fixture *f = *state;
    f->pools[POOL_THREAD].slots = 10;
    for (uint64_t job = 1; job <= 10; job++)
        tell_run(f, job, 1);
    for (uint64_t job = 1; job <= 10; job++)
        finish(f, job, 1);
    pass(f, 5);
    turn(f);
    assert_int_equal(count_said(f, MSG_RESULT), 1);
    const struct message *m = find_said(f, MSG_RESULT);
    assert_int_equal(m->result.n_outcomes, 10);
    assert_int_equal(m->result.outcomes[0].job, 1);
    assert_int_equal(m->result.outcomes[9].ending, ENDING_DONE);
    assert_int_equal(m->result.outcomes[9].ago_us, 5000);
    assert_int_equal(m->result.outcomes[9].pool, POOL_THREAD);
    assert_true(str_is(m->result.outcomes[9].result, "result"));
}

static void what_started_and_ended_in_one_turn_is_told_once(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    f->pools[POOL_THREAD].slots = 1;
    tell_run(f, 2, 1);
    finish(f, 1, 1); /* job 2 starts */
    finish(f, 2, 1);
    turn(f);
    assert_null(find_said(f, MSG_STARTED));
    assert_int_equal(find_said(f, MSG_RESULT)->result.n_outcomes, 2);
}

static void large_results_are_split_into_messages_and_wait_for_the_window(void **state)
{
    struct fixture *f = *state;
    cleanup(freep) char *large = xmalloc((1u << 20) + 1);
    memset(large, 'x', 1u << 20);
    large[1u << 20] = '\0';
    f->pools[POOL_THREAD].slots = 100;
    for (uint64_t job = 1; job <= 80; job++)
        tell_run(f, job, 1);
    for (uint64_t job = 1; job <= 80; job++)
        finish_as(f, job, 1, ENDING_DONE, REASON_NONE, large);
    turn(f);
    size_t sent = 0;
    for (size_t i = 0; i < f->n_said; i++) {
        if (f->said[i].type != MSG_RESULT)
            continue;
        assert_in_range(f->said[i].result.n_outcomes, 1, 4);
        sent += f->said[i].result.n_outcomes;
    }
    assert_in_range(sent, 60, 70);
    for (uint64_t job = 1; job <= 20; job++) {
        tell_of(f, MSG_RECORDED, job, 1);
        for (size_t i = 0; i < f->n_said; i++)
            sent += f->said[i].type == MSG_RESULT ? f->said[i].result.n_outcomes : 0;
    }
    assert_int_equal(sent, 80);
}

static void an_outcome_is_kept_until_it_is_recorded(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    finish(f, 1, 1);
    turn(f);
    assert_int_equal(link_view(f->link).unrecorded, 1);
    tell_of(f, MSG_RECORDED, 1, 1);
    assert_int_equal(link_view(f->link).held, 0);
    assert_null(await(f, MSG_RESULT, 1500));
}

static void an_outcome_that_is_not_recorded_is_sent_again_after_10_s(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    finish(f, 1, 1);
    turn(f);
    int64_t from_ms = f->now.mono_ms;
    while (f->now.mono_ms - from_ms < 9990) {
        pass(f, 10);
        turn(f);
        assert_null(find_said(f, MSG_RESULT));
        if (find_said(f, MSG_BEAT))
            answer_beats(f);
    }
    pass(f, 10);
    turn(f);
    assert_int_equal(count_said(f, MSG_RESULT), 1);
}

static void a_finished_outcome_survives_a_broker_restart_and_is_delivered_once_more(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    finish(f, 1, 1);
    turn(f);
    assert_non_null(find_said(f, MSG_RESULT));
    restart_broker(f);
    pass(f, 1000);
    tell_bare(f, MSG_HELLO_AGAIN);
    const struct message *m = find_said(f, MSG_HELLO);
    assert_int_equal(m->hello.n_held, 1);
    assert_int_equal(m->hello.held[0].job, 1);
    assert_int_equal(m->hello.held[0].held, HELD_FINISHED);
    tell_welcome(f, NULL, 0);
    m = find_said(f, MSG_RESULT);
    assert_non_null(m);
    assert_int_equal(m->epoch, 8);
    assert_int_equal(m->session, 1);
    assert_int_equal(m->result.n_outcomes, 1);
    assert_int_equal(m->result.outcomes[0].ago_us, 1000000);
    tell_of(f, MSG_RECORDED, 1, 1);
    assert_null(await(f, MSG_RESULT, 9000));
}

static void hello_lists_what_waits_runs_and_is_finished(void **state)
{
    struct fixture *f = *state;
    for (uint64_t job = 1; job <= 4; job++)
        tell_run(f, job, job + 10);
    finish(f, 2, 12);
    turn(f);
    pass(f, 1000);
    tell_bare(f, MSG_HELLO_AGAIN);
    const struct message *m = find_said(f, MSG_HELLO);
    static const uint64_t want[] = { HELD_RUNNING, HELD_FINISHED, HELD_RUNNING, HELD_WAITING };
    assert_int_equal(m->hello.n_held, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(m->hello.held[i].job, i + 1);
        assert_int_equal(m->hello.held[i].attempt, i + 11);
        assert_int_equal(m->hello.held[i].held, want[i]);
        assert_int_equal(m->hello.held[i].pool, POOL_THREAD);
    }
}

static void a_worker_without_a_broker_goes_on_and_delivers_later(void **state)
{
    struct fixture *f = *state;
    for (uint64_t job = 1; job <= 3; job++)
        tell_run(f, job, 1);
    f->refuse = true;
    for (int i = 0; i < 6000; i++, pass(f, 100))
        turn(f);
    assert_int_equal(f->pools[POOL_THREAD].n_running, 2);
    finish(f, 1, 1);
    finish(f, 2, 1);
    for (int i = 0; i < 600; i++, pass(f, 100))
        turn(f);
    f->refuse = false;
    restart_broker(f);
    assert_int_equal(await(f, MSG_HELLO, 1500)->hello.n_held, 3);
    tell_welcome(f, NULL, 0);
    assert_int_equal(find_said(f, MSG_RESULT)->result.n_outcomes, 2);
    assert_int_equal(f->pools[POOL_THREAD].n_running, 1);
}

static void gone_attempts_are_stopped_and_their_results_dropped(void **state)
{
    struct fixture *f = *state;
    for (uint64_t job = 1; job <= 5; job++)
        tell_run(f, job, 1);
    finish(f, 1, 1); /* 2 and 3 run, 4 and 5 wait */
    turn(f);
    pass(f, 1000);
    tell_bare(f, MSG_HELLO_AGAIN);
    restart_broker(f);
    struct attempt_ref gone[] = { { 1, 1 }, { 2, 1 }, { 4, 1 }, { 77, 1 } };
    tell_welcome(f, gone, 4);
    assert_null(find_said(f, MSG_RESULT));
    assert_int_equal(f->pools[POOL_THREAD].stops, 1);
    assert_int_equal(f->pools[POOL_THREAD].n_waiting, 1);
    finish(f, 2, 1);
    turn(f);
    assert_null(find_said(f, MSG_RESULT));
    assert_null(find_said(f, MSG_GIVEN));
    assert_int_equal(link_view(f->link).held, 2); /* 3 and 5 */
}

static void a_gone_attempt_that_still_runs_is_not_listed_and_not_taken_anew(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    pass(f, 1000);
    tell_bare(f, MSG_HELLO_AGAIN);
    tell_welcome(f, &(struct attempt_ref){ 1, 1 }, 1);
    tell_run(f, 1, 1);
    const struct message *m = find_said(f, MSG_GIVEN);
    assert_int_equal(m->given.n_attempts, 1);
    assert_true(str_is(m->given.attempts[0].text, "the worker still ends another one of this number"));
    pass(f, 1000);
    tell_bare(f, MSG_HELLO_AGAIN);
    assert_int_equal(find_said(f, MSG_HELLO)->hello.n_held, 0);
}

static void an_unknown_handler_fails_with_a_text(void **state)
{
    struct fixture *f = *state;
    log_init("test_link", LOG_LEVEL_ERROR);
    tell_run_in(f, 1, 1, POOL_THREAD, "nobody");
    const struct message *m = find_said(f, MSG_RESULT);
    assert_non_null(m);
    assert_int_equal(m->result.outcomes[0].ending, ENDING_FAILED);
    assert_int_equal(m->result.outcomes[0].reason, REASON_HANDLER_ERROR);
    assert_true(str_is(m->result.outcomes[0].error, "worker w1 has no handler nobody"));
    assert_int_equal(link_view(f->link).unrecorded, 1);
}

static void what_waits_for_a_handler_that_is_gone_is_not_listed_in_the_next_hello(void **state)
{
    struct fixture *f = *state;
    const struct str notices[] = { str_of("module x.so refused") };
    tell_run_in(f, 1, 1, POOL_THREAD, "sleep");
    tell_run(f, 2, 1);
    tell_run_in(f, 3, 1, POOL_THREAD, "sleep"); /* waits, as the next */
    tell_run(f, 4, 1);
    link_set_handlers(f->link, handlers, 1, notices, 1, f->now);
    turn(f);
    const struct msg_hello *h = &find_said(f, MSG_HELLO)->hello;
    assert_int_equal(h->n_handlers, 1);
    assert_true(str_is(h->notices[0], "module x.so refused"));
    assert_int_equal(h->n_held, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_not_equal(h->held[i].job, 3);
}

static void a_pool_that_is_off_fails_with_a_text(void **state)
{
    struct fixture *f = *state;
    tell_run_in(f, 1, 1, POOL_LOOP, "echo");
    assert_true(
        str_is(find_said(f, MSG_RESULT)->result.outcomes[0].error, "worker w1 has no loop pool"));
    tell_run_in(f, 2, 1, 1234567, "echo");
    assert_true(
        str_is(find_said(f, MSG_RESULT)->result.outcomes[0].error, "worker w1 has no ? pool"));
}

static void take_back_of_what_waits_is_given(void **state)
{
    struct fixture *f = *state;
    for (uint64_t job = 1; job <= 3; job++)
        tell_run(f, job, 1);
    tell_of(f, MSG_TAKE_BACK, 3, 1);
    const struct message *m = find_said(f, MSG_GIVEN);
    assert_non_null(m);
    assert_int_equal(m->given.attempts[0].job, 3);
    assert_int_equal(m->given.attempts[0].started, 0);
    assert_int_equal(link_view(f->link).held, 2);
}

static void take_back_of_what_runs_is_answered_with_started(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    tell_of(f, MSG_TAKE_BACK, 1, 1);
    assert_null(find_said(f, MSG_GIVEN));
    assert_int_equal(find_said(f, MSG_STARTED)->started.attempts[0].job, 1);
    tell_of(f, MSG_TAKE_BACK, 9, 1);
    assert_int_equal(f->n_said, 0);
}

static void stop_ends_what_waits_at_once_as_cancelled(void **state)
{
    struct fixture *f = *state;
    for (uint64_t job = 1; job <= 3; job++)
        tell_run(f, job, 1);
    tell_of(f, MSG_STOP, 3, 1);
    const struct message *m = find_said(f, MSG_RESULT);
    assert_int_equal(m->result.outcomes[0].ending, ENDING_CANCELLED);
    assert_int_equal(m->result.outcomes[0].reason, REASON_CANCELLED);
    assert_int_equal(f->pools[POOL_THREAD].n_waiting, 0);
}

static void stop_tells_what_runs_with_its_grace(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    tell_of(f, MSG_STOP, 1, 1);
    assert_int_equal(f->pools[POOL_THREAD].stops, 1);
    assert_int_equal(f->pools[POOL_THREAD].stop_reason, REASON_CANCELLED);
    assert_int_equal(f->pools[POOL_THREAD].stop_grace_ms, 5000);
    finish_as(f, 1, 1, ENDING_CANCELLED, REASON_CANCELLED, NULL);
    turn(f);
    assert_int_equal(find_said(f, MSG_RESULT)->result.outcomes[0].ending, ENDING_CANCELLED);
    tell_of(f, MSG_STOP, 1, 1);
    tell_of(f, MSG_STOP, 2, 1);
    assert_int_equal(f->pools[POOL_THREAD].stops, 1);
}

static void a_crash_is_a_result_and_not_given_back(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    finish_as(f, 1, 1, ENDING_LOST, REASON_SIGNAL, NULL);
    turn(f);
    assert_null(find_said(f, MSG_GIVEN));
    assert_int_equal(find_said(f, MSG_RESULT)->result.outcomes[0].ending, ENDING_LOST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_SESSION(a_run_starts_and_is_reported),
        IN_SESSION(run_of_an_old_session_is_dropped),
        IN_SESSION(run_is_dropped_while_a_hello_is_under_way),
        IN_SESSION(a_repeated_run_is_ignored),
        IN_SESSION(two_attempts_of_one_job_are_held_apart),
        IN_SESSION(all_that_ended_in_one_turn_is_in_one_message),
        IN_SESSION(what_started_and_ended_in_one_turn_is_told_once),
        IN_SESSION(large_results_are_split_into_messages_and_wait_for_the_window),
        IN_SESSION(an_outcome_is_kept_until_it_is_recorded),
        IN_SESSION(an_outcome_that_is_not_recorded_is_sent_again_after_10_s),
        IN_SESSION(a_finished_outcome_survives_a_broker_restart_and_is_delivered_once_more),
        IN_SESSION(hello_lists_what_waits_runs_and_is_finished),
        IN_SESSION(a_worker_without_a_broker_goes_on_and_delivers_later),
        IN_SESSION(gone_attempts_are_stopped_and_their_results_dropped),
        IN_SESSION(a_gone_attempt_that_still_runs_is_not_listed_and_not_taken_anew),
        IN_SESSION(an_unknown_handler_fails_with_a_text),
        IN_SESSION(what_waits_for_a_handler_that_is_gone_is_not_listed_in_the_next_hello),
        IN_SESSION(a_pool_that_is_off_fails_with_a_text),
        IN_SESSION(take_back_of_what_waits_is_given),
        IN_SESSION(take_back_of_what_runs_is_answered_with_started),
        IN_SESSION(stop_ends_what_waits_at_once_as_cancelled),
        IN_SESSION(stop_tells_what_runs_with_its_grace),
        IN_SESSION(a_crash_is_a_result_and_not_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
