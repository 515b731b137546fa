/* test_broker_dispatch.c - the core gives its workers what they have room for, in order, and takes back what they have not begun. */
#include "tests/broker_harness.h"

/* ---- dispatch -------------------------------------------------------------------------------- */

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
    bench_ask_pause(t, &root, "paused");
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

/* ---- taking back ----------------------------------------------------------------------------- */

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

static void give_back(struct bench *t, struct conn *w, uint64_t id, uint64_t attempt)
{
    const struct message *back = bench_expect(t, w, MSG_TAKE_BACK);
    assert_int_equal(back->take_back.attempts[0].job, id);
    assert_int_equal(back->take_back.attempts[0].attempt, attempt);
    struct given_back g = { .job = id, .attempt = attempt };
    struct message given;
    message_init(&given, MSG_GIVEN);
    given.given.attempts = &g;
    given.given.n_attempts = 1;
    bench_tell(t, w, &given);
    bench_turn(t);
}

static void what_nobody_begins_is_not_handed_to_and_fro(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 1, 0, 0);
    uint64_t id = bench_submit(t, &c, "cpu");
    assert_int_equal(bench_run(t, &w).attempt, 1);
    struct conn v = bench_worker(t, "vrk-2", 1, 0, 0);
    bench_advance(t, 500);
    bench_turn(t);
    give_back(t, &w, id, 1);
    assert_int_equal(bench_run(t, &v).attempt, 2); /* though neither has anything */
    bench_advance(t, 500);
    bench_turn(t);
    assert_null(bench_next(t, &v, MSG_TAKE_BACK)); /* the other one was late as well */
    bench_advance(t, 1000); /* that is forgiven */
    bench_turn(t);
    give_back(t, &v, id, 2);
    assert_int_equal(bench_run(t, &w).attempt, 3);
    bench_tell_started(t, &w, id, 3);
    bench_advance(t, 5000);
    bench_turn(t);
    assert_null(bench_next(t, &w, MSG_TAKE_BACK));
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
        bench_test(pause_stops_a_queue_takes_back_what_has_not_started_and_survives_a_restart),
        bench_test(a_worker_that_drains_gets_nothing_more),
        bench_test(an_idle_worker_takes_over_what_another_was_given_ahead),
        bench_test(what_nobody_begins_is_not_handed_to_and_fro),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
