/* broker_harness.h - the broker's core on a bench: a database in a temporary folder, a clock that
 * stands until it is moved, connections that are names, and all that the broker has sent as a list.
 * After every turn memory and database are compared. */
#ifndef TERN_TESTS_BROKER_HARNESS_H
#define TERN_TESTS_BROKER_HARNESS_H

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/broker.h"
#include "broker/change.h"
#include "broker/lease.h"
#include "broker/store_internal.h"
#include "broker/wait.h"

#define OWN_UID 500
#define HEARTBEAT_MS 2000
#define LOST_AFTER_MS 10000
#define SENT_MAX 4096

struct sent {
    char routing_id[ROUTING_ID_BYTES];
    struct buf bytes; /* what m points into */
    struct message m;
    bool taken;
};

struct bench {
    char dir[64], path[96];
    struct broker_options options;
    struct broker *broker;
    struct now now;
    struct sent *sent; /* owned: SENT_MAX */
    size_t n_sent;
    int refuse;        /* what the socket says to refuse_to's messages; 0: it takes them */
    char refuse_to[ROUTING_ID_BYTES];
    bool unchecked;    /* memory and database are not compared: too many jobs */
    int last_commit;
};

/* One connection, of a client or of a worker. */
struct conn {
    char id[ROUTING_ID_BYTES];
    int64_t uid;
    const char *key; /* digits; NULL: none */
    uint64_t epoch, session, seq, req, count;
    unsigned char instance[16];
    const char *name; /* of a worker */
    uint64_t slots[N_POOLS];
    const char *queue; /* NULL: all */
    const char *label; /* NULL: none */
    struct amount amount; /* name unset: none */
};

static inline void bench_start(struct bench *t)
{
    char *error = NULL;
    int r = broker_open(&t->broker, &t->options, t->now, &error);
    if (r < 0)
        fail_msg("broker_open: %s", error);
}

static inline void bench_open(struct bench *t)
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

static inline void bench_forget_sent(struct bench *t)
{
    for (size_t i = 0; i < t->n_sent; i++) {
        message_fini(&t->sent[i].m);
        buf_fini(&t->sent[i].bytes);
    }
    t->n_sent = 0;
}

static inline void bench_close(struct bench *t)
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

/* The broker is killed, and started again. */
static inline void bench_restart(struct bench *t)
{
    t->broker = broker_close(t->broker);
    bench_start(t);
}

static inline int64_t bench_number(const struct bench *t, const char *text)
{
    sqlite3_stmt *q = NULL;
    assert_int_equal(sqlite3_prepare_v2(t->broker->store->db, text, -1, &q, NULL), SQLITE_OK);
    int64_t n = sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : -1;
    sqlite3_finalize(q);
    return n;
}

static inline int64_t bench_job(const struct bench *t, uint64_t id, const char *column)
{
    cleanup(freep) char *text = xasprintf("SELECT %s FROM job WHERE id = %" PRIu64, column, id);
    return bench_number(t, text);
}

#define assert_state(t, id, wanted) assert_int_equal(bench_job(t, id, "state"), wanted)

/* ---- what must hold between any two turns -------------------------------------------------------
 */

static inline void bench_check_counts(const struct bench *t)
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

static inline void bench_check_leases(const struct bench *t)
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

/* ---- turns --------------------------------------------------------------------------------------
 */

static inline int bench_take(void *ctx, const char *routing_id, struct str bytes)
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

/* Ends the turn. What was sent in the one before is forgotten. Returns what broker_commit says. */
static inline int bench_turn(struct bench *t)
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

static inline void bench_advance(struct bench *t, int64_t ms)
{
    t->now.wall_ms += ms;
    t->now.mono_ms += ms;
}

/* Time goes by, and the broker is awake all the while. */
static inline void bench_live(struct bench *t, int64_t ms)
{
    for (; ms > 0; ms -= HEARTBEAT_MS / 2) {
        bench_advance(t, min_i64(ms, HEARTBEAT_MS / 2));
        bench_turn(t);
    }
}

