/* fuzz_link.c - the worker's side of the talk with a broker that says anything: what it holds stays counted, every attempt
 * is in its pool, under way to the broker or gone, and whatever it says can be read. */
#include "proto/base/log.h"
#include "proto/base/utf8.h"
#include "tests/fuzz/generate.h"
#include "worker/link.h"

#define OPERATIONS_MAX 100
#define SLOTS 3

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

struct fake_pool {
    struct link waiting, running; /* of struct run, owned */
    size_t n_waiting, n_running;
};

static struct bench {
    struct worker_link *link;
    struct fake_pool pools[N_POOLS];
    struct generate g;
    struct rng rng;
    struct now now;
    uint64_t picked_attempt;
    bool handing_out, refuses, over; /* refuses: the socket takes nothing */
} bench;

/* ---- pools --------------------------------------------------------------------------------------- */

static void begin_next(struct fake_pool *p)
{
    while (p->n_waiting && p->n_running < SLOTS) {
        struct run *r = list_entry(list_pop(&p->waiting), struct run, link);
        list_add_tail(&p->running, &r->link);
        p->n_waiting--;
        p->n_running++;
        r->state = RUN_RUNNING;
        link_on_started(bench.link, run_ref(r));
    }
}

static void give(void *ctx, enum pool_kind pool, struct run *r, struct now now)
{
    (void)ctx;
    (void)now;
    assert(pool != POOL_LOOP);
    struct fake_pool *p = &bench.pools[pool];
    list_add_tail(&p->waiting, &r->link);
    p->n_waiting++;
    begin_next(p);
}

static struct run *find(struct link *in, uint64_t job, uint64_t attempt)
{
    list_each(link, in) {
        struct run *r = list_entry(link, struct run, link);
        if (r->job.job == job && r->job.attempt == attempt)
            return r;
    }
    return NULL;
}

static struct run *take(struct run *r, size_t *n)
{
    if (!r)
        return NULL;
    list_remove(&r->link);
    list_init(&r->link);
    --*n;
    return r;
}

static struct run *take_waiting(void *ctx, enum pool_kind pool, uint64_t job, uint64_t attempt)
{
    (void)ctx;
    struct fake_pool *p = &bench.pools[pool];
    return take(find(&p->waiting, job, attempt), &p->n_waiting);
}

/* As from any handler; the pools see to it that its error is a text. */
static void finish(struct fake_pool *p, struct run *r)
{
    struct message m;
    struct outcome o;
    generate_message(&bench.g, &m, MSG_RESULT);
    record_init(RECORD_outcome, &o);
    if (m.result.n_outcomes)
        o = m.result.outcomes[0];
    if (o.error.p && !utf8_is_text(o.error))
        o.error = STR_UNSET;
    run_finish(take(r, &p->n_running), &o, bench.now.mono_ms * 1000);
    link_on_finished(bench.link, r);
    begin_next(p);
}

/* Some end at once, inside the call; most go on. */
static void stop(void *ctx, enum pool_kind pool, uint64_t job, uint64_t attempt, enum reason reason, int64_t grace_ms,
                 struct now now)
{
    (void)ctx;
    (void)reason;
    (void)grace_ms;
    (void)now;
    struct run *r = find(&bench.pools[pool].running, job, attempt);
    assert(r);
    if (rng_below(&bench.rng, 4) == 0)
        finish(&bench.pools[pool], r);
}

static struct pool_load load(void *ctx, enum pool_kind pool)
{
    (void)ctx;
    const struct fake_pool *p = &bench.pools[pool];
    return (struct pool_load){ pool, SLOTS, p->n_running, 0, p->n_waiting, 0, 0, 0 };
}

/* ---- the broker ---------------------------------------------------------------------------------- */

