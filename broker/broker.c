/* broker.c - the core's life: opened from the store, driven a turn at a time, rebuilt from the store when the disk is full. */
#include "broker/broker.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "broker/change.h"
#include "broker/dispatch.h"
#include "broker/lease.h"
#include "broker/rebalance.h"
#include "broker/recv.h"
#include "broker/wait.h"
#include "proto/base/log.h"

#define UPKEEP_MS 1000
#define MEASURES_MS 10000
#define REBALANCE_MS 50
#define SWEEP_JOBS 500      /* finished jobs deleted in one turn */
#define DUE_A_TURN 1000
#define DISK_TIGHT_PERCENT 85 /* from here on finished jobs go sooner */

/* ---- small services ---------------------------------------------------------------------------- */

bool broker_failed(struct broker *b, int r)
{
    if (r < 0 && !b->failed)
        b->failed = r;
    return b->failed != 0;
}

void broker_send(struct broker *b, const struct peer *p, struct message *m)
{
    m->epoch = store_epoch(b->store);
    m->session = p->session;
    outbox_add(&b->outbox, p->routing_id, m);
}

void broker_send_error(struct broker *b, const struct peer *p, uint64_t req, enum error_code code, const char *format, ...)
{
    char text[LIMIT_TEXT_BYTES];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    struct message m;
    message_init(&m, MSG_ERROR);
    m.error.req = req;
    m.error.code = code;
    m.error.text = str_of(text);
    broker_send(b, p, &m);
}

void broker_drop_peer(struct broker *b, struct peer *p)
{
    list_each_safe(l, &p->waits)
        wait_stop(b, list_entry(l, struct wait, of_peer));
    list_each_safe(l, &p->changes)
        change_stop(list_entry(l, struct change, of_peer));
    if (p->worker) {
        p->worker->peer = NULL;
        b->worker_changes++;
    }
    peers_remove(&b->peers, p);
}

/* ---- open and close: memory is what the store says ---------------------------------------------- */

static struct worker *find_worker_by_row(struct broker *b, uint64_t row)
{
    struct worker *w;
    for (size_t i = 0; (w = strmap_next(&b->workers, &i));)
        if (w->row == row)
            return w;
    return NULL;
}

struct loading {
    struct broker *broker;
    struct now now;
    int r;
};

/* A lease of the time before: its worker has a full grace to come back, counted from now. */
static void load_lease(void *ctx, const struct job_row *j)
{
    struct loading *loading = ctx;
    struct broker *b = loading->broker;
    struct worker *w = find_worker_by_row(b, j->worker);
    if (!w && loading->r >= 0) {
        unsigned char instance[16];
        cleanup(freep) char *name = NULL;
        loading->r = store_worker_instance(b->store, j->worker, instance, &name);
        if (loading->r < 0)
            return;
        w = worker_new(j->worker, instance, str_of(name ? name : "?"));
        w->heard_mono_ms = loading->now.mono_ms;
        strmap_put(&b->workers, (struct str){ (const char *)instance, sizeof instance }, w);
    }
    if (w)
        lease_add(b, j, w, true, loading->now);
}

/* Everything in memory, from the store. */
static int load(struct broker *b, struct now now)
{
    struct loading loading = { b, now, 0 };
    list_init(&b->any_waits);
    list_init(&b->moving_waits);
    list_init(&b->moving_changes);
    int r = classes_load(&b->classes, b->store);
    if (r >= 0)
        r = store_each_lease(b->store, load_lease, &loading);
    b->next_due_ms = store_next_due(b->store);
    b->next_expiry_ms = store_next_expiry(b->store);
    b->worker_changes++;
    b->credit_changes++;
    return r < 0 ? r : loading.r;
}

static void forget(struct broker *b)
{
    struct peer *p;
    for (size_t i = 0; (p = strmap_next(&b->peers.by_routing_id, &i));) {
        list_each_safe(l, &p->waits)
            wait_stop(b, list_entry(l, struct wait, of_peer));
        list_each_safe(l, &p->changes)
            change_stop(list_entry(l, struct change, of_peer));
    }
    lease_free_all(b);
    struct worker *w;
    for (size_t i = 0; (w = strmap_next(&b->workers, &i));)
        worker_free(w);
    strmap_fini(&b->workers);
    classes_fini(&b->classes);
    idmap_fini(&b->watched);
    outbox_clear(&b->outbox);
}

