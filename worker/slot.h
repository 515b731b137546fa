/* slot.h - room for one running job in a pool, and the states it goes through.
 *
 *            begin                    ended
 *    IDLE ----------> RUNNING --------------------------------> IDLE
 *                        | limit passed or STOP        ^
 *                        v                             | ended
 *                     STOPPING (told to stop) ---------+
 *                        | grace over
 *                        |-- process: KILLED ----------+   (its tree is killed; the outcome waits for that)
 *                        `-- thread, loop: STUCK ------'   (the outcome is recorded at once; the slot comes back
 *                                                           when the handler returns, its outcome is dropped)
 */
#ifndef TERN_SLOT_H
#define TERN_SLOT_H

#include "proto/base/clock.h"
#include "proto/base/list.h"
#include "worker/run.h"

enum slot_state { SLOT_IDLE, SLOT_RUNNING, SLOT_STOPPING, SLOT_KILLED, SLOT_STUCK };

struct slot {
    struct link link;        /* in the pool's list of its state */
    enum slot_state state;
    struct run *run;         /* owned while not IDLE */
    int64_t started_us;      /* CLOCK_MONOTONIC */
    int64_t stop_at_ms;      /* time limit; NEVER when there is none */
    int64_t kill_at_ms;      /* end of the grace, once STOPPING */
    enum reason stop_reason; /* why it was told to stop: REASON_TIME_LIMIT, REASON_CANCELLED, or REASON_NONE (handed back) */
};

/* Moves to a state; asserts that the table of legal moves allows it. */
void slot_move(struct slot *s, enum slot_state to);

#endif
