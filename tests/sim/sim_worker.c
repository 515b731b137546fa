/* sim_worker.c - the real link, with pools that are lists: a job runs for a time that its number decides. */
#include <stdio.h>

#include "tests/sim/record.h"
#include "tests/sim/world.h"

#define SLOTS 3

struct running {
    struct link link;
    struct run *run;
    int64_t ends_ms;
    enum reason stopped; /* told to stop: REASON_CANCELLED, or... */
    bool told;
};

struct fake_pool {
    struct link waiting; /* runs */
    struct link running; /* of struct running */
    size_t n_waiting, n_running;
};

struct sim_worker {
    struct world *world;
    size_t node;
    struct worker_link *link;
    struct fake_pool pools[N_POOLS];
    struct rng rng;
    char name[16];
    int64_t back_ms; /* dead until then */
    int64_t wake_ms;
};

/* ---- the pools ---------------------------------------------------------------------------------- */

static void pool_give_(void *ctx, enum pool_kind k, struct run *r, struct now now)
{
    (void)now;
    struct fake_pool *p = &((struct sim_worker *)ctx)->pools[k];
    list_add_tail(&p->waiting, &r->link);
    p->n_waiting++;
}

static struct run *take(struct fake_pool *p, struct link *l)
{
    list_remove(l);
    p->n_waiting--;
    return list_entry(l, struct run, link);
}

static struct run *pool_take_waiting_(void *ctx, enum pool_kind k, uint64_t job, uint64_t attempt)
{
    struct fake_pool *p = &((struct sim_worker *)ctx)->pools[k];
    list_each(l, &p->waiting) {
        struct run *r = list_entry(l, struct run, link);
        if (r->job.job == job && r->job.attempt == attempt)
            return take(p, l);
    }
    return NULL;
}

static struct run *pool_take_any_waiting_(void *ctx, enum pool_kind k)
{
    struct fake_pool *p = &((struct sim_worker *)ctx)->pools[k];
    return list_empty(&p->waiting) ? NULL : take(p, p->waiting.prev);
}

static void pool_stop_(void *ctx, enum pool_kind k, uint64_t job, uint64_t attempt, enum reason reason, int64_t grace_ms,
                       struct now now)
{
    (void)grace_ms;
    struct fake_pool *p = &((struct sim_worker *)ctx)->pools[k];
    list_each(l, &p->running) {
        struct running *run = list_entry(l, struct running, link);
        if (run->run->job.job != job || run->run->job.attempt != attempt)
            continue;
        run->told = true;
        run->stopped = reason;
        run->ends_ms = min_i64(run->ends_ms, now.mono_ms + 5);
    }
}

static struct pool_load pool_load_(void *ctx, enum pool_kind k)
{
    const struct fake_pool *p = &((struct sim_worker *)ctx)->pools[k];
    return (struct pool_load){ k, SLOTS, p->n_running, 0, p->n_waiting };
}

static void begin(struct sim_worker *s, struct fake_pool *p)
{
    while (p->n_running < SLOTS && !list_empty(&p->waiting)) {
        struct running *r = xcalloc(1, sizeof *r);
        r->run = take(p, p->waiting.next);
        r->run->state = RUN_RUNNING;
        r->ends_ms = s->world->now.mono_ms + 1 + (int64_t)(r->run->job.job * 7919 % 97) * (r->run->job.job % 50 ? 1 : 15);
        list_add_tail(&p->running, &r->link);
        p->n_running++;
        record_started(s->world, s, r->run->job.job, r->run->job.attempt);
        link_on_started(s->link, r->run);
    }
}

static struct outcome outcome_of(struct sim_worker *s, const struct running *r)
{
    struct outcome o;
    record_init(RECORD_outcome, &o);
    o.wall_us = 1000;
    o.cpu_us = 500;
    enum fate fate = record_fate(s->world, r->run->job.job, r->run->job.attempt);
    if (r->told) {
        o.ending = r->stopped == REASON_CANCELLED ? ENDING_CANCELLED : ENDING_LOST;
        o.reason = r->stopped;
    } else if (fate != FATE_DONE) {
        o.ending = ENDING_FAILED;
        o.reason = REASON_EXIT;
        o.exit_code = 1;
        o.for_good = fate == FATE_FAILS_FOR_GOOD;
    }
    return o;
}

