/* recv_recorded.c - outcomes that the broker has committed, or has no use for: they need not be
 * kept any longer. */
#include "worker/link_state.h"

void link_recv_recorded(struct worker_link *l, const struct message *m, struct now now)
{
    (void)now;
    for (size_t i = 0; i < m->recorded.n_attempts; i++) {
        const struct attempt_ref *a = &m->recorded.attempts[i];
        struct holding *h = holding_find(&l->held, a->job, a->attempt);
        if (h && h->finished)
            link_forget(l, h);
    }
}
