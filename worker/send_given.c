/* send_given.c - attempts handed back to the broker. Nobody acknowledges GIVEN: a worker that is
 * about to leave sends a BEAT after it, whose answer says that both have arrived. */
#include "worker/link_state.h"

void link_send_given(struct worker_link *l)
{
    struct givens *g = &l->given;
    for (size_t i = 0; i < g->n; i += LIMIT_BATCH) {
        struct message m;
        message_init(&m, MSG_GIVEN);
        m.given.attempts = g->at + i;
        m.given.n_attempts = min_size(g->n - i, LIMIT_BATCH);
        link_send(l, &m);
    }
    if (g->n && l->draining) {
        l->say_beat = true;
        l->sure_req = l->beat_req + 1;
    }
    g->n = 0;
}
