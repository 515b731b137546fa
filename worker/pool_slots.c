/* pool_slots.c - which slots are idle, busy, stuck, and stand by: a slot's way from one list to another, with all that is
 * counted. */
#include "worker/pool_internal.h"

#include "proto/base/log.h"
#include "worker/handlers.h"
#include "worker/runners.h"

void pool_slots_init(struct pool *p)
{
    p->slots = xcalloc(p->n_slots, sizeof(*p->slots));
    for (size_t i = 0; i < p->n_slots; i++) {
        bool spare = i >= p->options.slots;
        p->slots[i].due_ms = NEVER;
        list_init(&p->slots[i].answers);
        list_add_tail(spare ? &p->spare : &p->idle, &p->slots[i].link);
        p->n_idle += !spare;
    }
}

void pool_slot_vacate(struct pool *p, struct slot *s)
{
    if (s->state != SLOT_STUCK && s->state != SLOT_PARKED)
        pool_gate_leave(p, s->run);
    size_t *n = s->state == SLOT_STUCK ? &p->n_stuck : s->state == SLOT_PARKED ? &p->n_slots_parked : &p->n_busy;
    slot_move(s, SLOT_IDLE);
    pool_forget_parent(p, s);
    slot_due_set(&p->due, s, NEVER);
    s->run = NULL;
    s->launcher = NULL;
    list_remove(&s->link);
    *n -= 1;
}

void pool_slot_to_idle(struct pool *p, struct slot *s)
{
    pool_slot_vacate(p, s);
    if (p->n_idle + p->n_busy >= p->options.slots) {
        list_add_tail(&p->spare, &s->link);
        if (p->ops->resize)
            p->ops->resize(p);
        return;
    }
    /* At the front: what ran last is warm. */
    list_add_tail(p->idle.next, &s->link);
    p->n_idle++;
}

static struct launcher *launcher_of(const struct pool *p, const struct run *r)
{
    if (p->options.kind == POOL_PROCESS)
        return NULL;
    if (r->runner)
        return p->options.runners[number_place(r->job.job) * runners_count() + r->runner - 1];
    return handler_is_exec(r->job.handler) ? p->options.launcher : NULL;
}

/* Of a part nobody is told: it belongs to what has started. */
static void tell_started(struct pool *p, struct run *r)
{
    if (!r->part)
        p->options.on_started(p->options.ctx, r);
}

void pool_slot_occupy(struct pool *p, struct slot *s, struct run *r, struct now now)
{
    slot_move(s, SLOT_RUNNING);
    list_add_tail(&p->busy, &s->link);
    p->n_busy++;
    s->run = r;
    s->started_us = now.mono_ms * 1000;
    s->stop_at_ms = NEVER;
    s->kill_at_ms = NEVER;
    s->stop_reason = REASON_NONE;
    s->n_kills = 0;
    s->launcher = launcher_of(p, r);
    s->n_parts = 0;
    s->waited_for_parts = false;
    if (r->job.timeout_ms != UNSET && r->job.timeout_ms > 0 && r->job.timeout_ms < NEVER - now.mono_ms)
        s->stop_at_ms = now.mono_ms + r->job.timeout_ms;
    slot_due_set(&p->due, s, s->stop_at_ms);
    r->state = RUN_RUNNING;
    r->slot = s;
    pool_gate_pass(p, r);
    tell_started(p, r);
}

static void replace(struct pool *p, const struct slot *stuck)
{
    struct link *l = p->n_stuck <= p->options.stuck_max ? list_pop(&p->spare) : NULL;
    if (!l)
        return;
    list_add_tail(&p->idle, l);
    p->n_idle++;
    int r = p->ops->replace && !stuck->launcher ? p->ops->replace(p) : 0;
    if (r < 0)
        log_warning("event=slot-not-replaced pool=%s error=%s", pool_name(p->options.kind), strerror(-r));
}

void pool_slot_stick(struct pool *p, struct slot *s)
{
    slot_move(s, SLOT_STUCK);
    slot_due_set(&p->due, s, NEVER);
    list_remove(&s->link);
    list_add_tail(&p->stuck, &s->link);
    p->n_busy--;
    p->n_stuck++;
    pool_gate_leave(p, s->run);
    replace(p, s);
}
