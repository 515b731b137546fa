/* link_rig.c - pools, a clock and a broker for the worker's link, made of arrays. */
#include "tests/link_rig.h"

/* ---- the fixture ----------------------------------------------------------------------------- */

static void begin_next(struct fixture *f, struct fake_pool *p)
{
    while (p->n_waiting && p->n_running < p->slots) {
        struct run *r = p->waiting[0];
        memmove(p->waiting, p->waiting + 1, --p->n_waiting * sizeof(r));
        p->running[p->n_running++] = r;
        r->state = RUN_RUNNING;
        link_on_started(f->link, run_ref(r));
    }
}

static void give(void *ctx, enum pool_kind pool, struct run *r, struct now now)
{
    (void)now;
    struct fixture *f = ctx;
    struct fake_pool *p = &f->pools[pool];
    assert_true(p->n_waiting < MOST);
    p->waiting[p->n_waiting++] = r;
    begin_next(f, p);
}

static struct run *take_at(struct run **runs, size_t *n, size_t i)
{
    struct run *r = runs[i];
    memmove(runs + i, runs + i + 1, (--*n - i) * sizeof(r));
    return r;
}

static size_t index_of(struct run *const *runs, size_t n, uint64_t job, uint64_t attempt)
{
    size_t i = 0;
    while (i < n && (runs[i]->job.job != job || runs[i]->job.attempt != attempt))
        i++;
    return i;
}

static struct run *take_waiting(void *ctx, enum pool_kind pool, uint64_t job, uint64_t attempt)
{
    struct fake_pool *p = &((struct fixture *)ctx)->pools[pool];
    size_t i = index_of(p->waiting, p->n_waiting, job, attempt);
    return i < p->n_waiting ? take_at(p->waiting, &p->n_waiting, i) : NULL;
}

static void stop(void *ctx, enum pool_kind pool, uint64_t job, uint64_t attempt, enum reason reason,
                 int64_t grace_ms, struct now now)
{
    (void)now;
    struct fake_pool *p = &((struct fixture *)ctx)->pools[pool];
    if (index_of(p->running, p->n_running, job, attempt) == p->n_running)
        return;
    p->stop_reason = reason;
    p->stop_grace_ms = grace_ms;
    p->stops++;
}

static struct pool_load load(void *ctx, enum pool_kind pool)
{
    struct fake_pool *p = &((struct fixture *)ctx)->pools[pool];
    return (struct pool_load){ pool, p->slots, p->n_running, p->stuck, p->n_waiting, 0, 0, 0 };
}

static void forget_said(struct fixture *f)
{
    for (size_t i = 0; i < f->n_said; i++) {
        message_fini(&f->said[i]);
        buf_fini(&f->bytes[i]);
    }
    f->n_said = 0;
}

static void hear(struct fixture *f, struct buf bytes)
{
    const char *why = NULL;
    assert_true(f->n_said < MOST);
    f->bytes[f->n_said] = bytes;
    assert_int_equal(message_decode(&f->said[f->n_said], bytes.p, bytes.n, &why), 0);
    f->n_said++;
}

void turn(struct fixture *f)
{
    forget_said(f);
    link_tick(f->link, f->now);
    f->due_ms = link_flush(f->link, f->now);
    struct buf bytes;
    while (link_take_message(f->link, &bytes)) {
        if (!f->refuse) {
            hear(f, bytes);
            continue;
        }
        f->refused++;
        buf_fini(&bytes);
        link_on_unsent(f->link, f->now);
    }
    f->reopened += link_take_reopen(f->link);
}

void pass(struct fixture *f, int64_t ms)
{
    f->now.mono_ms += ms;
    f->now.wall_ms += ms;
}

const struct message *find_said(struct fixture *f, enum message_type type)
{
    for (size_t i = 0; i < f->n_said; i++)
        if (f->said[i].type == type)
            return &f->said[i];
    return NULL;
}

size_t count_said(struct fixture *f, enum message_type type)
{
    size_t n = 0;
    for (size_t i = 0; i < f->n_said; i++)
        n += f->said[i].type == type;
    return n;
}

const struct message *await(struct fixture *f, enum message_type type, int64_t ms)
{
    int64_t end_ms = f->now.mono_ms + ms;
    for (turn(f); !find_said(f, type) && f->now.mono_ms < end_ms; turn(f))
        pass(f, 10);
    return find_said(f, type);
}

/* Encoded and decoded, as on the wire, under the broker's session; then a turn. */
static void tell_only(struct fixture *f, struct message *m)
{
    struct buf bytes;
    struct message decoded;
    const char *why = NULL;
    m->epoch = f->epoch;
    m->session = f->session;
    buf_init(&bytes, LIMIT_MESSAGE_BYTES);
    assert_int_equal(message_encode(&bytes, m), 0);
    assert_int_equal(message_decode(&decoded, bytes.p, bytes.n, &why), 0);
    link_recv(f->link, &decoded, f->now);
    message_fini(&decoded);
    buf_fini(&bytes);
}

