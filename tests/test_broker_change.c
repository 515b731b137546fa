/* test_broker_change.c - what is done to jobs that are there: cancel, retry, remove, expiry, due times. */
#include "tests/broker_harness.h"

/* ---- cancel ---------------------------------------------------------------------------------- */

static void a_job_that_waits_is_cancelled_at_once_and_never_runs(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    struct job_spec later = bench_spec("cpu");
    later.delay_ms = 5000;
    uint64_t queued = bench_submit(t, &c, "cpu"), scheduled = bench_submit_spec(t, &c, later);
    struct range both = { queued, scheduled };
    bench_change(t, &c, MSG_CANCEL, &both, 1);
    bench_expect_changed(t, &c, 2, 0, 0);
    assert_state(t, queued, STATE_CANCELLED);
    assert_state(t, scheduled, STATE_CANCELLED);
    struct conn w = bench_worker(t, "wrk-1", 1, 0, 0);
    bench_live(t, 6000);
    assert_null(bench_next(t, &w, MSG_RUN));
}

static void a_running_job_is_asked_to_stop_and_ends_as_cancelled(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 1, 0, 0);
    uint64_t id = bench_submit(t, &c, "cpu");
    bench_change_one(t, &c, MSG_CANCEL, id);
    bench_expect_changed(t, &c, 1, 0, 0);
    const struct message *stop = bench_expect(t, &w, MSG_STOP);
    assert_int_equal(stop->stop.attempts[0].job, id);
    assert_int_equal(stop->stop.attempts[0].attempt, 1);
    assert_state(t, id, STATE_RUNNING);
    bench_end(t, &w, id, 1, ENDING_CANCELLED);
    assert_state(t, id, STATE_CANCELLED);
}

static void a_done_that_comes_before_the_cancel_takes_effect_wins(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 1, 0, 0);
    uint64_t id = bench_submit(t, &c, "cpu");
    bench_change_one(t, &c, MSG_CANCEL, id);
    bench_end(t, &w, id, 1, ENDING_DONE);
    assert_state(t, id, STATE_DONE);
}

static void a_failure_after_a_cancel_is_not_tried_again(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 0, 1, 0);
    uint64_t id = bench_submit(t, &c, "io");
    bench_change_one(t, &c, MSG_CANCEL, id);
    bench_end(t, &w, id, 1, ENDING_FAILED);
    assert_state(t, id, STATE_CANCELLED);
}

static void a_cancelled_job_whose_worker_is_lost_is_cancelled(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 2, 0, 0);
    uint64_t id = bench_submit_n(t, &c, bench_spec("cpu"), 2);
    bench_tell_started(t, &w, id, 1);
    struct range both = { id, id + 1 };
    bench_change(t, &c, MSG_CANCEL, &both, 1);
    bench_expect_changed(t, &c, 2, 0, 0);
    bench_live(t, LOST_AFTER_MS);
    assert_state(t, id, STATE_CANCELLED);
    assert_state(t, id + 1, STATE_CANCELLED);
}

static void a_cancel_while_the_worker_is_away_reaches_it_when_it_comes_back(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 1, 0, 0);
    uint64_t id = bench_submit(t, &c, "cpu");
    bench_change_one(t, &c, MSG_CANCEL, id);
    bench_restart(t);
    struct held held = { id, 1, HELD_RUNNING, 0 };
    bench_worker_hello(t, &w, &held, 1);
    assert_int_equal(bench_expect(t, &w, MSG_STOP)->stop.attempts[0].job, id);
}

