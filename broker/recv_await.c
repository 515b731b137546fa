/* recv_await.c - AWAIT: a running attempt wants to hear when children of it have ended; and its FETCH of what came of one. */
#include "broker/recv.h"

#include "broker/lease.h"

static void refuse(struct broker *b, struct peer *p, const struct msg_await *a, enum error_code code, const char *text)
{
    struct message m;
    message_init(&m, MSG_AWAITED);
    m.awaited.job = a->job;
    m.awaited.attempt = a->attempt;
    m.awaited.req = a->req;
    m.awaited.code = code;
    m.awaited.text = str_of(text);
    broker_send(b, p, &m);
}

static bool is_too_large(const struct msg_await *a)
{
    uint64_t n = 0;
    for (size_t i = 0; i < a->n_ranges && n <= LIMIT_SPAWN; i++) {
        if (a->ranges[i].last < a->ranges[i].first || a->ranges[i].last - a->ranges[i].first >= LIMIT_SPAWN)
            return true;
        n += a->ranges[i].last - a->ranges[i].first + 1;
    }
    return n > LIMIT_SPAWN;
}

/* A job that is gone, or was never a child of this one, has an end too: nobody waits for it for ever. */
static bool has_ended(struct broker *b, uint64_t parent, uint64_t id, struct child_end *ret)
{
    uint64_t of = 0;
    int r = store_get_end(b->store, id, ret, &of);
    if (r != -ENOENT && broker_failed(b, r))
        return false;
    if (r == -ENOENT || of != parent)
        *ret = (struct child_end){ id, STATE_BLOCKED, REASON_NONE, UNSET, UNSET };
    return r == -ENOENT || of != parent || state_is_terminal((int64_t)ret->state);
}

static size_t find_ended(struct broker *b, const struct msg_await *a, struct child_end ret[static LIMIT_SPAWN])
{
    size_t n = 0;
    for (size_t i = 0; i < a->n_ranges; i++)
        for (uint64_t id = a->ranges[i].first; id - a->ranges[i].first <= a->ranges[i].last - a->ranges[i].first; id++)
            if (!b->failed && has_ended(b, a->job, id, &ret[n]))
                n++;
    return n;
}

/* What has ended already is told now, the rest when it ends. */
void recv_await(struct broker *b, struct peer *p, const struct message *m, struct now now)
{
    (void)now;
    const struct msg_await *a = &m->await;
    struct lease *l = lease_find(b, p->worker, a->job, a->attempt);
    if (!l || is_too_large(a)) {
        refuse(b, p, a, l ? CODE_USAGE : CODE_REFUSED,
               l ? "AWAIT: its ranges must be rising, and may have 1000 jobs in all" : "this attempt is not this worker's");
        return;
    }
    struct child_end ended[LIMIT_SPAWN];
    size_t n = find_ended(b, a, ended);
    if (b->failed)
        return;
    l->awaits = true;
    if (!n)
        return;
    struct message answer;
    message_init(&answer, MSG_AWAITED);
    answer.awaited.job = a->job;
    answer.awaited.attempt = a->attempt;
    answer.awaited.ended = ended;
    answer.awaited.n_ended = n;
    broker_send(b, p, &answer);
}

/* A worker sees no job but the children of what it runs. */
void recv_fetch(struct broker *b, struct peer *p, const struct message *m, struct now now)
{
    const struct msg_fetch *f = &m->fetch;
    struct child_end end;
    uint64_t of = 0;
    bool may = !p->worker;
    if (p->worker && lease_find(b, p->worker, f->parent, f->parent_attempt)) {
        int r = store_get_end(b->store, f->job, &end, &of);
        if (r != -ENOENT && broker_failed(b, r))
            return;
        may = r >= 0 && of == f->parent;
    }
    if (may)
        recv_query(b, p, m, now);
    else
        broker_send_error(b, p, f->req, CODE_NOT_FOUND, "no such child");
}
