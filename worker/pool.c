/* pool.c - what the pools share: who waits, which slots are free, limits, stopping and its grace, stuck slots. Every step
 * costs the same however many slots there are; only what has a limit stands in the heap of due slots. */
#include "worker/pool_kind.h"

#include "proto/base/log.h"
#include "worker/handlers.h"
#include "worker/launcher.h"
#include "worker/part.h"
#include "worker/runners.h"

#define RUNNER_BACKOFF_MIN_MS 1000
#define RUNNER_BACKOFF_MAX_MS 30000
#define RUNNER_STARTS_MOST 3 /* for one run, of runners that are never ready */
#define KILL_GRACE_MS 5000
#define KILL_AGAIN_MS 2000
#define PARTS_MS 2000 /* that processes which were killed may take to be gone */

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

/* ---- what is here, by job and attempt --------------------------------------------------------- */

static uint64_t key_of(uint64_t job, uint64_t attempt) { return job ^ attempt << 48; }

static void know(struct pool *p, struct run *r) { idmap_put(&p->runs, key_of(r->job.job, r->job.attempt), r); }

struct run *pool_find(const struct pool *p, uint64_t job, uint64_t attempt)
{
    struct run *r = idmap_find(&p->runs, key_of(job, attempt));
    return r && r->job.job == job && r->job.attempt == attempt ? r : NULL;
}

static void forget(struct pool *p, struct run *r)
{
    uint64_t key = key_of(r->job.job, r->job.attempt);
    if (idmap_find(&p->runs, key) == r)
        idmap_remove(&p->runs, key);
}

/* ---- runners ---------------------------------------------------------------------------------- */

static struct pool_gate *gate_of(const struct pool *p, const struct run *r) { return &p->gates[r->runner - 1]; }

static bool gate_is_open(const struct pool_gate *g, struct now now)
{
    return g->used < g->room && now.mono_ms >= g->shut_until_ms;
}

static void park(struct pool *p, struct run *r)
{
    list_add_tail(&gate_of(p, r)->parked, &r->link);
    r->parked = true;
    p->n_parked++;
}

static struct run *unpark(struct pool *p, struct run *r)
{
    list_remove(&r->link);
    r->parked = false;
    p->n_parked--;
    return r;
}

static struct run *first_parked(const struct pool *p)
{
    for (size_t i = 0; p->n_parked && i < p->n_gates; i++)
        if (!list_empty(&p->gates[i].parked))
            return list_entry(p->gates[i].parked.next, struct run, link);
    return NULL;
}

/* When a runner that waits to be started may be. */
static int64_t gates_due(const struct pool *p)
{
    int64_t due_ms = NEVER;
    for (size_t i = 0; p->n_parked && i < p->n_gates; i++)
        if (!list_empty(&p->gates[i].parked) && p->gates[i].used < p->gates[i].room)
            due_ms = min_i64(due_ms, p->gates[i].shut_until_ms);
    return due_ms;
}

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

/* ---- open, close ------------------------------------------------------------------------------ */

static void slots_init(struct pool *p)
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

