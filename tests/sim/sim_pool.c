/* sim_pool.c - pools without processes, threads or a loop. */
#include "tests/sim/sim_pool.h"

#include "tests/sim/record.h"

struct running {
    struct link link;
    struct run *run;
    int64_t began_ms, ends_ms;
    enum reason stopped; /* why it was told to stop */
    bool told;
};

static struct sim_pool *pool_of(void *ctx, enum pool_kind k) { return &((struct sim_pools *)ctx)->of[k]; }

/* ---- verbs of the link ------------------------------------------------------------------------------- */

static void give(void *ctx, enum pool_kind k, struct run *r, struct now now)
{
    (void)now;
    struct sim_pool *p = pool_of(ctx, k);
    list_add_tail(&p->waiting, &r->link);
    p->n_waiting++;
}

static struct run *take(struct sim_pool *p, struct link *l)
{
    list_remove(l);
    p->n_waiting--;
    return list_entry(l, struct run, link);
}

static struct run *take_waiting(void *ctx, enum pool_kind k, uint64_t job, uint64_t attempt)
{
    struct sim_pool *p = pool_of(ctx, k);
    list_each(l, &p->waiting) {
        const struct run *r = list_entry(l, struct run, link);
        if (r->job.job == job && r->job.attempt == attempt)
            return take(p, l);
    }
    return NULL;
}

static struct run *take_any_waiting(void *ctx, enum pool_kind k)
{
    struct sim_pool *p = pool_of(ctx, k);
    return list_empty(&p->waiting) ? NULL : take(p, p->waiting.prev);
}

static void stop(void *ctx, enum pool_kind k, uint64_t job, uint64_t attempt, enum reason reason, int64_t grace_ms, struct now now)
{
    (void)grace_ms;
    list_each(l, &pool_of(ctx, k)->running) {
        struct running *r = list_entry(l, struct running, link);
        if (r->run->job.job != job || r->run->job.attempt != attempt)
            continue;
        r->told = true;
        r->stopped = reason;
        r->ends_ms = min_i64(r->ends_ms, now.mono_ms + 5);
    }
}

static struct pool_load load(void *ctx, enum pool_kind k)
{
    const struct sim_pool *p = pool_of(ctx, k);
    return (struct pool_load){ k, SLOTS, p->n_running, 0, p->n_waiting, 0 };
}

struct link_pools sim_pools_verbs(struct sim_pools *p)
{
    return (struct link_pools){ p, give, take_waiting, take_any_waiting, stop, load };
}

/* ---- running ----------------------------------------------------------------------------------------- */

/* The job's number decides how long it runs. */
static int64_t run_ms(const struct run_job *job)
{
    if (str_is(job->handler, "quick"))
        return MIN_RUN_MS + (int64_t)(job->job % 3);
    return 1 + (int64_t)(job->job * 7919 % 97) * (job->job % 50 ? 1 : 15);
}

static void begin(struct sim_pools *all, struct sim_pool *p)
{
    while (p->n_running < SLOTS && !list_empty(&p->waiting)) {
        struct running *r = xcalloc(1, sizeof *r);
        r->run = take(p, p->waiting.next);
        r->run->state = RUN_RUNNING;
        r->began_ms = all->world->now.mono_ms;
        r->ends_ms = r->began_ms + run_ms(&r->run->job);
        list_add_tail(&p->running, &r->link);
        p->n_running++;
        record_started(all->world, all, r->run->job.job, r->run->job.attempt);
        link_on_started(all->link, r->run);
    }
}

static struct outcome outcome_of(const struct world *w, const struct running *r)
{
    struct outcome o;
    record_init(RECORD_outcome, &o);
    o.wall_us = max_i64(w->now.mono_ms - r->began_ms, MIN_RUN_MS) * 1000;
    o.cpu_us = o.wall_us / 2;
    enum fate fate = fate_of(w->seed, r->run->job.job, r->run->job.attempt);
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

static void end_due(struct sim_pools *all, struct sim_pool *p)
{
    struct world *w = all->world;
    list_each_safe(l, &p->running) {
        struct running *r = list_entry(l, struct running, link);
        if (r->ends_ms > w->now.mono_ms)
            continue;
        list_remove(l);
        p->n_running--;
        struct outcome o = outcome_of(w, r);
        record_ended(w, all, r->run->job.job, r->run->job.attempt, !r->told);
        run_finish(r->run, &o, w->now.mono_ms * 1000);
        link_on_finished(all->link, r->run);
        free(r);
    }
}

void sim_pools_turn(struct sim_pools *p)
{
    for (int k = 0; k < N_POOLS; k++) {
        end_due(p, &p->of[k]);
        begin(p, &p->of[k]);
    }
}

/* ---- life -------------------------------------------------------------------------------------------- */

void sim_pools_init(struct sim_pools *p, struct world *w)
{
    *p = (struct sim_pools){ .world = w };
    for (int k = 0; k < N_POOLS; k++) {
        list_init(&p->of[k].waiting);
        list_init(&p->of[k].running);
    }
}

void sim_pools_drop(struct sim_pools *all)
{
    for (int k = 0; k < N_POOLS; k++) {
        struct sim_pool *p = &all->of[k];
        for (struct link *l; (l = list_pop(&p->waiting));)
            run_free(list_entry(l, struct run, link));
        for (struct link *l; (l = list_pop(&p->running));) {
            run_free(list_entry(l, struct running, link)->run);
            free(list_entry(l, struct running, link));
        }
        p->n_waiting = p->n_running = 0;
    }
}

void sim_pools_each_running(struct sim_pools *p, void (*check)(void *ctx, uint64_t job, uint64_t attempt), void *ctx)
{
    for (int k = 0; k < N_POOLS; k++)
        list_each(l, &p->of[k].running) {
            const struct running *r = list_entry(l, struct running, link);
            if (!r->told)
                check(ctx, r->run->job.job, r->run->job.attempt);
        }
}