/* ---- talking ------------------------------------------------------------------------------------
 */

/* The next message of this type to this connection that was not looked at yet, or NULL. */
static inline const struct message *bench_next(struct bench *t, const struct conn *c,
                                               enum message_type type)
{
    for (size_t i = 0; i < t->n_sent; i++) {
        struct sent *s = &t->sent[i];
        if (s->taken || s->m.type != type || memcmp(s->routing_id, c->id, ROUTING_ID_BYTES) != 0)
            continue;
        s->taken = true;
        return &s->m;
    }
    return NULL;
}

static inline const struct message *bench_expect(struct bench *t, const struct conn *c,
                                                 enum message_type type)
{
    const struct message *m = bench_next(t, c, type);
    if (m)
        return m;
    for (size_t i = 0; i < t->n_sent; i++)
        print_message("sent: %s %.*s\n", message_name(t->sent[i].m.type),
                      t->sent[i].m.type == MSG_ERROR ? (int)t->sent[i].m.error.text.n : 0,
                      t->sent[i].m.type == MSG_ERROR ? t->sent[i].m.error.text.p : "");
    fail_msg("no %s was sent", message_name(type));
    return NULL;
}

static inline void bench_expect_error(struct bench *t, const struct conn *c, enum error_code code,
                                      const char *part)
{
    const struct message *m = bench_expect(t, c, MSG_ERROR);
    cleanup(freep) char *text = xstrndup(m->error.text);
    if (m->error.code != code || !strstr(text, part))
        fail_msg("ERROR %" PRIu64 " \"%s\", not %d with \"%s\"", m->error.code, text, code, part);
}

static inline void bench_tell_raw(struct bench *t, const struct conn *c, struct str bytes)
{
    if (c->key)
        broker_recv_keyed(t->broker, c->id, c->key, bytes, t->now);
    else
        broker_recv(t->broker, c->id, c->uid, bytes, t->now);
}

/* As the connection's session. */
static inline void bench_tell(struct bench *t, const struct conn *c, struct message *m)
{
    struct buf b;
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    m->epoch = c->epoch;
    m->session = c->session;
    assert_int_equal(message_encode(&b, m), 0);
    bench_tell_raw(t, c, buf_str(&b));
    buf_fini(&b);
}

static inline struct conn bench_conn(const char *id, int64_t uid)
{
    struct conn c = { .uid = uid };
    memcpy(c.id, id, ROUTING_ID_BYTES);
    memset(c.instance, id[0], sizeof c.instance);
    return c;
}

static inline const struct message *bench_welcome(struct bench *t, struct conn *c)
{
    bench_turn(t);
    const struct message *m = bench_expect(t, c, MSG_WELCOME);
    c->epoch = m->epoch;
    c->session = m->session;
    return m;
}

static inline struct message bench_hello(const struct conn *c, const char *role)
{
    struct message m;
    message_init(&m, MSG_HELLO);
    m.hello.version = m.hello.min_version = 1;
    m.hello.role = str_of(role);
    m.hello.instance = (struct str){ (const char *)c->instance, sizeof c->instance };
    return m;
}

static inline struct conn bench_client(struct bench *t, const char *id, int64_t uid)
{
    struct conn c = bench_conn(id, uid);
    struct message m = bench_hello(&c, "client");
    bench_tell(t, &c, &m);
    bench_welcome(t, &c);
    return c;
}

/* The handlers that every worker of these tests has. cpu runs in a process, io in a thread, net on
 * the loop. */
