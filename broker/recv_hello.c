/* recv_hello.c - a session begins: who is it, and what does it still hold? */
#include "broker/recv.h"

#include <inttypes.h>
#include <stdio.h>

#include "broker/change.h"
#include "broker/lease.h"
#include "broker/open_jobs.h"
#include "broker/quota.h"
#include "broker/text.h"
#include "broker/wait.h"
#include "proto/base/log.h"
#include "proto/name.h"

/* An answer to somebody who is no peer (yet). */
static void refuse(struct broker *b, const char *routing_id, enum error_code code, const char *text)
{
    struct message m;
    message_init(&m, MSG_ERROR);
    m.error.code = code;
    m.error.text = str_of(text);
    outbox_add(&b->outbox, routing_id, &m);
}

static const char *why_bad_worker(const struct msg_hello *h)
{
    if (name_check(h->name, "worker"))
        return "HELLO: a worker's name must be 1 to 128 bytes of [A-Za-z0-9._:-]";
    if (h->n_handlers > LIMIT_HANDLERS || h->n_queues > LIMIT_QUEUES || h->n_pools > N_POOLS)
        return "HELLO: too many handlers, queues or pools";
    if (h->n_labels > LIMIT_LABELS || h->n_amounts > LIMIT_AMOUNTS)
        return "HELLO: too many labels or amounts";
    struct need label;
    for (size_t i = 0; i < h->n_labels; i++)
        if (need_read(h->labels[i], &label))
            return "HELLO: a label must be NAME or NAME=VALUE, both 1 to 128 bytes of [A-Za-z0-9._:-]";
    for (size_t i = 0; i < h->n_amounts; i++)
        if (name_check(h->amounts[i].name, "amount"))
            return "HELLO: an amount's name must be 1 to 128 bytes of [A-Za-z0-9._:-]";
    for (size_t i = 0; i < h->n_handlers; i++)
        if (name_check(h->handlers[i].name, "handler"))
            return "HELLO: a handler's name must be 1 to 128 bytes of [A-Za-z0-9._:-]";
    for (size_t i = 0; i < h->n_queues; i++)
        if (name_check(h->queues[i], "queue"))
            return "HELLO: a queue's name must be 1 to 128 bytes of [A-Za-z0-9._:-]";
    return NULL;
}

static const char *why_bad(const struct msg_hello *h)
{
    if (h->min_version > PROTOCOL_VERSION || h->version < 1)
        return "HELLO: this broker speaks protocol version 1 only; install a client or worker of the same release";
    if (h->instance.n != 16)
        return "HELLO: instance must be 16 random bytes";
    if (!str_is(h->role, "client") && !str_is(h->role, "worker"))
        return "HELLO: role must be client or worker";
    return str_is(h->role, "worker") ? why_bad_worker(h) : NULL;
}

static char *owner_text(const struct sender *from)
{
    if (from->key)
        return xasprintf("key:%s", from->grant->name);
    return from->uid < 0 ? xstrdup("local") : xasprintf("uid:%" PRId64, from->uid);
}

/* What a peer may use that an older broker would leave out without a word. */
static const char *const capabilities[] = { CAPABILITY_CHILDREN, CAPABILITY_CHECKPOINT, CAPABILITY_NEEDS, CAPABILITY_PROGRESS };

static void send_welcome(struct broker *b, struct peer *p, struct attempt_ref *gone, size_t n_gone,
                         uint64_t last_seq, uint64_t submit_jobs)
{
    struct message m;
    struct str can[ELEMENTS(capabilities)];
    for (size_t i = 0; i < ELEMENTS(capabilities); i++)
        can[i] = str_of(capabilities[i]);
    message_init(&m, MSG_WELCOME);
    m.welcome.capabilities = can;
    m.welcome.n_capabilities = ELEMENTS(can);
    m.welcome.version = PROTOCOL_VERSION;
    m.welcome.software = str_of(b->options.software);
    m.welcome.heartbeat_ms = (uint64_t)b->options.heartbeat_ms;
    m.welcome.lost_after_ms = (uint64_t)b->options.lost_after_ms;
    m.welcome.max_message_bytes = LIMIT_MESSAGE_BYTES;
    m.welcome.max_payload_bytes = b->options.max_payload_bytes;
    m.welcome.gone = gone;
    m.welcome.n_gone = n_gone;
    m.welcome.last_seq = last_seq;
    m.welcome.submit_jobs = submit_jobs;
    broker_send(b, p, &m);
}