/* A process of the process pool has its runner for itself. */
static void gates_init(struct pool *p)
{
    p->n_gates = p->options.kind == POOL_PROCESS || p->options.runners ? runners_count() : 0;
    p->gates = xcalloc(p->n_gates + 1, sizeof *p->gates);
    for (size_t i = 0; i < p->n_gates; i++) {
        list_init(&p->gates[i].parked);
        p->gates[i].room = p->options.kind == POOL_PROCESS ? SIZE_MAX : runners_get(i + 1)->room;
    }
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
    slots_init(p);
    gates_init(p);
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
    for (struct run *r; (r = first_parked(p));)
        run_free(unpark(p, r));
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

/* ---- outcomes --------------------------------------------------------------------------------- */

/* Whose it is, for people. */
static const struct run_job *shown(const struct run *r) { return r->part ? r->part->of : &r->job; }

static void finish(struct pool *p, struct run *r, const struct outcome *o, struct now now)
{
    if (o->reason == REASON_MEMORY_LIMIT)
        log_warning("event=memory-limit job=%llu attempt=%llu pool=%s: %.*s", (unsigned long long)shown(r)->job,
                    (unsigned long long)shown(r)->attempt, pool_name(p->options.kind), (int)o->error.n,
                    o->error.p ? o->error.p : "");
    forget(p, r);
    r->slot = NULL;
    run_finish(r, o, now.mono_ms * 1000);
    if (r->part)
        r->part->on_finished(r->part->ctx, r->part, r);
    else
        p->options.on_finished(p->options.ctx, r);
}

/* Of a part nobody is told: it belongs to what has started. */
static void tell_started(struct pool *p, struct run *r)
{
    if (!r->part)
        p->options.on_started(p->options.ctx, r);
}

static void outcome_init(struct outcome *o, enum ending ending, enum reason reason, const char *error)
{
    record_init(RECORD_outcome, o);
    o->ending = ending;
    o->reason = reason;
    o->error = str_of(error);
}

/* Puts why it was told to stop in the place of how it then ended. */
static void outcome_stopped(struct outcome *o, enum reason reason, const char *error)
{
    o->reason = reason;
    o->for_good = 0;
    o->result = STR_UNSET;
    if (error)
        o->error = str_of(error);
    o->ending = reason == REASON_TIME_LIMIT  ? ENDING_FAILED
                : reason == REASON_CANCELLED ? ENDING_CANCELLED
                                             : ENDING_LOST;
}

static char *text_of_stop(const struct slot *s)
{
    if (s->stop_reason == REASON_TIME_LIMIT)
        return xasprintf("stopped at its time limit of %lld ms", (long long)s->run->job.timeout_ms);
    return xstrdup(s->stop_reason == REASON_CANCELLED ? "cancelled while it ran" : "handed back");
}

/* ---- slots ------------------------------------------------------------------------------------ */

/* Idle, but in no list. */
static void vacate(struct pool *p, struct slot *s)
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

static void to_idle(struct pool *p, struct slot *s)
{
    vacate(p, s);
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
        return p->options.runners[r->runner - 1];
    return handler_is_exec(r->job.handler) ? p->options.launcher : NULL;
}

/* The slot is in no list. */
static void occupy(struct pool *p, struct slot *s, struct run *r, struct now now)
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
}

/* A shared runner is not killed for one of its runs. */
static bool can_be_killed(const struct pool *p, const struct slot *s)
{
    return p->ops->kill || (s->launcher && !s->run->runner);
}

static void tell_stop(struct pool *p, struct slot *s)
{
    if (s->launcher)
        launcher_tell_stop(s->launcher, s);
    else
        p->ops->tell_stop(p, s);
}