int broker_open(struct broker **ret, const struct broker_options *o, struct now now, char **ret_error)
{
    struct broker *b = xcalloc(1, sizeof *b);
    b->options = *o;
    b->started_wall_ms = now.wall_ms;
    b->last_turn_mono_ms = now.mono_ms;
    rng_init(&b->rng, o->seed);
    int r = store_open(&b->store, &o->store, ret_error);
    if (r >= 0) {
        r = load(b, now);
        if (r < 0)
            *ret_error = xasprintf("cannot read %s: %s", o->store.path, store_error_text(b->store));
    }
    if (r < 0) {
        broker_close(b);
        return r;
    }
    *ret = b;
    return 0;
}

struct broker *broker_close(struct broker *b)
{
    if (!b)
        return NULL;
    if (b->any_waits.next)
        forget(b);
    peers_fini(&b->peers);
    outbox_fini(&b->outbox);
    store_close(b->store);
    free(b->asked);
    free(b);
    return NULL;
}

/* ---- messages ------------------------------------------------------------------------------------ */

static const struct {
    recv_fn *recv;
    enum { FROM_ANYBODY, FROM_CLIENT, FROM_WORKER } from;
} table[MESSAGE_TYPES] = {
    [MSG_BYE] = { recv_bye, FROM_ANYBODY },
    [MSG_BEAT] = { recv_beat, FROM_ANYBODY },
    [MSG_DRAIN] = { recv_drain, FROM_ANYBODY },
    [MSG_SUBMIT] = { recv_submit, FROM_CLIENT },
    [MSG_WAIT] = { recv_wait, FROM_CLIENT },
    [MSG_UNWAIT] = { recv_unwait, FROM_CLIENT },
    [MSG_CANCEL] = { recv_change, FROM_CLIENT },
    [MSG_RETRY] = { recv_change, FROM_CLIENT },
    [MSG_REMOVE] = { recv_change, FROM_CLIENT },
    [MSG_PAUSE] = { recv_pause, FROM_CLIENT },
    [MSG_LIST] = { recv_query, FROM_CLIENT },
    [MSG_FETCH] = { recv_query, FROM_CLIENT },
    [MSG_HISTORY] = { recv_query, FROM_CLIENT },
    [MSG_WHY] = { recv_why, FROM_CLIENT },
    [MSG_QUEUES] = { recv_queues, FROM_CLIENT },
    [MSG_WORKERS] = { recv_workers, FROM_CLIENT },
    [MSG_STATS] = { recv_stats, FROM_CLIENT },
    [MSG_STARTED] = { recv_started, FROM_WORKER },
    [MSG_RESULT] = { recv_result, FROM_WORKER },
    [MSG_GIVEN] = { recv_given, FROM_WORKER },
};

#define BAD_LOGGED_EVERY_MS 60000

static void note_bad_message(struct broker *b, const char *why, int64_t uid, struct now now)
{
    b->counts.bad_messages++;
    if (b->bad_logged_mono_ms && now.mono_ms - b->bad_logged_mono_ms < BAD_LOGGED_EVERY_MS)
        return;
    b->bad_logged_mono_ms = now.mono_ms;
    log_warning("dropped a message from uid=%" PRId64 ": %s (%" PRIu64 " so far; said once a minute)", uid, why,
                b->counts.bad_messages);
}

static void say_hello_again(struct broker *b, const char *routing_id, const char *text)
{
    struct message m;
    message_init(&m, MSG_HELLO_AGAIN);
    m.hello_again.text = str_of(text);
    outbox_add(&b->outbox, routing_id, &m);
}

/* Who asked what in this turn: all of them are told when it fails. A peer may ask as often as it likes, so the list is bounded. */
static void note_asked(struct broker *b, const struct peer *p, const struct message *m)
{
    if (p->worker || b->n_asked >= 100000)
        return;
    b->asked = grow_array(b->asked, &b->cap_asked, b->n_asked + 1, sizeof *b->asked);
    struct asked *a = &b->asked[b->n_asked++];
    /* req is the first field of everything that a client sends after HELLO, but BYE */
    *a = (struct asked){ .session = p->session, .req = m->type == MSG_BYE ? 0 : m->list.req };
    memcpy(a->routing_id, p->routing_id, ROUTING_ID_BYTES);
}

