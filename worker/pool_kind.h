/* pool_kind.h - what a kind of pool must know to do, and what it finds: the inside of struct pool, for the pool_*.c and
 * what they run jobs with alone. */
#ifndef TERN_POOL_KIND_H
#define TERN_POOL_KIND_H

#include "proto/base/map.h"
#include "worker/pool.h"

struct pool_kind_ops {
    /* Makes p->state. On failure nothing is left behind. */
    int (*open)(struct pool *p);
    /* Slots that are RUNNING or STUCK afterwards count as abandoned: their runs are left alone. */
    void (*close)(struct pool *p);
    /* Begins s->run on the slot. -errno: it could not; the slot is then given a failed outcome. */
    int (*begin)(struct pool *p, struct slot *s, struct now now);
    /* Tells what runs on the slot to stop, without waiting. */
    void (*tell_stop)(struct pool *p, struct slot *s);
    /* Kills it with its whole tree; NULL where nothing can be killed (thread, loop). pool_slot_ended follows. Called again
     * every 2 s (s->n_kills counts) for as long as it does not. */
    void (*kill)(struct pool *p, struct slot *s);
    int (*fd)(const struct pool *p);
    /* Reads what has ended, and calls pool_slot_ended for each. */
    void (*on_readable)(struct pool *p, struct now now);
    /* A stuck slot is replaced by a fresh one where the kind needs to do something for it (a new thread); or NULL. */
    int (*replace)(struct pool *p);
    /* Can something begin now? A kind that backs off says no, and when to ask again; or NULL: always. */
    bool (*ready)(struct pool *p, struct now now, int64_t *ret_when_ms);
    /* Whatever begins from here on begins with the handlers that there are now; or NULL: it does so anyway. */
    void (*renew)(struct pool *p);

    /* Asks the one thread that all depends on for a sign of life; has it given one since? Or NULL: there is none. */
    void (*ask_alive)(struct pool *p);
    bool (*is_alive)(const struct pool *p);

    /* Hands an answer to the handler on the slot, which waits for it unless it was told to stop. */
    void (*answer)(struct pool *p, struct slot *s, const struct message *m);
    /* Attempts have been parked or run on: there are more slots in use, or fewer; or NULL. */
    void (*resize)(struct pool *p);

    /* ---- of a kind that gives runs ahead; else NULL ---- */

    /* Takes back what was given ahead and has not begun (pool_take_back). Calls nothing else of the pool's. */
    void (*recall)(struct pool *p);
    /* Hears now what the slot has said already. */
    void (*look)(struct pool *p, struct slot *s, struct now now);
    /* Ends each tick: gives ahead, sends. When it wants to be called again. */
    int64_t (*tick)(struct pool *p, struct now now);

    /* ---- of the loop; else NULL ---- */

    /* How often a handler has held up all others. */
    void (*blocked)(const struct pool *p, uint64_t *ret_n, uint64_t *ret_ms);
    /* More for SIGUSR1. */
    void (*dump)(const struct pool *p);
};

extern const struct pool_kind_ops pool_process_ops, pool_thread_ops, pool_loop_ops;

/* What there is of one runner in a pool. While it is shut its runs are parked, so that others overtake them. */
struct pool_gate {
    struct link parked;    /* runs, in order */
    size_t used, room;     /* runs that have begun, less the stuck ones; how many may */
    int64_t shut_until_ms; /* NEVER: until pool_gate_open */
    int64_t backoff_ms;    /* 0: its last start went well */
};

struct pool {
    struct pool_options options;
    const struct pool_kind_ops *ops;
    void *state;          /* owned by the kind */
    struct slot *slots;   /* owned; slots, those that replace stuck ones, and those that stand in for parked ones */
    size_t n_slots;
    struct link idle, busy, stuck; /* slots by state; busy: RUNNING, STOPPING, KILLED */
    struct link spare;    /* idle slots that stand by to replace stuck ones and parked ones */
    struct link slots_parked; /* slots of handlers that wait for their job's children, */
    struct link to_resume; /* and of those that wait no longer, but for a free slot */
    size_t n_idle, n_busy, n_stuck;
    size_t n_slots_parked, n_parents, parents_max; /* n_slots_parked: in both lists */
    struct link waiting;  /* runs */
    size_t n_waiting, n_ahead;
    struct pool_gate *gates; /* owned: one for each runner */
    size_t n_gates, n_parked;
    struct idmap runs;    /* by job and attempt: what waits, and the slots of what runs */
    struct slot_due due;
    int64_t retry_at_ms;  /* when ready said no */
    bool filling;         /* free slots are being filled: no need to begin that anew */
};

static inline size_t pool_slot_index(const struct pool *p, const struct slot *s)
{
    return (size_t)(s - p->slots);
}

/* The kind says that what ran on the slot has ended (its whole tree gone, its output drained). o says how, as the kind saw
 * it; time-limit or cancelled is put in its place where that is why it ended. From the link thread only. */
void pool_slot_ended(struct pool *p, struct slot *s, const struct outcome *o, struct now now);
/* The same, and that next, which was ahead, is what runs on the slot now. */
void pool_slot_went_on(struct pool *p, struct slot *s, const struct outcome *o, struct run *next, struct now now);
/* The kind says that the handler on the slot asks. */
void pool_slot_asked(struct pool *p, struct slot *s, const struct message *ask, struct now now);
/* The kind says that what should run on the slot has not begun, and is to begin again elsewhere. */
void pool_slot_again(struct pool *p, struct slot *s, struct now now);
/* A run of a runner takes its room, and no longer does; of others nothing happens. One that was parked goes on in any case. */
void pool_gate_pass(struct pool *p, const struct run *r);
void pool_gate_leave(struct pool *p, const struct run *r);
/* One of the runner's processes is about to end: nothing begins there. */
void pool_gate_shut(struct pool *p, size_t runner);
/* It has ended. Before it was ready: the next one is not started at once. */
void pool_gate_open(struct pool *p, size_t runner, bool was_ready, struct now now);
/* Says whether a run that a runner's process never began, since that ended before it was ready, has had its chances. */
bool pool_is_hopeless(struct run *r);
/* The first that waits, if it may be given ahead, is AHEAD from here on, and the kind's; else NULL. What can expire stays:
 * that is judged when it begins. */
struct run *pool_give_ahead(struct pool *p);
/* One that was ahead waits again, before all others. */
void pool_take_back(struct pool *p, struct run *r);

#endif
