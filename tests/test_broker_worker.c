/* test_broker_worker.c - the core with its workers: results, retries, sessions. */
#include "tests/broker_harness.h"

/* ---- results --------------------------------------------------------------------------------- */

static void a_result_that_is_done_ends_the_job_and_frees_the_slot(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 1, 0, 0);
    uint64_t id = bench_submit_n(t, &c, bench_spec("cpu"), 2);
    bench_end(t, &w, id, 1, ENDING_DONE);
    assert_state(t, id, STATE_DONE);
    assert_int_equal(bench_run(t, &w).job, id + 1);
}

static void
a_failure_is_tried_again_later_within_the_bounds_of_its_backoff_until_it_is_dead(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 1, 0, 0);
    struct job_spec s = bench_spec("cpu");
    s.retries = 4;
    s.backoff_min_ms = 1000;
    s.backoff_max_ms = 3000;
    uint64_t id = bench_submit_spec(t, &c, s);
    static const int64_t most[] = { 1000, 2000, 3000, 3000 };
    for (uint64_t attempt = 1; attempt <= 4; attempt++) {
        assert_int_equal(bench_run(t, &w).attempt, attempt);
        bench_end(t, &w, id, attempt, ENDING_FAILED);
        assert_state(t, id, STATE_SCHEDULED);
        int64_t wait = bench_job(t, id, "due_at") - t->now.wall_ms;
        assert_true(wait >= most[attempt - 1] / 2 && wait <= most[attempt - 1]);
        bench_advance(t, wait - 1);
        bench_beat(t, &w);
        bench_turn(t);
        assert_null(bench_next(t, &w, MSG_RUN));
        bench_advance(t, 1);
        bench_turn(t);
    }
    bench_end(t, &w, id, 5, ENDING_FAILED);
    assert_state(t, id, STATE_DEAD);
    assert_int_equal(bench_number(t, "SELECT count(*) FROM attempt"), 5);
    assert_int_equal(bench_job(t, id, "failures"), 5);
}

static void retries_come_from_the_handler_where_the_submitter_named_none(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 1, 1, 0);
    uint64_t cpu = bench_submit(t, &c, "cpu"), io = bench_submit(t, &c, "io");
    bench_end(t, &w, cpu, 1, ENDING_FAILED);
    bench_end(t, &w, io, 1, ENDING_FAILED);
    assert_state(t, cpu, STATE_DEAD);
    assert_state(t, io, STATE_SCHEDULED);
}

static void a_failure_for_good_is_not_tried_again(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 1, 1, 0);
    uint64_t id = bench_submit(t, &c, "io");
    struct outcome o = bench_outcome(id, 1, ENDING_FAILED);
    o.for_good = 1;
    bench_tell_outcome(t, &w, o);
    bench_turn(t);
    assert_state(t, id, STATE_DEAD);
}

static void a_result_of_an_older_attempt_is_acknowledged_but_not_recorded(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 0, 1, 0);
    uint64_t id = bench_submit(t, &c, "io");
    bench_end(t, &w, id, 1, ENDING_FAILED);
    bench_advance(t, 1000);
    bench_turn(t);
    assert_int_equal(bench_run(t, &w).attempt, 2);
    bench_end(t, &w, id, 1, ENDING_DONE);
    assert_state(t, id, STATE_RUNNING);
    bench_end(t, &w, id, 3, ENDING_DONE);
    assert_state(t, id, STATE_RUNNING);
    assert_int_equal(t->broker->counts.refused_results, 2);
    bench_end(t, &w, id, 2, ENDING_DONE);
    bench_end(t, &w, id, 2, ENDING_FAILED);
    assert_state(t, id, STATE_DONE);
    assert_int_equal(bench_number(t, "SELECT count(*) FROM attempt"), 2);
}

static void a_result_from_a_worker_that_does_not_hold_the_lease_is_not_recorded(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 1, 0, 0),
                v = bench_worker(t, "vrk-2", 0, 1, 0);
    uint64_t id = bench_submit(t, &c, "cpu");
    bench_end(t, &v, id, 1, ENDING_DONE);
    assert_state(t, id, STATE_RUNNING);
    bench_end(t, &v, 12345, 1, ENDING_DONE);
    bench_end(t, &w, id, 1, ENDING_DONE);
    assert_state(t, id, STATE_DONE);
}

