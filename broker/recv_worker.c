/* recv_worker.c - the short messages about a worker's attempts: BEAT, BYE, STARTED, GIVEN. */
#include "broker/recv.h"

#include "broker/lease.h"
#include "proto/base/log.h"

/* Room that opens in one pool while another closes is room all the same. */
static bool room_differs(const struct worker *w, const struct worker_pool before[N_POOLS])
{
    bool differ = false;
    for (int k = 0; k < N_POOLS; k++)
        differ |= w->pools[k].slots != before[k].slots || w->pools[k].parked != before[k].parked;
    return differ;
}

void recv_beat(struct broker *b, struct peer *p, const struct message *m, struct now now)
{
    (void)now;
    if (p->worker && m->beat.n_pools) {
        struct worker_pool before[N_POOLS];
        memcpy(before, p->worker->pools, sizeof before);
        worker_set_load(p->worker, m->beat.pools, m->beat.n_pools);
        b->credit_changes += room_differs(p->worker, before);
    }
    struct message answer;
    message_init(&answer, MSG_BEAT);
    answer.beat.req = m->beat.req;
    broker_send(b, p, &answer);
}

void recv_bye(struct broker *b, struct peer *p, const struct message *m, struct now now)
{
    (void)m;
    struct worker *w = p->worker;
    if (w) {
        log_info("worker=%s says goodbye", w->name);
        broker_part_worker(b, w, "the worker left", now);
        return;
    }
    struct str instance = { (const char *)p->instance, sizeof p->instance };
    if (!broker_failed(b, store_forget_client(b->store, str_of(p->owner), instance)))
        broker_drop_peer(b, p);
}

void recv_started(struct broker *b, struct peer *p, const struct message *m, struct now now)
{
    for (size_t i = 0; i < m->started.n_attempts && !b->failed; i++) {
        struct lease *l = lease_find(b, p->worker, m->started.attempts[i].job, m->started.attempts[i].attempt);
        if (l)
            lease_set_started(b, l, now);
    }
}

void recv_given(struct broker *b, struct peer *p, const struct message *m, struct now now)
{
    for (size_t i = 0; i < m->given.n_attempts && !b->failed; i++) {
        const struct given_back *g = &m->given.attempts[i];
        struct lease *l = lease_find(b, p->worker, g->job, g->attempt);
        if (!l)
            continue;
        cleanup(freep) char *why = xstrndup(g->text.n && g->text.n <= LIMIT_TEXT_BYTES ? g->text : str_of("handed back"));
        lease_hand_back(b, l, why, now);
    }
}