static void take(struct broker *b, struct peer *p, const struct message *m, struct now now)
{
    p->heard_mono_ms = now.mono_ms;
    if (p->worker)
        p->worker->heard_mono_ms = now.mono_ms;
    note_asked(b, p, m);
    bool fits = table[m->type].recv && (table[m->type].from == FROM_ANYBODY ||
                                        (table[m->type].from == FROM_WORKER) == (p->worker != NULL));
    if (fits)
        table[m->type].recv(b, p, m, now);
    else
        broker_send_error(b, p, 0, CODE_PROTOCOL, "%s is not for a %s to send", message_name(m->type),
                          p->worker ? "worker" : "client");
}

void broker_recv(struct broker *b, const char *routing_id, int64_t uid, struct str bytes, struct now now)
{
    if (b->failed)
        return; /* the turn is lost already; whoever it was repeats it */
    struct message m;
    const char *why = NULL;
    int r = message_decode(&m, bytes.p, bytes.n, &why);
    struct peer *p = peers_find(&b->peers, routing_id);
    if (r < 0) {
        note_bad_message(b, why, uid, now);
        if (p)
            broker_send_error(b, p, 0, CODE_PROTOCOL, "%s", why);
        return;
    }
    if (m.type == MSG_HELLO)
        recv_hello(b, routing_id, uid, &m, now);
    else if (!p)
        say_hello_again(b, routing_id, "this broker does not know this connection");
    else if (m.epoch != store_epoch(b->store) || m.session != p->session)
        say_hello_again(b, routing_id, "this is another session");
    else
        take(b, p, &m, now);
    message_fini(&m);
}

/* ---- what is due ---------------------------------------------------------------------------------- */

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
        if (!broker_failed(b, r) && r == 1)
            job_moved(b, j.id, j.priority, c, j.state, c, STATE_EXPIRED, now);
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
    if (b->failed)
        return;
    if (w->peer)
        broker_drop_peer(b, w->peer);
    strmap_remove(&b->workers, (struct str){ (const char *)w->instance, sizeof w->instance });
    worker_free(w);
    b->worker_changes++;
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

/* A client that is silent for long is forgotten; should it speak again, it is asked to say HELLO. */
#define CLIENT_FORGOTTEN_MS 60000

static void forget_silent_client(struct broker *b, struct now now)
{
    struct peer *p;
    for (size_t i = 0; (p = strmap_next(&b->peers.by_routing_id, &i));)
        if (!p->worker && now.mono_ms - p->heard_mono_ms > CLIENT_FORGOTTEN_MS + b->options.lost_after_ms) {
            broker_drop_peer(b, p);
            return; /* the map has changed: the next in the next second */
        }
}

static void keep_up(struct broker *b, struct now now)
{
    if (b->next_upkeep_mono_ms > now.mono_ms)
        return;
    b->next_upkeep_mono_ms = now.mono_ms + UPKEEP_MS;
    forget_silent_client(b, now);
    int used = store_disk_used(b->store);
    bool busy = used >= b->options.disk_busy_percent;
    if (busy != b->disk_busy)
        log_warning("disk is %d %% full: submits are %s", used, busy ? "refused (busy: disk)" : "taken again");
    b->disk_busy = busy;
    if (!busy)
        store_restore_ballast(b->store);
    int64_t before = used >= DISK_TIGHT_PERCENT ? now.wall_ms : now.wall_ms - b->options.retention_ms;
    int n = store_sweep(b->store, before, b->options.keep_finished, now.wall_ms, SWEEP_JOBS);
    if (!broker_failed(b, n) && n == SWEEP_JOBS)
        b->next_upkeep_mono_ms = now.mono_ms; /* there is more: in the next turn */
}

static void save_measures(struct broker *b, struct now now)
{
    if (b->next_measures_mono_ms > now.mono_ms)
        return;
    b->next_measures_mono_ms = now.mono_ms + MEASURES_MS;
    for (size_t i = 0; i < b->classes.n && !b->failed; i++) {
        struct class *c = b->classes.all[i];
        if (!c || !c->measures_changed)
            continue;
        c->measures_changed = false;
        broker_failed(b, store_save_measures(b->store, c->id, c->runs, c->mean_wall_us, c->mean_cpu_us));
    }
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
    bool more = !b->failed && change_tick(b, now);
    if (!b->failed)
        dispatch(b, now);
    if (!b->failed && b->next_rebalance_mono_ms <= now.mono_ms)
        b->next_rebalance_mono_ms = now.mono_ms + (rebalance(b, now) ? REBALANCE_MS : 4 * REBALANCE_MS);
    more |= !b->failed && wait_tick(b);
    if (more || b->dispatch_on || b->failed)
        return now.mono_ms;
    next = min_i64(next, until_wall(b->next_due_ms, now));
    next = min_i64(next, until_wall(b->next_expiry_ms, now));
    next = min_i64(next, b->next_upkeep_mono_ms);
    return min_i64(next, now.mono_ms + max_i64(b->options.heartbeat_ms / 2, 1));
}

