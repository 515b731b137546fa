/* test_old_workers.c - the core with workers that come and go: what is kept of them, and for how long. */
#include "tests/broker_harness.h"

#define DAY_MS 86400000ll

static int64_t rows(struct bench *t) { return bench_number(t, "SELECT count(*) FROM worker"); }
static void expect_rows(struct bench *t, int64_t n) { assert_int_equal(rows(t), n); }

/* Whoever was connected is lost. The rows are looked at: as many slices as there are. */
static void days_go_by(struct bench *t, int64_t days)
{
    bench_advance(t, days * DAY_MS);
    bench_live(t, 60000);
}

static struct conn worker_that_says_hello_later(void)
{
    struct conn w = bench_conn("wrk-1", OWN_UID);
    w.name = "anna";
    w.slots[POOL_PROCESS] = 1;
    return w;
}

/* A worker that runs one job, and leaves. */
static void come_and_go(struct bench *t, struct conn *c, enum ending ending)
{
    struct job_spec s = bench_spec("cpu");
    s.retries = 1;
    s.backoff_min_ms = s.backoff_max_ms = 20 * DAY_MS;
    uint64_t id = bench_submit_spec(t, c, s);
    struct conn w = worker_that_says_hello_later();
    memset(w.instance, (int)id, sizeof w.instance);
    bench_worker_hello(t, &w, NULL, 0);
    struct run_job run = bench_run(t, &w);
    bench_end(t, &w, run.job, run.attempt, ending);
    struct message m;
    message_init(&m, MSG_BYE);
    bench_tell(t, &w, &m);
    bench_turn(t);
    assert_int_equal(t->broker->workers.n, 0);
}

static void a_worker_that_was_never_handed_a_job_leaves_nothing(void **state)
{
    struct bench *t = *state;
    struct conn w = worker_that_says_hello_later();
    int changes = sqlite3_total_changes(t->broker->store->db);
    for (int i = 0; i < 200; i++) {
        w.instance[0] = (unsigned char)i;
        bench_worker_hello(t, &w, NULL, 0);
    }
    assert_int_equal(t->broker->workers.n, 1);
    assert_int_equal(sqlite3_total_changes(t->broker->store->db), changes);
    expect_rows(t, 0);
    struct conn c = bench_client(t, "cli-1", 1000);
    bench_submit(t, &c, "cpu");
    bench_run(t, &w);
    expect_rows(t, 1);
    cleanup(freep) char *name = NULL;
    unsigned char instance[16];
    assert_int_equal(store_worker_instance(t->broker->store, 1, instance, &name, NULL), 0);
    assert_string_equal(name, "anna");
    assert_memory_equal(instance, w.instance, sizeof instance);
}

static void a_worker_is_forgotten_with_the_last_job_that_it_ran(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    for (int i = 0; i < 3; i++)
        come_and_go(t, &c, ENDING_DONE);
    expect_rows(t, 3);
    days_go_by(t, 6);
    expect_rows(t, 3);
    days_go_by(t, 2);
    assert_int_equal(bench_number(t, "SELECT count(*) FROM job"), 0);
    days_go_by(t, 1);
    expect_rows(t, 0);
}

static void one_that_the_history_of_a_job_names_stays_and_those_beside_it_go(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    come_and_go(t, &c, ENDING_DONE);
    come_and_go(t, &c, ENDING_FAILED); /* to be tried again in twenty days */
    come_and_go(t, &c, ENDING_DONE);
    days_go_by(t, 8);
    days_go_by(t, 1);
    expect_rows(t, 1);
    assert_int_equal(bench_number(t, "SELECT worker FROM attempt"), bench_number(t, "SELECT id FROM worker"));
    bench_restart(t);
    bench_live(t, 10000);
    expect_rows(t, 1);
    c = bench_client(t, "cli-1", 1000);
    bench_change_one(t, &c, MSG_CANCEL, 2);
    bench_change_one(t, &c, MSG_REMOVE, 2);
    days_go_by(t, 1);
    expect_rows(t, 0);
}

static void one_that_is_here_or_comes_back_meanwhile_stays(void **state)
{
    struct bench *t = *state;
    t->unchecked = true;
    struct conn c = bench_client(t, "cli-1", 1000);
    bench_submit(t, &c, "cpu");
    struct conn w = bench_worker(t, "wrk-1", 1, 0, 0);
    struct run_job run = bench_run(t, &w);
    bench_end(t, &w, run.job, run.attempt, ENDING_DONE);
    bench_number(t, "UPDATE worker SET first_seen = 0");
    bench_number(t, "DELETE FROM attempt");
    t->broker->old_workers.next_mono_ms = 0;
    bench_turn(t);
    assert_int_equal(t->broker->old_workers.doing, OLD_WORKERS_TAKING); /* there is nobody to look for */
    struct message m;
    message_init(&m, MSG_BYE);
    bench_tell(t, &w, &m);
    bench_turn(t);
    t->broker->old_workers.next_mono_ms = 0;
    bench_turn(t);
    assert_int_equal(t->broker->old_workers.doing, OLD_WORKERS_LOOKING);
    t->broker->old_workers.next_mono_ms = 0;
    bench_turn(t);
    assert_int_equal(t->broker->old_workers.doing, OLD_WORKERS_DELETING); /* from here on no attempt is looked at */
    bench_submit(t, &c, "cpu");
    bench_worker_hello(t, &w, NULL, 0); /* the same one: it was not forgotten yet */
    run = bench_run(t, &w);
    bench_end(t, &w, run.job, run.attempt, ENDING_DONE);
    bench_tell(t, &w, &m);
    bench_live(t, 10000);
    expect_rows(t, 1);
    assert_int_equal(bench_number(t, "SELECT worker FROM attempt"), bench_number(t, "SELECT id FROM worker"));
}

/* More rows and attempts than are looked at in one slice; every tenth row is named. */
static void many_go_in_slices_and_no_turn_takes_more_than_one(void **state)
{
    struct bench *t = *state;
    t->unchecked = true;
    bench_number(t, "INSERT INTO worker (instance, name, first_seen) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
                    "WHERE i < 3500) SELECT randomblob(16), 'w', 0 FROM n");
    bench_number(t, "INSERT INTO attempt (job, n, worker, finished_at, ending, reason, state) SELECT 1000 + id, 1, id, 0, 0, 0, 4 FROM worker "
                    "WHERE id % 10 = 0");
    bench_number(t, "INSERT INTO attempt (job, n, worker, finished_at, ending, reason, state) SELECT 10000 + id, 1, NULL, 0, 0, 0, 4 FROM worker");
    t->broker->old_workers.next_mono_ms = 0;
    for (int i = 0; i < 60; i++) {
        int64_t before = rows(t);
        bench_advance(t, 200);
        bench_turn(t);
        assert_in_range(before - rows(t), 0, 200);
    }
    expect_rows(t, 350);
    assert_int_equal(bench_number(t, "SELECT count(*) FROM worker WHERE id % 10 = 0"), 350);
    assert_true(t->broker->old_workers.next_mono_ms > t->now.mono_ms + 600000); /* an hour of rest */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        bench_test(a_worker_that_was_never_handed_a_job_leaves_nothing),
        bench_test(a_worker_is_forgotten_with_the_last_job_that_it_ran),
        bench_test(one_that_the_history_of_a_job_names_stays_and_those_beside_it_go),
        bench_test(one_that_is_here_or_comes_back_meanwhile_stays),
        bench_test(many_go_in_slices_and_no_turn_takes_more_than_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