/* Mostly one that a pool has, but in a RUN. */
static void pick_job(uint64_t choice, uint64_t *ret)
{
    const struct fake_pool *p = &bench.pools[choice % 2];
    const struct link *in = choice % 4 < 2 ? &p->waiting : &p->running;
    *ret = 1 + choice % 16;
    bench.picked_attempt = 1 + choice / 100;
    if (bench.handing_out || choice % 16 > 11 || list_empty(in))
        return;
    const struct run *r = list_entry(in->next, struct run, link);
    *ret = r->job.job;
    bench.picked_attempt = r->job.attempt;
}

/* See struct generate. */
static bool know(void *ctx, const char *field, uint64_t choice, uint64_t *ret)
{
    (void)ctx;
    if (generate_is(field, "job"))
        pick_job(choice, ret);
    else if (generate_is(field, "attempt"))
        *ret = bench.picked_attempt;
    else if (generate_is(field, "number"))
        *ret = choice < 160 ? 0 : choice % 8;
    else if (generate_is(field, "heartbeat_ms") || generate_is(field, "lost_after_ms"))
        *ret = choice * 100;
    else
        return false;
    return true;
}

/* Through the wire, so that every text is a view into bytes of just its size, which are gone afterwards. */
static void tell(enum message_type type, bool of_session)
{
    struct message m;
    struct buf b;
    const char *why = NULL;
    const struct link_view v = link_view(bench.link);
    bench.handing_out = type == MSG_RUN;
    generate_message(&bench.g, &m, type);
    m.epoch = of_session ? v.epoch : 1;
    m.session = of_session ? v.session : 1 + generate_below(&bench.g, 4);
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    int r = message_encode(&b, &m);
    assert(r == 0 || r == -EMSGSIZE);
    if (r == 0 && message_decode(&m, b.p, b.n, &why) == 0) {
        link_recv(bench.link, &m, bench.now);
        message_fini(&m);
    }
    buf_fini(&b);
}

static void tell_usual(void)
{
    static const enum message_type usual[] = { MSG_RUN,  MSG_RUN,   MSG_RUN,  MSG_RECORDED, MSG_RECORDED, MSG_TAKE_BACK,
                                               MSG_STOP, MSG_DRAIN, MSG_BEAT, MSG_ERROR,    MSG_BYE,      MSG_HELLO_AGAIN };
    if (!link_view(bench.link).connected)
        tell(MSG_WELCOME, false);
    tell(usual[generate_below(&bench.g, ELEMENTS(usual))], true);
}

static void hear(struct buf bytes)
{
    struct message m;
    const char *why = NULL;
    int r = message_decode(&m, bytes.p, bytes.n, &why);
    assert(r == 0 && m.type != MSG_RUN);
    message_fini(&m);
    buf_fini(&bytes);
}

/* ---- the worker ---------------------------------------------------------------------------------- */

static void check(void)
{
    const struct link_view v = link_view(bench.link);
    size_t in_pools = 0;
    for (int k = 0; k < N_POOLS; k++)
        in_pools += bench.pools[k].n_waiting + bench.pools[k].n_running;
    assert(v.held == v.unfinished + v.unrecorded && v.unfinished == in_pools && v.held <= LIMIT_HELD);
}

static void turn(void)
{
    struct buf bytes;
    int status = -1;
    link_tick(bench.link, bench.now);
    int64_t due = link_flush(bench.link, bench.now);
    while (link_take_message(bench.link, &bytes)) {
        if (!bench.refuses) {
            hear(bytes);
            continue;
        }
        buf_fini(&bytes);
        link_on_unsent(bench.link, bench.now);
    }
    link_take_reopen(bench.link);
    check();
    bench.over = link_is_over(bench.link, &status);
    assert(!bench.over || status >= 0);
    assert(bench.over || due != NEVER);
}

static void pass_time(void)
{
    static const int64_t steps_ms[] = { 1, 20, 100, 500, 1000, 2001, 5000, 10001, 60000, 600001 };
    int64_t ms = steps_ms[generate_below(&bench.g, ELEMENTS(steps_ms))];
    bench.now.mono_ms += ms;
    bench.now.wall_ms += ms;
}