static void a_finished_job_named_alone_is_refused_and_in_a_range_skipped(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 1, 0, 0);
    uint64_t id = bench_submit(t, &c, "cpu");
    bench_end(t, &w, id, 1, ENDING_DONE);
    bench_change_one(t, &c, MSG_CANCEL, id);
    const struct message *m = bench_expect(t, &c, MSG_CHANGED);
    assert_int_equal(m->changed.n_refusals, 1);
    assert_int_equal(m->changed.refusals[0].code, CODE_REFUSED);
    assert_int_equal(m->changed.refusals[0].job, id);
    uint64_t other = bench_submit(t, &c, "nobody");
    struct range range = { id, other };
    bench_change(t, &c, MSG_CANCEL, &range, 1);
    bench_expect_changed(t, &c, 1, 1, 0);
    struct range none = { 1000, UINT64_MAX };
    bench_change(t, &c, MSG_CANCEL, &none, 1);
    bench_expect_error(t, &c, CODE_NOT_FOUND, "no such job");
}

static void a_cancel_of_many_takes_many_turns_and_each_is_bounded(void **state)
{
    struct bench *t = *state;
    t->unchecked = true;
    struct conn c = bench_client(t, "cli-1", 1000);
    bench_submit_n(t, &c, bench_spec("nobody"), 3500);
    struct range all = { 1, UINT64_MAX };
    bench_change(t, &c, MSG_CANCEL, &all, 1);
    assert_null(bench_next(t, &c, MSG_CHANGED));
    int64_t first = bench_number(t, "SELECT count(*) FROM job WHERE state = 6");
    assert_true(first > 0 && first <= 1250);
    for (int i = 0; i < 3; i++)
        bench_turn(t);
    bench_expect_changed(t, &c, 3500, 0, 0);
    t->unchecked = false;
    bench_turn(t);
}

/* ---- retry, remove --------------------------------------------------------------------------- */

static void retry_takes_what_failed_back_with_its_id_and_not_what_is_done_or_goes_on(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 1, 0, 0);
    uint64_t dead = bench_submit(t, &c, "cpu");
    bench_end(t, &w, dead, 1, ENDING_FAILED);
    uint64_t done = bench_submit(t, &c, "cpu");
    bench_end(t, &w, done, 1, ENDING_DONE);
    uint64_t waits = bench_submit(t, &c, "nobody"), cancelled = bench_submit(t, &c, "nobody");
    bench_change_one(t, &c, MSG_CANCEL, cancelled);
    struct range each[4] = {
        { dead, dead }, { done, done }, { waits, waits }, { cancelled, cancelled }
    };
    bench_change(t, &c, MSG_RETRY, each, 4);
    bench_expect_changed(t, &c, 2, 0, 2);
    assert_state(t, cancelled, STATE_QUEUED);
    struct run_job run = bench_run(t, &w);
    assert_int_equal(run.job, dead);
    assert_int_equal(run.attempt, 2);
    assert_int_equal(bench_job(t, dead, "failures + crashes"), 0);
    bench_end(t, &w, dead, 2, ENDING_DONE);
    assert_state(t, dead, STATE_DONE);
}

static void a_job_cancelled_and_retried_while_it_is_looked_ahead_at_runs_once(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    uint64_t id = bench_submit_n(t, &c, bench_spec("cpu"), 3);
    for (int i = 0; i < 3; i++) {
        bench_change_one(t, &c, MSG_CANCEL, id + 1);
        bench_change_one(t, &c, MSG_RETRY, id + 1);
    }
    struct conn w = bench_worker(t, "wrk-1", 10, 0, 0);
    struct run_job runs[10];
    assert_int_equal(bench_runs(t, &w, runs, 10), 3);
    bench_turn(t);
}

