/* test_broker_worker.c - the core with its workers: dispatch, credit, leases, results, retries,
 * losses, sessions. */
#include "tests/broker_harness.h"

/* ---- dispatch ------------------------------------------------------------------------------- */

static void order_is_by_priority_then_by_age_across_classes(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    static const struct { const char *handler, *queue; int64_t priority;
    } asked[] = {
        { "cpu", "a", 0 },  { "cpu", "b", 5 },  { "exec", "a", 0 }, { "cpu", "b", 0 },
        { "exec", "b", 5 }, { "cpu", "a", -1 }, { "exec", "c", 9 }, { "cpu", "a", 5 },
    };
    static const uint64_t order[] = { 7, 2, 5, 8, 1, 3, 4, 6 };
    for (size_t i = 0; i < ELEMENTS(asked); i++) {
        struct job_spec s = bench_spec(asked[i].handler);
        s.queue = str_of(asked[i].queue);
        s.priority = asked[i].priority;
        bench_submit_spec(t, &c, s);
    }
    struct conn w = bench_worker(t, "wrk-1", 1, 0, 0);
    for (size_t i = 0; i < ELEMENTS(order); i++) {
        struct run_job run = bench_run(t, &w);
        assert_int_equal(run.job, order[i]);
        bench_end(t, &w, run.job, run.attempt, ENDING_DONE);
    }
}

static void what_cannot_run_stands_in_nobodys_way(void **state)
{
    struct bench *t = *state;
    t->unchecked = true;
    struct conn c = bench_client(t, "cli-1", 1000), root = bench_client(t, "rut-1", 0);
    bench_submit_n(t, &c, bench_spec("nobody"), 5000);
    struct job_spec s = bench_spec("cpu");
    s.queue = str_of("paused");
    bench_submit_n(t, &c, s, 5000);
    struct message m;
    message_init(&m, MSG_PAUSE);
    m.pause.req = 9;
    m.pause.queue = str_of("paused");
    m.pause.paused = 1;
    bench_tell(t, &root, &m);
    bench_turn(t);
    bench_expect(t, &root, MSG_OK);
    bench_submit_n(t, &c, bench_spec("net"), 5000); /* its pool will be full */
    struct conn w = bench_worker(t, "wrk-1", 1, 1, 2);
    struct run_job runs[8];
    assert_int_equal(bench_runs(t, &w, runs, 8), 2);
    uint64_t id = bench_submit(t, &c, "cpu");
    struct run_job run = bench_run(t, &w);
    assert_int_equal(run.job, id);
    assert_int_equal(run.pool, POOL_PROCESS);
    id = bench_submit(t, &c, "io");
    run = bench_run(t, &w);
    assert_int_equal(run.job, id);
    assert_int_equal(run.pool, POOL_THREAD);
    assert_int_equal(t->broker->leases.n, 4);
    t->unchecked = false;
    bench_turn(t);
}

static void large_payloads_are_sent_a_few_a_turn_in_their_order(void **state)
{
    struct bench *t = *state;
    enum { JOBS = 60 };
    static char payload[1 << 20];
    t->broker->options.max_payload_bytes = sizeof payload;
    struct conn c = bench_client(t, "cli-1", 1000);
    struct job_spec s = bench_spec("net");
    s.payload = (struct str){ payload, sizeof payload };
    for (int i = 0; i < JOBS; i += 10)
        bench_submit_n(t, &c, s, 10);
    struct conn w = bench_worker(t, "wrk-1", 1, 1, 1000);
    struct run_job runs[JOBS];
    uint64_t next = 1;
    for (int turn = 0; next <= JOBS; turn++) {
        size_t n = bench_runs(t, &w, runs, JOBS);
        assert_in_range(n, 1, 10);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(runs[i].job, next++);
        assert_true(turn < 10);
        if (next <= JOBS)
            assert_true(bench_turn(t) >= 0);
    }
    assert_int_equal(t->broker->leases.n, JOBS);
}

