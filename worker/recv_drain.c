/* recv_drain.c - `tern drain`: finish what runs, however long that takes, take nothing new,
 * leave. */
#include "worker/link_state.h"

#include "proto/base/log.h"

void link_recv_drain(struct worker_link *l, const struct message *m, struct now now)
{
    (void)m;
    if (!l->draining)
        log_info("draining, because the broker was asked to; held=%zu", l->held.n);
    link_drain(l, NEVER, now);
}
