/* recv_stop.c - cancelled: what waits ends at once, what runs is told to stop and killed after its
 * grace. */
#include "worker/link_state.h"

static void end_waiting(struct worker_link *l, struct holding *h, struct run *r, struct now now)
{
    struct outcome o;
    record_init(RECORD_outcome, &o);
    o.ending = ENDING_CANCELLED;
    o.reason = REASON_CANCELLED;
    run_finish(r, &o, now.mono_ms * 1000);
    link_finish(l, h);
}

void link_recv_stop(struct worker_link *l, const struct message *m, struct now now)
{
    for (size_t i = 0; i < m->stop.n_attempts; i++) {
        const struct attempt_ref *a = &m->stop.attempts[i];
        struct holding *h = holding_find(&l->held, a->job, a->attempt);
        struct run *r;
        if (!h || h->finished || h->dropped)
            continue;
        if (link_take_waiting(l, h, &r))
            end_waiting(l, h, r, now);
        else
            link_stop(l, h, REASON_CANCELLED, h->kill_grace_ms, now);
    }
}
