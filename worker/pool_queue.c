/* pool_queue.c - what waits for a slot: it comes, begins, is given ahead, or is taken back. In order of arrival, but for what
 * is parked in front of its runner (pool_gate.c). */
#include "worker/pool_internal.h"

#include "worker/handlers.h"
#include "worker/launcher.h"

/* ---- beginning -------------------------------------------------------------------------------- */

/* Why it cannot even be tried in this pool; NULL when it can. */
static const char *why_not(const struct pool *p, const struct run_job *job)
{
    bool command = handler_is_exec(job->handler);
    if (command && !handlers_find(job->handler))
        return "this worker runs no commands";
    if (command && p->options.kind != POOL_PROCESS && !p->options.launcher)
        return "this worker runs no commands in this pool";
    if (!command && p->options.kind != POOL_PROCESS && run_is_limited(job))
        return "a memory limit needs a process: threads and coroutines share the worker's memory";
    return NULL;
}

static bool refuse(struct pool *p, struct run *r, struct now now)
{
    struct outcome o;
    if (r->stop_asked) {
        pool_end_unbegun(p, r, r->stop_reason, now);
        return true;
    }
    if (r->expire_at_ms <= now.mono_ms) {
        pool_outcome_init(&o, ENDING_EXPIRED, REASON_EXPIRED, "expired before it could start");
    } else {
        const char *why = why_not(p, &r->job);
        if (!why)
            return false;
        pool_outcome_init(&o, ENDING_FAILED, REASON_HANDLER_ERROR, why);
        o.for_good = 1;
    }
    pool_finish(p, r, &o, now);
    return true;
}

static void begin(struct pool *p, struct run *r, struct now now)
{
    struct slot *s = list_entry(list_pop(&p->idle), struct slot, link);
    p->n_idle--;
    pool_slot_occupy(p, s, r, now);
    int e = s->launcher ? launcher_begin(s->launcher, p, s, now) : p->ops->begin(p, s, now);
    if (e >= 0)
        return;
    struct outcome o;
    cleanup(freep) char *text = xasprintf("cannot be started: %s", strerror(-e));
    pool_outcome_init(&o, ENDING_FAILED, REASON_HANDLER_ERROR, text);
    pool_slot_ended(p, s, &o, now);
}

static bool is_ready(struct pool *p, struct now now)
{
    p->retry_at_ms = NEVER;
    return !p->ops->ready || p->ops->ready(p, now, &p->retry_at_ms);
}

static struct run *next_to_begin(struct pool *p, struct now now)
{
    struct run *r = pool_gate_next(p, now);
    while (!r && p->n_waiting) {
        r = list_entry(list_pop(&p->waiting), struct run, link);
        p->n_waiting--;
        if (!pool_gate_admits(p, r, now))
            pool_gate_park(p, TAKE(r));
    }
    return r;
}

void pool_fill(struct pool *p, struct now now)
{
    if (p->filling)
        return;
    p->filling = true;
    struct run *r;
    while (p->n_idle && !list_empty(&p->to_resume))
        pool_resume(p);
    while (p->n_idle && p->n_waiting + p->n_parked && is_ready(p, now) && (r = next_to_begin(p, now)))
        if (!refuse(p, r, now))
            begin(p, r, now);
    p->filling = false;
}

/* ---- coming, and being taken back ------------------------------------------------------------- */

static void give(struct pool *p, struct run *r, struct link *before, struct now now)
{
    pool_know(p, r);
    r->state = RUN_WAITING;
    r->runner = p->n_gates ? handlers_runner(r->job.handler) : 0;
    list_remove(&r->link);
    list_add_tail(before, &r->link);
    p->n_waiting++;
    pool_fill(p, now);
}

void pool_give(struct pool *p, struct run *r, struct now now) { give(p, r, &p->waiting, now); }

/* Behind the first of each broker: before the second of any. */
static struct link *end_of_firsts(struct pool *p)
{
    uint64_t seen = 0;
    list_each(l, &p->waiting) {
        uint64_t place = 1ull << number_place(pool_shown(list_entry(l, struct run, link))->job);
        if (seen & place)
            return l;
        seen |= place;
    }
    return &p->waiting;
}

void pool_give_in_turn(struct pool *p, struct run *r, struct now now)
{
    pool_recall(p);
    give(p, r, end_of_firsts(p), now);
}

void pool_wait_first(struct pool *p, struct run *r)
{
    r->state = RUN_WAITING;
    list_add_tail(p->waiting.next, &r->link);
    p->n_waiting++;
}

struct run *pool_give_ahead(struct pool *p)
{
    struct run *r = list_entry(p->waiting.next, struct run, link);
    if (!p->n_waiting || r->expire_at_ms != NEVER || r->stop_asked)
        return NULL;
    list_remove(&r->link);
    p->n_waiting--;
    r->state = RUN_AHEAD;
    p->n_ahead++;
    return r;
}

void pool_take_back(struct pool *p, struct run *r)
{
    assert(r->state == RUN_AHEAD);
    list_remove(&r->link);
    p->n_ahead--;
    pool_wait_first(p, r);
}

void pool_recall(struct pool *p)
{
    if (p->n_ahead)
        p->ops->recall(p);
}

struct run *pool_take(struct pool *p, struct run *r)
{
    if (r->parked) {
        pool_gate_unpark(p, r);
    } else {
        list_remove(&r->link);
        p->n_waiting--;
    }
    pool_forget(p, r);
    return r;
}

struct run *pool_take_waiting(struct pool *p, uint64_t job, uint64_t attempt)
{
    struct run *r = pool_find(p, job, attempt);
    if (r && r->state == RUN_AHEAD)
        pool_recall(p);
    return r && r->state == RUN_WAITING ? pool_take(p, r) : NULL;
}
