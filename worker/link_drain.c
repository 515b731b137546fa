/* link_drain.c - quiet and drain: nothing new starts, what waits is given back, and the worker
 * leaves once the broker knows of all that it did. */
#include "worker/link_state.h"

#include "proto/base/log.h"

static void give_back_waiting(struct worker_link *l, const char *text)
{
    list_each_safe(i, &l->held.all) {
        struct holding *h = list_entry(i, struct holding, all);
        struct run *r;
        if (!h->finished && !h->started && link_take_waiting(l, h, &r))
            link_give_back(l, h, r, text);
    }
}

void link_quiet(struct worker_link *l, struct now now)
{
    (void)now;
    l->quiet = true;
    give_back_waiting(l, "worker is quiet");
}

void link_resume(struct worker_link *l, struct now now)
{
    (void)now;
    l->quiet = false;
}

void link_drain(struct worker_link *l, int64_t deadline_ms, struct now now)
{
    (void)now;
    l->say_drain = l->say_drain || !l->draining;
    l->draining = true;
    l->drain_at_ms = min_i64(l->drain_at_ms, deadline_ms);
    give_back_waiting(l, "worker drained");
}

/* grace_ms: at most. */
static void stop_all(struct worker_link *l, int64_t grace_ms, struct now now)
{
    l->stopped_all = true;
    list_each_safe(i, &l->held.all) {
        struct holding *h = list_entry(i, struct holding, all);
        if (!h->finished)
            link_stop(l, h, REASON_NONE, min_i64(grace_ms, h->kill_grace_ms), now);
    }
}

void link_drain_at_once(struct worker_link *l, struct now now)
{
    link_drain(l, now.mono_ms, now);
    stop_all(l, 0, now);
}

static void log_lost(struct worker_link *l)
{
    list_each(i, &l->held.all) {
        struct holding *h = list_entry(i, struct holding, all);
        log_warning("job=%llu attempt=%llu its result (%s) was not recorded and is lost with this "
                    "worker; it will run again",
                    (unsigned long long)h->job, (unsigned long long)h->attempt,
                    ending_name((int64_t)h->run->outcome.ending));
    }
}

void link_end_when_drained(struct worker_link *l, struct now now)
{
    if (!l->draining || l->held.n > l->held.n_finished)
        return;
    if (l->ended_ms == NEVER)
        l->ended_ms = now.mono_ms;
    bool all_known = !l->held.n && !l->given.n && !l->sure_req;
    if (!all_known && now.mono_ms - l->ended_ms < LINK_LAST_WAIT_MS)
        return;
    log_lost(l);
    if (l->state == LINK_IN)
        link_send_bye(l);
    l->over = true;
}

void link_stop_at_deadline(struct worker_link *l, struct now now)
{
    if (l->draining && !l->stopped_all && now.mono_ms >= l->drain_at_ms)
        stop_all(l, INT64_MAX, now);
}
