/* recv_result.c - how attempts ended. Exactly one outcome is recorded: that of the attempt that holds the lease. A late or
 * repeated one is refused, but acknowledged all the same, so that the worker lets go of it. */
#include "broker/recv.h"

#include <inttypes.h>

#include "broker/lease.h"
#include "proto/base/log.h"

/* Nothing that a worker says may make a row that could not be: what is out of range is cut to what can be. */
static struct outcome tame(const struct outcome *from)
{
    struct outcome o = *from;
    if (o.ending > ENDING_LOST)
        o.ending = ENDING_FAILED;
    if (o.reason > REASON_WORKER_LOST)
        o.reason = REASON_HANDLER_ERROR;
    if (o.wall_us != UNSET)
        o.wall_us = max_i64(o.wall_us, 0);
    if (o.ago_us != UNSET)
        o.ago_us = min_i64(max_i64(o.ago_us, 0), 366ll * 86400 * 1000000);
    o.result.n = min_size(o.result.n, LIMIT_RESULT_BYTES);
    o.output.n = min_size(o.output.n, 2 * LIMIT_RESULT_BYTES);
    return o;
}

static void record(struct broker *b, struct peer *p, const struct outcome *from, struct now now)
{
    struct lease *l = lease_find(b, p->worker, from->job, from->attempt);
    if (!l) {
        b->counts.refused_results++;
        log_debug("job=%" PRIu64 " attempt=%" PRIu64 " worker=%s: a result without a lease is not recorded", from->job,
                  from->attempt, p->worker->name);
        return;
    }
    struct outcome o = tame(from);
    lease_set_started(b, l, now);
    b->recorded = &o;
    lease_end(b, l, &o, now);
    b->recorded = NULL;
}

void recv_result(struct broker *b, struct peer *p, const struct message *m, struct now now)
{
    for (size_t i = 0; i < m->result.n_outcomes && !b->failed; i++) {
        const struct outcome *o = &m->result.outcomes[i];
        record(b, p, o, now);
        refs_add(&p->worker->recorded, o->job, o->attempt);
    }
}
