/* recv.c - a message comes in: decoded, its session checked, handed to the one function that knows it. */
#include "broker/recv.h"

#include <inttypes.h>

#include "proto/base/log.h"
#include "proto/numbered.h"

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
    [MSG_FETCH] = { recv_fetch, FROM_ANYBODY },
    [MSG_HISTORY] = { recv_query, FROM_CLIENT },
    [MSG_WHY] = { recv_why, FROM_CLIENT },
    [MSG_QUEUES] = { recv_queues, FROM_CLIENT },
    [MSG_WORKERS] = { recv_workers, FROM_CLIENT },
    [MSG_STATS] = { recv_stats, FROM_CLIENT },
    [MSG_ADVISE] = { recv_advise, FROM_CLIENT },
    [MSG_STARTED] = { recv_started, FROM_WORKER },
    [MSG_RESULT] = { recv_result, FROM_WORKER },
    [MSG_GIVEN] = { recv_given, FROM_WORKER },
    [MSG_CHECKPOINT] = { recv_checkpoint, FROM_WORKER },
    [MSG_SPAWN] = { recv_spawn, FROM_WORKER },
    [MSG_AWAIT] = { recv_await, FROM_WORKER },
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

static void take(struct broker *b, struct peer *p, const struct message *m, struct now now)
{
    p->heard_mono_ms = now.mono_ms;
    if (p->worker)
        p->worker->heard_mono_ms = now.mono_ms;
    note_asked(b, p, m);
    if (!is_in_order(b, p, m))
        return;
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
    if (p && p->uid != uid)
        p = NULL; /* a connection that has taken a dead one's name is somebody else */
    if (r < 0) {
        note_bad_message(b, why, uid, now);
        if (p)
            broker_send_error(b, p, 0, CODE_PROTOCOL, "%s", why);
        return;
    }
    if (m.type == MSG_HELLO)
        recv_hello(b, routing_id, uid, &m, now);
    else if (!p)
        broker_say_hello_again(b, routing_id, "this broker does not know this connection");
    else if (m.epoch != store_epoch(b->store) || m.session != p->session)
        broker_say_hello_again(b, routing_id, "this is another session");
    else
        take(b, p, &m, now);
    message_fini(&m);
}