/* A peer that says HELLO again begins anew: what it waited for it asks again. */
static void forget_requests(struct broker *b, struct peer *p)
{
    list_each_safe(l, &p->waits)
        wait_stop(b, list_entry(l, struct wait, of_peer));
    list_each_safe(l, &p->changes)
        change_stop(list_entry(l, struct change, of_peer));
}

/* A client has one connection. What a former one still has on its way would be taken out of turn, or after BYE has freed what its
 * submits are known by. */
static void drop_former(struct broker *b, const struct peer *p)
{
    struct peer *other;
    for (size_t i = 0; (other = strmap_next(&b->peers.by_routing_id, &i));)
        if (other != p && !other->worker && memcmp(other->instance, p->instance, sizeof p->instance) == 0 &&
            strcmp(other->owner, p->owner) == 0) {
            broker_drop_peer(b, other);
            i--; /* what stood behind it may stand in its place now */
        }
}

static void welcome_client(struct broker *b, struct peer *p)
{
    drop_former(b, p);
    struct submit_row row;
    uint64_t last_seq = 0;
    struct str instance = { (const char *)p->instance, sizeof p->instance };
    int r = store_find_submit(b->store, str_of(p->owner), instance, 0, &row, &last_seq);
    uint64_t submit_jobs = open_jobs_at_once(open_jobs_account_of(b, p));
    if (!b->failed && (r == -ENOENT || !broker_failed(b, r)))
        send_welcome(b, p, NULL, 0, last_seq, submit_jobs);
}

size_t hello_reconcile(struct broker *b, struct worker *w, const struct msg_hello *h, struct attempt_ref **ret_gone,
                       struct now now)
{
    struct attempt_ref *gone = xcalloc(h->n_held, sizeof *gone);
    size_t n_gone = 0;
    for (size_t i = 0; i < h->n_held; i++) {
        struct lease *l = lease_find(b, w, h->held[i].job, h->held[i].attempt);
        if (!l) {
            gone[n_gone++] = (struct attempt_ref){ h->held[i].job, h->held[i].attempt };
            continue;
        }
        l->listed = true;
        if (h->held[i].held != HELD_WAITING)
            lease_set_running(l);
        else
            lease_set_waiting(l);
    }
    list_each_safe(link, &w->leases) {
        struct lease *l = list_entry(link, struct lease, link);
        if (!l->listed && !b->failed)
            lease_hand_back(b, l, "the worker did not have it", now);
        else
            l->listed = false;
    }
    *ret_gone = gone;
    return n_gone;
}

/* What was asked of the attempts while the worker was away. */
static void repeat_stops(struct worker *w)
{
    w->stops.n = 0;
    w->recorded.n = 0; /* it will send them again */
    w->ended.n = 0;    /* and say again what it awaits */
    list_each(link, &w->leases) {
        struct lease *l = list_entry(link, struct lease, link);
        l->awaits = false;
        if (l->job.cancel_asked)
            refs_add(&w->stops, l->job.id, l->job.attempt);
    }
}

/* What its jobs hold of the amounts that it has just declared. */
static void count_amounts(struct worker *w)
{
    list_each(link, &w->leases)
        needs_take_own(&list_entry(link, struct lease, link)->class->needs, w);
}

static struct worker *find_or_add_worker(struct broker *b, const struct msg_hello *h)
{
    struct worker *w = strmap_find(&b->workers, h->instance);
    if (w)
        return w;
    w = worker_new(0, (const unsigned char *)h->instance.p, h->name);
    strmap_put(&b->workers, h->instance, w);
    return w;
}

static void welcome_worker(struct broker *b, struct peer *p, const struct msg_hello *h, struct now now)
{
    struct worker *w = find_or_add_worker(b, h);
    if (w->peer && w->peer != p) {
        w->peer->worker = NULL;
        broker_drop_peer(b, w->peer);
    }
    worker_describe(w, h, p->grant);
    count_amounts(w);
    free(w->owner);
    w->owner = xstrdup(p->owner);
    memcpy(w->key, p->key, sizeof w->key);
    w->peer = p;
    w->hello_count = h->count;
    p->worker = w;
    w->heard_mono_ms = now.mono_ms;
    w->connected_wall_ms = now.wall_ms;
    b->worker_changes++;
    b->credit_changes++;
    struct attempt_ref *gone;
    size_t n_gone = hello_reconcile(b, w, h, &gone, now);
    if (!b->failed) {
        send_welcome(b, p, gone, n_gone, 0, 0);
        repeat_stops(w);
    }
    free(gone);
    log_info("worker=%s host=%s pid=%" PRIu64 " connected holds=%zu", w->name, w->host, w->pid, h->n_held);
}

