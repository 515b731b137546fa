/* test_broker_change.c - what is done to jobs that are there: cancel, retry, remove, expiry, due
 * times; and who waits for them, and why. */
#include "tests/broker_harness.h"

/* ---- cancel --------------------------------------------------------------------------------- */

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

/* ---- retry, remove -------------------------------------------------------------------------- */

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

/* ---- time ----------------------------------------------------------------------------------- */

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

/* ---- wait ----------------------------------------------------------------------------------- */

static uint64_t ask_wait(struct bench *t, struct conn *c, struct range *ranges, size_t n, bool any)
{
    struct message m;
    message_init(&m, MSG_WAIT);
    m.wait.req = ++c->req;
    m.wait.ranges = ranges;
    m.wait.n_ranges = n;
    m.wait.any = any;
    bench_tell(t, c, &m);
    bench_turn(t);
    return c->req;
}

static void a_wait_is_answered_in_the_turn_in_which_the_last_of_its_jobs_ends(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 10, 0, 0);
    bench_submit_n(t, &c, bench_spec("cpu"), 9);
    struct range ranges[4] = { { 7, 8 }, { 2, 4 }, { 3, 5 }, { 4, 4 } };
    uint64_t req = ask_wait(t, &c, ranges, 4, false);
    static const uint64_t order[] = { 4, 7, 9, 2, 8, 3, 1, 5 };
    for (size_t i = 0; i < ELEMENTS(order); i++) {
        assert_null(bench_next(t, &c, MSG_WAITED));
        bench_end(t, &w, order[i], 1, i % 2 ? ENDING_DONE : ENDING_FAILED);
    }
    assert_int_equal(bench_expect(t, &c, MSG_WAITED)->waited.req, req);
    ask_wait(t, &c, ranges, 4, false); /* all have ended: at once */
    bench_expect(t, &c, MSG_WAITED);
    assert_int_equal(t->broker->watched.n, 0);
}

/* Submits one job with a wait for its end, as request number 900 + req; the job's id. */
static uint64_t submit_and_wait(struct bench *t, struct conn *c, uint64_t seq, uint64_t what, bool *ret_waits)
{
    struct job_spec s = bench_spec("cpu");
    struct message m;
    message_init(&m, MSG_SUBMIT);
    m.submit.req = ++c->req;
    m.submit.seq = seq;
    m.submit.jobs = &s;
    m.submit.n_jobs = 1;
    m.submit.wait = 900 + c->req;
    m.submit.what = what;
    bench_tell(t, c, &m);
    bench_turn(t);
    const struct message *answer = bench_expect(t, c, MSG_SUBMITTED);
    *ret_waits = answer->submitted.waits;
    return answer->submitted.first_id;
}

static const struct msg_waited *expect_waited(struct bench *t, const struct conn *c)
{
    const struct msg_waited *w = &bench_expect(t, c, MSG_WAITED)->waited;
    assert_int_equal(w->req, 900 + c->req);
    return w;
}

static void a_submit_can_begin_the_wait_for_its_job_and_the_answer_tells_the_result(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 10, 0, 0);
    bool waits;
    uint64_t id = submit_and_wait(t, &c, 1, WHAT_RESULT, &waits);
    assert_true(waits);
    struct outcome o = bench_outcome(id, 1, ENDING_DONE);
    o.result = str_of("good");
    bench_tell_outcome(t, &w, o);
    assert_null(bench_next(t, &c, MSG_WAITED)); /* not before its commit */
    bench_turn(t);
    const struct msg_waited *told = expect_waited(t, &c);
    assert_int_equal(told->attempt, 1);
    assert_true(str_is(told->data, "good"));

    id = submit_and_wait(t, &c, 2, WHAT_OUTPUT, &waits);
    o = bench_outcome(id, 1, ENDING_DONE);
    o.exit_code = 0;
    o.output = str_of("chunks");
    bench_tell_outcome(t, &w, o);
    bench_turn(t);
    told = expect_waited(t, &c);
    assert_int_equal(told->exit_code, 0);
    assert_true(told->attempt == 1 && str_is(told->data, "chunks"));
    assert_int_equal(t->broker->watched.n, 0);
}

