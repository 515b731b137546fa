/* tick.c - what is due in a turn: lost workers, due and expired jobs, upkeep, long requests, dispatch. */
#include "broker/broker.h"

#include "broker/change.h"
#include "broker/children.h"
#include "broker/dispatch.h"
#include "broker/lease.h"
#include "broker/open_jobs.h"
#include "broker/rebalance.h"
#include "broker/wait.h"
#include "proto/base/log.h"

#define UPKEEP_MS 1000
#define MEASURES_MS 1000
#define MEASURES_AGAIN_MS 20         /* while there are more to be saved */
#define MEASURES_KEPT_MS (30 * DAY_MS)
#define DAY_MS 86400000ll
#define REBALANCE_MS 50
#define STARTS_MS 500
#define SWEEP_JOBS 500         /* finished jobs deleted in one turn */
#define SWEEP_AGAIN_MS 50      /* while there are more: 10,000 a second cost little of the broker's time */
#define SWEEP_LATE_JOBS 250000 /* so many, and an eighth, more than are to be kept: from here on twice as many as finish */
#define SWEEP_MOST 10000       /* in one turn */
#define DUE_A_TURN 1000
#define DISK_TIGHT_PERCENT 85 /* from here on finished jobs go sooner */
#define KEPT_WHEN_TIGHT_MS 60000 /* so long whoever waited for one has the time to fetch its result */

static void promote_due(struct broker *b, struct now now)
{
    if (b->next_due_ms > now.wall_ms)
        return;
    cleanup(freep) struct due_job *due = xcalloc(DUE_A_TURN, sizeof *due);
    int n = store_promote_due(b->store, now.wall_ms, due, DUE_A_TURN);
    if (broker_failed(b, n))
        return;
    for (int i = 0; i < n; i++) {
        struct class *c = classes_get(&b->classes, due[i].class);
        job_moved(b, due[i].id, due[i].priority, c, STATE_SCHEDULED, c, STATE_QUEUED, now);
    }
    b->next_due_ms = store_next_due(b->store);
}

static void expire(struct broker *b, struct now now)
{
    if (b->next_expiry_ms > now.wall_ms)
        return;
    uint64_t ids[DUE_A_TURN];
    int n = store_find_expired(b->store, now.wall_ms, ids, DUE_A_TURN);
    for (int i = 0; i < n && !b->failed; i++) {
        struct job_row j;
        if (broker_failed(b, store_get(b->store, ids[i], &j)))
            return;
        int r = store_end_waiting(b->store, j.id, STATE_EXPIRED, now.wall_ms);
        struct class *c = classes_get(&b->classes, j.class);
        if (broker_failed(b, r) || r != 1)
            continue;
        job_moved(b, j.id, j.priority, c, j.state, c, STATE_EXPIRED, now);
        children_on_end(b, &j, STATE_EXPIRED, NULL);
    }
    if (!broker_failed(b, n))
        b->next_expiry_ms = store_next_expiry(b->store);
}

/* A broker that was silent itself for over a beat (a slow disk, SIGSTOP) could not hear: it judges nobody for that. */
static void forgive_own_silence(struct broker *b, struct now now)
{
    if (now.mono_ms - b->last_turn_mono_ms > b->options.heartbeat_ms) {
        struct worker *w;
        for (size_t i = 0; (w = strmap_next(&b->workers, &i));)
            w->heard_mono_ms = now.mono_ms;
    }
    b->last_turn_mono_ms = now.mono_ms;
}

static void lose_worker(struct broker *b, struct worker *w, struct now now)
{
    lease_lose_worker(b, w, "it was not heard of for too long", now);
    if (!b->failed)
        broker_forget_worker(b, w);
}

static int64_t judge_workers(struct broker *b, struct now now)
{
    int64_t next = NEVER;
    struct worker *w;
    for (size_t i = 0; (w = strmap_next(&b->workers, &i));) {
        int64_t lost_at = w->heard_mono_ms + b->options.lost_after_ms;
        if (lost_at <= now.mono_ms) {
            lose_worker(b, w, now);
            return now.mono_ms; /* the map has changed: the rest in the next turn */
        }
        next = min_i64(next, lost_at);
    }
    return next;
}

/* A client that is silent for long is forgotten; should it speak again, it is asked to say HELLO. Sooner when there are many: they may
 * be connections that have ended, which nobody tells of. */
#define CLIENT_FORGOTTEN_MS 60000
#define FORGOTTEN_A_TURN 1000

/* True when there may be more. */
static bool forget_silent_clients(struct broker *b, struct now now)
{
    struct peer *silent[FORGOTTEN_A_TURN], *p;
    size_t n = 0;
    bool many = b->peers.by_routing_id.n > LIMIT_PEERS / 2;
    int64_t most = b->options.lost_after_ms + (many ? 0 : CLIENT_FORGOTTEN_MS);
    for (size_t i = 0; n < FORGOTTEN_A_TURN && (p = strmap_next(&b->peers.by_routing_id, &i));)
        if (!p->worker && now.mono_ms - p->heard_mono_ms > most)
            silent[n++] = p;
    for (size_t i = 0; i < n; i++)
        broker_drop_peer(b, silent[i]);
    return n == FORGOTTEN_A_TURN;
}

