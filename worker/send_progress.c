/* send_progress.c - how far attempts are: the latest of each, all together about once a second, however often they say so. */
#include "worker/link_state.h"

#define PROGRESS_SPACING_MS 1000

void link_note_progress(struct worker_link *l, struct holding *h, int64_t percent)
{
    h->percent = percent;
    if (l->may_report && list_empty(&h->reports))
        list_add_tail(&l->to_report, &h->reports);
}

void link_unsay_progress(struct worker_link *l)
{
    while (!list_empty(&l->to_report))
        list_pop(&l->to_report);
    list_each(i, &l->held.all) {
        struct holding *h = list_entry(i, struct holding, all);
        if (l->may_report && h->percent != UNSET)
            list_add_tail(&l->to_report, &h->reports);
    }
}

int64_t link_progress_when(const struct worker_link *l)
{
    return list_empty(&l->to_report) ? NEVER : l->report_at_ms;
}

void link_send_progress(struct worker_link *l, struct now now)
{
    struct attempt_progress said[LIMIT_BATCH];
    struct message m;
    if (list_empty(&l->to_report) || now.mono_ms < l->report_at_ms)
        return;
    message_init(&m, MSG_PROGRESS);
    m.progress.attempts = said;
    for (struct link *i; m.progress.n_attempts < LIMIT_BATCH && (i = list_pop(&l->to_report));) {
        const struct holding *h = list_entry(i, struct holding, reports);
        if (!h->finished && !h->dropped)
            said[m.progress.n_attempts++] = (struct attempt_progress){ h->job, h->attempt, h->percent };
    }
    if (!m.progress.n_attempts)
        return;
    l->report_at_ms = now.mono_ms + PROGRESS_SPACING_MS;
    link_send(l, &m);
}
