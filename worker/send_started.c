/* send_started.c - what has begun to run in this turn; what has ended in the same turn is in
 * RESULT already. */
#include "worker/link_state.h"

static size_t still_running(struct worker_link *l)
{
    size_t n = 0;
    for (size_t i = 0; i < l->started.n; i++) {
        struct attempt_ref *a = &l->started.at[i];
        struct holding *h = holding_find(&l->held, a->job, a->attempt);
        if (h && !h->finished && !h->dropped)
            l->started.at[n++] = *a;
    }
    return n;
}

void link_send_started(struct worker_link *l)
{
    size_t n = still_running(l);
    for (size_t i = 0; i < n; i += LIMIT_BATCH) {
        struct message m;
        message_init(&m, MSG_STARTED);
        m.started.attempts = l->started.at + i;
        m.started.n_attempts = min_size(n - i, LIMIT_BATCH);
        link_send(l, &m);
    }
    l->started.n = 0;
}