/* ---- the end of a turn ---------------------------------------------------------------------------- */

static void tell_busy(struct broker *b, const struct asked *asked, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct message m;
        message_init(&m, MSG_ERROR);
        m.epoch = store_epoch(b->store);
        m.session = asked[i].session;
        m.error.req = asked[i].req;
        m.error.code = CODE_BUSY;
        m.error.text = str_of("busy: disk: the broker's disk is full; free space, then all goes on by itself");
        outbox_add(&b->outbox, asked[i].routing_id, &m);
    }
}

/* The disk is full: nothing of this turn is true, so memory is made anew from what is, and every peer says HELLO again. */
static int start_over(struct broker *b, struct now now)
{
    log_error("the disk is full: %s; this turn's requests are answered with busy", store_error_text(b->store));
    store_rollback(b->store);
    forget(b);
    tell_busy(b, b->asked, b->n_asked);
    struct peer *p;
    for (size_t i = 0; (p = strmap_next(&b->peers.by_routing_id, &i));)
        say_hello_again(b, p->routing_id, "the broker had to start over: its disk was full");
    uint64_t last_session = b->peers.last_session;
    peers_fini(&b->peers);
    b->peers.last_session = last_session;
    b->failed = 0;
    b->disk_busy = true;
    b->counts.busy += b->n_asked;
    return load(b, now);
}

int broker_commit(struct broker *b, struct now now)
{
    int r = b->failed ? b->failed : store_commit(b->store);
    if (r == -ENOSPC)
        r = start_over(b, now);
    b->n_asked = 0;
    return r;
}

/* ---- sending -------------------------------------------------------------------------------------- */

static void hand_back_run(struct broker *b, struct worker *w, const struct outbox_entry *e, struct now now)
{
    struct message m;
    const char *why;
    if (message_decode(&m, e->bytes, e->n, &why) < 0)
        return;
    for (size_t i = 0; i < m.run.n_jobs && !b->failed; i++) {
        struct lease *l = lease_find(b, w, m.run.jobs[i].job, m.run.jobs[i].attempt);
        if (l)
            lease_hand_back(b, l, "it could not be sent to the worker", now);
    }
    message_fini(&m);
}

/* A connection that is gone is forgotten; its worker may come back by another. A queue that is full: a client that does not read
 * asks again if it lives; a worker must miss nothing, so its session ends, and the next HELLO tells how things are. */
static bool on_unsent(struct broker *b, const struct outbox_entry *e, int r, struct now now)
{
    struct peer *p = peers_find(&b->peers, e->routing_id);
    b->counts.dropped_replies++;
    if (!p)
        return false;
    bool run = p->worker && e->type == MSG_RUN;
    if (run)
        hand_back_run(b, p->worker, e, now);
    if (r == -EHOSTUNREACH || p->worker)
        broker_drop_peer(b, p);
    return run;
}

bool broker_flush(struct broker *b, int (*send)(void *ctx, const char *routing_id, struct str bytes), void *ctx,
                  struct now now)
{
    struct outbox out = b->outbox; /* what on_unsent has to say comes in the next turn */
    bool again = false;
    b->outbox = (struct outbox){ 0 };
    for (size_t i = 0; i < out.n; i++) {
        const struct outbox_entry *e = &out.entries[i];
        int r = send(ctx, e->routing_id, (struct str){ e->bytes, e->n });
        if (r < 0)
            again |= on_unsent(b, e, r, now);
    }
    outbox_fini(&out);
    return again;
}

void broker_say_bye(struct broker *b)
{
    struct peer *p;
    for (size_t i = 0; (p = strmap_next(&b->peers.by_routing_id, &i));) {
        struct message m;
        message_init(&m, MSG_BYE);
        m.bye.text = str_of("the broker stops");
        broker_send(b, p, &m);
    }
}