static uint64_t count_finished(const struct broker *b)
{
    uint64_t by_state[N_STATES], n = 0;
    broker_count_jobs(b, by_state);
    for (int state = 0; state < N_STATES; state++)
        n += state_is_terminal(state) ? by_state[state] : 0;
    return n;
}

/* Under load deleting takes what room it needs only once there are far too many. */
static bool sweep_is_late(const struct broker *b, int disk_used)
{
    uint64_t keep = b->options.keep_finished;
    return disk_used >= DISK_TIGHT_PERCENT || count_finished(b) > keep + keep / 8 + SWEEP_LATE_JOBS;
}

/* True when there are more. */
static bool sweep(struct broker *b, struct now now, int disk_used, bool late)
{
    uint64_t since = b->counts.finished - b->finished_at_sweep;
    size_t most = late ? min_size(SWEEP_JOBS + 2 * since, SWEEP_MOST) : SWEEP_JOBS;
    int64_t kept_ms = b->options.retention_ms;
    if (disk_used >= DISK_TIGHT_PERCENT)
        kept_ms = min_i64(kept_ms, KEPT_WHEN_TIGHT_MS);
    cleanup(freep) struct swept_job *swept = xcalloc(most, sizeof *swept);
    int n = store_sweep(b->store, now.wall_ms - kept_ms, b->options.keep_finished, now.wall_ms, swept, most);
    for (int i = 0; i < n; i++)
        classes_get(&b->classes, swept[i].class)->jobs[swept[i].state]--;
    b->finished_at_sweep = b->counts.finished;
    return !broker_failed(b, n) && (size_t)n == most;
}

static void keep_up(struct broker *b, struct now now)
{
    if (b->next_upkeep_mono_ms > now.mono_ms)
        return;
    bool more = forget_silent_clients(b, now);
    int used = store_disk_used(b->store);
    bool busy = used >= b->options.disk_busy_percent;
    if (busy != b->disk_busy)
        log_warning("event=%s: the disk is %d %% full: submits are %s", busy ? "submits-refused" : "submits-taken", used,
                    busy ? "refused (busy: disk)" : "taken again");
    b->disk_busy = busy;
    if (!busy)
        store_restore_ballast(b->store);
    bool late = sweep_is_late(b, used), unswept = sweep(b, now, used, late);
    int64_t wait = more || (unswept && late) ? 0 : unswept ? SWEEP_AGAIN_MS : UPKEEP_MS;
    b->next_upkeep_mono_ms = now.mono_ms + wait;
}

/* Those that have not run for long are forgotten at the next start. */
static void forget_measures(struct broker *b, struct now now)
{
    if (b->next_forgetting_mono_ms > now.mono_ms)
        return;
    b->next_forgetting_mono_ms = now.mono_ms + DAY_MS;
    broker_failed(b, store_forget_measures(b->store, now.wall_ms - MEASURES_KEPT_MS));
}

static void save_measures(struct broker *b, struct now now)
{
    if (b->next_measures_mono_ms > now.mono_ms)
        return;
    int r = measures_save(&b->classes.measures, b->store);
    b->next_measures_mono_ms = now.mono_ms + (r > 0 ? MEASURES_AGAIN_MS : MEASURES_MS);
    if (!broker_failed(b, r))
        forget_measures(b, now);
}

static void store_starts(struct broker *b, struct now now)
{
    if (b->next_starts_mono_ms <= now.mono_ms)
        b->next_starts_mono_ms = lease_store_started(b, now) ? now.mono_ms : now.mono_ms + STARTS_MS;
}

static int64_t until_wall(int64_t wall_ms, struct now now)
{
    return wall_ms == NEVER ? NEVER : now.mono_ms + max_i64(wall_ms - now.wall_ms, 0);
}

int64_t broker_tick(struct broker *b, struct now now)
{
    b->counts.turns++;
    forgive_own_silence(b, now);
    int64_t next = b->failed ? NEVER : judge_workers(b, now);
    if (!b->failed)
        promote_due(b, now);
    if (!b->failed)
        expire(b, now);
    if (!b->failed)
        keep_up(b, now);
    if (!b->failed)
        save_measures(b, now);
    if (!b->failed)
        store_starts(b, now);
    if (!b->failed)
        old_workers_tick(b, now);
    bool more = !b->failed && change_tick(b, now);
    more |= !b->failed && children_tick(b, now);
    more |= !b->failed && open_jobs_tick(b);
    if (!b->failed)
        lease_tell_workers(b);
    if (!b->failed)
        dispatch(b, now);
    if (!b->failed && b->next_rebalance_mono_ms <= now.mono_ms)
        b->next_rebalance_mono_ms = now.mono_ms + (rebalance(b, now) ? REBALANCE_MS : 4 * REBALANCE_MS);
    more |= !b->failed && wait_tick(b);
    if (!b->failed)
        children_tell_workers(b);
    if (more || b->dispatch_on || b->failed)
        return now.mono_ms;
    next = min_i64(next, until_wall(b->next_due_ms, now));
    next = min_i64(next, until_wall(b->next_expiry_ms, now));
    next = min_i64(next, min_i64(b->next_upkeep_mono_ms, b->old_workers.next_mono_ms));
    return min_i64(next, now.mono_ms + max_i64(b->options.heartbeat_ms / 2, 1));
}