static void remove_takes_finished_jobs_with_all_that_hangs_on_them(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 1, 0, 0);
    struct job_spec s = bench_spec("cpu");
    s.payload = str_of("p");
    uint64_t id = bench_submit_spec(t, &c, s);
    bench_change_one(t, &c, MSG_REMOVE, id);
    bench_expect_changed(t, &c, 0, 0, 1);
    bench_change_one(t, &c, MSG_CANCEL, id);
    struct outcome o = bench_outcome(id, 1, ENDING_DONE);
    o.result = str_of("r");
    o.output = str_of("o");
    bench_tell_outcome(t, &w, o);
    bench_change_one(t, &c, MSG_REMOVE, id);
    bench_expect_changed(t, &c, 1, 0, 0);
    assert_int_equal(
        bench_number(t, "SELECT (SELECT count(*) FROM job) + (SELECT count(*) FROM payload) + "
                        "(SELECT count(*) FROM "
                        "attempt) + (SELECT count(*) FROM output) + (SELECT count(*) FROM event)"),
        0);
    bench_change_one(t, &c, MSG_REMOVE, id);
    bench_expect_error(t, &c, CODE_NOT_FOUND, "no such job");
    assert_int_equal(bench_submit(t, &c, "cpu"), id + 1);
}

/* ---- time ------------------------------------------------------------------------------------ */

static void a_delayed_job_waits_in_the_broker_until_it_is_due(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 5, 0, 0);
    struct job_spec by_delay = bench_spec("cpu"), by_time = bench_spec("cpu"),
                    past = bench_spec("cpu");
    by_delay.delay_ms = 1500;
    by_time.at_ms = t->now.wall_ms + 1500;
    past.at_ms = t->now.wall_ms - 5;
    struct job_spec jobs[3] = { by_delay, by_time, past };
    uint64_t id = bench_submit_many(t, &c, jobs, 3);
    assert_int_equal(bench_run(t, &w).job, id + 2);
    assert_state(t, id, STATE_SCHEDULED);
    bench_advance(t, 1499);
    bench_turn(t);
    assert_null(bench_next(t, &w, MSG_RUN));
    bench_advance(t, 1);
    bench_turn(t);
    struct run_job runs[2];
    assert_int_equal(bench_runs(t, &w, runs, 2), 2);
}

static void tick_says_when_it_wants_to_be_called_again(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    struct job_spec s = bench_spec("cpu");
    s.delay_ms = 300;
    bench_submit_spec(t, &c, s);
    assert_int_equal(broker_tick(t->broker, t->now), t->now.mono_ms + 300);
    bench_turn(t);
}

static void a_job_that_was_not_started_in_time_expires_and_one_that_runs_does_not(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 1, 0, 0);
    struct job_spec s = bench_spec("cpu");
    s.expire_ms = 1000;
    uint64_t id = bench_submit_n(t, &c, s, 3);
    bench_advance(t, 999);
    bench_turn(t);
    assert_state(t, id + 1, STATE_QUEUED);
    bench_advance(t, 1);
    bench_turn(t);
    assert_state(t, id, STATE_RUNNING);
    assert_state(t, id + 1, STATE_EXPIRED);
    assert_state(t, id + 2, STATE_EXPIRED);
    bench_end(t, &w, id, 1, ENDING_DONE);
    assert_state(t, id, STATE_DONE);
    s.expire_ms = 0;
    id = bench_submit_spec(t, &c, s);
    assert_state(t, id, STATE_EXPIRED);
    assert_null(bench_next(t, &w, MSG_RUN));
}

static void finished_jobs_are_kept_as_long_and_as_many_as_was_asked(void **state)
{
    struct bench *t = *state;
    t->broker->options.retention_ms = 60000;
    t->broker->options.keep_finished = 3;
    struct conn c = bench_client(t, "cli-1", 1000);
    uint64_t id = bench_submit_n(t, &c, bench_spec("nobody"), 5);
    struct range all = { 1, UINT64_MAX };
    bench_change(t, &c, MSG_CANCEL, &all, 1);
    bench_live(t, 3000);
    assert_int_equal(bench_number(t, "SELECT count(*) FROM job"), 3);
    bench_live(t, 70000);
    assert_int_equal(bench_number(t, "SELECT count(*) FROM job"), 0);
    (void)id;
}

