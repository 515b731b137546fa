/* recv_error.c - the broker refuses something. A worker that may not come in leaves, unless it was
 * let in before: then it goes on with what it runs and asks again. */
#include "worker/link_state.h"

#include "proto/base/log.h"

#define NOT_ALLOWED_STATUS 77

/* Is it the session that is refused, and not something that was asked in it? Also when the key of one that is in was revoked. */
static bool ends_session(const struct worker_link *l, const struct msg_error *e)
{
    return l->state == LINK_GREETING || (l->state == LINK_IN && e->code == CODE_NOT_ALLOWED && !e->req);
}

void link_recv_error(struct worker_link *l, const struct message *m, struct now now)
{
    const struct msg_error *e = &m->error;
    const char *text = e->text.p ? e->text.p : "";
    int n = (int)min_size(e->text.n, LIMIT_TEXT_BYTES);
    if (l->state == LINK_GREETING && e->code == CODE_NOT_ALLOWED && !l->ever_welcome && !l->o.insist) {
        log_error("the broker does not let this worker in: %.*s", n, text);
        l->over = true;
        l->status = NOT_ALLOWED_STATUS;
        return;
    }
    if (link_ask_failed(l, e, now))
        return;
    if (!l->shut_out || e->code != CODE_NOT_ALLOWED)
        log_warning("the broker says: %s: %.*s", code_name((int64_t)e->code), n, text);
    if (!ends_session(l, e))
        return;
    l->shut_out = e->code == CODE_NOT_ALLOWED;
    l->backoff_ms = LINK_BACKOFF_MAX_MS;
    link_leave(l, link_backoff(l), now);
}
