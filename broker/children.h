/* children.h - jobs that a job has submitted: who is told when they end, and that they are cancelled with it.
 *
 * Whether an attempt awaits anything is one bit of its lease; which children, its worker knows. So a million awaited jobs take
 * no memory here. */
#ifndef TERN_CHILDREN_H
#define TERN_CHILDREN_H

#include "broker/broker.h"

/* A job has reached a terminal state. o: of its attempt; NULL: it waited. */
void children_on_end(struct broker *b, const struct job_row *j, enum job_state state, const struct outcome *o);
/* Tells each worker what has ended in this turn of what its attempts await: few messages, however many. */
void children_tell_workers(struct broker *b);
/* A job was cancelled, or asked to be: so are its children, in this turn and those that follow. */
void children_cancel(struct broker *b, const struct job_row *parent);
/* A bounded step of that. True when there is more to do. */
bool children_tick(struct broker *b, struct now now);

#endif
