/* broker_harness.c - the bench itself: a broker, its turns, and what must hold between any two. */
#include "tests/broker_harness.h"

/* ---- open, close -------------------------------------------------------------------------------- */

void bench_start(struct bench *t)
{
    char *error = NULL;
    int r = broker_open(&t->broker, &t->options, t->now, &error);
    if (r < 0)
        fail_msg("broker_open: %s", error);
}

static void bench_open(struct bench *t)
{
    *t = (struct bench){ .now = { 1700000000000, 1000000 } };
    snprintf(t->dir, sizeof t->dir, "%s/tern-broker-XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    assert_non_null(mkdtemp(t->dir));
    snprintf(t->path, sizeof t->path, "%s/t.db", t->dir);
    t->sent = xcalloc(SENT_MAX, sizeof *t->sent);
    t->options = (struct broker_options){
        .store = { .path = t->path, .quiet = true },
        .heartbeat_ms = HEARTBEAT_MS,
        .lost_after_ms = LOST_AFTER_MS,
        .retention_ms = 7ll * 86400000,
        .keep_finished = 1000000,
        .max_payload_bytes = 1000,
        .disk_busy_percent = 101,
        .own_uid = OWN_UID,
        .seed = 7,
        .software = "test",
    };
    bench_start(t);
}

void bench_forget_sent(struct bench *t)
{
    for (size_t i = 0; i < t->n_sent; i++) {
        message_fini(&t->sent[i].m);
        buf_fini(&t->sent[i].bytes);
    }
    t->n_sent = 0;
}

static void bench_close(struct bench *t)
{
    static const char *const ends[] = { "", "-wal", "-shm", ".lock", ".ballast" };
    bench_forget_sent(t);
    free(t->sent);
    t->broker = broker_close(t->broker);
    for (size_t i = 0; i < ELEMENTS(ends); i++) {
        cleanup(freep) char *path = xasprintf("%s%s", t->path, ends[i]);
        unlink(path);
    }
    rmdir(t->dir);
}

void bench_restart(struct bench *t)
{
    t->broker = broker_close(t->broker);
    bench_start(t);
}

int64_t bench_number(const struct bench *t, const char *text)
{
    sqlite3_stmt *q = NULL;
    assert_int_equal(sqlite3_prepare_v2(t->broker->store->db, text, -1, &q, NULL), SQLITE_OK);
    int64_t n = sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : -1;
    sqlite3_finalize(q);
    return n;
}

int64_t bench_job(const struct bench *t, uint64_t id, const char *column)
{
    cleanup(freep) char *text = xasprintf("SELECT %s FROM job WHERE id = %" PRIu64, column, id);
    return bench_number(t, text);
}

/* ---- what must hold between any two turns ------------------------------------------------------- */

static void bench_check_counts(const struct bench *t)
{
    const struct broker *b = t->broker;
    for (size_t i = 0; i < b->classes.n; i++)
        for (int state = 0; state < N_STATES; state++) {
            cleanup(freep) char *rows = xasprintf(
                "SELECT count(*) FROM job WHERE class = %zu AND state = %d", i + 1, state);
            cleanup(freep) char *kept = xasprintf(
                "SELECT coalesce(sum(n), 0) FROM counter WHERE class = %zu AND state = %d", i + 1,
                state);
            int64_t n = bench_number(t, rows);
            if (n != (int64_t)b->classes.all[i]->jobs[state] || n != bench_number(t, kept))
                fail_msg("class %zu has %" PRId64 " jobs %s; memory says %" PRIu64
                         ", the counter %" PRId64,
                         i + 1, n, state_name(state), b->classes.all[i]->jobs[state],
                         bench_number(t, kept));
        }
}

static void bench_check_leases(const struct bench *t)
{
    const struct broker *b = t->broker;
    assert_int_equal(bench_number(t, "SELECT count(*) FROM job WHERE state = 3"), b->leases.n);
    struct lease *l;
    size_t on_lists = 0;
    for (size_t i = 0; (l = idmap_next(&b->leases, &i));) {
        assert_int_equal(bench_job(t, l->job.id, "state"), STATE_RUNNING);
        assert_int_equal(bench_job(t, l->job.id, "attempt"), l->job.attempt);
        assert_int_equal(bench_job(t, l->job.id, "worker"), l->worker->row);
        assert_int_equal(bench_job(t, l->job.id, "cancel"), l->job.cancel_asked);
    }
    struct worker *w;
    for (size_t i = 0; (w = strmap_next(&b->workers, &i));) {
        size_t leased[N_POOLS] = { 0 }, started[N_POOLS] = { 0 };
        list_each(link, &w->leases) {
            struct lease *of = list_entry(link, struct lease, link);
            leased[of->pool]++;
            started[of->pool] += of->started;
            on_lists++;
        }
        for (int k = 0; k < N_POOLS; k++) {
            assert_int_equal(w->pools[k].leased, leased[k]);
            assert_int_equal(w->pools[k].started, started[k]);
        }
    }
    assert_int_equal(on_lists, b->leases.n);
}

/* ---- turns -------------------------------------------------------------------------------------- */

int bench_take(void *ctx, const char *routing_id, struct str bytes)
{
    struct bench *t = ctx;
    if (t->refuse && memcmp(routing_id, t->refuse_to, ROUTING_ID_BYTES) == 0)
        return t->refuse;
    assert_true(t->n_sent < SENT_MAX);
    struct sent *s = &t->sent[t->n_sent++];
    *s = (struct sent){ .taken = false };
    memcpy(s->routing_id, routing_id, ROUTING_ID_BYTES);
    buf_init(&s->bytes, LIMIT_MESSAGE_BYTES);
    buf_add(&s->bytes, bytes.p, bytes.n);
    const char *why = NULL;
    if (message_decode(&s->m, s->bytes.p, s->bytes.n, &why) < 0)
        fail_msg("the broker sent what is no message: %s", why);
    return 0;
}

int bench_turn(struct bench *t)
{
    bench_forget_sent(t);
    broker_tick(t->broker, t->now);
    t->last_commit = broker_commit(t->broker, t->now);
    if (t->last_commit < 0)
        return t->last_commit;
    if (!t->unchecked) {
        bench_check_counts(t);
        bench_check_leases(t);
    }
    broker_flush(t->broker, bench_take, t, t->now);
    return 0;
}

void bench_advance(struct bench *t, int64_t ms)
{
    t->now.wall_ms += ms;
    t->now.mono_ms += ms;
}

void bench_live(struct bench *t, int64_t ms)
{
    for (; ms > 0; ms -= HEARTBEAT_MS / 2) {
        bench_advance(t, min_i64(ms, HEARTBEAT_MS / 2));
        bench_turn(t);
    }
}

/* ---- a bench for each test ---------------------------------------------------------------------- */

int bench_setup(void **state)
{
    struct bench *t = xcalloc(1, sizeof *t);
    bench_open(t);
    *state = t;
    return 0;
}

int bench_teardown(void **state)
{
    bench_close(*state);
    free(*state);
    return 0;
}
