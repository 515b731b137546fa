/* share.h - how the slots of a pool are divided among the brokers that a worker serves. Pure.
 *
 * No broker says how much waits there; one that fills all that it was offered is taken to want more, and for a moment after, for it takes
 * a while until what has ended is followed by the next. What others do not use is lent to it, but for one slot each, which is always
 * offered: so an idle broker can begin at once, and is seen to want more. Those that want more than their part come to equal parts, as
 * slots become free: nothing that runs is stopped for it. */
#ifndef TERN_SHARE_H
#define TERN_SHARE_H

#include "proto/base/clock.h"

#define SHARE_MOMENT_MS 100

/* One broker's, of one pool. */
struct share {
    bool present;    /* it can give jobs now */
    size_t runs;     /* of its jobs on slots, */
    size_t waits;    /* and waiting for one */
    size_t offered;  /* slots that it is told of */
    int64_t wants_until_ms; /* it wants more, or did a moment ago */
};

/* Offers anew; slots: of the pool. Together at most n more are taken than there are. True when an offer has changed. *ret_due_ms: when
 * to do it again, if nothing else happens; or NEVER. */
bool share_divide(struct share *of, size_t n, size_t slots, struct now now, int64_t *ret_due_ms);

#endif
