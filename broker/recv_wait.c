/* recv_wait.c - WAIT, UNWAIT, and CANCEL, RETRY, REMOVE: requests that may go on for many turns. */
#include "broker/recv.h"

#include "broker/change.h"
#include "broker/wait.h"

static bool too_many(struct broker *b, struct peer *p, uint64_t req, size_t n_ranges)
{
    if (p->n_open >= LIMIT_REQUESTS_OPEN) {
        b->counts.busy++;
        broker_send_error(b, p, req, CODE_BUSY, "busy: %u requests of this client are going on", LIMIT_REQUESTS_OPEN);
        return true;
    }
    if (n_ranges > 0 && n_ranges <= LIMIT_RANGES)
        return false;
    broker_send_error(b, p, req, CODE_USAGE, "a selector needs 1 to %u ranges", LIMIT_RANGES);
    return true;
}

void recv_wait(struct broker *b, struct peer *p, const struct message *m, struct now now)
{
    (void)now;
    if (!too_many(b, p, m->wait.req, m->wait.n_ranges))
        wait_start(b, p, &m->wait);
}

void recv_unwait(struct broker *b, struct peer *p, const struct message *m, struct now now)
{
    (void)now;
    list_each_safe(l, &p->waits) {
        struct wait *w = list_entry(l, struct wait, of_peer);
        if (w->req == m->unwait.req)
            wait_stop(b, w);
    }
}

void recv_change(struct broker *b, struct peer *p, const struct message *m, struct now now)
{
    (void)now;
    if (!too_many(b, p, m->cancel.req, m->cancel.n_ranges))
        change_start(b, p, m->type, &m->cancel);
}
