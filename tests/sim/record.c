/* record.c - notes, by job and by attempt. */
#include "tests/sim/record.h"

#include "proto/base/map.h"
#include "tests/sim/kept.h"

#define ATTEMPTS_A_JOB 100000u
#define CHILDREN_A_JOB 16u

struct record {
    struct noted *jobs;    /* owned: by id */
    size_t n, cap;
    struct idmap attempts; /* by job * ATTEMPTS_A_JOB + attempt: of struct noted_attempt, owned */
    struct idmap running;  /* by job: of struct noted_attempt, borrowed */
    struct idmap children; /* by parent * CHILDREN_A_JOB + number: their ids, as pointers */
    uint64_t promises, acknowledged;
};

struct record *record_new(void) { return xcalloc(1, sizeof(struct record)); }

void record_free(struct record *r)
{
    struct noted_attempt *a;
    for (size_t i = 0; (a = idmap_next(&r->attempts, &i));)
        free(a);
    idmap_fini(&r->attempts);
    idmap_fini(&r->running);
    idmap_fini(&r->children);
    free(r->jobs);
    free(r);
}

enum fate fate_of(uint64_t seed, uint64_t job, uint64_t attempt)
{
    struct rng rng;
    rng_init(&rng, seed ^ (job * 1000003 + attempt));
    rng_next(&rng);
    uint64_t n = rng_below(&rng, 10);
    return n < 7 ? FATE_DONE : n < 9 ? FATE_FAILS : FATE_FAILS_FOR_GOOD;
}

/* ---- jobs ---------------------------------------------------------------------------------------- */

struct noted *record_job(struct world *w, uint64_t id)
{
    struct record *r = w->record;
    r->jobs = grow_array(r->jobs, &r->cap, id + 1, sizeof *r->jobs);
    if (id >= r->n) {
        memset(&r->jobs[r->n], 0, (id + 1 - r->n) * sizeof *r->jobs);
        r->n = id + 1;
    }
    return &r->jobs[id];
}

bool record_may_be_gone(const struct world *w, const struct noted *n)
{
    bool deletes = w->keep_finished < JOBS_MAX;
    bool may_have_ended = !n->acknowledged || n->ran || n->cancel_asked || n->may_expire;
    return n->remove_asked || (deletes && may_have_ended);
}

uint64_t record_last(const struct world *w) { return w->record->n ? w->record->n - 1 : 0; }
uint64_t record_promises(const struct world *w) { return w->record->promises; }
uint64_t record_n_acknowledged(const struct world *w) { return w->record->acknowledged; }
uint64_t record_n_attempts(const struct world *w) { return w->record->attempts.n; }

void record_acknowledged(struct world *w, uint64_t id, bool may_expire)
{
    struct noted *n = record_job(w, id);
    world_check(w, id, !n->acknowledged, "P1: id %lu was given out twice", (unsigned long)id);
    n->acknowledged = true;
    n->may_expire = may_expire;
    w->record->acknowledged++;
}

/* How the store has the job now, it must have it from here on, or further on its way. */
static void promise(struct world *w, uint64_t id)
{
    struct noted *n = record_job(w, id);
    struct job_row j;
    w->record->promises++;
    if (store_get(w->broker->store, id, &j) < 0) {
        world_check(w, id, record_may_be_gone(w, n), "P1: somebody is told of job %lu, and it is not in the store", (unsigned long)id);
        return;
    }
    n->promised = true;
    n->state = j.state;
    n->terminal = state_is_terminal(j.state);
    n->attempt = j.attempt;
    n->failures = j.failures;
    if (n->terminal)
        n->ended_attempt = j.attempt;
}

static uint64_t key_of(uint64_t job, uint64_t attempt) { return job * ATTEMPTS_A_JOB + attempt; }

struct noted_attempt *record_attempt(const struct world *w, uint64_t job, uint64_t attempt)
{
    return idmap_find(&w->record->attempts, key_of(job, attempt));
}

static void hand_out(struct world *w, uint64_t job, uint64_t attempt)
{
    world_check(w, job, !record_attempt(w, job, attempt), "P2: attempt %lu of job %lu is handed out twice",
                (unsigned long)attempt, (unsigned long)job);
    world_check(w, job, !record_job(w, job)->cancelled, "P2: job %lu is run though its cancel was confirmed", (unsigned long)job);
    struct noted_attempt *a = xcalloc(1, sizeof *a);
    *a = (struct noted_attempt){ .job = job, .attempt = attempt, .handed_out = true };
    idmap_put(&w->record->attempts, key_of(job, attempt), a);
}

static void promise_change(struct world *w, const struct msg_changed *m)
{
    uint64_t id = m->req % RECORD_REQ_JOBS;
    enum message_type asked = m->req / RECORD_REQ_JOBS % MESSAGE_TYPES;
    promise(w, id);
    if (asked == MSG_CANCEL && m->changed)
        record_job(w, id)->cancelled = !record_job(w, id)->retry_asked;
}

