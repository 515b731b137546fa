/* pool.c - what the pools share: a pool's life, its runs by job and attempt, its turn, and what is told of it. Every step costs
 * the same however many slots there are; only what has a limit stands in the heap of due slots. */
#include "worker/pool_internal.h"

#include "proto/base/log.h"
#include "worker/launcher.h"

/* ---- what is here, by job and attempt --------------------------------------------------------- */

void pool_know(struct pool *p, struct run *r) { idmap_put(&p->runs, number_key(r->job.job, r->job.attempt), r); }

struct run *pool_find(const struct pool *p, uint64_t job, uint64_t attempt)
{
    struct run *r = idmap_find(&p->runs, number_key(job, attempt));
    return r && r->job.job == job && r->job.attempt == attempt ? r : NULL;
}

void pool_forget(struct pool *p, struct run *r)
{
    uint64_t key = number_key(r->job.job, r->job.attempt);
    if (idmap_find(&p->runs, key) == r)
        idmap_remove(&p->runs, key);
}

/* ---- open, close ------------------------------------------------------------------------------ */

static const struct pool_kind_ops *ops_of(enum pool_kind kind)
{
    switch (kind) {
    case POOL_PROCESS:
        return &pool_process_ops;
    case POOL_THREAD:
        return &pool_thread_ops;
    case POOL_LOOP:
        return &pool_loop_ops;
    }
    return NULL;
}

static void free_pool(struct pool *p)
{
    free(p->gates);
    slot_due_fini(&p->due);
    idmap_fini(&p->runs);
    free(p->slots);
    free(p);
}

int pool_open(struct pool **ret, const struct pool_options *o)
{
    struct pool *p = xcalloc(1, sizeof(*p));
    p->options = *o;
    p->ops = ops_of(o->kind);
    p->parents_max = pool_parents_max(o);
    p->n_slots = o->slots + (o->kind == POOL_PROCESS ? 0 : o->stuck_max) + p->parents_max;
    p->retry_at_ms = NEVER;
    list_init(&p->idle);
    list_init(&p->busy);
    list_init(&p->stuck);
    list_init(&p->spare);
    list_init(&p->slots_parked);
    list_init(&p->to_resume);
    list_init(&p->waiting);
    pool_slots_init(p);
    pool_gates_init(p);
    int r = p->ops->open(p);
    if (r < 0) {
        free_pool(p);
        return r;
    }
    *ret = p;
    return 0;
}

/* A thread that was abandoned may still read its run: only what no thread ever saw is freed. */
static void free_runs(struct pool *p)
{
    for (struct link *l; (l = list_pop(&p->waiting));)
        run_free(list_entry(l, struct run, link));
    for (struct run *r; (r = pool_gate_first_parked(p));)
        run_free(pool_gate_unpark(p, r));
    for (size_t i = 0; i < p->n_slots; i++)
        pool_forget_parent(p, &p->slots[i]);
    for (size_t i = 0; i < p->n_slots; i++)
        if (p->slots[i].run && (p->options.kind == POOL_PROCESS || p->slots[i].launcher))
            run_free(p->slots[i].run);
}

void pool_close(struct pool *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n_slots; i++)
        if (p->slots[i].launcher)
            launcher_forget(p->slots[i].launcher, &p->slots[i]);
    p->ops->close(p);
    free_runs(p);
    free_pool(p);
}

/* ---- its turn --------------------------------------------------------------------------------- */

void pool_renew(struct pool *p)
{
    pool_recall(p);
    if (p->ops->renew)
        p->ops->renew(p);
}

int64_t pool_tick(struct pool *p, struct now now)
{
    for (struct slot *s; (s = slot_due_first(&p->due)) && s->due_ms <= now.mono_ms;) {
        if (p->ops->look)
            p->ops->look(p, s, now); /* what has ended by now is not late */
        if (s->due_ms <= now.mono_ms)
            pool_stop_due(p, s, now);
    }
    pool_fill(p, now);
    int64_t kind_ms = p->ops->tick ? p->ops->tick(p, now) : NEVER;
    pool_fill(p, now); /* what that has recalled */
    struct slot *first = slot_due_first(&p->due);
    int64_t retry_ms = min_i64(p->n_waiting ? p->retry_at_ms : NEVER, pool_gates_due(p));
    return min_i64(min_i64(first ? first->due_ms : NEVER, retry_ms), kind_ms);
}

int pool_fd(const struct pool *p) { return p->ops->fd(p); }
void pool_on_readable(struct pool *p, struct now now) { p->ops->on_readable(p, now); }

/* ---- what is told ----------------------------------------------------------------------------- */

struct pool_load pool_load(const struct pool *p)
{
    struct pool_load load;
    record_init(RECORD_pool_load, &load);
    load.pool = p->options.kind;
    load.slots = min_size(p->n_idle + p->n_busy, p->options.slots); /* some may run on without one, to stop */
    load.used = p->n_busy;
    load.stuck = p->n_stuck;
    load.waiting = p->n_waiting + p->n_parked + p->n_ahead;
    load.parked = p->n_slots_parked;
    if (p->ops->blocked)
        p->ops->blocked(p, &load.blocked, &load.blocked_ms);
    return load;
}

bool pool_is_spent(const struct pool *p) { return p->n_stuck > p->options.stuck_max; }

void pool_ask_alive(struct pool *p)
{
    if (p->ops->ask_alive)
        p->ops->ask_alive(p);
}

bool pool_is_alive(const struct pool *p) { return !p->ops->is_alive || p->ops->is_alive(p); }

static void dump_slot(const struct pool *p, const struct slot *s, struct now now)
{
    const struct run_job *job = pool_shown(s->run);
    const char *before = pool_log_about(s->run);
    log_info("event=slot pool=%s slot=%zu state=%s job=%llu attempt=%llu handler=%.*s ms=%lld",
             pool_name(p->options.kind), pool_slot_index(p, s), slot_state_name(s->state),
             pool_shown_job(s->run), (unsigned long long)job->attempt,
             (int)s->run->job.handler.n, s->run->job.handler.p ? s->run->job.handler.p : "",
             (long long)(now.mono_ms - s->started_us / 1000));
    log_about(before);
}

void pool_dump(const struct pool *p, struct now now)
{
    log_info("event=pool pool=%s slots=%zu used=%zu stuck=%zu parked=%zu waiting=%zu ahead=%zu", pool_name(p->options.kind),
             p->n_idle + p->n_busy, p->n_busy, p->n_stuck, p->n_slots_parked, p->n_waiting + p->n_parked, p->n_ahead);
    if (p->ops->dump)
        p->ops->dump(p);
    list_each(l, &p->busy)
        dump_slot(p, list_entry(l, const struct slot, link), now);
    list_each(l, &p->slots_parked)
        dump_slot(p, list_entry(l, const struct slot, link), now);
    list_each(l, &p->stuck)
        dump_slot(p, list_entry(l, const struct slot, link), now);
}
