/* pool_internal.h - what the files of the pools' common half ask of each other: pool.c, pool_queue.c, pool_slots.c, pool_stop.c,
 * pool_end.c, pool_gate.c and pool_park.c. No kind of pool knows it. */
#ifndef TERN_POOL_INTERNAL_H
#define TERN_POOL_INTERNAL_H

#include "proto/base/log.h"
#include "worker/broker_list.h"
#include "worker/number.h"
#include "worker/part.h"
#include "worker/pool_kind.h"

/* ---- pool.c: runs by job and attempt ---------------------------------------------------------- */

void pool_know(struct pool *p, struct run *r);
struct run *pool_find(const struct pool *p, uint64_t job, uint64_t attempt);
void pool_forget(struct pool *p, struct run *r);

/* Whose it is, for people. */
static inline const struct run_job *pool_shown(const struct run *r) { return r->part ? r->part->of : &r->job; }
static inline unsigned long long pool_shown_job(const struct run *r) { return number_own(pool_shown(r)->job); }
/* What is logged next is about its broker, where there are several; as log_about. */
static inline const char *pool_log_about(const struct run *r)
{
    return log_about(broker_list_pair(number_place(pool_shown(r)->job)));
}

/* ---- pool_queue.c: what waits ----------------------------------------------------------------- */

/* Free slots are filled: by who runs on, then by who waits. */
void pool_fill(struct pool *p, struct now now);
/* It waits, before all others. */
void pool_wait_first(struct pool *p, struct run *r);
/* What was given ahead and has not begun waits again. */
void pool_recall(struct pool *p);
/* Takes back one that waits: the caller owns it. */
struct run *pool_take(struct pool *p, struct run *r);

/* ---- pool_slots.c: slots, from list to list --------------------------------------------------- */

void pool_slots_init(struct pool *p);
/* r runs on a slot that is in no list. */
void pool_slot_occupy(struct pool *p, struct slot *s, struct run *r, struct now now);
/* The slot is idle, but in no list. */
void pool_slot_vacate(struct pool *p, struct slot *s);
/* It is free for the next. */
void pool_slot_to_idle(struct pool *p, struct slot *s);
/* It is stuck; another one stands in for it, if there may be one more. */
void pool_slot_stick(struct pool *p, struct slot *s);

/* ---- pool_stop.c: limits, graces -------------------------------------------------------------- */

/* What runs on the slot is told to stop, and has at most this long; nothing happens once it is being killed. */
void pool_stop_slot(struct pool *p, struct slot *s, enum reason reason, int64_t grace_ms, struct now now);
/* Its time limit has come, or the end of its grace. */
void pool_stop_due(struct pool *p, struct slot *s, struct now now);

/* ---- pool_end.c: how runs end ----------------------------------------------------------------- */

/* error is borrowed, and may be NULL. */
void pool_outcome_init(struct outcome *o, enum ending ending, enum reason reason, const char *error);
/* Gives r, which is in no list and on no slot any more, to whoever is told of its end. */
void pool_finish(struct pool *p, struct run *r, const struct outcome *o, struct now now);
/* The same: it was to stop before it began. */
void pool_end_unbegun(struct pool *p, struct run *r, enum reason reason, struct now now);
/* The slot is stuck: its attempt ends, told from a copy of the run. */
void pool_end_stuck(struct pool *p, struct slot *s, struct now now);

/* ---- pool_gate.c: in front of runners --------------------------------------------------------- */

void pool_gates_init(struct pool *p);
/* May r begin now? One that is of no runner may. */
bool pool_gate_admits(const struct pool *p, const struct run *r, struct now now);
void pool_gate_park(struct pool *p, struct run *r);
struct run *pool_gate_unpark(struct pool *p, struct run *r);
struct run *pool_gate_first_parked(const struct pool *p);
/* Unparks the first whose runner has room again; or NULL. */
struct run *pool_gate_next(struct pool *p, struct now now);
/* When a runner that waits to be started may be. */
int64_t pool_gates_due(const struct pool *p);

/* ---- pool_park.c: parents that wait for their children ---------------------------------------- */

size_t pool_parents_max(const struct pool_options *o);
/* There is a free slot: the first that waits for one runs on. */
void pool_resume(struct pool *p);
/* A parked one runs on without: it is to stop. */
void pool_unpark(struct pool *p, struct slot *s);
/* Nothing parked runs on the slot any more. */
void pool_forget_parent(struct pool *p, struct slot *s);

#endif
