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
 *
 * A handler that waits for its job's children gives its room back meanwhile:
 *
 *    RUNNING --asks for their ends--> PARKED --they have ended, and there is room--> RUNNING
 *                                        `--limit passed or STOP--> STOPPING
 *
 * A command is killed in every pool. */
#ifndef TERN_SLOT_H
#define TERN_SLOT_H

#include "proto/base/clock.h"
#include "proto/base/list.h"
#include "worker/run.h"

struct launcher;

enum slot_state { SLOT_IDLE, SLOT_RUNNING, SLOT_STOPPING, SLOT_KILLED, SLOT_STUCK, SLOT_PARKED };

struct slot {
    struct link link;        /* in the pool's list of its state */
    enum slot_state state;
    struct run *run;         /* owned while not IDLE */
    int64_t started_us;      /* CLOCK_MONOTONIC */
    int64_t stop_at_ms;      /* time limit; NEVER when there is none */
    int64_t kill_at_ms;      /* end of the grace, once STOPPING */
    enum reason stop_reason; /* why it was told to stop: REASON_TIME_LIMIT, REASON_CANCELLED, or REASON_NONE (handed back) */
    struct launcher *launcher; /* borrowed: what runs it outside of the pool: a command, or a handler of a shared runner; or NULL */
    unsigned n_parts;        /* of a job on the loop: processes and commands that run for it */
    bool waited_for_parts;   /* until they were gone, after the grace */
    unsigned n_kills;        /* how often it was told to die */
    bool is_parent;          /* it has asked for children, or for their ends */
    size_t n_awaits;         /* while PARKED: its asks for ends that have no answer yet */
    struct link answers;     /* owned, while PARKED: what it is told once it has room */
    size_t due_at;           /* place among the due ones, counted from 1; 0: not there */
    int64_t due_ms;
};

/* Moves to a state; asserts that the table of legal moves allows it. */
void slot_move(struct slot *s, enum slot_state to);
const char *slot_state_name(enum slot_state state);

/* The slots that have something due, the earliest first: a binary heap. Slots without limits never enter it. */
struct slot_due {
    struct slot **at; /* owned; the slots are borrowed */
    size_t n, cap;
};

void slot_due_fini(struct slot_due *d);
/* NEVER takes it out. */
void slot_due_set(struct slot_due *d, struct slot *s, int64_t due_ms);
static inline struct slot *slot_due_first(const struct slot_due *d) { return d->n ? d->at[0] : NULL; }

#endif