static void an_outcome_out_of_all_bounds_makes_a_row_that_can_be_read(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 1, 0, 0);
    char error[1100];
    memset(error, 'x', 1023);
    memcpy(error + 1023, "\xc3\xa9", 3);
    uint64_t id = bench_submit(t, &c, "cpu");
    struct outcome o = bench_outcome(id, 1, (enum ending)99);
    o.reason = 1000;
    o.pool = 77;
    o.wall_us = INT64_MIN + 1;
    o.cpu_us = INT64_MAX;
    o.ago_us = INT64_MAX;
    o.exit_code = INT64_MAX;
    o.error = str_of(error);
    bench_tell_outcome(t, &w, o);
    assert_int_equal(bench_turn(t), 0);
    assert_state(t, id, STATE_DEAD);
    char *why = NULL;
    struct store_reader *r;
    assert_int_equal(store_reader_open(&r, t->path, &why), 0);
    struct message ask, m;
    message_init(&ask, MSG_LIST);
    struct buf b;
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    assert_int_equal(store_reader_answer(r, &ask, STR_UNSET, &b), 0);
    const char *bad;
    assert_int_equal(message_decode(&m, b.p, b.n, &bad), 0);
    assert_int_equal(m.jobs.n_jobs, 1);
    assert_int_equal(m.jobs.jobs[0].error.n, 1023);
    message_fini(&m);
    buf_fini(&b);
    store_reader_close(r);
}

/* ---- sessions -------------------------------------------------------------------------------- */

static void hello_keeps_what_is_held_takes_back_what_is_not_and_names_what_is_gone(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 4, 0, 0);
    uint64_t id = bench_submit_n(t, &c, bench_spec("cpu"), 3);
    w.slots[POOL_PROCESS] = 0; /* so that nothing is sent again */
    struct held held[4] = { { id, 1, HELD_RUNNING, 0 },
                            { id + 1, 1, HELD_FINISHED, 0 },
                            { id, 7, HELD_RUNNING, 0 },
                            { 999, 1, HELD_WAITING, 0 } };
    const struct message *m = bench_worker_hello(t, &w, held, 4);
    assert_int_equal(m->welcome.n_gone, 2);
    assert_int_equal(m->welcome.gone[0].attempt, 7);
    assert_int_equal(m->welcome.gone[1].job, 999);
    assert_state(t, id, STATE_RUNNING);
    assert_state(t, id + 1, STATE_RUNNING);
    assert_state(t, id + 2, STATE_QUEUED);
    assert_int_equal(bench_job(t, id + 2, "crashes + failures"), 0);
    bench_end(t, &w, id + 1, 1, ENDING_DONE);
    assert_state(t, id + 1, STATE_DONE);
}

static void after_a_restart_a_worker_keeps_what_it_holds_and_its_results_count(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 4, 0, 0);
    uint64_t id = bench_submit_n(t, &c, bench_spec("cpu"), 4);
    bench_restart(t);
    bench_turn(t);
    assert_int_equal(bench_number(t, "SELECT count(*) FROM job WHERE state = 3"), 4);
    bench_beat(t, &w); /* of the session before */
    bench_turn(t);
    bench_expect(t, &w, MSG_HELLO_AGAIN);
    struct held held[3] = { { id, 1, HELD_RUNNING, 0 },
                            { id + 1, 1, HELD_FINISHED, 0 },
                            { id + 2, 1, HELD_WAITING, 0 } };
    assert_int_equal(bench_worker_hello(t, &w, held, 3)->welcome.n_gone, 0);
    struct run_job run = bench_run(t, &w);
    assert_int_equal(run.job, id + 3); /* its RUN had not arrived */
    assert_int_equal(run.attempt, 2);
    bench_end(t, &w, id, 1, ENDING_DONE);
    bench_end(t, &w, id + 1, 1, ENDING_DONE);
    bench_live(t, LOST_AFTER_MS); /* and then it is lost */
    assert_state(t, id, STATE_DONE);
    assert_state(t, id + 1, STATE_DONE);
    assert_int_equal(bench_job(t, id + 2, "crashes"), 0); /* it had not started */
    assert_int_equal(bench_job(t, id + 2, "state"), STATE_QUEUED);
}

static void a_worker_that_does_not_come_back_after_a_restart_is_lost_after_its_grace(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 1, 0, 0);
    uint64_t id = bench_submit(t, &c, "cpu");
    (void)w;
    bench_advance(t, 3600000);
    bench_restart(t);
    bench_live(t, LOST_AFTER_MS - 1);
    assert_state(t, id, STATE_RUNNING);
    bench_live(t, 1);
    assert_state(t, id, STATE_QUEUED);
}