/* Deleting goes in slices, so that it never takes the turn for itself. */
static void finished_jobs_past_what_is_kept_go_a_slice_at_a_time(void **state)
{
    struct bench *t = *state;
    t->broker->options.keep_finished = 100;
    struct conn c = bench_client(t, "cli-1", 1000);
    bench_submit_n(t, &c, bench_spec("nobody"), 1000);
    bench_submit_n(t, &c, bench_spec("nobody"), 300);
    struct range all = { 1, UINT64_MAX };
    bench_change(t, &c, MSG_CANCEL, &all, 1);
    bench_turn(t);
    bench_turn(t);
    assert_int_equal(bench_number(t, "SELECT count(*) FROM job WHERE state = 6"), 1300);
    bench_advance(t, 1000);
    bench_turn(t);
    assert_int_equal(bench_number(t, "SELECT count(*) FROM job"), 800);
    bench_turn(t);
    assert_int_equal(bench_number(t, "SELECT count(*) FROM job"), 800);
    for (int i = 0; i < 4; i++) {
        bench_advance(t, 50);
        bench_turn(t);
    }
    assert_int_equal(bench_number(t, "SELECT count(*) FROM job"), 100);
}

/* Deleting writes too: a broker that tries it in each turn of a full disk does nothing else. */
static void deleting_that_did_not_fit_on_the_disk_is_not_tried_again_at_once(void **state)
{
    struct bench *t = *state;
    t->broker->options.keep_finished = 0;
    struct conn c = bench_client(t, "cli-1", 1000);
    bench_submit_n(t, &c, bench_spec("nobody"), 10);
    struct range all = { 1, UINT64_MAX };
    bench_change(t, &c, MSG_CANCEL, &all, 1);
    bench_turn(t);
    bench_advance(t, 1000);
    broker_tick(t->broker, t->now);
    t->broker->next_upkeep_mono_ms = t->now.mono_ms; /* as when it is late, which it is on a disk that is nearly full */
    t->broker->failed = -ENOSPC;
    assert_int_equal(broker_commit(t->broker, t->now), 0);
    for (int i = 0; i < 5; i++) {
        bench_turn(t);
        assert_int_equal(bench_number(t, "SELECT count(*) FROM job"), 10);
        bench_advance(t, 199);
    }
    bench_advance(t, 5);
    bench_turn(t);
    assert_int_equal(bench_number(t, "SELECT count(*) FROM job"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        bench_test(a_job_that_waits_is_cancelled_at_once_and_never_runs),
        bench_test(a_running_job_is_asked_to_stop_and_ends_as_cancelled),
        bench_test(a_done_that_comes_before_the_cancel_takes_effect_wins),
        bench_test(a_failure_after_a_cancel_is_not_tried_again),
        bench_test(a_cancelled_job_whose_worker_is_lost_is_cancelled),
        bench_test(a_cancel_while_the_worker_is_away_reaches_it_when_it_comes_back),
        bench_test(a_finished_job_named_alone_is_refused_and_in_a_range_skipped),
        bench_test(a_cancel_of_many_takes_many_turns_and_each_is_bounded),
        bench_test(retry_takes_what_failed_back_with_its_id_and_not_what_is_done_or_goes_on),
        bench_test(a_job_cancelled_and_retried_while_it_is_looked_ahead_at_runs_once),
        bench_test(remove_takes_finished_jobs_with_all_that_hangs_on_them),
        bench_test(a_delayed_job_waits_in_the_broker_until_it_is_due),
        bench_test(tick_says_when_it_wants_to_be_called_again),
        bench_test(a_job_that_was_not_started_in_time_expires_and_one_that_runs_does_not),
        bench_test(finished_jobs_are_kept_as_long_and_as_many_as_was_asked),
        bench_test(finished_jobs_past_what_is_kept_go_a_slice_at_a_time),
        bench_test(deleting_that_did_not_fit_on_the_disk_is_not_tried_again_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
