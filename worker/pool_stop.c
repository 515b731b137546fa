/* pool_stop.c - stopping: what has passed its time limit, or is asked to stop, is told so, and has its grace; then it is killed,
 * or given up where nothing can be killed. */
#include "worker/pool_internal.h"

#include "proto/base/log.h"
#include "worker/launcher.h"

#define KILL_GRACE_MS 5000
#define KILL_AGAIN_MS 2000
#define PARTS_MS 2000 /* that processes which were killed may take to be gone */

/* ---- one slot --------------------------------------------------------------------------------- */

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

void pool_stop_slot(struct pool *p, struct slot *s, enum reason reason, int64_t grace_ms, struct now now)
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

/* ---- what is due ------------------------------------------------------------------------------ */

static void log_unkillable(const struct pool *p, const struct slot *s)
{
    const char *before = pool_log_about(s->run);
    log_warning("event=unkillable job=%llu attempt=%llu pool=%s slot=%zu", pool_shown_job(s->run),
                (unsigned long long)pool_shown(s->run)->attempt, pool_name(p->options.kind), pool_slot_index(p, s));
    log_about(before);
}

static void kill_slot(struct pool *p, struct slot *s, struct now now)
{
    if (s->state != SLOT_KILLED)
        slot_move(s, SLOT_KILLED);
    s->n_kills++;
    if (s->n_kills == 4)
        log_unkillable(p, s);
    slot_due_set(&p->due, s, now.mono_ms + KILL_AGAIN_MS);
    if (s->launcher)
        launcher_kill(s->launcher, s);
    else
        p->ops->kill(p, s);
}

/* The attempt is recorded; the slot keeps the run that the handler still reads. */
static void give_up(struct pool *p, struct slot *s, struct now now)
{
    pool_slot_stick(p, s);
    pool_end_stuck(p, s, now);
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

static void pass_limit(struct pool *p, struct slot *s, struct now now)
{
    int64_t grace_ms = can_be_killed(p, s) || s->n_parts ? or_default(s->run->job.kill_grace_ms, KILL_GRACE_MS) : 0;
    pool_stop_slot(p, s, REASON_TIME_LIMIT, grace_ms, now);
}

void pool_stop_due(struct pool *p, struct slot *s, struct now now)
{
    if (s->state == SLOT_RUNNING || s->state == SLOT_PARKED)
        pass_limit(p, s, now);
    else
        end_grace(p, s, now);
}

/* ---- what the link asks ----------------------------------------------------------------------- */

static void ask_stop(struct run *r, enum reason reason, int64_t grace_ms)
{
    r->stop_grace_ms = r->stop_asked ? min_i64(r->stop_grace_ms, grace_ms) : grace_ms;
    r->stop_reason = reason;
    r->stop_asked = true;
}

void pool_stop(struct pool *p, uint64_t job, uint64_t attempt, enum reason reason, int64_t grace_ms,
               struct now now)
{
    struct run *r = pool_find(p, job, attempt);
    if (!r)
        return;
    if (r->state == RUN_RUNNING) {
        pool_stop_slot(p, r->slot, reason, grace_ms, now);
        return;
    }
    pool_recall(p);
    if (r->state == RUN_WAITING)
        pool_end_unbegun(p, pool_take(p, r), reason, now);
    else
        ask_stop(r, reason, grace_ms);
}

void pool_stop_all(struct pool *p, int64_t grace_ms, struct now now)
{
    /* From the last: those that were parked stand behind the others then. */
    struct link *const all[] = { &p->busy, &p->slots_parked, &p->to_resume };
    for (size_t i = ELEMENTS(all); i-- > 0;)
        list_each_safe(l, all[i])
            if (!list_entry(l, struct slot, link)->run->part)
                pool_stop_slot(p, list_entry(l, struct slot, link), REASON_NONE, grace_ms, now);
    pool_recall(p);
    struct run *r;
    for (size_t i = 0; p->n_ahead && (r = idmap_next(&p->runs, &i));)
        if (r->state == RUN_AHEAD && !r->part)
            ask_stop(r, REASON_NONE, grace_ms);
}
