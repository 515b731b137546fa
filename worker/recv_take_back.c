/* recv_take_back.c - the broker wants back what has not started: GIVEN, or STARTED where it is too
 * late. Of finished and unknown ones the broker hears, or has heard, by other messages. */
#include "worker/link_state.h"

void link_recv_take_back(struct worker_link *l, const struct message *m, struct now now)
{
    (void)now;
    for (size_t i = 0; i < m->take_back.n_attempts; i++) {
        const struct attempt_ref *a = &m->take_back.attempts[i];
        struct holding *h = holding_find(&l->held, a->job, a->attempt);
        struct run *r;
        if (!h || h->finished || h->dropped)
            continue;
        if (link_take_waiting(l, h, &r))
            link_give_back(l, h, r, NULL);
        else
            link_add_started(l, h->job, h->attempt);
    }
}