static inline size_t bench_handlers(struct handler_info ret[4])
{
    static const struct {
        const char *name;
        uint64_t forms;
        int64_t tag, retries, timeout;
    } table[] = {
        { "cpu", FORM_BLOCKING, TAG_CPU, 0, 0 },
        { "io", FORM_BLOCKING, TAG_IO, 2, 5000 },
        { "net", FORM_ASYNC, TAG_SLOW_IO, 0, 0 },
        { "exec", FORM_BLOCKING | FORM_ASYNC, TAG_AUTO, 0, 0 },
    };
    for (size_t i = 0; i < ELEMENTS(table); i++)
        ret[i] = (struct handler_info){ str_of(table[i].name), table[i].forms,   table[i].tag,
                                        table[i].retries,      table[i].timeout, 1 };
    return ELEMENTS(table);
}

/* HELLO of a worker, with what it holds; the answer is in the list of what was sent. */
static inline const struct message *bench_worker_hello(struct bench *t, struct conn *c,
                                                       struct held *held, size_t n_held)
{
    struct handler_info handlers[4];
    struct pool_load pools[N_POOLS];
    struct str queue = str_of(c->queue);
    struct message m = bench_hello(c, "worker");
    m.hello.name = str_of(c->name);
    m.hello.handlers = handlers;
    m.hello.n_handlers = bench_handlers(handlers);
    for (uint64_t k = 0; k < N_POOLS; k++)
        pools[k] = (struct pool_load){ .pool = k, .slots = c->slots[k] };
    m.hello.pools = pools;
    m.hello.n_pools = N_POOLS;
    m.hello.queues = &queue;
    m.hello.n_queues = c->queue != NULL;
    struct str label = str_of(c->label);
    m.hello.labels = &label;
    m.hello.n_labels = c->label != NULL;
    m.hello.amounts = &c->amount;
    m.hello.n_amounts = c->amount.name.p != NULL;
    m.hello.held = held;
    m.hello.n_held = n_held;
    m.hello.count = ++c->count;
    bench_tell(t, c, &m);
    return bench_welcome(t, c);
}

static inline struct conn bench_worker(struct bench *t, const char *id, uint64_t process,
                                       uint64_t thread, uint64_t loop)
{
    struct conn c = bench_conn(id, OWN_UID);
    c.name = id;
    c.slots[POOL_PROCESS] = process;
    c.slots[POOL_THREAD] = thread;
    c.slots[POOL_LOOP] = loop;
    bench_worker_hello(t, &c, NULL, 0);
    return c;
}

static inline void bench_beat(struct bench *t, struct conn *c)
{
    struct message m;
    message_init(&m, MSG_BEAT);
    m.beat.req = ++c->req;
    bench_tell(t, c, &m);
}

static inline struct job_spec bench_spec(const char *handler)
{
    struct job_spec s;
    record_init(RECORD_job_spec, &s);
    s.handler = str_of(handler);
    return s;
}

static inline void bench_ask_submit(struct bench *t, struct conn *c, uint64_t seq,
                                    struct job_spec *jobs, size_t n)
{
    struct message m;
    message_init(&m, MSG_SUBMIT);
    m.submit.req = ++c->req;
    m.submit.seq = seq;
    m.submit.jobs = jobs;
    m.submit.n_jobs = n;
    bench_tell(t, c, &m);
}

/* Submits and ends the turn; the first id. */
static inline uint64_t bench_submit_many(struct bench *t, struct conn *c, struct job_spec *jobs,
                                         size_t n)
{
    bench_ask_submit(t, c, ++c->seq, jobs, n);
    bench_turn(t);
    const struct message *m = bench_expect(t, c, MSG_SUBMITTED);
    assert_int_equal(m->submitted.count, n);
    assert_int_equal(m->submitted.req, c->req);
    return m->submitted.first_id;
}

static inline uint64_t bench_submit_spec(struct bench *t, struct conn *c, struct job_spec s)
{
    return bench_submit_many(t, c, &s, 1);
}

static inline uint64_t bench_submit(struct bench *t, struct conn *c, const char *handler)
{
    return bench_submit_spec(t, c, bench_spec(handler));
}

