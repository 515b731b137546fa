/* numbered.c - one counter a session and direction. */
#include "proto/numbered.h"

#define NUMBERED(N)                                                                                \
    N(RUN, run) N(TAKE_BACK, take_back) N(STOP, stop) N(DRAIN, drain) N(STARTED, started) N(RESULT, result) N(GIVEN, given)   \
    N(CHECKPOINT, checkpoint) N(CHECKPOINTED, checkpointed) N(SPAWN, spawn) N(SPAWNED, spawned) N(AWAIT, await) N(AWAITED, awaited)

/* NULL for what has no number. */
static uint64_t *number_of(struct message *m)
{
    switch (m->type) {
#define NUMBER_OF(NAME, name) case MSG_##NAME: return &m->name.number;
        NUMBERED(NUMBER_OF)
#undef NUMBER_OF
    default:
        return NULL;
    }
}

void numbered_set(uint64_t *last, struct message *m)
{
    uint64_t *number = number_of(m);
    if (number)
        *number = ++*last;
    else if (m->type == MSG_BEAT)
        m->beat.number = *last;
}

enum numbered numbered_check(uint64_t *last, const struct message *m)
{
    const uint64_t *number = number_of((struct message *)m);
    if (m->type == MSG_BEAT)
        return m->beat.number > *last ? NUMBERED_GAP : NUMBERED_NEXT;
    if (!number || !*number)
        return NUMBERED_NEXT;
    if (*number <= *last)
        return NUMBERED_REPEATED;
    if (*number > *last + 1)
        return NUMBERED_GAP;
    *last = *number;
    return NUMBERED_NEXT;
}