static void a_worker_that_has_enough_to_read_gets_nothing_more_until_it_has_read(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 1, 1, 10);
    struct worker *worker;
    size_t i = 0;
    worker = strmap_next(&t->broker->workers, &i);
    worker->reads_late = true;
    uint64_t id = bench_submit(t, &c, "net");
    assert_null(bench_next(t, &w, MSG_RUN));
    worker->reads_late = false;
    t->broker->credit_changes++;
    bench_turn(t);
    assert_int_equal(bench_run(t, &w).job, id);
}

static void run_says_all_that_the_worker_needs(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 1, 1, 1);
    struct job_spec s = bench_spec("io");
    s.queue = str_of("q");
    s.name = str_of("a name");
    s.payload = (struct str){ "\0\1\2", 3 };
    s.memory_bytes = 1 << 20;
    s.kill_grace_ms = 700;
    s.expire_ms = 9000;
    uint64_t id = bench_submit_spec(t, &c, s);
    struct run_job run = bench_run(t, &w);
    assert_int_equal(run.job, id);
    assert_int_equal(run.attempt, 1);
    assert_true(str_is(run.queue, "q") && str_is(run.handler, "io") && str_is(run.name, "a name"));
    assert_true(str_equal(run.payload, s.payload));
    assert_int_equal(run.pool, POOL_THREAD);
    assert_int_equal(run.timeout_ms, 5000); /* the handler's own */
    assert_int_equal(run.memory_bytes, 1 << 20);
    assert_int_equal(run.kill_grace_ms, 700);
    assert_int_equal(run.expire_in_ms, 9000);
    assert_int_equal(bench_job(t, id, "worker"), 1);
    s.timeout_ms = 0;
    bench_end(t, &w, id, 1, ENDING_DONE);
    bench_submit_spec(t, &c, s);
    assert_int_equal(bench_run(t, &w).timeout_ms, UNSET); /* 0: none */
}

static void credit_is_never_exceeded_and_always_used(void **state)
{
    struct bench *t = *state;
    t->unchecked = true;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 3, 0, 0),
                v = bench_worker(t, "vrk-2", 2, 0, 0);
    const size_t all = 700;
    bench_submit_n(t, &c, bench_spec("cpu"), all);
    struct run_job out[2][16];
    size_t n[2] = { 0, 0 }, done = 0;
    struct rng rng;
    rng_init(&rng, 5);
    struct conn *workers[2] = { &w, &v };
    const size_t slots[2] = { 3, 2 };
    while (done < all) {
        for (int k = 0; k < 2; k++) {
            n[k] += bench_runs(t, workers[k], out[k] + n[k], 16 - n[k]);
            assert_true(n[k] <= slots[k]);
            assert_true(n[k] == slots[k] || done + n[0] + n[1] == all || k == 0);
        }
        size_t k = rng_below(&rng, 2);
        if (!n[k])
            k = 1 - k;
        n[k]--;
        struct outcome o = bench_outcome(out[k][n[k]].job, out[k][n[k]].attempt, ENDING_DONE);
        o.wall_us = 50000; /* too long to be fetched ahead */
        bench_tell_outcome(t, workers[k], o);
        done++;
        bench_turn(t);
    }
    assert_int_equal(bench_number(t, "SELECT count(*) FROM job WHERE state = 4 AND attempt = 1"),
                     all);
}

static void short_jobs_are_fetched_ahead_within_a_bound(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 2, 0, 0);
    for (int i = 0; i < 10; i++) {
        uint64_t id = bench_submit(t, &c, "cpu");
        struct outcome o = bench_outcome(id, 1, ENDING_DONE);
        o.wall_us = 1000;
        bench_tell_outcome(t, &w, o);
        bench_turn(t);
    }
    bench_submit_n(t, &c, bench_spec("cpu"), 100);
    struct run_job runs[100];
    assert_int_equal(bench_runs(t, &w, runs, 100), 2 + 2 * 20); /* 20 ms of work for each slot */
}

