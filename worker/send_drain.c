/* send_drain.c - this worker takes nothing new any more: told at once, so that `tern why` and `tern workers` can say so. */
#include "worker/link_state.h"

void link_send_drain(struct worker_link *l)
{
    struct message m;
    message_init(&m, MSG_DRAIN);
    m.drain.worker = str_of(l->o.name);
    link_send(l, &m);
    l->say_drain = false;
}
