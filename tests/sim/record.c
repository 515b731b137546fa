/* record.c - holds the database against what clients and handlers saw. */
#include "tests/sim/record.h"

#include <stdio.h>

#include "broker/lease.h"
#include "proto/base/map.h"

struct attempt {
    uint64_t job, attempt;
    const void *worker; /* that runs it now; NULL when it has ended or its worker died */
    unsigned starts;
    bool ended_by_itself;
};

struct record {
    uint64_t acknowledged[JOBS_MAX];
    size_t n;
    struct idmap attempts;     /* by job * 1000 + attempt: of struct attempt, owned */
    struct idmap running;      /* by job: struct attempt, borrowed */
    struct idmap cancel_asked; /* by job: anything */
};

struct record *record_new(void) { return xcalloc(1, sizeof(struct record)); }

void record_free(struct record *r)
{
    struct attempt *a;
    for (size_t i = 0; (a = idmap_next(&r->attempts, &i));)
        free(a);
    idmap_fini(&r->attempts);
    idmap_fini(&r->running);
    idmap_fini(&r->cancel_asked);
    free(r);
}

enum fate record_fate(const struct world *w, uint64_t job, uint64_t attempt)
{
    struct rng rng;
    rng_init(&rng, w->seed ^ (job * 1000003 + attempt));
    rng_next(&rng);
    uint64_t n = rng_below(&rng, 10);
    return n < 7 ? FATE_DONE : n < 9 ? FATE_FAILS : FATE_FAILS_FOR_GOOD;
}

static uint64_t key_of(uint64_t job, uint64_t attempt) { return job * 1000 + attempt; }
size_t record_count(const struct world *w) { return w->record->n; }

void record_acknowledged(struct world *w, uint64_t first, uint64_t count)
{
    struct record *r = w->record;
    for (uint64_t i = 0; i < count; i++)
        r->acknowledged[r->n++] = first + i;
}

void record_cancel_asked(struct world *w, uint64_t job) { idmap_put(&w->record->cancel_asked, job, w); }

void record_started(struct world *w, const void *worker, uint64_t job, uint64_t attempt)
{
    struct record *r = w->record;
    struct attempt *a = idmap_find(&r->attempts, key_of(job, attempt));
    world_check(w, !a, "P2: attempt %lu of job %lu was handed out twice", (unsigned long)attempt, (unsigned long)job);
    struct attempt *other = idmap_find(&r->running, job);
    /* A worker that was cut off for too long may be taken for lost while it runs; a broker's restart is no reason. */
    bool only_the_broker_dies = !w->faults.cuts && !w->faults.drops && !w->faults.worker_dies;
    world_check(w, !other || !only_the_broker_dies, "P5: job %lu was started again while a live worker held it",
                (unsigned long)job);
    a = xcalloc(1, sizeof *a);
    *a = (struct attempt){ job, attempt, worker, 1, false };
    idmap_put(&r->attempts, key_of(job, attempt), a);
    idmap_put(&r->running, job, a);
}

void record_ended(struct world *w, const void *worker, uint64_t job, uint64_t attempt, bool by_itself)
{
    struct attempt *a = idmap_find(&w->record->attempts, key_of(job, attempt));
    assert(a && a->worker == worker);
    a->worker = NULL;
    a->ended_by_itself = by_itself;
    if (idmap_find(&w->record->running, job) == a)
        idmap_remove(&w->record->running, job);
}

void record_worker_died(struct world *w, const void *worker)
{
    struct attempt *a;
    for (size_t i = 0; (a = idmap_next(&w->record->attempts, &i));)
        if (a->worker == worker) {
            a->worker = NULL;
            if (idmap_find(&w->record->running, a->job) == a)
                idmap_remove(&w->record->running, a->job);
        }
}

/* ---- what must hold ------------------------------------------------------------------------------ */

static void check_credit(struct world *w)
{
    struct worker *worker;
    size_t leased = 0;
    for (size_t i = 0; (worker = strmap_next(&w->broker->workers, &i));)
        for (int k = 0; k < N_POOLS; k++) {
            const struct worker_pool *p = &worker->pools[k];
            leased += p->leased;
            world_check(w, p->started <= p->leased, "more started than leased");
            world_check(w, p->leased <= 3 + LIMIT_PREFETCH, "P6: %zu leases of %s exceed its credit", p->leased, worker->name);
        }
    world_check(w, leased == w->broker->leases.n, "the leases and the workers' counts differ");
}

