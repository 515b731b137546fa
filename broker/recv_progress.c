/* recv_progress.c - PROGRESS: how far running attempts are. For people alone: what is amiss is left out without a word. */
#include "broker/recv.h"

#include "broker/lease.h"

void recv_progress(struct broker *b, struct peer *p, const struct message *m, struct now now)
{
    size_t n = min_size(m->progress.n_attempts, LIMIT_BATCH);
    (void)now;
    for (size_t i = 0; i < n && !b->disk_busy; i++) {
        const struct attempt_progress *a = &m->progress.attempts[i];
        struct lease *l = lease_find(b, p->worker, a->job, a->attempt);
        if (l && a->percent >= 0 && a->percent <= 100)
            lease_note_progress(b, l, a->percent);
    }
}