/* What was on its way on a connection that is dead may be read after what came by the next one. */
static bool is_late(const struct broker *b, const struct msg_hello *h)
{
    const struct worker *w = strmap_find(&b->workers, h->instance);
    return w && h->count && h->count <= w->hello_count;
}

/* The connection speaks for another worker, or for a client, from now on. What held nothing is not kept for its return. */
static void part_from_worker(struct broker *b, struct peer *p, struct str instance)
{
    struct worker *w = p->worker;
    if (!w)
        return;
    struct str old = { (const char *)w->instance, sizeof w->instance };
    w->peer = NULL;
    p->worker = NULL;
    b->worker_changes++;
    if (!str_equal(old, instance) && list_empty(&w->leases))
        broker_forget_worker(b, w);
}

/* ---- who may come in -------------------------------------------------------------------------------- */

/* What a worker's start holds is its own: nobody with another key, or another user, comes in its place. */
static const char *why_not_this_worker(const struct broker *b, const struct msg_hello *h, const struct sender *from)
{
    const struct worker *w = strmap_find(&b->workers, h->instance);
    cleanup(freep) char *owner = owner_text(from);
    if (!from->grant->may_work)
        return from->key ? "a worker needs a key of the role worker"
                         : "a worker must run as root, as the broker's own user, or as its --worker-user";
    if (w && w->owner && strcmp(w->owner, owner) != 0)
        return "another worker has said HELLO with this instance";
    for (size_t i = 0; i < h->n_queues; i++)
        if (!grant_allows_queue(from->grant, h->queues[i]))
            return "this worker's key is not for all of the queues that it names: leave out --queues, and it serves those that it may";
    return NULL;
}

/* NULL, or why this peer may not come in. */
static const char *why_not(const struct broker *b, const struct msg_hello *h, const struct sender *from, enum error_code *ret_code)
{
    const char *bad = why_bad(h);
    *ret_code = bad ? CODE_PROTOCOL : CODE_NOT_ALLOWED;
    if (!bad && str_is(h->role, "worker"))
        bad = why_not_this_worker(b, h, from);
    else if (!bad && from->grant->role == ROLE_WORKER)
        bad = "this key is a worker's: it can submit nothing; a client needs a key of the role client";
    return bad;
}

/* The peer of this connection, in a new session; -EBUSY, and then it is no peer any more. */
static int add_peer(struct broker *b, const char *routing_id, const struct sender *from, struct peer **ret, struct now now)
{
    cleanup(freep) char *owner = owner_text(from);
    struct quota *q = from->key ? quota_of(&b->quotas, owner, from->grant, now) : NULL;
    struct peer *p = peers_find(&b->peers, routing_id);
    if (p)
        quota_leave(p->quota);
    if (p)
        p->quota = NULL;
    int r = quota_enter(q, from->grant);
    if (r < 0 && p)
        broker_drop_peer(b, p);
    if (r >= 0 && (r = peers_add(&b->peers, routing_id, &p)) < 0)
        quota_leave(q);
    if (r < 0)
        return r;
    free(p->owner);
    p->owner = TAKE(owner);
    p->quota = q;
    p->uid = from->uid;
    snprintf(p->key, sizeof p->key, "%s", from->key ? from->key : "");
    p->grant = from->grant;
    p->admin = from->grant->role == ROLE_ADMIN;
    p->heard_mono_ms = now.mono_ms;
    *ret = p;
    return 0;
}

void recv_revoked(struct broker *b, const char *routing_id) { refuse(b, routing_id, CODE_NOT_ALLOWED, REVOKED); }

void recv_hello(struct broker *b, const char *routing_id, const struct sender *from, const struct message *m, struct now now)
{
    const struct msg_hello *h = &m->hello;
    bool worker = str_is(h->role, "worker");
    enum error_code code;
    const char *bad = why_not(b, h, from, &code);
    struct peer *p = NULL;
    if (!bad && worker && is_late(b, h))
        return;
    if (!bad && add_peer(b, routing_id, from, &p, now) < 0) {
        bad = "busy: too many peers";
        code = CODE_BUSY;
    }
    if (bad) {
        refuse(b, routing_id, code, bad);
        return;
    }
    forget_requests(b, p);
    part_from_worker(b, p, h->instance);
    p->busy_first = p->busy_last = 0;
    memcpy(p->instance, h->instance.p, sizeof p->instance);
    if (worker)
        welcome_worker(b, p, h, now);
    else
        welcome_client(b, p);
}
