/* change.h - CANCEL, RETRY and REMOVE on ranges: a bounded step a turn, so that `tern cancel all` on a million jobs
 * stands in nobody's way. */
#ifndef TERN_CHANGE_H
#define TERN_CHANGE_H

#include "broker/broker.h"

struct change {
    struct link of_peer, link;  /* link: in b->moving_changes */
    struct peer *peer;          /* borrowed */
    enum message_type verb;     /* MSG_CANCEL, MSG_RETRY, MSG_REMOVE */
    uint64_t req;
    int64_t owner;
    struct range *ranges;       /* owned */
    size_t n_ranges, at_range;
    uint64_t cursor;
    uint64_t found, changed, skipped;
    struct refusal *refusals;   /* owned, their texts static */
    size_t n_refusals;
};

void change_start(struct broker *b, struct peer *p, enum message_type verb, const struct msg_cancel *m);
void change_stop(struct change *c);
/* Cancels one job, now. NULL, or why it was not done, static. */
const char *change_cancel(struct broker *b, const struct job_row *j, struct now now);
/* True when there is more to do. */
bool change_tick(struct broker *b, struct now now);

#endif
