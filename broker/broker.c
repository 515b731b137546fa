/* broker.c - the core's life: opened from the store, driven a turn at a time, rebuilt from the store when the disk is full. */
#include "broker/broker.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "broker/change.h"
#include "broker/lease.h"
#include "broker/open_jobs.h"
#include "broker/quota.h"
#include "broker/recv.h"
#include "broker/wait.h"
#include "proto/base/log.h"
#include "proto/numbered.h"

/* ---- small services ---------------------------------------------------------------------------- */

bool broker_failed(struct broker *b, int r)
{
    if (r < 0 && !b->failed)
        b->failed = r;
    return b->failed != 0;
}

void broker_send(struct broker *b, struct peer *p, struct message *m)
{
    m->epoch = store_epoch(b->store);
    m->session = p->session;
    if (p->worker)
        numbered_set(&p->orders, m);
    outbox_add(&b->outbox, p->routing_id, m);
}

void broker_send_error(struct broker *b, struct peer *p, uint64_t req, enum error_code code, const char *format, ...)
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

void broker_say_hello_again(struct broker *b, const char *routing_id, const char *text)
{
    struct message m;
    message_init(&m, MSG_HELLO_AGAIN);
    m.hello_again.text = str_of(text);
    outbox_add(&b->outbox, routing_id, &m);
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

void broker_forget_worker(struct broker *b, struct worker *w)
{
    if (w->peer)
        broker_drop_peer(b, w->peer);
    strmap_remove(&b->workers, (struct str){ (const char *)w->instance, sizeof w->instance });
    worker_free(w);
    b->worker_changes++;
}

void broker_part_worker(struct broker *b, struct worker *w, const char *why, struct now now)
{
    list_each_safe(link, &w->leases)
        if (!b->failed)
            lease_hand_back(b, list_entry(link, struct lease, link), why, now);
    if (!b->failed)
        broker_forget_worker(b, w);
}

/* ---- keys come and go ------------------------------------------------------------------------------ */

static void cut_off(struct broker *b, struct peer *p, struct now now)
{
    b->counts.revoked++;
    log_info("key=%s owner=%s revoked: cut off", p->key, p->owner);
    broker_send_error(b, p, 0, CODE_NOT_ALLOWED, REVOKED);
    if (p->worker)
        broker_part_worker(b, p->worker, "its worker's key was revoked", now);
    else
        broker_drop_peer(b, p);
}

/* True: the peer is gone. */
static bool judge_anew(struct broker *b, struct peer *p, const struct grants *fresh, struct now now)
{
    const struct grant *g = grants_find(fresh, p->key);
    if (g && grant_equal(g, p->grant)) {
        p->grant = g;
        return false;
    }
    if (!g) {
        cut_off(b, p, now);
    } else {
        broker_say_hello_again(b, p->routing_id, "what this key may do has changed");
        broker_drop_peer(b, p);
    }
    return true;
}

/* A worker that is away would come back to what it held. */
static void forget_away(struct broker *b, const struct grants *fresh, struct now now)
{
    struct worker *w;
    for (size_t i = 0; (w = strmap_next(&b->workers, &i));) {
        if (w->peer || !w->key[0] || grants_find(fresh, w->key))
            continue;
        broker_part_worker(b, w, "its worker's key was revoked", now);
        if (b->failed)
            return;
        i = 0; /* what stood behind it may stand before it now */
    }
}

void broker_set_grants(struct broker *b, struct grants *fresh, struct now now)
{
    struct peer *p;
    for (size_t i = 0; !b->failed && (p = strmap_next(&b->peers.by_routing_id, &i));)
        if (p->key[0] && judge_anew(b, p, fresh, now))
            i = 0; /* what stood behind it may stand before it now */
    if (!b->failed)
        forget_away(b, fresh, now);
    grants_free(b->grants);
    b->grants = fresh;
    b->open_limits_told = false;
    if (!b->failed)
        open_jobs_limit(b);
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
        cleanup(freep) char *name = NULL, *owner = NULL;
        loading->r = store_worker_instance(b->store, j->worker, instance, &name, &owner);
        if (loading->r < 0)
            return;
        w = worker_new(j->worker, instance, str_of(name ? name : "?"));
        w->owner = TAKE(owner);
        w->heard_mono_ms = loading->now.mono_ms;
        strmap_put(&b->workers, (struct str){ (const char *)instance, sizeof instance }, w);
    }
    if (w)
        lease_add(b, j, w, loading->now);
}