/* Of what is not plainly done, of a retried or a large result only the end is told, once it is the end. */
static void a_wait_that_begins_with_a_submit_leaves_all_but_the_plain_case_to_fetch(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 10, 0, 0);
    static char large[(64 << 10) + 1];
    memset(large, 'x', sizeof large);
    struct outcome cases[] = {
        bench_outcome(0, 1, ENDING_FAILED), bench_outcome(0, 1, ENDING_DONE), bench_outcome(0, 1, ENDING_DONE),
        bench_outcome(0, 1, ENDING_DONE),
    };
    cases[1].result = (struct str){ large, sizeof large };
    cases[2].error = str_of("but");
    cases[3].output = str_of("of which the result is a part");
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        bool waits;
        cases[i].job = submit_and_wait(t, &c, i + 1, WHAT_RESULT, &waits);
        assert_true(waits);
        bench_tell_outcome(t, &w, cases[i]);
        bench_turn(t);
        assert_int_equal(expect_waited(t, &c)->attempt, 0);
    }
    bool waits;
    uint64_t id = submit_and_wait(t, &c, 5, WHAT_RESULT, &waits);
    bench_change_one(t, &c, MSG_CANCEL, id);
    bench_end(t, &w, id, 1, ENDING_CANCELLED);
    assert_int_equal(bench_expect(t, &c, MSG_WAITED)->waited.attempt, 0);
}

static void a_repeated_submit_begins_its_wait_again_also_when_the_job_has_ended(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 10, 0, 0);
    bool waits;
    uint64_t id = submit_and_wait(t, &c, 1, WHAT_RESULT, &waits);
    struct message hello = bench_hello(&c, "client"); /* a new session: the wait is gone with the old one */
    bench_tell(t, &c, &hello);
    bench_welcome(t, &c);
    assert_int_equal(t->broker->watched.n, 0);
    assert_int_equal(submit_and_wait(t, &c, 1, WHAT_RESULT, &waits), id);
    assert_true(waits);
    bench_end(t, &w, id, 1, ENDING_DONE);
    assert_int_equal(expect_waited(t, &c)->attempt, 0);
    assert_int_equal(submit_and_wait(t, &c, 1, WHAT_RESULT, &waits), id);
    expect_waited(t, &c);
}

static void a_submit_begins_no_wait_past_those_that_may_be_open_nor_for_many_jobs(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    bool waits;
    for (uint64_t i = 1; i <= LIMIT_REQUESTS_OPEN + 1; i++) {
        submit_and_wait(t, &c, i, WHAT_RESULT, &waits);
        assert_int_equal(waits, i <= LIMIT_REQUESTS_OPEN);
    }
    struct conn d = bench_client(t, "dli-1", 1000);
    struct job_spec two[] = { bench_spec("cpu"), bench_spec("cpu") };
    struct message m;
    message_init(&m, MSG_SUBMIT);
    m.submit.req = m.submit.seq = 1;
    m.submit.jobs = two;
    m.submit.n_jobs = 2;
    m.submit.wait = 2;
    bench_tell(t, &d, &m);
    bench_turn(t);
    assert_int_equal(bench_expect(t, &d, MSG_SUBMITTED)->submitted.waits, 0);
}

static void a_wait_for_any_is_answered_by_the_first_that_ends(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 10, 0, 0);
    bench_submit_n(t, &c, bench_spec("cpu"), 5);
    struct range ranges[2] = { { 4, 5 }, { 2, 4 } };
    ask_wait(t, &c, ranges, 2, true);
    bench_end(t, &w, 1, 1, ENDING_DONE);
    assert_null(bench_next(t, &c, MSG_WAITED));
    bench_end(t, &w, 3, 1, ENDING_DONE);
    assert_int_equal(bench_expect(t, &c, MSG_WAITED)->waited.ended, 3);
    ask_wait(t, &c, ranges, 2, true);
    assert_int_equal(bench_expect(t, &c, MSG_WAITED)->waited.ended, 3);
}

