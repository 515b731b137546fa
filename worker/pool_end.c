/* pool_end.c - how a run ends, as the link is told: what the kind says of it, or why it was told to stop. */
#include "worker/pool_internal.h"

#include "proto/base/log.h"

/* ---- outcomes --------------------------------------------------------------------------------- */

void pool_outcome_init(struct outcome *o, enum ending ending, enum reason reason, const char *error)
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

/* For whoever watches the machine. */
static void log_memory_limit(const struct pool *p, const struct run *r, const struct outcome *o)
{
    const char *before = pool_log_about(r);
    log_warning("event=memory-limit job=%llu attempt=%llu pool=%s: %.*s", pool_shown_job(r), (unsigned long long)pool_shown(r)->attempt,
                pool_name(p->options.kind), (int)o->error.n, o->error.p ? o->error.p : "");
    log_about(before);
}

void pool_finish(struct pool *p, struct run *r, const struct outcome *o, struct now now)
{
    if (o->reason == REASON_MEMORY_LIMIT)
        log_memory_limit(p, r, o);
    pool_forget(p, r);
    r->slot = NULL;
    run_finish(r, o, now.mono_ms * 1000);
    if (r->part)
        r->part->on_finished(r->part->ctx, r->part, r);
    else
        p->options.on_finished(p->options.ctx, r);
}

void pool_end_unbegun(struct pool *p, struct run *r, enum reason reason, struct now now)
{
    struct outcome o;
    pool_outcome_init(&o, ENDING_LOST, REASON_NONE, NULL);
    outcome_stopped(&o, reason, "stopped before it started");
    pool_finish(p, r, &o, now);
}

void pool_end_stuck(struct pool *p, struct slot *s, struct now now)
{
    if (s->run->part)
        return; /* its end is told once it has come: it uses what is the job's */
    struct outcome o;
    cleanup(freep) char *text = text_of_stop(s);
    pool_outcome_init(&o, ENDING_FAILED, REASON_NONE, NULL);
    o.wall_us = now.mono_ms * 1000 - s->started_us;
    outcome_stopped(&o, s->stop_reason, text);
    struct run *copy = run_new(&s->run->job, now);
    pool_forget(p, s->run);
    pool_finish(p, copy, &o, now);
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
    pool_finish(p, r, &told, now);
}

void pool_slot_ended(struct pool *p, struct slot *s, const struct outcome *o, struct now now)
{
    assert(s->state != SLOT_IDLE);
    if (s->state == SLOT_STUCK && !s->run->part) {
        struct run *r = s->run;
        pool_slot_to_idle(p, s);
        run_free(r);
    } else {
        end_run(p, s, o, pool_slot_to_idle, now);
    }
    pool_fill(p, now);
}

void pool_slot_again(struct pool *p, struct slot *s, struct now now)
{
    struct run *r = s->run;
    if (s->state != SLOT_RUNNING) {
        struct outcome o;
        pool_outcome_init(&o, ENDING_LOST, REASON_WORKER_LOST, "its process ended before it began");
        pool_slot_ended(p, s, &o, now);
        return;
    }
    pool_slot_to_idle(p, s);
    r->slot = NULL;
    pool_wait_first(p, r);
    pool_fill(p, now);
}

/* Also where there are more busy than slots, as one that was parked is to stop: next has begun. */
void pool_slot_went_on(struct pool *p, struct slot *s, const struct outcome *o, struct run *next, struct now now)
{
    end_run(p, s, o, pool_slot_vacate, now);
    list_remove(&next->link);
    p->n_ahead--;
    pool_slot_occupy(p, s, next, now);
    if (next->stop_asked)
        pool_stop_slot(p, s, next->stop_reason, next->stop_grace_ms, now);
}
