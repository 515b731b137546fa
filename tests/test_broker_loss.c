/* test_broker_loss.c - the core loses workers: what they held is counted, tried again, and not by mistake. */
#include "tests/broker_harness.h"

static void a_silent_worker_loses_its_leases_after_its_grace_and_not_before(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 2, 0, 0);
    uint64_t id = bench_submit_n(t, &c, bench_spec("cpu"), 2);
    bench_tell_started(t, &w, id, 1);
    bench_live(t, LOST_AFTER_MS - 1);
    assert_state(t, id, STATE_RUNNING);
    bench_live(t, 1);
    assert_state(t, id, STATE_QUEUED);
    assert_state(t, id + 1, STATE_QUEUED);
    assert_int_equal(bench_job(t, id, "crashes"), 1);
    assert_int_equal(bench_job(t, id + 1, "crashes"), 0); /* it had not started */
    assert_int_equal(t->broker->workers.n, 0);
    bench_tell_outcome(t, &w, bench_outcome(id, 1, ENDING_DONE));
    bench_turn(t);
    bench_expect(t, &w, MSG_HELLO_AGAIN);
    assert_state(t, id, STATE_QUEUED);
}

static void a_worker_that_beats_keeps_its_leases_for_ever(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 2, 0, 0);
    uint64_t id = bench_submit(t, &c, "cpu");
    for (int i = 0; i < 100; i++) {
        bench_live(t, LOST_AFTER_MS - 1);
        bench_beat(t, &w);
        bench_turn(t);
    }
    assert_state(t, id, STATE_RUNNING);
    assert_int_equal(bench_job(t, id, "attempt"), 1);
}

static void a_broker_that_was_silent_itself_judges_nobody_for_that(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    bench_worker(t, "wrk-1", 2, 0, 0);
    uint64_t id = bench_submit(t, &c, "cpu");
    bench_advance(t, 100 * LOST_AFTER_MS);
    bench_turn(t);
    assert_state(t, id, STATE_RUNNING);
    bench_live(t, LOST_AFTER_MS - 1);
    assert_state(t, id, STATE_RUNNING);
    bench_live(t, 1);
    assert_state(t, id, STATE_QUEUED);
}

static void lose(struct bench *t, struct conn *w, uint64_t id, uint64_t attempt, bool started)
{
    if (started)
        bench_tell_started(t, w, id, attempt);
    bench_live(t, LOST_AFTER_MS);
}

static void the_crash_limit_counts_only_attempts_that_had_started(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    uint64_t id = bench_submit(t, &c, "cpu"), attempt = 0;
    for (int i = 0; i < 5; i++) {
        struct conn w = bench_worker(t, "wrk-1", 1, 0, 0);
        attempt = bench_run(t, &w).attempt;
        lose(t, &w, id, attempt, false);
        assert_state(t, id, STATE_QUEUED);
    }
    assert_int_equal(bench_job(t, id, "crashes"), 0);
    for (int i = 1; i <= 3; i++) {
        struct conn w = bench_worker(t, "wrk-1", 1, 0, 0);
        attempt = bench_run(t, &w).attempt;
        lose(t, &w, id, attempt, true);
        assert_int_equal(bench_job(t, id, "crashes"), i);
        assert_state(t, id, i < 3 ? STATE_QUEUED : STATE_DEAD);
    }
    assert_int_equal(attempt, 8);
    assert_int_equal(bench_number(t, "SELECT count(*) FROM attempt WHERE reason = 8"), 3);
}

static void what_a_worker_was_lost_under_in_a_thread_runs_again_in_a_process(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 4, 4, 4);
    uint64_t id = bench_submit(t, &c, "io");
    assert_int_equal(bench_run(t, &w).pool, POOL_THREAD);
    lose(t, &w, id, 1, true);
    struct conn v = bench_worker(t, "vrk-2", 4, 4, 4);
    struct run_job run = bench_run(t, &v);
    assert_int_equal(run.job, id);
    assert_int_equal(run.pool, POOL_PROCESS);
    bench_end(t, &v, id, run.attempt, ENDING_DONE);
    assert_state(t, id, STATE_DONE);
}

/* A worker that has so many processes comes, is to run it in that pool, and is lost before it has said that it has begun: which
 * is not counted. */
