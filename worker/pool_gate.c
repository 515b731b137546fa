/* pool_gate.c - the gate in front of each runner: how many of its runs may be under way at a time, and when it may be started
 * again. What has to wait is parked there, so that others overtake it. */
#include "worker/pool_internal.h"

#include "proto/base/log.h"
#include "worker/runners.h"

#define RUNNER_BACKOFF_MIN_MS 1000
#define RUNNER_BACKOFF_MAX_MS 30000
#define RUNNER_STARTS_MOST 3 /* for one run, of runners that are never ready */

/* A process of the process pool has its runner for itself. */
void pool_gates_init(struct pool *p)
{
    p->n_gates = p->options.kind == POOL_PROCESS || p->options.runners ? runners_count() : 0;
    p->gates = xcalloc(p->n_gates + 1, sizeof *p->gates);
    for (size_t i = 0; i < p->n_gates; i++) {
        list_init(&p->gates[i].parked);
        p->gates[i].room = p->options.kind == POOL_PROCESS ? SIZE_MAX : runners_get(i + 1)->room;
    }
}

static struct pool_gate *gate_of(const struct pool *p, const struct run *r) { return &p->gates[r->runner - 1]; }

static bool gate_is_open(const struct pool_gate *g, struct now now)
{
    return g->used < g->room && now.mono_ms >= g->shut_until_ms;
}

bool pool_gate_admits(const struct pool *p, const struct run *r, struct now now)
{
    return !r->runner || gate_is_open(gate_of(p, r), now);
}

/* ---- what is parked --------------------------------------------------------------------------- */

void pool_gate_park(struct pool *p, struct run *r)
{
    list_add_tail(&gate_of(p, r)->parked, &r->link);
    r->parked = true;
    p->n_parked++;
}

struct run *pool_gate_unpark(struct pool *p, struct run *r)
{
    list_remove(&r->link);
    r->parked = false;
    p->n_parked--;
    return r;
}

struct run *pool_gate_first_parked(const struct pool *p)
{
    for (size_t i = 0; p->n_parked && i < p->n_gates; i++)
        if (!list_empty(&p->gates[i].parked))
            return list_entry(p->gates[i].parked.next, struct run, link);
    return NULL;
}

struct run *pool_gate_next(struct pool *p, struct now now)
{
    for (size_t i = 0; p->n_parked && i < p->n_gates; i++)
        if (!list_empty(&p->gates[i].parked) && gate_is_open(&p->gates[i], now))
            return pool_gate_unpark(p, list_entry(p->gates[i].parked.next, struct run, link));
    return NULL;
}

int64_t pool_gates_due(const struct pool *p)
{
    int64_t due_ms = NEVER;
    for (size_t i = 0; p->n_parked && i < p->n_gates; i++)
        if (!list_empty(&p->gates[i].parked) && p->gates[i].used < p->gates[i].room)
            due_ms = min_i64(due_ms, p->gates[i].shut_until_ms);
    return due_ms;
}

/* ---- passing, shutting ------------------------------------------------------------------------ */

void pool_gate_pass(struct pool *p, const struct run *r)
{
    if (r->runner)
        gate_of(p, r)->used++;
}

void pool_gate_leave(struct pool *p, const struct run *r)
{
    if (r->runner)
        gate_of(p, r)->used--;
}

void pool_gate_shut(struct pool *p, size_t runner) { p->gates[runner - 1].shut_until_ms = NEVER; }

void pool_gate_open(struct pool *p, size_t runner, bool was_ready, struct now now)
{
    struct pool_gate *g = &p->gates[runner - 1];
    g->backoff_ms = was_ready       ? 0
                    : g->backoff_ms ? min_i64(g->backoff_ms * 2, RUNNER_BACKOFF_MAX_MS)
                                    : RUNNER_BACKOFF_MIN_MS;
    g->shut_until_ms = now.mono_ms + g->backoff_ms;
    if (g->backoff_ms)
        log_error("event=runner-not-ready runner=%s pool=%s wait_ms=%lld", runners_get(runner)->name,
                  pool_name(p->options.kind), (long long)g->backoff_ms);
}

bool pool_is_hopeless(struct run *r) { return ++r->n_unbegun >= RUNNER_STARTS_MOST; }
