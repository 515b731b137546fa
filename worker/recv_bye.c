/* recv_bye.c - the broker stops. What runs here goes on; HELLO until it is back. */
#include "worker/link_state.h"

#include "proto/base/log.h"

void link_recv_bye(struct worker_link *l, const struct message *m, struct now now)
{
    (void)m;
    log_info("the broker has stopped; held=%zu", l->held.n);
    link_leave(l, link_backoff(l), now);
}