/* With a crash limit of 1: what is known to have started is dead, what may never have left the broker runs. */
static void a_loss_after_a_restart_counts_for_what_had_run_for_long(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 2, 0, 0);
    struct job_spec spec = bench_spec("cpu");
    spec.crash_limit = 1;
    uint64_t id = bench_submit_n(t, &c, spec, 2);
    bench_tell_started(t, &w, id, 1);
    bench_live(t, 2000);
    bench_restart(t);
    bench_live(t, LOST_AFTER_MS);
    assert_state(t, id, STATE_DEAD);
    assert_int_equal(bench_job(t, id, "crashes"), 1);
    assert_state(t, id + 1, STATE_QUEUED);
    assert_int_equal(bench_job(t, id + 1, "crashes"), 0);
}

static void a_gap_in_a_workers_reports_ends_its_session_and_a_repetition_does_nothing(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 2, 0, 0);
    uint64_t id = bench_submit(t, &c, "cpu");
    struct given_back given = { .job = id, .attempt = 1 };
    struct message m;
    message_init(&m, MSG_GIVEN);
    m.given.attempts = &given;
    m.given.n_attempts = 1;
    m.given.number = 1;
    bench_tell(t, &w, &m);
    bench_turn(t);
    assert_int_equal(bench_run(t, &w).attempt, 2);
    given.attempt = 2;
    bench_tell(t, &w, &m); /* the network says 1 again */
    bench_turn(t);
    assert_state(t, id, STATE_RUNNING);
    m.given.number = 3;
    bench_tell(t, &w, &m);
    bench_turn(t);
    bench_expect(t, &w, MSG_HELLO_AGAIN);
    assert_int_equal(bench_job(t, id, "attempt"), 2);
    assert_state(t, id, STATE_RUNNING); /* until HELLO says how it is */
    bench_worker_hello(t, &w, NULL, 0);
    assert_int_equal(bench_run(t, &w).attempt, 3);
}

static void a_hello_that_comes_late_is_ignored_and_a_new_connection_takes_over(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 2, 0, 0), old = w;
    uint64_t id = bench_submit(t, &c, "cpu");
    memcpy(w.id, "wrk-2", ROUTING_ID_BYTES);
    struct held held = { id, 1, HELD_RUNNING, 0 };
    bench_worker_hello(t, &w, &held, 1);
    assert_state(t, id, STATE_RUNNING);
    struct message m = bench_hello(&old, "worker");
    m.hello.name = str_of(old.name);
    m.hello.count = 1;
    bench_tell(t, &old, &m);
    bench_turn(t);
    assert_null(bench_next(t, &old, MSG_WELCOME));
    assert_state(t, id, STATE_RUNNING);
    bench_end(t, &w, id, 1, ENDING_DONE);
    assert_state(t, id, STATE_DONE);
}

static void a_hello_that_comes_late_is_ignored_also_when_the_disk_was_full_meanwhile(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 2, 0, 0);
    uint64_t id = bench_submit(t, &c, "cpu");
    t->broker->failed = -ENOSPC;
    bench_turn(t);
    bench_expect(t, &w, MSG_HELLO_AGAIN);
    struct message m = bench_hello(&w, "worker");
    m.hello.name = str_of(w.name);
    m.hello.count = 1; /* of before it had the job */
    bench_tell(t, &w, &m);
    bench_turn(t);
    assert_null(bench_next(t, &w, MSG_WELCOME));
    assert_state(t, id, STATE_RUNNING);
    struct held held = { id, 1, HELD_RUNNING, 0 };
    assert_int_equal(bench_worker_hello(t, &w, &held, 1)->welcome.n_gone, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        bench_test(a_result_that_is_done_ends_the_job_and_frees_the_slot),
        bench_test(
            a_failure_is_tried_again_later_within_the_bounds_of_its_backoff_until_it_is_dead),
        bench_test(retries_come_from_the_handler_where_the_submitter_named_none),
        bench_test(a_failure_for_good_is_not_tried_again),
        bench_test(a_result_of_an_older_attempt_is_acknowledged_but_not_recorded),
        bench_test(a_result_from_a_worker_that_does_not_hold_the_lease_is_not_recorded),
        bench_test(an_outcome_out_of_all_bounds_makes_a_row_that_can_be_read),
        bench_test(hello_keeps_what_is_held_takes_back_what_is_not_and_names_what_is_gone),
        bench_test(after_a_restart_a_worker_keeps_what_it_holds_and_its_results_count),
        bench_test(a_worker_that_does_not_come_back_after_a_restart_is_lost_after_its_grace),
        bench_test(a_loss_after_a_restart_counts_for_what_had_run_for_long),
        bench_test(a_gap_in_a_workers_reports_ends_its_session_and_a_repetition_does_nothing),
        bench_test(a_hello_that_comes_late_is_ignored_and_a_new_connection_takes_over),
        bench_test(a_hello_that_comes_late_is_ignored_also_when_the_disk_was_full_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