static inline uint64_t bench_submit_n(struct bench *t, struct conn *c, struct job_spec s, size_t n)
{
    cleanup(freep) struct job_spec *jobs = xcalloc(n, sizeof *jobs);
    for (size_t i = 0; i < n; i++)
        jobs[i] = s;
    return bench_submit_many(t, c, jobs, n);
}

/* The ids that were sent to a worker in RUNs of the last turn, in order. */
static inline size_t bench_runs(struct bench *t, const struct conn *c, struct run_job *ret,
                                size_t max)
{
    size_t n = 0;
    for (const struct message *m; (m = bench_next(t, c, MSG_RUN));)
        for (size_t i = 0; i < m->run.n_jobs; i++) {
            assert_true(n < max);
            ret[n++] = m->run.jobs[i];
        }
    return n;
}

static inline struct run_job bench_run(struct bench *t, const struct conn *c)
{
    struct run_job run[2];
    assert_int_equal(bench_runs(t, c, run, 2), 1);
    return run[0];
}

static inline void bench_tell_started(struct bench *t, const struct conn *c, uint64_t job,
                                      uint64_t attempt)
{
    struct attempt_ref ref = { job, attempt };
    struct message m;
    message_init(&m, MSG_STARTED);
    m.started.attempts = &ref;
    m.started.n_attempts = 1;
    bench_tell(t, c, &m);
}

static inline struct outcome bench_outcome(uint64_t job, uint64_t attempt, enum ending ending)
{
    struct outcome o;
    record_init(RECORD_outcome, &o);
    o.job = job;
    o.attempt = attempt;
    o.ending = ending;
    o.reason = ending == ENDING_FAILED ? REASON_HANDLER_ERROR : REASON_NONE;
    o.wall_us = 1500;
    o.ago_us = 0;
    return o;
}

static inline void bench_tell_outcome(struct bench *t, const struct conn *c, struct outcome o)
{
    struct message m;
    message_init(&m, MSG_RESULT);
    m.result.outcomes = &o;
    m.result.n_outcomes = 1;
    bench_tell(t, c, &m);
}

/* A result, and its turn; it must be acknowledged, recorded or not. */
static inline void bench_end(struct bench *t, const struct conn *c, uint64_t job, uint64_t attempt,
                             enum ending ending)
{
    bench_tell_outcome(t, c, bench_outcome(job, attempt, ending));
    bench_turn(t);
    const struct message *m = bench_expect(t, c, MSG_RECORDED);
    assert_int_equal(m->recorded.n_attempts, 1);
    assert_int_equal(m->recorded.attempts[0].job, job);
    assert_int_equal(m->recorded.attempts[0].attempt, attempt);
}

/* CANCEL, RETRY or REMOVE of ranges, and its turn. */
static inline void bench_change(struct bench *t, struct conn *c, enum message_type verb,
                                struct range *ranges, size_t n)
{
    struct message m;
    message_init(&m, verb);
    m.cancel.req = ++c->req;
    m.cancel.ranges = ranges;
    m.cancel.n_ranges = n;
    bench_tell(t, c, &m);
    bench_turn(t);
}

static inline void bench_change_one(struct bench *t, struct conn *c, enum message_type verb,
                                    uint64_t id)
{
    struct range one = { id, id };
    bench_change(t, c, verb, &one, 1);
}

static inline void bench_expect_changed(struct bench *t, const struct conn *c, uint64_t changed,
                                        uint64_t skipped, size_t refusals)
{
    const struct message *m = bench_expect(t, c, MSG_CHANGED);
    assert_int_equal(m->changed.changed, changed);
    assert_int_equal(m->changed.skipped, skipped);
    assert_int_equal(m->changed.n_refusals, refusals);
}

/* A bench for each test. */
static inline int bench_setup(void **state)
{
    struct bench *t = xcalloc(1, sizeof *t);
    bench_open(t);
    *state = t;
    return 0;
}

static inline int bench_teardown(void **state)
{
    bench_close(*state);
    free(*state);
    return 0;
}

#define bench_test(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)

#endif