static void end_due(struct sim_worker *s, struct fake_pool *p)
{
    list_each_safe(l, &p->running) {
        struct running *r = list_entry(l, struct running, link);
        if (r->ends_ms > s->world->now.mono_ms)
            continue;
        list_remove(l);
        p->n_running--;
        struct outcome o = outcome_of(s, r);
        record_ended(s->world, s, r->run->job.job, r->run->job.attempt, !r->told);
        run_finish(r->run, &o, s->world->now.mono_ms * 1000);
        link_on_finished(s->link, r->run);
        free(r);
    }
}

static void drop_pools(struct sim_worker *s)
{
    for (int k = 0; k < N_POOLS; k++) {
        struct fake_pool *p = &s->pools[k];
        for (struct link *l; (l = list_pop(&p->waiting));)
            run_free(list_entry(l, struct run, link));
        for (struct link *l; (l = list_pop(&p->running));) {
            run_free(list_entry(l, struct running, link)->run);
            free(list_entry(l, struct running, link));
        }
        p->n_waiting = p->n_running = 0;
    }
}

/* ---- its life ----------------------------------------------------------------------------------- */

static const struct handler_info handler = { .name = { "work", 4 }, .forms = FORM_BLOCKING | FORM_ASYNC, .tag = TAG_CPU,
                                             .retries = 2, .timeout_ms = UNSET, .thread_safe = 1 };

static void start(struct sim_worker *s)
{
    struct link_options o = { .name = s->name, .host = "host", .software = "sim", .pid = 1, .handlers = &handler,
                              .n_handlers = 1, .pool_on = { true, true, true }, .rng = &s->rng };
    for (size_t i = 0; i < sizeof o.instance; i++)
        o.instance[i] = (unsigned char)rng_next(&s->rng);
    o.pools = (struct link_pools){ s, pool_give_, pool_take_waiting_, pool_take_any_waiting_, pool_stop_, pool_load_ };
    s->link = link_new(&o, s->world->now);
    s->wake_ms = 0;
}

struct sim_worker *sim_worker_new(struct world *w, size_t node)
{
    struct sim_worker *s = xcalloc(1, sizeof *s);
    s->world = w;
    s->node = node;
    snprintf(s->name, sizeof s->name, "worker%zu", node);
    rng_init(&s->rng, rng_next(&w->rng));
    for (int k = 0; k < N_POOLS; k++) {
        list_init(&s->pools[k].waiting);
        list_init(&s->pools[k].running);
    }
    start(s);
    return s;
}

void sim_worker_free(struct sim_worker *s)
{
    link_free(s->link);
    drop_pools(s);
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
        fprintf(stderr, "  %s: waiting=%zu running=%zu\n", pool_name(k), s->pools[k].n_waiting, s->pools[k].n_running);
}

static void die(struct sim_worker *s)
{
    world_trace(s->world, "%s dies", s->name);
    record_worker_died(s->world, s);
    link_free(s->link);
    s->link = NULL;
    drop_pools(s);
    net_cut(s->world, s->node, 0);
    s->back_ms = s->world->now.mono_ms + (int64_t)rng_below(&s->world->rng, 1500);
}

static void exchange(struct world *w, struct sim_worker *s)
{
    for (struct letter *l; (l = net_recv_at_node(w, s->node));) {
        struct message m;
        const char *why;
        int r = message_decode(&m, l->bytes, l->n, &why);
        world_check(w, r >= 0, "the broker sent a bad message: %s", why);
        link_recv(s->link, &m, w->now);
        message_fini(&m);
        letter_free(l);
    }
    for (int k = 0; k < N_POOLS; k++) {
        end_due(s, &s->pools[k]);
        begin(s, &s->pools[k]);
    }
    link_tick(s->link, w->now);
    s->wake_ms = link_flush(s->link, w->now);
    for (struct buf b; link_take_message(s->link, &b); buf_fini(&b))
        if (net_send_to_broker(w, s->node, buf_str(&b)) < 0)
            link_on_unsent(s->link, w->now);
    if (link_take_reopen(s->link))
        net_cut(w, s->node, 0);
}

void sim_worker_turn(struct world *w, struct sim_worker *s)
{
    if (!s->link) {
        if (w->now.mono_ms < s->back_ms)
            return;
        world_trace(w, "%s starts", s->name);
        start(s);
    }
    if (w->faults.worker_dies && !w->calm && world_chance(w, 1500)) {
        die(s);
        return;
    }
    exchange(w, s);
}
