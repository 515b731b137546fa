/* recv.c - a message comes in: decoded, its session checked, handed to the one function that knows it. */
#include "broker/recv.h"

#include <inttypes.h>

#include "broker/roles.h"

#include "proto/base/log.h"
#include "proto/numbered.h"

static recv_fn *const table[MESSAGE_TYPES] = {
    [MSG_BYE] = recv_bye,
    [MSG_BEAT] = recv_beat,
    [MSG_DRAIN] = recv_drain,
    [MSG_SUBMIT] = recv_submit,
    [MSG_WAIT] = recv_wait,
    [MSG_UNWAIT] = recv_unwait,
    [MSG_CANCEL] = recv_change,
    [MSG_RETRY] = recv_change,
    [MSG_REMOVE] = recv_change,
    [MSG_PAUSE] = recv_pause,
    [MSG_LIST] = recv_query,
    [MSG_FETCH] = recv_fetch,
    [MSG_HISTORY] = recv_query,
    [MSG_WHY] = recv_why,
    [MSG_QUEUES] = recv_queues,
    [MSG_WORKERS] = recv_workers,
    [MSG_STATS] = recv_stats,
    [MSG_ADVISE] = recv_advise,
    [MSG_STARTED] = recv_started,
    [MSG_RESULT] = recv_result,
    [MSG_GIVEN] = recv_given,
    [MSG_CHECKPOINT] = recv_checkpoint,
    [MSG_PROGRESS] = recv_progress,
    [MSG_SPAWN] = recv_spawn,
    [MSG_AWAIT] = recv_await,
};

#define BAD_LOGGED_EVERY_MS 60000

static void note_bad_message(struct broker *b, const char *why, const struct sender *from, struct now now)
{
    b->counts.bad_messages++;
    if (b->bad_logged_mono_ms && now.mono_ms - b->bad_logged_mono_ms < BAD_LOGGED_EVERY_MS)
        return;
    b->bad_logged_mono_ms = now.mono_ms;
    log_warning("dropped a message from uid=%" PRId64 " key=%s: %s (%" PRIu64 " so far; said once a minute)", from->uid,
                from->key ? from->grant->name : "-", why, b->counts.bad_messages);
}

/* Who asked what in this turn: all of them are told when it fails. A peer may ask as often as it likes, so the list is bounded. */
static void note_asked(struct broker *b, const struct peer *p, const struct message *m)
{
    bool asks = !p->worker && m->type != MSG_BYE && m->type != MSG_BEAT && m->type != MSG_UNWAIT;
    if (!asks || b->n_asked >= 100000)
        return;
    b->asked = grow_array(b->asked, &b->cap_asked, b->n_asked + 1, sizeof *b->asked);
    struct asked *a = &b->asked[b->n_asked++];
    /* req is the first field of every request */
    *a = (struct asked){ .session = p->session, .req = m->list.req };
    memcpy(a->routing_id, p->routing_id, ROUTING_ID_BYTES);
}

/* False for what a worker's session has had before; and for what comes after something lost, which ends the session. */
static bool is_in_order(struct broker *b, struct peer *p, const struct message *m)
{
    enum numbered n = p->worker ? numbered_check(&p->reports, m) : NUMBERED_NEXT;
    if (n == NUMBERED_GAP) {
        log_warning("worker=%s: something it said before this %s is missing; it begins a new session", p->worker->name,
                    message_name(m->type));
        broker_say_hello_again(b, p->routing_id, "something said before this is missing");
        broker_drop_peer(b, p);
    }
    return n == NUMBERED_NEXT;
}

static void refuse(struct broker *b, struct peer *p, const struct message *m)
{
    if (!p->worker && role_is_for_admins(m->type))
        /* req is the first field of every request */
        broker_send_error(b, p, m->list.req, CODE_NOT_ALLOWED,
                          "%s is for admins: root, the broker's own user, and keys of the role admin", message_name(m->type));
    else
        broker_send_error(b, p, 0, CODE_PROTOCOL, "%s is not for a %s to send", message_name(m->type),
                          p->worker ? "worker" : "client");
}

static void take(struct broker *b, struct peer *p, const struct message *m, struct now now)
{
    p->heard_mono_ms = now.mono_ms;
    if (p->worker)
        p->worker->heard_mono_ms = now.mono_ms;
    note_asked(b, p, m);
    if (!is_in_order(b, p, m))
        return;
    enum role party = p->worker ? ROLE_WORKER : p->admin ? ROLE_ADMIN : ROLE_CLIENT;
    if (table[m->type] && role_may_send(party, m->type))
        table[m->type](b, p, m, now);
    else
        refuse(b, p, m);
}

/* A connection that has taken a dead one's name is somebody else. */
static struct peer *find_peer(struct broker *b, const char *routing_id, const struct sender *from)
{
    struct peer *p = peers_find(&b->peers, routing_id);
    return p && p->uid == from->uid && strcmp(p->key, from->key ? from->key : "") == 0 ? p : NULL;
}

static void recv_from(struct broker *b, const char *routing_id, const struct sender *from, struct str bytes, struct now now)
{
    struct message m;
    const char *why = NULL;
    int r = message_decode(&m, bytes.p, bytes.n, &why);
    struct peer *p = find_peer(b, routing_id, from);
    if (r < 0) {
        note_bad_message(b, why, from, now);
        if (p)
            broker_send_error(b, p, 0, CODE_PROTOCOL, "%s", why);
        return;
    }
    if (m.type == MSG_HELLO)
        recv_hello(b, routing_id, from, &m, now);
    else if (!p)
        broker_say_hello_again(b, routing_id, "this broker does not know this connection");
    else if (m.epoch != store_epoch(b->store) || m.session != p->session)
        broker_say_hello_again(b, routing_id, "this is another session");
    else
        take(b, p, &m, now);
    message_fini(&m);
}

void broker_recv(struct broker *b, const char *routing_id, int64_t uid, struct str bytes, struct now now)
{
    bool admin = uid <= 0 || uid == b->options.own_uid;
    struct sender from = { .uid = uid, .grant = grant_of_user(admin, uid == b->options.worker_uid) };
    if (!b->failed) /* else the turn is lost already; whoever it was repeats it */
        recv_from(b, routing_id, &from, bytes, now);
}

/* libzmq keeps the connection of a key that was revoked: all that comes by it gets the one answer, and is not even read. */
void broker_recv_keyed(struct broker *b, const char *routing_id, const char *key, struct str bytes, struct now now)
{
    struct sender from = { .uid = -1, .key = key, .grant = grants_find(b->grants, key) };
    if (b->failed)
        return;
    if (from.grant)
        recv_from(b, routing_id, &from, bytes, now);
    else
        recv_revoked(b, routing_id);
}
