/* sim_pool.c - pools without processes, threads or a loop. */
#include "tests/sim/sim_pool.h"

#include <stdio.h>

#include "tests/sim/kept.h"

#define CHILDREN_MAX 3u
#define CHECKPOINTS_MAX 3u

struct running {
    struct link link;
    struct run *run;
    int64_t began_ms, ends_ms;
    enum reason stopped; /* why it was told to stop */
    bool told;
    enum { WORKS, SPAWNS, AWAITS } does;
    struct range children[CHILDREN_MAX]; /* one each */
    size_t n_children;
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

static struct running *find_in(struct link *list, uint64_t job, uint64_t attempt)
{
    list_each(l, list) {
        struct running *r = list_entry(l, struct running, link);
        if (r->run->job.job == job && r->run->job.attempt == attempt)
            return r;
    }
    return NULL;
}

static struct running *find(struct sim_pool *p, uint64_t job, uint64_t attempt)
{
    struct running *r = find_in(&p->running, job, attempt);
    if (!r)
        r = find_in(&p->parked, job, attempt);
    return r ? r : find_in(&p->ready, job, attempt);
}

static void unpark(struct sim_pool *p, struct running *r)
{
    list_remove(&r->link);
    list_add_tail(&p->running, &r->link);
    p->n_parked--;
    p->n_running++;
}

static void stop(void *ctx, enum pool_kind k, uint64_t job, uint64_t attempt, enum reason reason, int64_t grace_ms, struct now now)
{
    (void)grace_ms;
    struct sim_pool *p = pool_of(ctx, k);
    struct running *r = find(p, job, attempt);
    if (!r)
        return;
    if (r->does == AWAITS)
        unpark(p, r);
    r->does = WORKS;
    r->told = true;
    r->stopped = reason;
    r->ends_ms = min_i64(r->ends_ms, now.mono_ms + 5);
}

static struct pool_load load(void *ctx, enum pool_kind k)
{
    const struct sim_pool *p = pool_of(ctx, k);
    return (struct pool_load){ k, SLOTS, p->n_running, 0, p->n_waiting, p->n_parked, 0, 0 };
}

/* ---- children: a parent spawns some, and waits for all of them --------------------------------------- */

static bool is_parent(const struct run_job *job) { return job->payload.n == 2 && job->payload.p[0] == 'p'; }

static void ask_spawn(struct sim_pools *all, struct running *r)
{
    const struct run_job *job = &r->run->job;
    struct job_spec specs[CHILDREN_MAX];
    struct str keys[CHILDREN_MAX];
    char texts[CHILDREN_MAX][8];
    size_t n = 1 + (size_t)(job->job % CHILDREN_MAX);
    for (size_t i = 0; i < n; i++) {
        snprintf(texts[i], sizeof texts[i], i ? "#%zu" : "first", i);
        keys[i] = str_of(texts[i]);
        record_init(RECORD_job_spec, &specs[i]);
        specs[i].handler = str_of((job->job + i) % 2 ? "work" : "quick");
        specs[i].payload = str_of(job->payload.p[1] == '2' && !i ? "p1" : "");
        specs[i].expire_ms = job->job % 7 ? UNSET : 300;
    }
    struct message m;
    message_init(&m, MSG_SPAWN);
    m.spawn.job = job->job;
    m.spawn.attempt = job->attempt;
    m.spawn.jobs = specs;
    m.spawn.keys = keys;
    m.spawn.n_jobs = m.spawn.n_keys = n;
    m.spawn.detached = job->job % 5 == 0;
    r->does = SPAWNS;
    link_on_asked(all->link, run_ref(r->run), &m, all->world->now);
}

static void work(const struct world *w, struct running *r);

static int by_first(const void *a, const void *b)
{
    const struct range *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

static void on_spawned(struct sim_pools *all, struct sim_pool *p, struct running *r, const struct msg_spawned *s)
{
    struct message m;
    if (s->code) {
        work(all->world, r);
        return;
    }
    for (size_t i = 0; i < s->n_children; i++) {
        record_spawned(all->world, r->run->job.job, i, s->children[i].id);
        r->children[i] = (struct range){ s->children[i].id, s->children[i].id };
    }
    r->n_children = s->n_children;
    qsort(r->children, r->n_children, sizeof *r->children, by_first); /* one that was made anew comes after those that were found */
    message_init(&m, MSG_AWAIT);
    m.await.job = r->run->job.job;
    m.await.attempt = r->run->job.attempt;
    m.await.ranges = r->children;
    m.await.n_ranges = r->n_children;
    m.await.number = r->n_children;
    r->does = AWAITS;
    list_remove(&r->link);
    list_add_tail(&p->parked, &r->link);
    p->n_running--;
    p->n_parked++;
    link_on_asked(all->link, run_ref(r->run), &m, all->world->now);
}

static void on_awaited(struct sim_pools *all, struct sim_pool *p, struct running *r, const struct msg_awaited *a)
{
    world_check(all->world, r->run->job.job, a->n_ended == r->n_children, "job %lu is told of %zu children, and awaits %zu",
                (unsigned long)r->run->job.job, a->n_ended, r->n_children);
    list_remove(&r->link);
    list_add_tail(&p->ready, &r->link);
}

/* ---- checkpoints: some leave one as soon as they have begun, and others as each is acknowledged ------- */

static void ask_checkpoint(struct sim_pools *all, const struct run *r)
{
    struct noted_attempt *a = record_attempt(all->world, r->job.job, r->job.attempt);
    char text[KEPT_BODY_BYTES];
    struct message m;
    if (r->job.job % 4 > 1 || a->n_left == CHECKPOINTS_MAX)
        return;
    message_init(&m, MSG_CHECKPOINT);
    m.checkpoint.req = ++a->n_left;
    m.checkpoint.job = r->job.job;
    m.checkpoint.attempt = r->job.attempt;
    m.checkpoint.body = kept_body(text, r->job.job, (struct mark){ r->job.attempt, a->n_left });
    link_on_asked(all->link, run_ref(r), &m, all->world->now);
}

static void on_checkpointed(struct sim_pools *all, const struct running *r, const struct msg_checkpointed *c)
{
    const struct run_job *job = &r->run->job;
    if (c->code)
        kept_refused(all->world, job->job, job->attempt, (enum error_code)c->code);
    else
        kept_acknowledged(all->world, job->job, (struct mark){ job->attempt, c->req });
    if (!r->told)
        ask_checkpoint(all, r->run);
}

/* ---- answers ----------------------------------------------------------------------------------------- */

static void answer(void *ctx, enum pool_kind k, uint64_t job, uint64_t attempt, const struct message *m, struct now now)
{
    (void)now;
    struct sim_pools *all = ctx;
    struct sim_pool *p = pool_of(ctx, k);
    struct running *r = find(p, job, attempt);
    if (r && m->type == MSG_CHECKPOINTED)
        on_checkpointed(all, r, &m->checkpointed);
    else if (r && !r->told && m->type == MSG_SPAWNED && r->does == SPAWNS)
        on_spawned(all, p, r, &m->spawned);
    else if (r && !r->told && m->type == MSG_AWAITED && r->does == AWAITS)
        on_awaited(all, p, r, &m->awaited);
}

struct link_pools sim_pools_verbs(struct sim_pools *p)
{
    return (struct link_pools){ p, give, take_waiting, stop, load, answer };
}

/* ---- running ----------------------------------------------------------------------------------------- */

/* The job's number decides how long it runs. */
static int64_t run_ms(const struct run_job *job)
{
    if (str_is(job->handler, "quick"))
        return MIN_RUN_MS + (int64_t)(job->job % 3);
    return 1 + (int64_t)(job->job * 7919 % 97) * (job->job % 50 ? 1 : 15);
}

static void work(const struct world *w, struct running *r)
{
    r->does = WORKS;
    r->ends_ms = w->now.mono_ms + run_ms(&r->run->job);
}

/* Some say at once how far they are: their broker stores it without a sync, which must lose nothing else. */
static void report(struct sim_pools *all, const struct run *r)
{
    struct attempt_progress progress = { r->job.job, r->job.attempt, (int64_t)(r->job.job % 101) };
    struct message m;
    if (r->job.job % 3)
        return;
    message_init(&m, MSG_PROGRESS);
    m.progress.attempts = &progress;
    m.progress.n_attempts = 1;
    link_on_asked(all->link, run_ref(r), &m, all->world->now);
}

static void begin(struct sim_pools *all, struct sim_pool *p)
{
    while (p->n_running < SLOTS && !list_empty(&p->ready)) {
        struct running *r = list_entry(p->ready.next, struct running, link);
        unpark(p, r);
        work(all->world, r);
    }
    while (p->n_running < SLOTS && !list_empty(&p->waiting)) {
        struct running *r = xcalloc(1, sizeof *r);
        r->run = take(p, p->waiting.next);
        r->run->state = RUN_RUNNING;
        r->began_ms = all->world->now.mono_ms;
        r->ends_ms = r->began_ms + run_ms(&r->run->job);
        r->does = WORKS;
        list_add_tail(&p->running, &r->link);
        p->n_running++;
        record_started(all->world, all, r->run->job.job, r->run->job.attempt);
        link_on_started(all->link, run_ref(r->run));
        report(all, r->run);
        ask_checkpoint(all, r->run);
        all->begun[all->n_begun++ % BEGUN_REMEMBERED] = (struct attempt_ref){ r->run->job.job, r->run->job.attempt };
        if (is_parent(&r->run->job) && p->n_parents < LIMIT_PARKED * SLOTS) {
            p->n_parents++;
            ask_spawn(all, r);
        }
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
        if (r->does != WORKS || r->ends_ms > w->now.mono_ms)
            continue;
        list_remove(l);
        p->n_running--;
        p->n_parents -= is_parent(&r->run->job) && p->n_parents;
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
        list_init(&p->of[k].parked);
        list_init(&p->of[k].ready);
    }
}

void sim_pools_drop(struct sim_pools *all)
{
    for (int k = 0; k < N_POOLS; k++) {
        struct sim_pool *p = &all->of[k];
        for (struct link *l; (l = list_pop(&p->waiting));)
            run_free(list_entry(l, struct run, link));
        for (struct link *l; (l = list_pop(&p->running)) || (l = list_pop(&p->parked)) || (l = list_pop(&p->ready));) {
            run_free(list_entry(l, struct running, link)->run);
            free(list_entry(l, struct running, link));
        }
        p->n_waiting = p->n_running = p->n_parked = p->n_parents = 0;
    }
}

void sim_pools_each_running(struct sim_pools *p, void (*check)(void *ctx, uint64_t job, uint64_t attempt), void *ctx)
{
    for (int k = 0; k < N_POOLS; k++) {
        struct link *const lists[] = { &p->of[k].running, &p->of[k].parked, &p->of[k].ready };
        for (size_t i = 0; i < ELEMENTS(lists); i++)
            list_each(l, lists[i]) {
                const struct running *r = list_entry(l, struct running, link);
                if (!r->told)
                    check(ctx, r->run->job.job, r->run->job.attempt);
            }
    }
}
