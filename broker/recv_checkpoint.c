/* recv_checkpoint.c - CHECKPOINT: a running attempt leaves something to the next one. Only the holder of the lease may: what an
 * older attempt still says would set the job back. */
#include "broker/recv.h"

#include "broker/lease.h"

static const char *why_not(const struct broker *b, const struct lease *l, const struct msg_checkpoint *c,
                           enum error_code *ret_code)
{
    *ret_code = CODE_REFUSED;
    if (!l)
        return "this attempt is not this worker's";
    *ret_code = CODE_USAGE;
    if (!c->body.p || c->body.n > LIMIT_CHECKPOINT_BYTES)
        return "a checkpoint may have at most 65536 bytes";
    *ret_code = CODE_BUSY;
    return b->disk_busy ? "busy: disk: too much of the broker's disk is used" : NULL;
}

void recv_checkpoint(struct broker *b, struct peer *p, const struct message *m, struct now now)
{
    const struct msg_checkpoint *c = &m->checkpoint;
    enum error_code code;
    (void)now;
    const char *why = why_not(b, lease_find(b, p->worker, c->job, c->attempt), c, &code);
    int r = why ? 0 : store_put_checkpoint(b->store, c->job, c->attempt, c->body);
    if (broker_failed(b, r))
        return;
    assert(why || r == 1); /* the lease and the row are one truth */
    struct message answer;
    message_init(&answer, MSG_CHECKPOINTED);
    answer.checkpointed.req = c->req;
    answer.checkpointed.code = why ? code : 0;
    answer.checkpointed.text = str_of(why);
    broker_send(b, p, &answer);
}
