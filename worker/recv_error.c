/* recv_error.c - the broker refuses something. A worker that may not come in leaves, unless it was
 * let in before: then it goes on with what it runs and asks again. */
#include "worker/link_state.h"

#include "proto/base/log.h"

#define NOT_ALLOWED_STATUS 77

void link_recv_error(struct worker_link *l, const struct message *m, struct now now)
{
    const struct msg_error *e = &m->error;
    const char *text = e->text.p ? e->text.p : "";
    int n = (int)min_size(e->text.n, LIMIT_TEXT_BYTES);
    if (l->state == LINK_GREETING && e->code == CODE_NOT_ALLOWED && !l->ever_welcome) {
        log_error("the broker does not let this worker in: %.*s", n, text);
        l->over = true;
        l->status = NOT_ALLOWED_STATUS;
        return;
    }
    if (link_ask_failed(l, e, now))
        return;
    log_warning("the broker says: %s: %.*s", code_name((int64_t)e->code), n, text);
    if (l->state != LINK_GREETING)
        return;
    l->backoff_ms = LINK_BACKOFF_MAX_MS;
    link_leave(l, link_backoff(l), now);
}
