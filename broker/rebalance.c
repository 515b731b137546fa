/* rebalance.c - an idle worker takes work from one that has too much of it. */
#include "broker/rebalance.h"

#include "broker/dispatch.h"
#include "broker/lease.h"

#define AHEAD_TOO_LONG_MS 50 /* prefetch is what a pool finishes in 20 ms: what waits longer was misjudged */
#define REFS_MAX 256
#define LATE_MIN_MS 1000
#define LATE_MAX_MS 60000

static bool somebody_else_has_room(struct broker *b, const struct class *c, const struct worker *not_this)
{
    struct worker *w;
    for (size_t i = 0; (w = strmap_next(&b->workers, &i));) {
        enum pool_kind pool;
        if (w == not_this || dispatch_gate(c, w, &pool) != GATE_OPEN)
            continue;
        const struct worker_pool *p = &w->pools[pool];
        if (!p->late && p->leased < worker_pool_room(p))
            return true;
    }
    return false;
}

/* It may have told of slots that others use: a worker of several brokers tells each of one. */
static void note_late(struct worker_pool *p, struct now now)
{
    if (p->late)
        return;
    p->late = true;
    p->late_ms = p->late_ms ? min_i64(2 * p->late_ms, LATE_MAX_MS) : LATE_MIN_MS;
    p->late_until_ms = now.mono_ms + p->late_ms;
}

static void take_back_late(struct broker *b, struct worker *w, struct now now)
{
    struct attempt_ref refs[REFS_MAX];
    size_t n = 0;
    const struct class *checked = NULL;
    bool room = false;
    list_each(link, &w->leases) {
        struct lease *l = list_entry(link, struct lease, link);
        if (l->started || l->taking_back || now.mono_ms - l->leased_mono_ms < AHEAD_TOO_LONG_MS || n == REFS_MAX)
            continue;
        if (l->class != checked)
            room = somebody_else_has_room(b, l->class, w);
        checked = l->class;
        if (!room)
            continue;
        l->taking_back = true;
        note_late(&w->pools[l->pool], now);
        refs[n++] = (struct attempt_ref){ l->job.id, l->job.attempt };
    }
    if (!n)
        return;
    struct message m;
    message_init(&m, MSG_TAKE_BACK);
    m.take_back.attempts = refs;
    m.take_back.n_attempts = n;
    broker_send(b, w->peer, &m);
}

static void forgive_late(struct broker *b, struct now now)
{
    struct worker *w;
    for (size_t i = 0; (w = strmap_next(&b->workers, &i));)
        for (int k = 0; k < N_POOLS; k++)
            w->pools[k].late = w->pools[k].late && now.mono_ms < w->pools[k].late_until_ms;
}

bool rebalance(struct broker *b, struct now now)
{
    bool ahead = false;
    struct worker *w;
    forgive_late(b, now);
    for (size_t i = 0; (w = strmap_next(&b->workers, &i));) {
        size_t waiting = 0;
        for (int k = 0; k < N_POOLS; k++)
            waiting += w->pools[k].leased - w->pools[k].started;
        ahead |= waiting > 0;
        if (waiting && w->peer && b->workers.n > 1)
            take_back_late(b, w, now);
    }
    return ahead;
}