void record_check_turn(struct world *w)
{
    const struct broker *b = w->broker;
    uint64_t running = 0;
    for (size_t i = 0; i < b->classes.n; i++)
        running += b->classes.all[i] ? b->classes.all[i]->jobs[STATE_RUNNING] : 0;
    world_check(w, running == b->leases.n, "%lu jobs are running, but there are %zu leases", (unsigned long)running,
                b->leases.n);
    check_credit(w);
}

bool record_all_ended(struct world *w)
{
    for (size_t i = 0; w->broker && i < w->record->n; i++) {
        struct job_row j;
        int r = store_get(w->broker->store, w->record->acknowledged[i], &j);
        world_check(w, r >= 0, "P1: job %lu was acknowledged and is lost", (unsigned long)w->record->acknowledged[i]);
        if (!state_is_terminal(j.state))
            return false;
    }
    return w->broker != NULL;
}

static void check_job(struct world *w, const struct job_row *j)
{
    unsigned long id = j->id;
    struct attempt *a = idmap_find(&w->record->attempts, key_of(j->id, j->attempt));
    enum fate fate = record_fate(w, j->id, j->attempt);
    switch (j->state) {
    case STATE_DONE:
        world_check(w, a && a->ended_by_itself && fate == FATE_DONE, "P2: job %lu is done by attempt %lu, which did not do it",
                    id, (unsigned long)j->attempt);
        break;
    case STATE_DEAD:
        world_check(w, a && a->ended_by_itself && fate != FATE_DONE, "P2: job %lu is dead by attempt %lu, which did not fail",
                    id, (unsigned long)j->attempt);
        world_check(w, fate == FATE_FAILS_FOR_GOOD || (int64_t)j->failures > or_default(j->retries, 2),
                    "job %lu is dead with retries left", id);
        world_check(w, (int64_t)j->failures <= or_default(j->retries, 2) + 1, "job %lu failed more often than it may", id);
        break;
    case STATE_CANCELLED:
        world_check(w, idmap_find(&w->record->cancel_asked, j->id) != NULL, "P2: job %lu is cancelled, and nobody asked", id);
        break;
    default:
        world_fail(w, "P2: job %lu ended as %s", id, state_name(j->state));
    }
}

static void add_stored(void *ctx, const struct class_row *c)
{
    uint64_t *stored = ctx;
    for (int s = 0; s < N_STATES; s++)
        stored[s] += c->jobs[s];
}

/* The rows, the counts in the database and those in memory must be one. */
static void check_counts(struct world *w)
{
    uint64_t counted[N_STATES] = { 0 }, kept[N_STATES] = { 0 }, stored[N_STATES] = { 0 };
    store_each_class(w->broker->store, add_stored, stored);
    struct job_row rows[256];
    uint64_t from = 1;
    for (int n; (n = store_scan(w->broker->store, from, UINT64_MAX, rows, ELEMENTS(rows))) > 0; from = rows[n - 1].id + 1)
        for (int i = 0; i < n; i++)
            counted[rows[i].state]++;
    for (size_t i = 0; i < w->broker->classes.n; i++)
        for (int s = 0; w->broker->classes.all[i] && s < N_STATES; s++)
            kept[s] += w->broker->classes.all[i]->jobs[s];
    for (int s = 0; s < N_STATES; s++)
        world_check(w, counted[s] == kept[s] && counted[s] == stored[s],
                    "P2: there are %lu rows that are %s; memory counts %lu, the database %lu", (unsigned long)counted[s],
                    state_name(s), (unsigned long)kept[s], (unsigned long)stored[s]);
}

void record_check_end(struct world *w)
{
    for (size_t i = 0; i < w->record->n; i++) {
        struct job_row j;
        int r = store_get(w->broker->store, w->record->acknowledged[i], &j);
        world_check(w, r >= 0, "P1: job %lu was acknowledged and is lost", (unsigned long)w->record->acknowledged[i]);
        check_job(w, &j);
    }
    check_counts(w);
}
