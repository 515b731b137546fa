/* sim_worker.c - the real link of a worker; its process dies, stands still, and is drained. */
#include <stdio.h>

#include "broker/lease.h"
#include "tests/sim/kept.h"
#include "tests/sim/sim_pool.h"
#include "tests/sim/world.h"

#define LATE_REQ (UINT64_C(1) << 62) /* beside the link's own numbers */
#define GONE_MS 100 /* a worker that was drained is started again */

struct sim_worker {
    struct world *world;
    size_t node;
    const char *name;
    struct worker_link *link; /* NULL while dead */
    struct sim_pools pools;
    struct rng rng;
    int64_t back_ms; /* dead until then */
    int64_t stalls_until_ms;
    int64_t wake_ms;
};

static const struct handler_info handlers[] = {
    { .name = { "work", 4 }, .forms = FORM_BLOCKING | FORM_ASYNC, .tag = TAG_CPU, .retries = 2, .timeout_ms = UNSET, .thread_safe = 1 },
    { .name = { "quick", 5 }, .forms = FORM_BLOCKING | FORM_ASYNC, .tag = TAG_IO, .retries = 2, .timeout_ms = UNSET, .thread_safe = 1 },
};

static const struct amount amounts[] = { { .name = { "card", 4 }, .total = CARDS } };

static void start(struct sim_worker *s)
{
    struct link_options o = { .name = s->name, .host = "host", .software = "sim", .pid = 1, .handlers = handlers,
                              .n_handlers = ELEMENTS(handlers), .amounts = amounts, .n_amounts = ELEMENTS(amounts),
                              .pool_on = { true, true, true }, .rng = &s->rng };
    for (size_t i = 0; i < sizeof o.instance; i++)
        o.instance[i] = (unsigned char)rng_next(&s->rng);
    o.pools = sim_pools_verbs(&s->pools);
    s->link = s->pools.link = link_new(&o, s->world->now);
    s->wake_ms = s->stalls_until_ms = 0;
}

struct sim_worker *sim_worker_new(struct world *w, size_t node)
{
    struct sim_worker *s = xcalloc(1, sizeof *s);
    s->world = w;
    s->node = node;
    s->name = node_name(node);
    rng_init(&s->rng, rng_next(&w->rng));
    sim_pools_init(&s->pools, w);
    start(s);
    return s;
}

void sim_worker_free(struct sim_worker *s)
{
    link_free(s->link);
    sim_pools_drop(&s->pools);
    free(s);
}

void sim_worker_print(const struct sim_worker *s)
{
    if (!s->link) {
        fprintf(stderr, "%s: dead\n", s->name);
        return;
    }
    struct link_view v = link_view(s->link);
    fprintf(stderr, "%s: %s session=%lu held=%zu unfinished=%zu unrecorded=%zu wakes=%ld\n", s->name,
            v.connected ? "connected" : "away", (unsigned long)v.session, v.held, v.unfinished, v.unrecorded, (long)s->wake_ms);
    for (int k = 0; k < N_POOLS; k++)
        fprintf(stderr, "  %s: waiting=%zu running=%zu\n", pool_name(k), s->pools.of[k].n_waiting, s->pools.of[k].n_running);
}

static void end(struct sim_worker *s, int64_t back_ms)
{
    record_worker_ended(s->world, &s->pools);
    s->link = link_free(s->link);
    sim_pools_drop(&s->pools);
    s->back_ms = s->world->now.mono_ms + back_ms;
}

static void recv_one(struct world *w, struct sim_worker *s, const struct letter *l)
{
    struct message m;
    const char *why;
    int r = message_decode(&m, l->bytes, l->n, &why);
    world_check(w, 0, r >= 0, "the broker sent a bad message: %s", why);
    world_trace_message(w, "broker", s->name, &m);
    if (m.type == MSG_CHECKPOINTED && m.checkpointed.req == LATE_REQ)
        kept_late(w, (enum error_code)m.checkpointed.code);
    link_recv(s->link, &m, w->now);
    message_fini(&m);
}

static void send_one(struct world *w, struct sim_worker *s, struct str bytes)
{
    struct message m;
    const char *why;
    if (w->trace && message_decode(&m, bytes.p, bytes.n, &why) >= 0) {
        world_trace_message(w, s->name, "broker", &m);
        message_fini(&m);
    }
    if (net_send_to_broker(w, s->node, bytes) < 0)
        link_on_unsent(s->link, w->now);
}

