/* link_attempts.c - what becomes of the held attempts, as the pools and the broker tell it. */
#include "worker/link_state.h"

struct pool_load link_load(struct worker_link *l, enum pool_kind pool)
{
    struct pool_load load = l->o.pools.load(l->o.pools.ctx, pool);
    load.pool = pool;
    if (!link_takes_jobs(l))
        load.slots = 0;
    return load;
}

struct link_tally link_tally(const struct worker_link *l, enum pool_kind pool)
{
    const struct holding_count *c = &l->held.of[pool];
    return (struct link_tally){ c->held, c->started, c->parked };
}

size_t link_tell_loads(struct worker_link *l, struct pool_load ret[static N_POOLS])
{
    size_t n = 0;
    for (enum pool_kind pool = 0; pool < N_POOLS; pool++)
        if (l->o.pool_on[pool])
            l->told[pool] = ret[n++] = link_load(l, pool);
    return n;
}

bool link_load_changed(struct worker_link *l)
{
    for (enum pool_kind pool = 0; pool < N_POOLS; pool++) {
        if (!l->o.pool_on[pool])
            continue;
        struct pool_load load = link_load(l, pool);
        const struct pool_load *told = &l->told[pool];
        if (load.slots != told->slots || load.stuck != told->stuck || load.parked != told->parked)
            return true;
    }
    return false;
}

void link_finish(struct worker_link *l, struct holding *h)
{
    const struct outcome *o = &h->run->outcome;
    holding_finish(&l->held, h);
    h->sent_ms = NEVER;
    h->result_bytes = o->result.n + o->output.n + o->error.n + 128;
    list_add_tail(&l->unsent, &h->said);
}

void link_forget(struct worker_link *l, struct holding *h)
{
    if (h->finished && h->sent_ms != NEVER)
        l->window_bytes -= h->result_bytes;
    holding_remove(&l->held, h);
}

void link_discard(struct worker_link *l, struct holding *h, struct run *r)
{
    h->run = r;
    holding_finish(&l->held, h);
    h->sent_ms = NEVER;
    link_forget(l, h);
}

bool link_take_waiting(struct worker_link *l, struct holding *h, struct run **ret)
{
    struct run *r = l->o.pools.take_waiting(l->o.pools.ctx, h->pool, h->job, h->attempt);
    if (r)
        *ret = r;
    return r != NULL;
}

void link_stop(struct worker_link *l, struct holding *h, enum reason reason, int64_t grace_ms,
               struct now now)
{
    l->o.pools.stop(l->o.pools.ctx, h->pool, h->job, h->attempt, reason, grace_ms, now);
}

void link_add_started(struct worker_link *l, uint64_t job, uint64_t attempt)
{
    struct refs *s = &l->started;
    s->at = grow_array(s->at, &s->cap, s->n + 1, sizeof *s->at);
    s->at[s->n++] = (struct attempt_ref){ job, attempt };
}

void link_add_given(struct worker_link *l, uint64_t job, uint64_t attempt, bool started,
                    const char *text)
{
    struct givens *g = &l->given;
    g->at = grow_array(g->at, &g->cap, g->n + 1, sizeof *g->at);
    g->at[g->n++] = (struct given_back){ job, attempt, started, str_of(text) };
}

void link_give_back(struct worker_link *l, struct holding *h, struct run *r, const char *text)
{
    link_add_given(l, h->job, h->attempt, h->started, text);
    link_discard(l, h, r);
}

void link_give_back_strangers(struct worker_link *l)
{
    list_each_safe(i, &l->held.all) {
        struct holding *h = list_entry(i, struct holding, all);
        struct run *r;
        if (h->finished || h->dropped || strmap_find(&l->handlers, h->run->job.handler))
            continue;
        if (link_take_waiting(l, h, &r))
            link_give_back(l, h, r, "the worker has its handler no more");
    }
}

void link_on_started(struct worker_link *l, struct attempt_ref ref)
{
    struct holding *h = holding_find(&l->held, ref.job, ref.attempt);
    assert(h);
    holding_start(&l->held, h);
    link_add_started(l, h->job, h->attempt);
}

void link_on_finished(struct worker_link *l, struct run *r)
{
    struct holding *h = holding_find(&l->held, r->job.job, r->job.attempt);
    assert(h && !h->finished);
    link_drop_asks(l, h);
    h->run = r; /* of an attempt that was given up while its handler goes on, this is a copy */
    if (h->dropped)
        link_discard(l, h, r);
    else if (r->outcome.ending == ENDING_LOST && r->outcome.reason == REASON_NONE)
        link_give_back(l, h, r, "worker drained");
    else
        link_finish(l, h);
}
