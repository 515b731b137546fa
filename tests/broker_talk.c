/* broker_talk.c - what clients and workers say to the broker on its bench, and what they hear. */
#include "tests/broker_harness.h"

const struct message *bench_next(struct bench *t, const struct conn *c, enum message_type type)
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

const struct message *bench_expect(struct bench *t, const struct conn *c, enum message_type type)
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

void bench_expect_error(struct bench *t, const struct conn *c, enum error_code code, const char *part)
{
    const struct message *m = bench_expect(t, c, MSG_ERROR);
    cleanup(freep) char *text = xstrndup(m->error.text);
    if (m->error.code != code || !strstr(text, part))
        fail_msg("ERROR %" PRIu64 " \"%s\", not %d with \"%s\"", m->error.code, text, code, part);
}

void bench_tell_raw(struct bench *t, const struct conn *c, struct str bytes)
{
    if (c->key)
        broker_recv_keyed(t->broker, c->id, c->key, bytes, t->now);
    else
        broker_recv(t->broker, c->id, c->uid, bytes, t->now);
}

void bench_tell(struct bench *t, const struct conn *c, struct message *m)
{
    struct buf b;
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    m->epoch = c->epoch;
    m->session = c->session;
    assert_int_equal(message_encode(&b, m), 0);
    bench_tell_raw(t, c, buf_str(&b));
    buf_fini(&b);
}

struct conn bench_conn(const char *id, int64_t uid)
{
    struct conn c = { .uid = uid };
    memcpy(c.id, id, ROUTING_ID_BYTES);
    memset(c.instance, id[0], sizeof c.instance);
    return c;
}

const struct message *bench_welcome(struct bench *t, struct conn *c)
{
    bench_turn(t);
    const struct message *m = bench_expect(t, c, MSG_WELCOME);
    c->epoch = m->epoch;
    c->session = m->session;
    return m;
}

struct message bench_hello(const struct conn *c, const char *role)
{
    struct message m;
    message_init(&m, MSG_HELLO);
    m.hello.version = m.hello.min_version = 1;
    m.hello.role = str_of(role);
    m.hello.instance = (struct str){ (const char *)c->instance, sizeof c->instance };
    return m;
}

struct conn bench_client(struct bench *t, const char *id, int64_t uid)
{
    struct conn c = bench_conn(id, uid);
    struct message m = bench_hello(&c, "client");
    bench_tell(t, &c, &m);
    bench_welcome(t, &c);
    return c;
}

size_t bench_handlers(struct handler_info ret[4])
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

const struct message *bench_worker_hello(struct bench *t, struct conn *c, struct held *held, size_t n_held)
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

struct conn bench_worker(struct bench *t, const char *id, uint64_t process, uint64_t thread, uint64_t loop)
{
    struct conn c = bench_conn(id, OWN_UID);
    c.name = id;
    c.slots[POOL_PROCESS] = process;
    c.slots[POOL_THREAD] = thread;
    c.slots[POOL_LOOP] = loop;
    bench_worker_hello(t, &c, NULL, 0);
    return c;
}

void bench_beat(struct bench *t, struct conn *c)
{
    struct message m;
    message_init(&m, MSG_BEAT);
    m.beat.req = ++c->req;
    bench_tell(t, c, &m);
}

struct job_spec bench_spec(const char *handler)
{
    struct job_spec s;
    record_init(RECORD_job_spec, &s);
    s.handler = str_of(handler);
    return s;
}

void bench_ask_submit(struct bench *t, struct conn *c, uint64_t seq, struct job_spec *jobs, size_t n)
{
    struct message m;
    message_init(&m, MSG_SUBMIT);
    m.submit.req = ++c->req;
    m.submit.seq = seq;
    m.submit.jobs = jobs;
    m.submit.n_jobs = n;
    bench_tell(t, c, &m);
}

uint64_t bench_submit_many(struct bench *t, struct conn *c, struct job_spec *jobs, size_t n)
{
    bench_ask_submit(t, c, ++c->seq, jobs, n);
    bench_turn(t);
    const struct message *m = bench_expect(t, c, MSG_SUBMITTED);
    assert_int_equal(m->submitted.count, n);
    assert_int_equal(m->submitted.req, c->req);
    return m->submitted.first_id;
}

uint64_t bench_submit_spec(struct bench *t, struct conn *c, struct job_spec s)
{
    return bench_submit_many(t, c, &s, 1);
}