static void room_that_moves_from_one_pool_to_another_is_seen(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 0, 1, 0);
    uint64_t id = bench_submit(t, &c, "cpu");
    bench_turn(t);
    struct pool_load pools[2] = { { .pool = POOL_PROCESS, .slots = 1 },
                                  { .pool = POOL_THREAD, .slots = 0 } };
    struct message m;
    message_init(&m, MSG_BEAT);
    m.beat.pools = pools;
    m.beat.n_pools = 2;
    bench_tell(t, &w, &m);
    bench_turn(t);
    assert_int_equal(bench_run(t, &w).job, id);
}

static void a_worker_gets_jobs_of_its_queues_alone(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_conn("wrk-1", OWN_UID);
    w.name = "w";
    w.queue = "mine";
    w.slots[POOL_PROCESS] = 5;
    bench_worker_hello(t, &w, NULL, 0);
    struct job_spec s = bench_spec("cpu");
    bench_submit_spec(t, &c, s);
    assert_null(bench_next(t, &w, MSG_RUN));
    s.queue = str_of("mine");
    uint64_t id = bench_submit_spec(t, &c, s);
    assert_int_equal(bench_run(t, &w).job, id);
}

/* ---- results -------------------------------------------------------------------------------- */

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

/* ---- losses --------------------------------------------------------------------------------- */

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

/* It ends its worker before that can say that it has begun. */
static void what_a_worker_was_lost_under_twice_unbegun_runs_again_in_a_process(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    uint64_t id = bench_submit(t, &c, "io");
    for (uint64_t i = 1; i <= 2; i++) {
        struct conn w = bench_worker(t, "wrk-1", 4, 4, 4);
        assert_int_equal(bench_run(t, &w).pool, POOL_THREAD);
        lose(t, &w, id, i, false);
        assert_state(t, id, STATE_QUEUED);
        assert_int_equal(bench_job(t, id, "crashes"), 0);
    }
    for (uint64_t i = 3; i <= 6; i++) { /* in a process it is innocent of that */
        struct conn w = bench_worker(t, "wrk-1", 4, 4, 4);
        assert_int_equal(bench_run(t, &w).pool, POOL_PROCESS);
        lose(t, &w, id, i, false);
        assert_int_equal(bench_job(t, id, "crashes"), 0);
    }
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
    for (uint64_t i = 1; i <= 4; i++) {
        struct conn w = bench_worker(t, "wrk-1", 0, 4, 4);
        assert_int_equal(bench_run(t, &w).pool, POOL_THREAD);
        lose(t, &w, id, i, false);
        assert_int_equal(bench_job(t, id, "crashes"), 0);
    }
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

/* ---- sessions ------------------------------------------------------------------------------- */

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

/* ---- taking back ---------------------------------------------------------------------------- */

static void pause_stops_a_queue_takes_back_what_has_not_started_and_survives_a_restart(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), root = bench_client(t, "rut-1", 0),
                w = bench_worker(t, "wrk-1", 3, 0, 0);
    uint64_t id = bench_submit_n(t, &c, bench_spec("cpu"), 2);
    bench_tell_started(t, &w, id, 1);
    struct message m;
    message_init(&m, MSG_PAUSE);
    m.pause.queue = str_of("default");
    m.pause.paused = 1;
    bench_tell(t, &root, &m);
    bench_turn(t);
    const struct message *back = bench_expect(t, &w, MSG_TAKE_BACK);
    assert_int_equal(back->take_back.n_attempts, 1);
    assert_int_equal(back->take_back.attempts[0].job, id + 1);
    struct given_back g = { .job = id + 1, .attempt = 1 };
    struct message given;
    message_init(&given, MSG_GIVEN);
    given.given.attempts = &g;
    given.given.n_attempts = 1;
    bench_tell(t, &w, &given);
    bench_turn(t);
    assert_state(t, id, STATE_RUNNING);
    assert_state(t, id + 1, STATE_QUEUED);
    bench_restart(t);
    struct held held = { id, 1, HELD_RUNNING, 0 };
    bench_worker_hello(t, &w, &held, 1);
    assert_null(bench_next(t, &w, MSG_RUN));
    struct message hello = bench_hello(&root, "client");
    bench_tell(t, &root, &hello);
    bench_welcome(t, &root);
    m.pause.paused = 0;
    bench_tell(t, &root, &m);
    bench_turn(t);
    assert_int_equal(bench_run(t, &w).job, id + 1);
}

