/* keeper_asks.h - what a runner asks of the broker for a run (proto/RUNNER.md) as the worker's own asks (asks.h), and the
 * answers as the runner is told them. */
#ifndef TERN_KEEPER_ASKS_H
#define TERN_KEEPER_ASKS_H

#include "proto/message.h"

union keeper_ask {
    struct runner_checkpoint checkpoint;
    struct runner_spawn spawn;
    struct runner_await await;
    struct runner_fetch fetch;
};

/* The ask under the runner's number; a view into the record. */
void keeper_ask(uint64_t what, const union keeper_ask *from, struct message *ret);
/* Why it cannot be asked, static; NULL: it can. */
const char *keeper_why_not(const struct message *ask);
/* All but whose it is; a view into the answer. */
void keeper_answer(const struct message *answer, struct runner_answer *ret);

#endif