/* Everything in memory, from the store. */
static int load(struct broker *b, struct now now)
{
    struct loading loading = { b, now, 0 };
    list_init(&b->any_waits);
    list_init(&b->moving_waits);
    list_init(&b->moving_changes);
    list_init(&b->reports);
    for (size_t i = 0; i < b->options.shared.n; i++)
        b->options.shared.at[i].held = 0; /* the leases say again what is held */
    int r = classes_load(&b->classes, b->store, &b->options.shared);
    if (r >= 0)
        r = store_each_lease(b->store, load_lease, &loading);
    b->next_due_ms = store_next_due(b->store);
    b->next_expiry_ms = store_next_expiry(b->store);
    b->open_limits_told = false;
    b->cascades = true; /* those of before */
    b->cascade.parent = 0;
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
    quotas_fini(&b->quotas);
    old_workers_fini(&b->old_workers);
    grants_free(b->grants);
    outbox_fini(&b->outbox);
    store_close(b->store);
    free(b->asked);
    free(b);
    return NULL;
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

/* A HELLO of before that is read late must not be taken for a new one: it does not list what its worker was given since. */
struct kept_count {
    unsigned char instance[16];
    uint64_t hello_count;
};

static struct kept_count *keep_hello_counts(const struct broker *b, size_t *ret_n)
{
    struct kept_count *kept = xcalloc(b->workers.n, sizeof *kept);
    struct worker *w;
    *ret_n = 0;
    for (size_t i = 0; (w = strmap_next(&b->workers, &i));) {
        memcpy(kept[*ret_n].instance, w->instance, sizeof w->instance);
        kept[(*ret_n)++].hello_count = w->hello_count;
    }
    return kept;
}

/* Of the workers that hold something: the others have nothing to lose. */
static void restore_hello_counts(struct broker *b, const struct kept_count *kept, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct worker *w = strmap_find(&b->workers, (struct str){ (const char *)kept[i].instance, sizeof kept[i].instance });
        if (w)
            w->hello_count = kept[i].hello_count;
    }
}

void broker_count_jobs(const struct broker *b, uint64_t ret_n[static N_STATES])
{
    memset(ret_n, 0, N_STATES * sizeof *ret_n);
    for (size_t i = 0; i < b->classes.n; i++)
        for (int state = 0; b->classes.all[i] && state < N_STATES; state++)
            ret_n[state] += b->classes.all[i]->jobs[state];
}

#define START_OVER_PAUSE_MS 1000 /* what did not fit may have been the deleting */

/* The disk is full: nothing of this turn is true, so memory is made anew from what is, and every peer says HELLO again. */
static int start_over(struct broker *b, struct now now)
{
    log_error("event=disk-full: the disk is full: %s; this turn's requests are answered with busy", store_error_text(b->store));
    store_rollback(b->store);
    size_t n_kept;
    cleanup(freep) struct kept_count *kept = keep_hello_counts(b, &n_kept);
    forget(b);
    tell_busy(b, b->asked, b->n_asked);
    struct peer *p;
    for (size_t i = 0; (p = strmap_next(&b->peers.by_routing_id, &i));)
        broker_say_hello_again(b, p->routing_id, "the broker had to start over: its disk was full");
    uint64_t last_session = b->peers.last_session;
    peers_fini(&b->peers);
    b->peers.last_session = last_session;
    b->next_upkeep_mono_ms = now.mono_ms + START_OVER_PAUSE_MS;
    b->failed = 0;
    b->disk_busy = true;
    b->counts.busy += b->n_asked;
    int r = load(b, now);
    restore_hello_counts(b, kept, n_kept);
    return r;
}

int broker_commit(struct broker *b, struct now now)
{
    lease_store_progress(b);
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

/* A connection that is gone is forgotten; its worker may come back by another. A queue that is full: who missed more than a BEAT
 * or RECORDED (a worker sends the RESULT again) must say HELLO again: a worker hears how things are, a client asks again. */
static bool on_unsent(struct broker *b, const struct outbox_entry *e, int r, struct now now)
{
    struct peer *p = peers_find(&b->peers, e->routing_id);
    b->counts.dropped_replies++;
    if (!p)
        return false;
    bool run = p->worker && e->type == MSG_RUN;
    if (run)
        hand_back_run(b, p->worker, e, now);
    bool harmless = e->type == MSG_RECORDED || e->type == MSG_BEAT;
    if (r == -EHOSTUNREACH || !harmless)
        broker_drop_peer(b, p);
    return run;
}

static bool send_those(struct broker *b, const struct outbox *out, bool submitted, broker_send_fn *send, void *ctx, struct now now)
{
    bool again = false;
    for (size_t i = 0; i < out->n; i++) {
        const struct outbox_entry *e = &out->entries[i];
        if ((e->type == MSG_SUBMITTED) != submitted)
            continue;
        int r = send(ctx, e->routing_id, (struct str){ e->bytes, e->n });
        if (r < 0)
            again |= on_unsent(b, e, r, now);
    }
    return again;
}

/* A job that runs is on its way before its submitter is told that it will be. */
bool broker_flush(struct broker *b, broker_send_fn *send, void *ctx, struct now now)
{
    struct outbox out = b->outbox; /* what on_unsent has to say comes in the next turn */
    b->outbox = (struct outbox){ 0 };
    bool again = send_those(b, &out, false, send, ctx, now);
    again |= send_those(b, &out, true, send, ctx, now);
    outbox_fini(&out);
    return again;
}

int broker_end_turn(struct broker *b, broker_send_fn *send, void *ctx, struct now now)
{
    int r = broker_commit(b, now);
    return r < 0 ? r : broker_flush(b, send, ctx, now);
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

int broker_save(struct broker *b)
{
    int r;
    while ((r = measures_save(&b->classes.measures, b->store)) > 0) {
    }
    return r < 0 ? r : store_commit(b->store);
}
