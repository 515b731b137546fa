/* loop_ask.h - a strand on the loop asks the broker (asks.h), and waits for the answer. On the loop's thread. */
#ifndef TERN_LOOP_ASK_H
#define TERN_LOOP_ASK_H

#include "proto/base/buf.h"
#include "worker/handler.h"

struct loop_task;

int loop_ask(struct tern_job *j, struct buf *request, struct buf *ret);
/* Without an answer: how far it is. */
void loop_report(struct tern_job *j);
/* Takes the answer, for the strand that waits for it, if it still does. From a callback of the loop. */
void loop_ask_answer(struct loop_task *t, struct buf *answer);

#endif
