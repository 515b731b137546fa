/* test_broker_progress.c - the core with attempts that say how far they are. */
#include "tests/broker_harness.h"

static void tell(struct bench_scene *s, const struct conn *w, uint64_t attempt, int64_t percent)
{
    struct attempt_progress p[] = { { s->job + 77, 1, 50 }, { s->job, attempt, percent } };
    struct message m;
    message_init(&m, MSG_PROGRESS);
    m.progress.attempts = p;
    m.progress.n_attempts = ELEMENTS(p);
    bench_tell(s->t, w, &m);
    assert_int_equal(bench_turn(s->t), 0);
}

/* As people are shown it. */
static int64_t shown(const struct bench_scene *s)
{
    struct store_reader *r;
    struct message ask, m;
    struct buf b;
    const char *bad;
    char *why = NULL;
    message_init(&ask, MSG_LIST);
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    assert_int_equal(store_reader_open(&r, s->t->path, &why), 0);
    assert_int_equal(store_reader_answer(r, &ask, STR_UNSET, &b), 0);
    assert_int_equal(message_decode(&m, b.p, b.n, &bad), 0);
    int64_t percent = m.jobs.jobs[0].progress;
    assert_int_equal(m.jobs.jobs[0].id, s->job);
    message_fini(&m);
    buf_fini(&b);
    store_reader_close(r);
    return percent;
}

static void it_is_shown_while_the_attempt_runs_and_the_next_one_begins_with_none(void **state)
{
    struct bench_scene s = bench_scene(*state);
    assert_int_equal(shown(&s), UNSET);
    tell(&s, &s.worker, s.attempt, 0);
    assert_int_equal(shown(&s), 0);
    tell(&s, &s.worker, s.attempt, 42);
    assert_int_equal(shown(&s), 42);
    bench_end(s.t, &s.worker, s.job, s.attempt, ENDING_FAILED);
    assert_int_equal(shown(&s), UNSET);
    bench_advance(s.t, 1000);
    bench_turn(s.t);
    s.attempt = bench_run(s.t, &s.worker).attempt;
    assert_int_equal(shown(&s), UNSET);
    tell(&s, &s.worker, s.attempt, 7);
    bench_end(s.t, &s.worker, s.job, s.attempt, ENDING_DONE);
    assert_int_equal(shown(&s), UNSET);
}

static void it_stands_over_a_restart_of_the_broker(void **state)
{
    struct bench_scene s = bench_scene(*state);
    tell(&s, &s.worker, s.attempt, 42);
    bench_restart(s.t);
    assert_int_equal(shown(&s), 42);
}

static void only_the_holder_of_the_lease_is_heard_and_only_percentages(void **state)
{
    struct bench_scene s = bench_scene(*state);
    struct conn second = bench_worker(s.t, "vrk-2", 1, 0, 0);
    tell(&s, &s.worker, s.attempt, 42);
    tell(&s, &second, s.attempt, 50);
    tell(&s, &s.worker, s.attempt + 1, 50);
    tell(&s, &s.worker, s.attempt, 101);
    tell(&s, &s.worker, s.attempt, -1);
    tell(&s, &s.worker, s.attempt, UNSET);
    assert_int_equal(shown(&s), 42);
    tell(&s, &s.client, s.attempt, 50);
    bench_expect_error(s.t, &s.client, CODE_PROTOCOL, "not for a client");
    assert_int_equal(shown(&s), 42);
}

/* ---- what it costs ----------------------------------------------------------------------------- */

static const sqlite3_io_methods *real;
static sqlite3_io_methods counting;
static int (*real_open)(sqlite3_vfs *, const char *, sqlite3_file *, int, int *);
static int n_syncs;

static int count_sync(sqlite3_file *f, int flags)
{
    n_syncs++;
    return real->xSync(f, flags);
}

static int open_counting(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *ret)
{
    int rc = real_open(vfs, name, f, flags, ret);
    if (rc != SQLITE_OK || !(flags & SQLITE_OPEN_WAL))
        return rc;
    real = f->pMethods;
    counting = *real;
    counting.xSync = count_sync;
    f->pMethods = &counting;
    return rc;
}

static sqlite3_vfs *register_counting(void)
{
    static sqlite3_vfs vfs;
    vfs = *sqlite3_vfs_find(NULL);
    vfs.zName = "counting";
    real_open = vfs.xOpen;
    vfs.xOpen = open_counting;
    assert_int_equal(sqlite3_vfs_register(&vfs, 0), SQLITE_OK);
    return &vfs;
}

static void it_costs_no_sync_and_what_comes_after_it_has_its_own(void **state)
{
    struct bench *t = *state;
    sqlite3_vfs *vfs = register_counting();
    t->options.store.vfs = "counting";
    bench_restart(t);
    struct bench_scene s = bench_scene(*state);
    n_syncs = 0;
    for (int64_t percent = 1; percent <= 100; percent++)
        tell(&s, &s.worker, s.attempt, percent);
    assert_int_equal(n_syncs, 0);
    assert_int_equal(shown(&s), 100);
    bench_submit_spec(t, &s.client, bench_spec("cpu"));
    assert_int_equal(n_syncs, 1);
    tell(&s, &s.worker, s.attempt, 7);
    store_rollback(t->broker->store);
    bench_submit_spec(t, &s.client, bench_spec("cpu"));
    assert_int_equal(n_syncs, 2);
    t->broker = broker_close(t->broker);
    sqlite3_vfs_unregister(vfs);
    t->options.store.vfs = NULL;
    bench_start(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        bench_test(it_is_shown_while_the_attempt_runs_and_the_next_one_begins_with_none),
        bench_test(it_stands_over_a_restart_of_the_broker),
        bench_test(only_the_holder_of_the_lease_is_heard_and_only_percentages),
        bench_test(it_costs_no_sync_and_what_comes_after_it_has_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
