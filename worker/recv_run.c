/* recv_run.c - attempts to run: each goes to its pool, or is answered at once. */
#include "worker/link_state.h"

#include "proto/base/log.h"
#include "worker/job_text.h"
#include "worker/number.h"

/* Why this worker cannot run it, owned by the caller; or NULL. */
static char *refusal(const struct worker_link *l, const struct run_job *job)
{
    if (job->job > NUMBER_OWN_MAX)
        return xstrdup("no job has such a number");
    if (job->pool >= N_POOLS || !l->o.pool_on[job->pool])
        return xasprintf("worker %s has no %s pool", l->o.name, pool_name((int64_t)job->pool));
    if (!strmap_find(&l->handlers, job->handler))
        return xasprintf("worker %s has no handler %.*s", l->o.name,
                         (int)min_size(job->handler.n, LIMIT_NAME_BYTES),
                         job->handler.p ? job->handler.p : "");
    return NULL;
}

/* Held like any other outcome, so that it too arrives in the end. */
static void refuse(struct worker_link *l, const struct run_job *job, const char *why,
                   struct now now)
{
    log_warning("job=%llu attempt=%llu refused: %s", (unsigned long long)job->job,
                (unsigned long long)job->attempt, why);
    struct outcome o;
    record_init(RECORD_outcome, &o);
    o.ending = ENDING_FAILED;
    o.reason = REASON_HANDLER_ERROR;
    o.error = str_of(why);
    struct run *r = run_new(job, now);
    run_finish(r, &o, now.mono_ms * 1000);
    link_finish(l, holding_add(&l->held, r));
}

static void take(struct worker_link *l, const struct run_job *job, struct now now)
{
    cleanup(freep) char *why = refusal(l, job);
    if (why) {
        job_text_clean(why, LIMIT_TEXT_BYTES); /* the cut may have gone through a character */
        refuse(l, job, why, now);
        return;
    }
    struct run *r = run_new(job, now);
    holding_add(&l->held, r);
    l->o.pools.give(l->o.pools.ctx, (enum pool_kind)job->pool, r, now);
}

void link_recv_run(struct worker_link *l, const struct message *m, struct now now)
{
    for (size_t i = 0; i < m->run.n_jobs; i++) {
        const struct run_job *job = &m->run.jobs[i];
        struct holding *h = holding_find(&l->held, job->job, job->attempt);
        if (h && !h->dropped)
            continue;
        if (h)
            link_add_given(l, job->job, job->attempt, false, "the worker still ends another one of this number");
        else if (l->held.n >= LIMIT_HELD)
            link_add_given(l, job->job, job->attempt, false, "worker holds too much");
        else if (!link_takes_jobs(l))
            link_add_given(l, job->job, job->attempt, false,
                           l->draining ? "worker drained" : "worker is quiet");
        else
            take(l, job, now);
    }
}
