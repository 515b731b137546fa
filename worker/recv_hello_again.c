/* recv_hello_again.c - the broker does not know our session: HELLO again.
 * While a HELLO is under way this is still the answer to something older. */
#include "worker/link_state.h"

void link_recv_hello_again(struct worker_link *l, const struct message *m, struct now now)
{
    (void)m;
    if (l->state == LINK_GREETING)
        return;
    link_say_hello_again(l, now);
}
