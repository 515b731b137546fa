/* asks.h - what a handler asks of the broker on its job's way: children, their ends, what came of one, a checkpoint.
 *
 * An ask and its answer are messages of the protocol, encoded, between whatever thread or process the handler runs in and the
 * link's thread; from there the link goes on with them. In between some fields mean something of their own:
 *
 *     all                   req: the handler's own number, which the answer carries
 *     AWAIT                 number: how many of them must have ended before it is answered
 *     AWAITED               ended: all that have
 *     FETCHED               state 0: there is no such child, or error says why not
 *     UNWAIT                req: nobody waits for the answer to this ask any more; it is answered as refused
 *
 * A handler that was told to stop asks no more, and waits for no answer. */
#ifndef TERN_ASKS_H
#define TERN_ASKS_H

#include "proto/message.h"

/* PROGRESS of one attempt takes the same way, without an answer. */
static inline bool ask_is(const struct message *m)
{
    return m->type == MSG_SPAWN || m->type == MSG_AWAIT || m->type == MSG_FETCH || m->type == MSG_CHECKPOINT;
}
uint64_t ask_req(const struct message *ask);
uint64_t *ask_req_at(struct message *ask);
uint64_t *ask_job_at(struct message *ask);
/* Whose it is; of PROGRESS as well. */
struct attempt_ref ask_of(const struct message *ask);
/* Is it about this attempt, and within the limits? What a child process says is read as hostile. */
bool ask_is_sane(const struct message *ask, uint64_t job, uint64_t attempt);
/* Fills in the answer that says that it was in vain; text is borrowed. */
void ask_refuse(const struct message *ask, enum error_code code, const char *text, struct message *ret);
uint64_t answer_req(const struct message *answer);
uint64_t *answer_req_at(struct message *answer);
static inline bool answer_is(const struct message *m)
{
    return m->type == MSG_SPAWNED || m->type == MSG_AWAITED || m->type == MSG_FETCHED ||
           m->type == MSG_CHECKPOINTED;
}

#endif
