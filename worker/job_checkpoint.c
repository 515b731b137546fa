/* job_checkpoint.c - what a job's next attempt is to know: the functions of handler.h, the same in every pool. */
#include "worker/job_ask.h"

const void *tern_checkpoint_get(struct tern_job *job, size_t *ret_bytes)
{
    *ret_bytes = job->job->checkpoint.n;
    return job->job->checkpoint.p;
}

int tern_checkpoint(struct tern_job *job, const void *bytes, size_t n)
{
    struct message m, answer;
    struct buf frame;
    if (n > LIMIT_CHECKPOINT_BYTES)
        return job_in_vain(job, -EMSGSIZE, "a checkpoint may have %u bytes, this one has %zu", LIMIT_CHECKPOINT_BYTES, n);
    message_init(&m, MSG_CHECKPOINT);
    m.checkpoint.req = ++job->n_asks;
    m.checkpoint.job = job->job->job;
    m.checkpoint.attempt = job->job->attempt;
    m.checkpoint.body = (struct str){ n ? bytes : "", n };
    int r = job_ask(job, &m, &answer, &frame);
    if (r < 0)
        return r;
    if (answer.type != MSG_CHECKPOINTED)
        r = -EBADMSG;
    else if (answer.checkpointed.code)
        r = job_refused(job, answer.checkpointed.code, answer.checkpointed.text);
    message_fini(&answer);
    buf_fini(&frame);
    return r < 0 ? r : 0;
}