/* What a parent is told of its child must be so, from here on. */
static void promise_end(struct world *w, const struct child_end *e)
{
    const struct noted *n = record_job(w, e->id);
    if (!state_is_terminal((int64_t)e->state)) {
        world_check(w, e->id, record_may_be_gone(w, n), "P1: the parent of job %lu is told that there is none", (unsigned long)e->id);
        return;
    }
    promise(w, e->id);
    n = record_job(w, e->id);
    world_check(w, e->id, n->retry_asked || !n->promised || n->state == (enum job_state)e->state || record_may_be_gone(w, n),
                "P2: the parent of job %lu is told that it is %s, and it is %s", (unsigned long)e->id, state_name((int64_t)e->state),
                state_name(n->state));
}

void record_promised(struct world *w, const struct message *m)
{
    switch (m->type) {
    case MSG_SUBMITTED:
        for (uint64_t i = 0; i < m->submitted.count; i++)
            promise(w, m->submitted.first_id + i);
        break;
    case MSG_RUN:
        for (size_t i = 0; i < m->run.n_jobs; i++) {
            promise(w, m->run.jobs[i].job);
            hand_out(w, m->run.jobs[i].job, m->run.jobs[i].attempt);
            kept_handed(w, &m->run.jobs[i]);
        }
        break;
    case MSG_RECORDED:
        for (size_t i = 0; i < m->recorded.n_attempts; i++)
            promise(w, m->recorded.attempts[i].job);
        break;
    case MSG_CHANGED:
        promise_change(w, &m->changed);
        break;
    case MSG_SPAWNED:
        for (size_t i = 0; i < m->spawned.n_children; i++)
            promise(w, m->spawned.children[i].id);
        break;
    case MSG_AWAITED:
        for (size_t i = 0; i < m->awaited.n_ended; i++)
            promise_end(w, &m->awaited.ended[i]);
        break;
    default:
        break;
    }
}

void record_spawned(struct world *w, uint64_t parent, size_t number, uint64_t child)
{
    uint64_t key = parent * CHILDREN_A_JOB + number;
    uint64_t before = (uint64_t)(uintptr_t)idmap_find(&w->record->children, key);
    world_check(w, parent, !before || before == child || record_job(w, parent)->retry_asked,
                "P4: child %zu of job %lu was %lu, and is %lu now", number, (unsigned long)parent, (unsigned long)before,
                (unsigned long)child);
    idmap_put(&w->record->children, key, (void *)(uintptr_t)child);
}

/* ---- attempts ------------------------------------------------------------------------------------- */

/* A worker that was cut off or stood still for too long may be taken for lost while it runs; a broker's restart is no reason. */
static bool only_the_broker_fails(const struct world *w)
{
    for (int kind = FAULT_POWER_FAILS + 1; kind < N_FAULTS; kind++)
        if (w->faults.may[kind])
            return false;
    return true;
}

/* An attempt before this one did the job, and its worker lived on. */
static bool was_done(const struct world *w, uint64_t job, uint64_t attempt)
{
    for (uint64_t n = attempt; --n;) {
        const struct noted_attempt *a = record_attempt(w, job, n);
        if (a && a->ended_by_itself && fate_of(w->seed, job, n) == FATE_DONE)
            return true;
    }
    return false;
}

void record_started(struct world *w, const void *worker, uint64_t job, uint64_t attempt)
{
    struct noted_attempt *a = record_attempt(w, job, attempt), *other = idmap_find(&w->record->running, job);
    world_check(w, job, a && a->handed_out, "P2: attempt %lu of job %lu runs, and nobody handed it out", (unsigned long)attempt,
                (unsigned long)job);
    world_check(w, job, !a->started, "P2: attempt %lu of job %lu is started twice", (unsigned long)attempt, (unsigned long)job);
    world_check(w, job, !other || !only_the_broker_fails(w), "P5: job %lu is started again while a live worker holds it",
                (unsigned long)job);
    world_check(w, job, !only_the_broker_fails(w) || !was_done(w, job, attempt), "P5: job %lu is run again, and a live worker did it",
                (unsigned long)job);
    a->worker = worker;
    a->started = record_job(w, job)->ran = true;
    idmap_put(&w->record->running, job, a);
}

static void stop_running(struct world *w, struct noted_attempt *a)
{
    a->worker = NULL;
    if (idmap_find(&w->record->running, a->job) == a)
        idmap_remove(&w->record->running, a->job);
}

void record_ended(struct world *w, const void *worker, uint64_t job, uint64_t attempt, bool by_itself)
{
    struct noted_attempt *a = record_attempt(w, job, attempt);
    assert(a && a->worker == worker);
    a->ended_by_itself = by_itself;
    stop_running(w, a);
}

void record_worker_ended(struct world *w, const void *worker)
{
    struct noted_attempt *a;
    for (size_t i = 0; (a = idmap_next(&w->record->attempts, &i));)
        if (a->worker == worker)
            stop_running(w, a);
}