static void kill_slot(struct pool *p, struct slot *s, struct now now)
{
    if (s->state != SLOT_KILLED)
        slot_move(s, SLOT_KILLED);
    s->n_kills++;
    if (s->n_kills == 4)
        log_warning("event=unkillable job=%llu attempt=%llu pool=%s slot=%zu", (unsigned long long)shown(s->run)->job,
                    (unsigned long long)shown(s->run)->attempt, pool_name(p->options.kind), pool_slot_index(p, s));
    slot_due_set(&p->due, s, now.mono_ms + KILL_AGAIN_MS);
    if (s->launcher)
        launcher_kill(s->launcher, s);
    else
        p->ops->kill(p, s);
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

/* The attempt is recorded; the slot keeps the run that the handler still reads. */
static void give_up(struct pool *p, struct slot *s, struct now now)
{
    slot_move(s, SLOT_STUCK);
    slot_due_set(&p->due, s, NEVER);
    list_remove(&s->link);
    list_add_tail(&p->stuck, &s->link);
    p->n_busy--;
    p->n_stuck++;
    pool_gate_leave(p, s->run);
    replace(p, s);
    if (s->run->part)
        return; /* its end is told once it has come: it uses what is the job's */
    struct outcome o;
    cleanup(freep) char *text = text_of_stop(s);
    outcome_init(&o, ENDING_FAILED, REASON_NONE, NULL);
    o.wall_us = now.mono_ms * 1000 - s->started_us;
    outcome_stopped(&o, s->stop_reason, text);
    struct run *copy = run_new(&s->run->job, now);
    forget(p, s->run);
    finish(p, copy, &o, now);
}

/* The processes of a job on the loop are told and killed when it is: an attempt is recorded once they are gone. */
static bool waits_for_parts(struct pool *p, struct slot *s, struct now now)
{
    if (!s->n_parts || s->waited_for_parts)
        return false;
    s->waited_for_parts = true;
    slot_due_set(&p->due, s, now.mono_ms + PARTS_MS);
    return true;
}

static void end_grace(struct pool *p, struct slot *s, struct now now)
{
    if (waits_for_parts(p, s, now))
        return;
    if (can_be_killed(p, s))
        kill_slot(p, s, now);
    else
        give_up(p, s, now);
}

static void stop(struct pool *p, struct slot *s, enum reason reason, int64_t grace_ms, struct now now)
{
    int64_t kill_at_ms = now.mono_ms + max_i64(grace_ms, 0);
    if (s->state == SLOT_PARKED)
        pool_unpark(p, s);
    if (s->state == SLOT_RUNNING) {
        slot_move(s, SLOT_STOPPING);
        s->stop_reason = reason;
        s->kill_at_ms = kill_at_ms;
        tell_stop(p, s);
    } else if (s->state != SLOT_STOPPING) {
        return;
    }
    s->kill_at_ms = min_i64(s->kill_at_ms, kill_at_ms);
    slot_due_set(&p->due, s, s->kill_at_ms);
}

static void pass_limit(struct pool *p, struct slot *s, struct now now)
{
    int64_t grace_ms = can_be_killed(p, s) || s->n_parts ? or_default(s->run->job.kill_grace_ms, KILL_GRACE_MS) : 0;
    stop(p, s, REASON_TIME_LIMIT, grace_ms, now);
}

static void on_due(struct pool *p, struct slot *s, struct now now)
{
    if (s->state == SLOT_RUNNING || s->state == SLOT_PARKED)
        pass_limit(p, s, now);
    else
        end_grace(p, s, now);
}

/* ---- beginning -------------------------------------------------------------------------------- */

/* Why it cannot even be tried in this pool; NULL when it can. */
static const char *why_not(const struct pool *p, const struct run_job *job)
{
    bool command = handler_is_exec(job->handler);
    if (command && !handlers_find(job->handler))
        return "this worker runs no commands";
    if (command && p->options.kind != POOL_PROCESS && !p->options.launcher)
        return "this worker runs no commands in this pool";
    if (!command && p->options.kind != POOL_PROCESS && job->memory_bytes != UNSET && job->memory_bytes > 0)
        return "a memory limit needs a process: threads and coroutines share the worker's memory";
    return NULL;
}

static void end_unbegun(struct pool *p, struct run *r, enum reason reason, struct now now)
{
    struct outcome o;
    outcome_init(&o, ENDING_LOST, REASON_NONE, NULL);
    outcome_stopped(&o, reason, "stopped before it started");
    finish(p, r, &o, now);
}

static bool refuse(struct pool *p, struct run *r, struct now now)
{
    struct outcome o;
    if (r->stop_asked) {
        end_unbegun(p, r, r->stop_reason, now);
        return true;
    }
    if (r->expire_at_ms <= now.mono_ms) {
        outcome_init(&o, ENDING_EXPIRED, REASON_EXPIRED, "expired before it could start");
    } else {
        const char *why = why_not(p, &r->job);
        if (!why)
            return false;
        outcome_init(&o, ENDING_FAILED, REASON_HANDLER_ERROR, why);
        o.for_good = 1;
    }
    finish(p, r, &o, now);
    return true;
}

static void begin(struct pool *p, struct run *r, struct now now)
{
    struct slot *s = list_entry(list_pop(&p->idle), struct slot, link);
    p->n_idle--;
    occupy(p, s, r, now);
    tell_started(p, r);
    int e = s->launcher ? launcher_begin(s->launcher, p, s, now) : p->ops->begin(p, s, now);
    if (e >= 0)
        return;
    struct outcome o;
    cleanup(freep) char *text = xasprintf("cannot be started: %s", strerror(-e));
    outcome_init(&o, ENDING_FAILED, REASON_HANDLER_ERROR, text);
    pool_slot_ended(p, s, &o, now);
}

static bool is_ready(struct pool *p, struct now now)
{
    p->retry_at_ms = NEVER;
    return !p->ops->ready || p->ops->ready(p, now, &p->retry_at_ms);
}

/* Of those whose runner has room again, first. */
static struct run *next_parked(struct pool *p, struct now now)
{
    for (size_t i = 0; p->n_parked && i < p->n_gates; i++)
        if (!list_empty(&p->gates[i].parked) && gate_is_open(&p->gates[i], now))
            return unpark(p, list_entry(p->gates[i].parked.next, struct run, link));
    return NULL;
}

static struct run *next_to_begin(struct pool *p, struct now now)
{
    struct run *r = next_parked(p, now);
    while (!r && p->n_waiting) {
        r = list_entry(list_pop(&p->waiting), struct run, link);
        p->n_waiting--;
        if (r->runner && !gate_is_open(gate_of(p, r), now))
            park(p, TAKE(r));
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

/* ---- what a kind says ------------------------------------------------------------------------- */

/* Did it end because it was told to? What is done before a cancel takes effect is done; past its time limit nothing is, as
 * in a thread. A handler that watches the clock may be ahead of this pool. */
static bool was_stopped(struct slot *s, const struct outcome *o, struct now now)
{
    bool late = o->reason == REASON_TIME_LIMIT || (o->reason == REASON_HANDLER_ERROR && now.mono_ms >= s->stop_at_ms);
    if (s->state == SLOT_RUNNING && late) {
        s->stop_reason = REASON_TIME_LIMIT;
        return true;
    }
    if (s->state != SLOT_STOPPING && s->state != SLOT_KILLED)
        return false;
    return o->ending == ENDING_DONE ? s->stop_reason == REASON_TIME_LIMIT : o->reason != REASON_MEMORY_LIMIT;
}

/* leave: what becomes of the slot. */
static void end_run(struct pool *p, struct slot *s, const struct outcome *o, void (*leave)(struct pool *, struct slot *),
                    struct now now)
{
    struct outcome told = *o;
    cleanup(freep) char *text = NULL;
    if (was_stopped(s, o, now)) {
        text = text_of_stop(s);
        outcome_stopped(&told, s->stop_reason, text);
        told.wall_us = max_i64(told.wall_us, now.mono_ms * 1000 - s->started_us);
    }
    if (told.wall_us == UNSET)
        told.wall_us = now.mono_ms * 1000 - s->started_us;
    struct run *r = s->run;
    leave(p, s);
    finish(p, r, &told, now);
}

void pool_slot_ended(struct pool *p, struct slot *s, const struct outcome *o, struct now now)
{
    assert(s->state != SLOT_IDLE);
    if (s->state == SLOT_STUCK && !s->run->part) {
        struct run *r = s->run;
        to_idle(p, s);
        run_free(r);
    } else {
        end_run(p, s, o, to_idle, now);
    }
    pool_fill(p, now);
}

static void wait_first(struct pool *p, struct run *r)
{
    r->state = RUN_WAITING;
    list_add_tail(p->waiting.next, &r->link);
    p->n_waiting++;
}

void pool_slot_again(struct pool *p, struct slot *s, struct now now)
{
    struct run *r = s->run;
    if (s->state != SLOT_RUNNING) {
        struct outcome o;
        outcome_init(&o, ENDING_LOST, REASON_WORKER_LOST, "its process ended before it began");
        pool_slot_ended(p, s, &o, now);
        return;
    }
    to_idle(p, s);
    r->slot = NULL;
    wait_first(p, r);
    pool_fill(p, now);
}

/* Also where there are more busy than slots, as one that was parked is to stop: next has begun. */
void pool_slot_went_on(struct pool *p, struct slot *s, const struct outcome *o, struct run *next, struct now now)
{
    end_run(p, s, o, vacate, now);
    list_remove(&next->link);
    p->n_ahead--;
    occupy(p, s, next, now);
    tell_started(p, next);
    if (next->stop_asked)
        stop(p, s, next->stop_reason, next->stop_grace_ms, now);
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
    wait_first(p, r);
}

/* ---- what the link says ----------------------------------------------------------------------- */

void pool_give(struct pool *p, struct run *r, struct now now)
{
    know(p, r);
    r->state = RUN_WAITING;
    r->runner = p->n_gates ? handlers_runner(r->job.handler) : 0;
    list_remove(&r->link);
    list_add_tail(&p->waiting, &r->link);
    p->n_waiting++;
    pool_fill(p, now);
}

static struct run *take(struct pool *p, struct run *r)
{
    if (r->parked) {
        unpark(p, r);
    } else {
        list_remove(&r->link);
        p->n_waiting--;
    }
    forget(p, r);
    return r;
}

static void recall(struct pool *p)
{
    if (p->n_ahead)
        p->ops->recall(p);
}

static void ask_stop(struct run *r, enum reason reason, int64_t grace_ms)
{
    r->stop_grace_ms = r->stop_asked ? min_i64(r->stop_grace_ms, grace_ms) : grace_ms;
    r->stop_reason = reason;
    r->stop_asked = true;
}

struct run *pool_take_waiting(struct pool *p, uint64_t job, uint64_t attempt)
{
    struct run *r = pool_find(p, job, attempt);
    if (r && r->state == RUN_AHEAD)
        recall(p);
    return r && r->state == RUN_WAITING ? take(p, r) : NULL;
}

struct run *pool_take_any_waiting(struct pool *p)
{
    recall(p);
    for (struct link *l = p->waiting.prev; l != &p->waiting; l = l->prev)
        if (!list_entry(l, struct run, link)->part)
            return take(p, list_entry(l, struct run, link));
    struct run *r = first_parked(p);
    return r ? take(p, r) : NULL;
}

void pool_stop(struct pool *p, uint64_t job, uint64_t attempt, enum reason reason, int64_t grace_ms,
               struct now now)
{
    struct run *r = pool_find(p, job, attempt);
    if (!r)
        return;
    if (r->state == RUN_RUNNING) {
        stop(p, r->slot, reason, grace_ms, now);
        return;
    }
    recall(p);
    if (r->state == RUN_WAITING)
        end_unbegun(p, take(p, r), reason, now);
    else
        ask_stop(r, reason, grace_ms);
}

void pool_stop_all(struct pool *p, int64_t grace_ms, struct now now)
{
    struct link *const all[] = { &p->busy, &p->slots_parked, &p->to_resume }; /* those that were parked stand behind the others then */
    for (size_t i = ELEMENTS(all); i-- > 0;)
        list_each_safe(l, all[i])
            if (!list_entry(l, struct slot, link)->run->part)
                stop(p, list_entry(l, struct slot, link), REASON_NONE, grace_ms, now);
    recall(p);
    struct run *r;
    for (size_t i = 0; p->n_ahead && (r = idmap_next(&p->runs, &i));)
        if (r->state == RUN_AHEAD && !r->part)
            ask_stop(r, REASON_NONE, grace_ms);
}

void pool_renew(struct pool *p)
{
    recall(p);
    if (p->ops->renew)
        p->ops->renew(p);
}

int64_t pool_tick(struct pool *p, struct now now)
{
    for (struct slot *s; (s = slot_due_first(&p->due)) && s->due_ms <= now.mono_ms;) {
        if (p->ops->look)
            p->ops->look(p, s, now); /* what has ended by now is not late */
        if (s->due_ms <= now.mono_ms)
            on_due(p, s, now);
    }
    pool_fill(p, now);
    int64_t kind_ms = p->ops->tick ? p->ops->tick(p, now) : NEVER;
    pool_fill(p, now); /* what that has recalled */
    struct slot *first = slot_due_first(&p->due);
    int64_t retry_ms = min_i64(p->n_waiting ? p->retry_at_ms : NEVER, gates_due(p));
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
    const struct run_job *job = shown(s->run);
    log_info("event=slot pool=%s slot=%zu state=%s job=%llu attempt=%llu handler=%.*s ms=%lld",
             pool_name(p->options.kind), pool_slot_index(p, s), slot_state_name(s->state),
             (unsigned long long)job->job, (unsigned long long)job->attempt,
             (int)s->run->job.handler.n, s->run->job.handler.p ? s->run->job.handler.p : "",
             (long long)(now.mono_ms - s->started_us / 1000));
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
