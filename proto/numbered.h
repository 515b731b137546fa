/* numbered.h - a message that is lost, late or repeated between a broker and a worker is noticed.
 *
 * Within a session the broker's orders (RUN, TAKE_BACK, STOP, DRAIN, SPAWNED, AWAITED) and the worker's reports (STARTED, RESULT,
 * GIVEN, DRAIN, SPAWN, AWAIT) carry the numbers 1, 2, 3, ..., each direction its own; a BEAT carries the number of the last one
 * before it. */
#ifndef TERN_NUMBERED_H
#define TERN_NUMBERED_H

#include "proto/message.h"

/* Gives m the number after *last, or a BEAT that of *last; does nothing to other messages. */
void numbered_set(uint64_t *last, struct message *m);

/* NUMBERED_NEXT: to be acted on; *last is now its number. NUMBERED_REPEATED: it was acted on before, and must not be again.
 * NUMBERED_GAP: something before it is missing, so that the session must begin anew. A message without a number is always next. */
enum numbered { NUMBERED_NEXT, NUMBERED_REPEATED, NUMBERED_GAP };
enum numbered numbered_check(uint64_t *last, const struct message *m);

#endif
