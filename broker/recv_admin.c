/* recv_admin.c - PAUSE and DRAIN: for admins. */
#include "broker/recv.h"

#include "broker/lease.h"
#include "broker/text.h"
#include "proto/base/log.h"

static void send_ok(struct broker *b, struct peer *p, uint64_t req)
{
    struct message m;
    message_init(&m, MSG_OK);
    m.ok.req = req;
    broker_send(b, p, &m);
}

static void send_take_back(struct broker *b, const struct worker *w, struct attempt_ref *refs, size_t n)
{
    struct message m;
    message_init(&m, MSG_TAKE_BACK);
    m.take_back.attempts = refs;
    m.take_back.n_attempts = n;
    broker_send(b, w->peer, &m);
}

/* Asks for what has not started, and passes the filter. */
static void take_back(struct broker *b, struct worker *w, const struct queue *only)
{
    if (!w->peer)
        return;
    struct attempt_ref refs[LIMIT_BATCH];
    size_t n = 0;
    list_each(link, &w->leases) {
        struct lease *l = list_entry(link, struct lease, link);
        if (l->started || l->taking_back || (only && l->class->queue != only))
            continue;
        l->taking_back = true;
        refs[n++] = (struct attempt_ref){ l->job.id, l->job.attempt };
        if (n < LIMIT_BATCH)
            continue;
        send_take_back(b, w, refs, n);
        n = 0;
    }
    if (n)
        send_take_back(b, w, refs, n);
}

void recv_pause(struct broker *b, struct peer *p, const struct message *m, struct now now)
{
    (void)now;
    struct queue *q = !m->pause.queue.p ? NULL : classes_find_queue(&b->classes, m->pause.queue);
    if (!q) {
        struct str named = text_cut(m->pause.queue, LIMIT_NAME_BYTES);
        broker_send_error(b, p, m->pause.req, CODE_NOT_FOUND, "no such queue: %.*s", (int)named.n, named.p ? named.p : "");
        return;
    }
    if (broker_failed(b, store_set_paused(b->store, m->pause.queue, m->pause.paused)))
        return;
    q->paused = m->pause.paused;
    b->credit_changes++;
    struct worker *w;
    for (size_t i = 0; q->paused && (w = strmap_next(&b->workers, &i));)
        take_back(b, w, q);
    log_info("queue=%s %s by=%s", q->name, q->paused ? "paused" : "resumed", p->owner);
    send_ok(b, p, m->pause.req);
}

void recv_drain(struct broker *b, struct peer *p, const struct message *m, struct now now)
{
    (void)now;
    if (p->worker) { /* a worker says it of itself: see HELLO and BEAT */
        p->worker->draining = true;
        b->worker_changes++;
        return;
    }
    size_t found = 0;
    struct worker *w;
    for (size_t i = 0; (w = strmap_next(&b->workers, &i));) {
        if (!w->peer || !str_is(m->drain.worker, w->name))
            continue;
        found++;
        w->draining = true;
        struct message drain;
        message_init(&drain, MSG_DRAIN);
        broker_send(b, w->peer, &drain);
    }
    b->worker_changes++;
    struct str named = text_cut(m->drain.worker, LIMIT_NAME_BYTES);
    if (found)
        send_ok(b, p, m->drain.req);
    else
        broker_send_error(b, p, m->drain.req, CODE_NOT_FOUND, "no connected worker has the name %.*s", (int)named.n,
                          named.p ? named.p : "");
}
