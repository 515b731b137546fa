/* recv_welcome.c - the answer to HELLO: a new session begins. */
#include "worker/link_state.h"

#include "proto/base/log.h"

#define HEARTBEAT_MIN_MS 20
#define HEARTBEAT_MAX_MS 600000

static void take_times(struct worker_link *l, const struct msg_welcome *w)
{
    int64_t beat = (int64_t)(w->heartbeat_ms < HEARTBEAT_MAX_MS ? w->heartbeat_ms
                                                                : HEARTBEAT_MAX_MS);
    int64_t lost = (int64_t)(w->lost_after_ms < INT32_MAX ? w->lost_after_ms : INT32_MAX);
    l->heartbeat_ms = beat ? max_i64(beat, HEARTBEAT_MIN_MS) : LINK_HEARTBEAT_MS;
    l->lost_after_ms = max_i64(lost ? lost : LINK_LOST_AFTER_MS, 3 * l->heartbeat_ms);
}

static bool can(const struct msg_welcome *w, const char *capability)
{
    for (size_t i = 0; i < w->n_capabilities; i++)
        if (str_is(w->capabilities[i], capability))
            return true;
    return false;
}

/* The broker has given the attempt up: whatever comes of it here is of no use any more. */
static void drop(struct worker_link *l, struct holding *h, struct now now)
{
    log_debug("job=%llu attempt=%llu is no longer this worker's and is dropped",
              (unsigned long long)h->job, (unsigned long long)h->attempt);
    struct run *r;
    if (h->finished) {
        link_forget(l, h);
    } else if (link_take_waiting(l, h, &r)) {
        link_discard(l, h, r);
    } else if (!h->dropped) {
        h->dropped = true;
        link_drop_asks(l, h);
        link_stop(l, h, REASON_NONE, h->kill_grace_ms, now);
    }
}

void link_recv_welcome(struct worker_link *l, const struct message *m, struct now now)
{
    const struct msg_welcome *w = &m->welcome;
    if (l->state != LINK_GREETING)
        return;
    l->state = LINK_IN;
    l->epoch = m->epoch;
    l->session = m->session;
    take_times(l, w);
    l->may_ask = can(w, CAPABILITY_CHILDREN) && can(w, CAPABILITY_CHECKPOINT);
    l->may_report = can(w, CAPABILITY_PROGRESS);
    l->ever_welcome = true;
    l->complained = l->shut_out = false;
    l->backoff_ms = LINK_BACKOFF_MIN_MS;
    l->welcome_wait_ms = link_wait_max(l, LINK_WELCOME_WAIT_MS);
    l->beat_at_ms = now.mono_ms + l->heartbeat_ms;
    l->beat_req = l->sure_req = 0;
    l->orders = l->reports = 0;
    for (size_t i = 0; i < w->n_gone; i++) {
        struct holding *h = holding_find(&l->held, w->gone[i].job, w->gone[i].attempt);
        if (h)
            drop(l, h, now);
    }
    link_unsay_progress(l);
    log_info("connected: epoch=%llu session=%llu held=%zu unrecorded=%zu gone=%zu",
             (unsigned long long)l->epoch, (unsigned long long)l->session, l->held.n,
             l->held.n_finished, w->n_gone);
}
