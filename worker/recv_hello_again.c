/* recv_hello_again.c - the broker does not know our session: HELLO again, soon but not in a storm.
 * While a HELLO is under way this is still the answer to something older. */
#include "worker/link_state.h"

void link_recv_hello_again(struct worker_link *l, const struct message *m, struct now now)
{
    (void)m;
    if (l->state == LINK_GREETING)
        return;
    int64_t spaced_ms = l->hello_ms + LINK_HELLO_SPACING_MS - now.mono_ms;
    link_leave(l, l->ever_hello ? max_i64(spaced_ms, 0) : 0, now);
}
