/* send_beat.c - alive, and this is how full the pools are. */
#include "worker/link_state.h"

void link_send_beat(struct worker_link *l, struct now now)
{
    struct pool_load loads[N_POOLS];
    struct message m;
    message_init(&m, MSG_BEAT);
    m.beat.req = ++l->beat_req;
    m.beat.pools = loads;
    m.beat.n_pools = link_tell_loads(l, loads);
    link_send(l, &m);
    l->say_beat = false;
    l->beat_at_ms = now.mono_ms + l->heartbeat_ms;
}
