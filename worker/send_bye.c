/* send_bye.c - the worker leaves, and holds nothing any more. */
#include "worker/link_state.h"

void link_send_bye(struct worker_link *l)
{
    struct message m;
    message_init(&m, MSG_BYE);
    m.bye.text = str_of("worker drained");
    link_send(l, &m);
}