static void a_worker_that_drains_gets_nothing_more(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), root = bench_client(t, "rut-1", 0),
                w = bench_worker(t, "wrk-1", 3, 0, 0);
    struct message m;
    message_init(&m, MSG_DRAIN);
    m.drain.worker = str_of(w.name);
    bench_tell(t, &root, &m);
    bench_turn(t);
    bench_expect(t, &root, MSG_OK);
    bench_expect(t, &w, MSG_DRAIN);
    bench_submit(t, &c, "cpu");
    assert_null(bench_next(t, &w, MSG_RUN));
    bench_worker_hello(t, &w, NULL, 0); /* and back */
    assert_int_equal(bench_run(t, &w).job, 1);
}

static void an_idle_worker_takes_over_what_another_was_given_ahead(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 2, 0, 0);
    uint64_t id = bench_submit_n(t, &c, bench_spec("cpu"), 2);
    bench_tell_started(t, &w, id, 1);
    struct conn v = bench_worker(t, "vrk-2", 2, 0, 0);
    bench_advance(t, 500);
    bench_turn(t);
    const struct message *back = bench_expect(t, &w, MSG_TAKE_BACK);
    assert_int_equal(back->take_back.n_attempts, 1);
    assert_int_equal(back->take_back.attempts[0].job, id + 1);
    (void)v;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        bench_test(order_is_by_priority_then_by_age_across_classes),
        bench_test(what_cannot_run_stands_in_nobodys_way),
        bench_test(large_payloads_are_sent_a_few_a_turn_in_their_order),
        bench_test(a_worker_that_has_enough_to_read_gets_nothing_more_until_it_has_read),
        bench_test(run_says_all_that_the_worker_needs),
        bench_test(credit_is_never_exceeded_and_always_used),
        bench_test(short_jobs_are_fetched_ahead_within_a_bound),
        bench_test(room_that_moves_from_one_pool_to_another_is_seen),
        bench_test(a_worker_gets_jobs_of_its_queues_alone),
        bench_test(a_result_that_is_done_ends_the_job_and_frees_the_slot),
        bench_test(
            a_failure_is_tried_again_later_within_the_bounds_of_its_backoff_until_it_is_dead),
        bench_test(retries_come_from_the_handler_where_the_submitter_named_none),
        bench_test(a_failure_for_good_is_not_tried_again),
        bench_test(a_result_of_an_older_attempt_is_acknowledged_but_not_recorded),
        bench_test(a_result_from_a_worker_that_does_not_hold_the_lease_is_not_recorded),
        bench_test(an_outcome_out_of_all_bounds_makes_a_row_that_can_be_read),
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
        bench_test(hello_keeps_what_is_held_takes_back_what_is_not_and_names_what_is_gone),
        bench_test(after_a_restart_a_worker_keeps_what_it_holds_and_its_results_count),
        bench_test(a_worker_that_does_not_come_back_after_a_restart_is_lost_after_its_grace),
        bench_test(a_loss_after_a_restart_counts_for_what_had_run_for_long),
        bench_test(a_gap_in_a_workers_reports_ends_its_session_and_a_repetition_does_nothing),
        bench_test(a_hello_that_comes_late_is_ignored_and_a_new_connection_takes_over),
        bench_test(a_hello_that_comes_late_is_ignored_also_when_the_disk_was_full_meanwhile),
        bench_test(pause_stops_a_queue_takes_back_what_has_not_started_and_survives_a_restart),
        bench_test(a_worker_that_drains_gets_nothing_more),
        bench_test(an_idle_worker_takes_over_what_another_was_given_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