uint64_t bench_submit(struct bench *t, struct conn *c, const char *handler)
{
    return bench_submit_spec(t, c, bench_spec(handler));
}

uint64_t bench_submit_n(struct bench *t, struct conn *c, struct job_spec s, size_t n)
{
    cleanup(freep) struct job_spec *jobs = xcalloc(n, sizeof *jobs);
    for (size_t i = 0; i < n; i++)
        jobs[i] = s;
    return bench_submit_many(t, c, jobs, n);
}

size_t bench_runs(struct bench *t, const struct conn *c, struct run_job *ret, size_t max)
{
    size_t n = 0;
    for (const struct message *m; (m = bench_next(t, c, MSG_RUN));)
        for (size_t i = 0; i < m->run.n_jobs; i++) {
            assert_true(n < max);
            ret[n++] = m->run.jobs[i];
        }
    return n;
}

struct run_job bench_run(struct bench *t, const struct conn *c)
{
    struct run_job run[2];
    assert_int_equal(bench_runs(t, c, run, 2), 1);
    return run[0];
}

void bench_tell_started(struct bench *t, const struct conn *c, uint64_t job, uint64_t attempt)
{
    struct attempt_ref ref = { job, attempt };
    struct message m;
    message_init(&m, MSG_STARTED);
    m.started.attempts = &ref;
    m.started.n_attempts = 1;
    bench_tell(t, c, &m);
}

struct outcome bench_outcome(uint64_t job, uint64_t attempt, enum ending ending)
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

void bench_tell_outcome(struct bench *t, const struct conn *c, struct outcome o)
{
    struct message m;
    message_init(&m, MSG_RESULT);
    m.result.outcomes = &o;
    m.result.n_outcomes = 1;
    bench_tell(t, c, &m);
}

void bench_end(struct bench *t, const struct conn *c, uint64_t job, uint64_t attempt, enum ending ending)
{
    bench_tell_outcome(t, c, bench_outcome(job, attempt, ending));
    bench_turn(t);
    const struct message *m = bench_expect(t, c, MSG_RECORDED);
    assert_int_equal(m->recorded.n_attempts, 1);
    assert_int_equal(m->recorded.attempts[0].job, job);
    assert_int_equal(m->recorded.attempts[0].attempt, attempt);
}

void bench_change(struct bench *t, struct conn *c, enum message_type verb, struct range *ranges, size_t n)
{
    struct message m;
    message_init(&m, verb);
    m.cancel.req = ++c->req;
    m.cancel.ranges = ranges;
    m.cancel.n_ranges = n;
    bench_tell(t, c, &m);
    bench_turn(t);
}

void bench_ask_pause(struct bench *t, const struct conn *c, const char *queue)
{
    struct message m;
    message_init(&m, MSG_PAUSE);
    m.pause.req = 7;
    m.pause.queue = str_of(queue);
    m.pause.paused = 1;
    bench_tell(t, c, &m);
}

void bench_ask_why(struct bench *t, struct conn *c, uint64_t id)
{
    struct message m;
    message_init(&m, MSG_WHY);
    m.why.req = ++c->req;
    m.why.job = id;
    bench_tell(t, c, &m);
}

void bench_change_one(struct bench *t, struct conn *c, enum message_type verb, uint64_t id)
{
    struct range one = { id, id };
    bench_change(t, c, verb, &one, 1);
}

void bench_expect_changed(struct bench *t, const struct conn *c, uint64_t changed, uint64_t skipped, size_t refusals)
{
    const struct message *m = bench_expect(t, c, MSG_CHANGED);
    assert_int_equal(m->changed.changed, changed);
    assert_int_equal(m->changed.skipped, skipped);
    assert_int_equal(m->changed.n_refusals, refusals);
}

struct bench_scene bench_scene(struct bench *t)
{
    struct bench_scene s = { .t = t };
    struct job_spec spec = bench_spec("cpu");
    spec.retries = 3;
    spec.backoff_min_ms = spec.backoff_max_ms = 1;
    s.client = bench_client(s.t, "cli-1", 1000);
    s.job = bench_submit_spec(s.t, &s.client, spec);
    s.worker = bench_worker(s.t, "wrk-1", 1, 0, 0);
    s.attempt = bench_run(s.t, &s.worker).attempt;
    return s;
}