/* A handler that it should have stopped leaves a checkpoint when its job has gone on elsewhere. The link would not say it. */
static void say_late(struct world *w, struct sim_worker *s)
{
    struct link_view v = link_view(s->link);
    struct attempt_ref a = s->pools.begun[rng_below(&s->rng, BEGUN_REMEMBERED)];
    char text[KEPT_BODY_BYTES];
    struct message m;
    struct buf b;
    if (!v.connected || record_job(w, a.job)->last_handed_out <= a.attempt)
        return;
    message_init(&m, MSG_CHECKPOINT);
    m.epoch = v.epoch;
    m.session = v.session;
    m.checkpoint.req = LATE_REQ;
    m.checkpoint.job = a.job;
    m.checkpoint.attempt = a.attempt;
    m.checkpoint.body = kept_body(text, a.job, (struct mark){ a.attempt, UINT64_MAX });
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    message_encode(&b, &m);
    send_one(w, s, buf_str(&b));
    buf_fini(&b);
}

struct holder {
    struct world *world;
    const struct worker *worker;
};

static void check_leased(void *ctx, uint64_t job, uint64_t attempt)
{
    const struct holder *h = ctx;
    world_check(h->world, job, lease_find(h->world->broker, h->worker, job, attempt),
                "P2: attempt %lu of job %lu runs, and in this session it is not this worker's", (unsigned long)attempt, (unsigned long)job);
}

/* In a session that stands, a worker runs what the broker has leased to it, and nothing else. */
static void check_runs(struct world *w, struct sim_worker *s)
{
    struct link_view v = link_view(s->link);
    struct worker *worker;
    for (size_t i = 0; v.connected && w->broker && (worker = strmap_next(&w->broker->workers, &i));) {
        struct holder h = { w, worker };
        if (worker->peer && worker->peer->session == v.session && store_epoch(w->broker->store) == v.epoch)
            sim_pools_each_running(&s->pools, check_leased, &h);
    }
}

static void exchange(struct world *w, struct sim_worker *s)
{
    for (struct letter *l; (l = net_recv_at_node(w, s->node)); letter_free(l))
        recv_one(w, s, l);
    check_runs(w, s);
    sim_pools_turn(&s->pools);
    link_tick(s->link, w->now);
    s->wake_ms = link_flush(s->link, w->now);
    for (struct buf b; link_take_message(s->link, &b); buf_fini(&b))
        send_one(w, s, buf_str(&b));
    if (rng_below(&s->rng, 10) == 0)
        say_late(w, s);
    if (link_take_reopen(s->link))
        net_cut(w, s->node, 0);
}

/* Whatever happens to its process now. False when it does nothing in this turn. */
static bool lives_on(struct world *w, struct sim_worker *s)
{
    struct rng *lot = fault_draw(&w->faults, FAULT_WORKER_DIES, 1500);
    if (lot) {
        world_trace(w, "%s dies", s->name);
        net_cut(w, s->node, 0);
        end(s, (int64_t)rng_below(lot, 1500));
        return false;
    }
    lot = fault_draw(&w->faults, FAULT_WORKER_STALLS, 1500);
    if (lot) {
        s->stalls_until_ms = w->now.mono_ms + (int64_t)rng_below(lot, 3 * LOST_AFTER_MS);
        world_trace(w, "%s stands still until %ld", s->name, (long)s->stalls_until_ms);
    }
    lot = fault_draw(&w->faults, FAULT_WORKER_LEAVES, 2000);
    if (lot) {
        world_trace(w, "%s is drained", s->name);
        link_drain(s->link, w->now.mono_ms + (int64_t)rng_below(lot, 200), w->now);
    }
    return w->now.mono_ms >= s->stalls_until_ms;
}

void sim_worker_turn(struct world *w, struct sim_worker *s)
{
    int status;
    if (!s->link) {
        if (w->now.mono_ms < s->back_ms)
            return;
        world_trace(w, "%s starts", s->name);
        start(s);
    }
    if (!lives_on(w, s))
        return;
    exchange(w, s);
    if (link_is_over(s->link, &status)) {
        world_trace(w, "%s leaves", s->name);
        end(s, GONE_MS);
    }
}