static void a_wait_for_any_of_very_many_misses_nothing_while_it_is_still_looking(void **state)
{
    struct bench *t = *state;
    t->unchecked = true;
    struct conn c = bench_client(t, "cli-1", 1000);
    bench_submit_n(t, &c, bench_spec("nobody"), 9000);
    struct range all = { 1, 9000 };
    ask_wait(t, &c, &all, 1, true);
    bench_change_one(t, &c, MSG_CANCEL, 3); /* its cursor is past it */
    assert_int_equal(bench_expect(t, &c, MSG_WAITED)->waited.ended, 3);
    for (int i = 0; i < 4; i++)
        bench_turn(t);
    assert_null(bench_next(t, &c, MSG_WAITED));
    assert_true(list_empty(&t->broker->any_waits) && list_empty(&t->broker->moving_waits));
}

static void a_wait_for_jobs_that_do_not_exist_says_so_and_unwait_ends_one(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    struct range unknown = { 5, 9 }, one = { 1, 1 };
    ask_wait(t, &c, &unknown, 1, false);
    bench_expect_error(t, &c, CODE_NOT_FOUND, "no such job");
    ask_wait(t, &c, NULL, 0, false);
    bench_expect_error(t, &c, CODE_USAGE, "range");
    bench_submit(t, &c, "nobody");
    for (int any = 0; any < 2; any++) {
        struct message m;
        message_init(&m, MSG_UNWAIT);
        m.unwait.req = ask_wait(t, &c, &one, 1, any);
        bench_tell(t, &c, &m);
        bench_turn(t);
    }
    bench_change_one(t, &c, MSG_CANCEL, 1);
    assert_null(bench_next(t, &c, MSG_WAITED));
    assert_int_equal(t->broker->watched.n, 0);
}

static void more_open_waits_than_may_be_get_busy(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    uint64_t id = bench_submit(t, &c, "nobody");
    struct range one = { id, id };
    for (unsigned i = 0; i < LIMIT_REQUESTS_OPEN; i++)
        ask_wait(t, &c, &one, 1, i % 2);
    ask_wait(t, &c, &one, 1, false);
    bench_expect_error(t, &c, CODE_BUSY, "64");
    bench_change_one(t, &c, MSG_CANCEL, id); /* that too is a request */
    bench_expect_error(t, &c, CODE_BUSY, "64");
    struct conn d = bench_client(t, "dli-1", 1000);
    bench_change_one(t, &d, MSG_CANCEL, id);
    for (unsigned i = 0; i < LIMIT_REQUESTS_OPEN; i++)
        bench_expect(t, &c, MSG_WAITED);
}

/* ---- why ------------------------------------------------------------------------------------ */

static void expect_why(struct bench *t, struct conn *c, uint64_t id, const char *code)
{
    struct message m;
    message_init(&m, MSG_WHY);
    m.why.req = ++c->req;
    m.why.job = id;
    bench_tell(t, c, &m);
    bench_turn(t);
    const struct message *y = bench_expect(t, c, MSG_BECAUSE);
    for (size_t i = 0; i < y->because.n_reasons; i++)
        if (str_is(y->because.reasons[i].code, code))
            return;
    fail_msg("why says nothing of %s, but %.*s", code,
             y->because.n_reasons ? (int)y->because.reasons[0].code.n : 0,
             y->because.n_reasons ? y->because.reasons[0].code.p : "");
}