void tell(struct fixture *f, struct message *m)
{
    tell_only(f, m);
    turn(f);
}

void tell_run_in(struct fixture *f, uint64_t job, uint64_t attempt, uint64_t pool, const char *handler)
{
    struct run_job j;
    struct message m;
    record_init(RECORD_run_job, &j);
    j.job = job;
    j.attempt = attempt;
    j.pool = pool;
    j.queue = str_of("default");
    j.handler = str_of(handler);
    j.payload = str_of("payload");
    message_init(&m, MSG_RUN);
    m.run.jobs = &j;
    m.run.n_jobs = 1;
    tell(f, &m);
}

void tell_run(struct fixture *f, uint64_t job, uint64_t attempt)
{
    tell_run_in(f, job, attempt, POOL_THREAD, "echo");
}

void tell_of(struct fixture *f, enum message_type type, uint64_t job, uint64_t attempt)
{
    struct attempt_ref ref = { job, attempt };
    struct message m;
    message_init(&m, type);
    m.recorded.attempts = &ref;
    m.recorded.n_attempts = 1;
    tell(f, &m);
}

void tell_welcome(struct fixture *f, struct attempt_ref *gone, size_t n_gone)
{
    struct message m;
    message_init(&m, MSG_WELCOME);
    m.welcome.version = PROTOCOL_VERSION;
    m.welcome.heartbeat_ms = 2000;
    m.welcome.lost_after_ms = 10000;
    m.welcome.gone = gone;
    m.welcome.n_gone = n_gone;
    tell(f, &m);
}

void tell_bare(struct fixture *f, enum message_type type)
{
    struct message m;
    message_init(&m, type);
    tell(f, &m);
}

void answer_beats(struct fixture *f)
{
    uint64_t req = 0;
    for (size_t i = 0; i < f->n_said; i++)
        if (f->said[i].type == MSG_BEAT)
            req = f->said[i].beat.req;
    struct message m;
    message_init(&m, MSG_BEAT);
    m.beat.req = req;
    tell(f, &m);
}

void finish_as(struct fixture *f, uint64_t job, uint64_t attempt, enum ending ending, enum reason reason,
               const char *result)
{
    struct fake_pool *p = &f->pools[POOL_THREAD];
    size_t i = index_of(p->running, p->n_running, job, attempt);
    assert_true(i < p->n_running);
    struct run *r = take_at(p->running, &p->n_running, i);
    struct outcome o;
    record_init(RECORD_outcome, &o);
    o.ending = ending;
    o.reason = reason;
    o.result = str_of(result);
    run_finish(r, &o, f->now.mono_ms * 1000);
    link_on_finished(f->link, r);
    begin_next(f, p);
}

void finish(struct fixture *f, uint64_t job, uint64_t attempt)
{
    finish_as(f, job, attempt, ENDING_DONE, REASON_NONE, "result");
}

bool is_over(struct fixture *f)
{
    int status = -1;
    bool over = link_is_over(f->link, &status);
    assert_true(!over || status == 0);
    return over;
}

struct handler_info handlers[2];
const struct str queues[] = { { "default", 7 } };

int set_up(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    log_init("test_link", LOG_LEVEL_ERROR);
    for (size_t i = 0; i < ELEMENTS(handlers); i++)
        record_init(RECORD_handler_info, &handlers[i]);
    handlers[0].name = str_of("echo");
    handlers[1].name = str_of("sleep");
    rng_init(&f->rng, 1);
    f->now = (struct now){ 1700000000000, 1000000 };
    f->epoch = 7;
    f->session = 3;
    f->pools[POOL_THREAD].slots = 2;
    f->pools[POOL_PROCESS].slots = 1;
    f->options = (struct link_options){
        .name = "w1",
        .host = "here",
        .software = "tern 0",
        .pid = 42,
        .instance = "sixteen bytes!!",
        .queues = queues,
        .n_queues = 1,
        .handlers = handlers,
        .n_handlers = 2,
        .pool_on = { [POOL_THREAD] = true, [POOL_PROCESS] = true },
        .pools = { f, give, take_waiting, stop, load },
        .rng = &f->rng,
    };
    f->link = link_new(&f->options, f->now);
    *state = f;
    return 0;
}

int set_up_welcome(void **state)
{
    set_up(state);
    turn(*state);
    tell_welcome(*state, NULL, 0);
    return 0;
}

int tear_down(void **state)
{
    struct fixture *f = *state;
    forget_said(f);
    for (size_t k = 0; k < N_POOLS; k++) {
        struct fake_pool *p = &f->pools[k];
        while (p->n_waiting)
            run_free(p->waiting[--p->n_waiting]);
        while (p->n_running)
            run_free(p->running[--p->n_running]);
    }
    link_free(f->link);
    free(f);
    return 0;
}
