/* kept.c - what an attempt is handed is the last that was left before it, by whoever held the job then. */
#include "tests/sim/kept.h"

#include <inttypes.h>
#include <stdio.h>

#include "broker/lease.h"

struct str kept_body(char *text, uint64_t job, struct mark mark)
{
    int n = snprintf(text, KEPT_BODY_BYTES, "%" PRIu64 " %" PRIu64 " %" PRIu64, job, mark.attempt, mark.n);
    return (struct str){ text, (size_t)n };
}

/* {0} of none. */
static struct mark mark_of(struct world *w, const struct run_job *job)
{
    struct mark mark = { 0 };
    uint64_t of = 0;
    cleanup(freep) char *text = xstrndup(job->checkpoint);
    if (!job->checkpoint.p)
        return mark;
    int n = sscanf(text, "%" SCNu64 " %" SCNu64 " %" SCNu64, &of, &mark.attempt, &mark.n);
    world_check(w, job->job, n == 3 && of == job->job, "P2: job %lu is handed the checkpoint of another: %s", (unsigned long)job->job,
                text);
    return mark;
}

static bool is_older(struct mark a, struct mark b) { return a.attempt < b.attempt || (a.attempt == b.attempt && a.n < b.n); }
static bool is_same(struct mark a, struct mark b) { return a.attempt == b.attempt && a.n == b.n; }

/* A job that has ended and is retried begins with none. */
static bool may_be_none(struct world *w, uint64_t job) { return record_job(w, job)->retry_asked; }

static void check_handed(struct world *w, uint64_t job, uint64_t attempt, struct mark mark)
{
    const struct noted *n = record_job(w, job);
    const struct noted_attempt *by = record_attempt(w, job, mark.attempt), *before = record_attempt(w, job, n->last_handed_out);
    const unsigned long id = (unsigned long)job, at = (unsigned long)attempt, of = (unsigned long)mark.attempt;
    world_check(w, job, mark.attempt < attempt && by && by->started && mark.n <= by->n_left,
                "P2: attempt %lu of job %lu is handed a checkpoint that none before it has left", at, id);
    world_check(w, job, !is_older(mark, n->kept),
                "P1: attempt %lu of job %lu is handed a checkpoint of attempt %lu; a later one, of attempt %lu, was acknowledged",
                at, id, of, (unsigned long)n->kept.attempt);
    world_check(w, job, mark.attempt > n->ended_attempt,
                "P2: attempt %lu of job %lu is handed a checkpoint from before the job had ended", at, id);
    world_check(w, job, mark.attempt >= before->attempt || is_same(mark, before->handed),
                "P2: attempt %lu of job %lu left a checkpoint when attempt %lu had the lease", of, id, (unsigned long)before->attempt);
}

void kept_handed(struct world *w, const struct run_job *job)
{
    struct mark mark = mark_of(w, job);
    struct noted *n = record_job(w, job->job);
    if (mark.attempt)
        check_handed(w, job->job, job->attempt, mark);
    else
        world_check(w, job->job, !n->kept.attempt || may_be_none(w, job->job),
                    "P1: attempt %lu of job %lu is handed no checkpoint; attempt %lu had left one, and it was acknowledged",
                    (unsigned long)job->attempt, (unsigned long)job->job, (unsigned long)n->kept.attempt);
    record_attempt(w, job->job, job->attempt)->handed = mark;
    n->last_handed_out = job->attempt;
}

void kept_acknowledged(struct world *w, uint64_t job, struct mark mark)
{
    struct noted *n = record_job(w, job);
    for (uint64_t i = mark.attempt + 1; i <= n->last_handed_out; i++) {
        const struct noted_attempt *later = record_attempt(w, job, i);
        bool none = later && !later->handed.attempt && may_be_none(w, job);
        world_check(w, job, !later || none || !is_older(later->handed, mark),
                    "P1: a checkpoint of attempt %lu of job %lu is acknowledged, and attempt %lu was not handed it",
                    (unsigned long)mark.attempt, (unsigned long)job, (unsigned long)i);
    }
    if (is_older(n->kept, mark))
        n->kept = mark;
    w->kept++;
}

/* Whoever holds the lease now has held it then. */
void kept_refused(struct world *w, uint64_t job, uint64_t attempt, enum error_code code)
{
    const struct lease *l = w->broker ? lease_of_job(w->broker, job) : NULL;
    world_check(w, job, code == CODE_BUSY || !l || l->job.attempt != attempt,
                "attempt %lu of job %lu may leave no checkpoint, and holds the lease", (unsigned long)attempt, (unsigned long)job);
}

void kept_late(struct world *w, enum error_code code)
{
    world_check(w, 0, code, "P2: a checkpoint is acknowledged whose attempt was followed by another");
    w->kept_late++;
}