static void lose_unbegun(struct bench *t, uint64_t id, uint64_t attempt, uint64_t processes, enum pool_kind pool)
{
    struct conn w = bench_worker(t, "wrk-1", processes, 4, 4);
    assert_int_equal(bench_run(t, &w).pool, pool);
    lose(t, &w, id, attempt, false);
    assert_int_equal(bench_job(t, id, "crashes"), 0);
}

/* It ends its worker before that can say that it has begun. */
static void what_a_worker_was_lost_under_twice_unbegun_runs_again_in_a_process(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    uint64_t id = bench_submit(t, &c, "io");
    for (uint64_t i = 1; i <= 2; i++) {
        lose_unbegun(t, id, i, 4, POOL_THREAD);
        assert_state(t, id, STATE_QUEUED);
    }
    for (uint64_t i = 3; i <= 6; i++) /* in a process it is innocent of that */
        lose_unbegun(t, id, i, 4, POOL_PROCESS);
    struct conn w = bench_worker(t, "wrk-1", 4, 4, 4);
    struct run_job run = bench_run(t, &w);
    bench_end(t, &w, id, run.attempt, ENDING_DONE);
    assert_state(t, id, STATE_DONE);
}

static void nothing_waits_for_processes_that_its_workers_do_not_have(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    uint64_t id = bench_submit(t, &c, "io");
    for (uint64_t i = 1; i <= 4; i++)
        lose_unbegun(t, id, i, 0, POOL_THREAD);
}

static void suspects_that_cannot_run_in_a_process_run_a_few_at_a_time(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 0, 0, 10);
    uint64_t id = bench_submit_n(t, &c, bench_spec("net"), 8);
    for (uint64_t i = 0; i < 8; i++)
        bench_tell_started(t, &w, id + i, 1);
    bench_live(t, LOST_AFTER_MS);
    struct conn v = bench_worker(t, "vrk-2", 0, 0, 10);
    struct run_job runs[8];
    size_t n = bench_runs(t, &v, runs, 8);
    assert_int_equal(n, 2);
    for (size_t done = 0; done < 8;) {
        for (size_t i = 0; i < n; i++, done++)
            bench_tell_outcome(t, &v, bench_outcome(runs[i].job, runs[i].attempt, ENDING_DONE));
        bench_turn(t);
        n = bench_runs(t, &v, runs, 8);
        assert_true(n <= 2);
    }
    assert_int_equal(bench_number(t, "SELECT count(*) FROM job WHERE state = 4"), 8);
}

static void bye_of_a_worker_hands_everything_back_uncounted(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 2, 0, 0);
    uint64_t id = bench_submit_n(t, &c, bench_spec("cpu"), 2);
    bench_tell_started(t, &w, id, 1);
    struct message m;
    message_init(&m, MSG_BYE);
    bench_tell(t, &w, &m);
    bench_turn(t);
    for (uint64_t i = 0; i < 2; i++) {
        assert_state(t, id + i, STATE_QUEUED);
        assert_int_equal(bench_job(t, id + i, "crashes + failures"), 0);
    }
    assert_int_equal(t->broker->workers.n, 0);
}

static void a_run_that_the_socket_refuses_goes_back_uncounted(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 2, 0, 0);
    memcpy(t->refuse_to, w.id, ROUTING_ID_BYTES);
    t->refuse = -EHOSTUNREACH;
    uint64_t id = bench_submit(t, &c, "cpu");
    bench_turn(t);
    assert_state(t, id, STATE_QUEUED);
    assert_int_equal(bench_job(t, id, "crashes + failures"), 0);
    t->refuse = 0;
    bench_worker_hello(t, &w, NULL, 0);
    assert_int_equal(bench_run(t, &w).attempt, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        bench_test(a_silent_worker_loses_its_leases_after_its_grace_and_not_before),
        bench_test(a_worker_that_beats_keeps_its_leases_for_ever),
        bench_test(a_broker_that_was_silent_itself_judges_nobody_for_that),
        bench_test(the_crash_limit_counts_only_attempts_that_had_started),
        bench_test(what_a_worker_was_lost_under_in_a_thread_runs_again_in_a_process),
        bench_test(what_a_worker_was_lost_under_twice_unbegun_runs_again_in_a_process),
        bench_test(nothing_waits_for_processes_that_its_workers_do_not_have),
        bench_test(suspects_that_cannot_run_in_a_process_run_a_few_at_a_time),
        bench_test(bye_of_a_worker_hands_everything_back_uncounted),
        bench_test(a_run_that_the_socket_refuses_goes_back_uncounted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