static void finish_one(void)
{
    struct fake_pool *p = &bench.pools[generate_below(&bench.g, 2)];
    if (!list_empty(&p->running))
        finish(p, list_entry(p->running.next, struct run, link));
}

static void command(void)
{
    static const struct str queues[] = { { "a", 1 }, { "b", 1 } };
    switch (generate_below(&bench.g, 5)) {
    case 0:
        link_quiet(bench.link, bench.now);
        break;
    case 1:
        link_resume(bench.link, bench.now);
        break;
    case 2:
        link_set_queues(bench.link, queues, generate_below(&bench.g, 3), bench.now);
        break;
    case 3:
        link_drain(bench.link, generate_below(&bench.g, 2) ? NEVER : bench.now.mono_ms + generate_byte(&bench.g), bench.now);
        break;
    default:
        link_drain_at_once(bench.link, bench.now);
    }
}

static void step(void)
{
    uint8_t choice = generate_byte(&bench.g);
    switch (choice % 32) {
    case 0:
        if (choice >= 128)
            command();
        break;
    case 1:
        bench.refuses = generate_below(&bench.g, 2);
        break;
    case 2:
        link_on_unsent(bench.link, bench.now);
        break;
    case 3:
        tell(generate_type(&bench.g), generate_below(&bench.g, 2));
        break;
    case 4:
    case 5:
        tell(MSG_WELCOME, false);
        break;
    case 6:
    case 7:
    case 8:
        pass_time();
        break;
    case 9:
    case 10:
    case 11:
    case 12:
    case 13:
        finish_one();
        break;
    case 14:
    case 15:
    case 16:
    case 17:
    case 18:
    case 19:
        turn();
        break;
    default:
        tell_usual();
    }
    generate_forget(&bench.g);
}

/* ---- one input ------------------------------------------------------------------------------------ */

static void begin(const uint8_t *bytes, size_t n)
{
    static const struct handler_info handlers[] = { { .name = { "cpu", 3 }, .forms = FORM_BLOCKING },
                                                    { .name = { "io", 2 }, .forms = FORM_BLOCKING },
                                                    { .name = { "exec", 4 }, .forms = FORM_BLOCKING } };
    const struct link_options o = {
        .name = "w1",
        .host = "host",
        .software = "fuzz",
        .instance = "0123456789abcde",
        .handlers = handlers,
        .n_handlers = ELEMENTS(handlers),
        .pool_on = { true, true, false },
        .pools = { NULL, give, take_waiting, stop, load },
        .rng = &bench.rng,
    };
    static struct link_options kept;
    kept = o;
    log_init("fuzz", (enum log_level)0);
    bench.now = (struct now){ 1700000000000, 1000000 };
    bench.refuses = bench.over = false;
    rng_init(&bench.rng, 1);
    generate_init(&bench.g, bytes, n);
    bench.g.know = know;
    for (int k = 0; k < N_POOLS; k++) {
        list_init(&bench.pools[k].waiting);
        list_init(&bench.pools[k].running);
        bench.pools[k].n_waiting = bench.pools[k].n_running = 0;
    }
    bench.link = link_new(&kept, bench.now);
}

static void free_all(struct link *runs)
{
    for (struct link *l; (l = list_pop(runs));)
        run_free(list_entry(l, struct run, link));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    begin(bytes, n);
    turn();
    for (int i = 0; i < OPERATIONS_MAX && bench.g.left && !bench.over; i++)
        step();
    if (!bench.over)
        turn();
    for (int k = 0; k < N_POOLS; k++) {
        free_all(&bench.pools[k].waiting);
        free_all(&bench.pools[k].running);
    }
    link_free(bench.link);
    generate_fini(&bench.g);
    return 0;
}