static void why_says_each_gate(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), root = bench_client(t, "rut-1", 0);
    struct job_spec later = bench_spec("cpu"), elsewhere = bench_spec("cpu"),
                    tagged = bench_spec("net");
    later.delay_ms = 100000;
    elsewhere.queue = str_of("elsewhere");
    tagged.priority = 1;
    expect_why(t, &c, bench_submit(t, &c, "cpu"), "no-worker");
    expect_why(t, &c, bench_submit_spec(t, &c, later), "not-due");
    struct conn w = bench_conn("wrk-1", OWN_UID);
    w.name = "w";
    w.queue = "default";
    w.slots[POOL_PROCESS] = 1;
    bench_worker_hello(t, &w, NULL, 0);
    expect_why(t, &c, 1, "fetched-ahead");
    bench_tell_started(t, &w, 1, 1);
    expect_why(t, &c, 1, "running");
    uint64_t full = bench_submit(t, &c, "cpu"), next = bench_submit(t, &c, "cpu");
    expect_why(t, &c, full, "pool-full");
    expect_why(t, &c, next, "order");
    expect_why(t, &c, bench_submit(t, &c, "nobody"), "no-handler");
    expect_why(t, &c, bench_submit_spec(t, &c, elsewhere), "queue-not-served");
    expect_why(t, &c, bench_submit_spec(t, &c, tagged), "pool-off");
    bench_change_one(t, &c, MSG_CANCEL, 1);
    expect_why(t, &c, 1, "cancel-asked");
    struct message m;
    message_init(&m, MSG_PAUSE);
    m.pause.queue = str_of("default");
    m.pause.paused = 1;
    bench_tell(t, &root, &m);
    expect_why(t, &c, full, "paused");
    message_init(&m, MSG_DRAIN);
    m.drain.worker = str_of("w");
    bench_tell(t, &root, &m);
    expect_why(t, &c, full, "draining");
    bench_end(t, &w, 1, 1, ENDING_CANCELLED);
    expect_why(t, &c, 1, "finished");
    struct message none;
    message_init(&none, MSG_WHY);
    none.why.job = (uint64_t)INT64_MAX + 2; /* not job 1 */
    bench_tell(t, &c, &none);
    bench_turn(t);
    bench_expect_error(t, &c, CODE_NOT_FOUND, "no such job");
}

static void why_tells_of_a_backoff_and_of_a_worker_that_is_away(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 0, 1, 0);
    uint64_t id = bench_submit(t, &c, "io");
    bench_end(t, &w, id, 1, ENDING_FAILED);
    expect_why(t, &c, id, "backoff");
    id = bench_submit(t, &c, "io");
    bench_restart(t);
    struct message m = bench_hello(&c, "client");
    bench_tell(t, &c, &m);
    bench_welcome(t, &c);
    expect_why(t, &c, id, "worker-away");
}

static void queues_tell_the_oldest_and_the_counts(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    int64_t first = t->now.wall_ms;
    bench_submit(t, &c, "nobody");
    bench_advance(t, 1000);
    struct job_spec s = bench_spec("nobody");
    s.priority = 7;
    bench_submit_spec(t, &c, s);
    struct message m;
    message_init(&m, MSG_QUEUES);
    bench_tell(t, &c, &m);
    bench_turn(t);
    const struct message *q = bench_expect(t, &c, MSG_QUEUE_LIST);
    assert_int_equal(q->queue_list.n_queues, 1);
    assert_int_equal(q->queue_list.queues[0].oldest_ms, first);
    assert_int_equal(q->queue_list.queues[0].counts[STATE_QUEUED].jobs, 2);
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
        bench_test(a_wait_is_answered_in_the_turn_in_which_the_last_of_its_jobs_ends),
        bench_test(a_submit_can_begin_the_wait_for_its_job_and_the_answer_tells_the_result),
        bench_test(a_wait_that_begins_with_a_submit_leaves_all_but_the_plain_case_to_fetch),
        bench_test(a_repeated_submit_begins_its_wait_again_also_when_the_job_has_ended),
        bench_test(a_submit_begins_no_wait_past_those_that_may_be_open_nor_for_many_jobs),
        bench_test(a_wait_for_any_is_answered_by_the_first_that_ends),
        bench_test(a_wait_for_any_of_very_many_misses_nothing_while_it_is_still_looking),
        bench_test(a_wait_for_jobs_that_do_not_exist_says_so_and_unwait_ends_one),
        bench_test(more_open_waits_than_may_be_get_busy),
        bench_test(why_says_each_gate),
        bench_test(why_tells_of_a_backoff_and_of_a_worker_that_is_away),
        bench_test(queues_tell_the_oldest_and_the_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
