/* recv_beat.c - the broker's answer to a BEAT: it is alive, and knows of all that was said before
 * that BEAT. */
#include "worker/link_state.h"

void link_recv_beat(struct worker_link *l, const struct message *m, struct now now)
{
    (void)now;
    if (l->sure_req && m->beat.req >= l->sure_req)
        l->sure_req = 0;
}
