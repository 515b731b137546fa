/* pool.h - what the worker's link knows of a pool: verbs, the same for all three.
 *
 * The pools share nearly all: a pool's life and turn (pool.c), what waits for a slot (pool_queue.c), the slots (pool_slots.c),
 * time limits, stopping and its grace (pool_stop.c), how runs end (pool_end.c), runners (pool_gate.c), parents that wait
 * (pool_park.c). A kind (pool_process.c, pool_thread.c, pool_loop.c) only knows how to begin, how to tell to stop, and how
 * to kill. All of it runs on the worker's link thread; a kind that has threads of its own hands over what has ended
 * through a queue and an eventfd. Pools know neither ZeroMQ nor the broker. */
#ifndef TERN_POOL_H
#define TERN_POOL_H

#include "worker/slot.h"

struct pool;
struct zygote;   /* zygote.h: forks children; the process pool and every command need it */
struct modules;  /* modules.h: what children get handlers from */
struct launcher; /* launcher.h: runs commands, and the handlers of shared runners, for the thread and the loop pool */

struct pool_options {
    enum pool_kind kind;
    size_t slots;
    struct zygote *zygote;     /* borrowed */
    struct launcher *launcher; /* borrowed: of commands; may be NULL */
    struct modules *modules;   /* borrowed; NULL: none. Process */
    struct launcher **runners; /* borrowed, thread and loop: of each broker one for each runner (runners.h), in their order */
    struct pool *const *pools; /* borrowed: N_POOLS of them, opened before; loop: what does parts of its jobs, or NULL */
    size_t jobs_per_child;     /* process: a child is recycled after so many; 0: never */
    size_t stuck_max;          /* thread, loop: slots that may be stuck and are replaced */
    void (*on_started)(void *ctx, struct run *r);
    /* r is finished, its outcome set; the callee owns it from here on. */
    void (*on_finished)(void *ctx, struct run *r);
    /* The handler of r, which runs, asks something of the broker (asks.h). pool_answer is to follow, perhaps at once. NULL: it
     * is told that nobody answers. */
    void (*on_asked)(void *ctx, struct run *r, const struct message *ask, struct now now);
    void *ctx;                 /* of all; they are called on the link thread, from the functions below */
};

int pool_open(struct pool **ret, const struct pool_options *o);
/* Ends threads and children; what still runs is killed or, in threads, abandoned. */
void pool_close(struct pool *p);

/* Takes r: it runs when a slot is free, in order of arrival. */
void pool_give(struct pool *p, struct run *r, struct now now);
/* The same, as the first that waits of its broker: it comes behind the first of each other one, and before all else that waits or
 * was given ahead. */
void pool_give_in_turn(struct pool *p, struct run *r, struct now now);
/* Takes back a run that has not started: the caller owns it. NULL when it has started or is not here. */
struct run *pool_take_waiting(struct pool *p, uint64_t job, uint64_t attempt);
/* Tells a running attempt to stop; reason REASON_CANCELLED, or REASON_NONE when it is to be handed back to the broker
 * (its outcome then has ending ENDING_LOST and reason REASON_NONE, and is not sent but GIVEN). grace_ms: until it is
 * killed (process) or given up (thread, loop). Nothing happens when it is not here. */
void pool_stop(struct pool *p, uint64_t job, uint64_t attempt, enum reason reason, int64_t grace_ms,
               struct now now);
/* The answer to an ask. Nothing happens when its attempt is not here any more, or was told to stop. */
void pool_answer(struct pool *p, uint64_t job, uint64_t attempt, const struct message *answer, struct now now);
/* Tells all that run to stop, to be handed back. */
void pool_stop_all(struct pool *p, int64_t grace_ms, struct now now);

/* Does what is due (limits, graces, free slots); the monotonic time in ms when it wants to be called again, or NEVER. */
int64_t pool_tick(struct pool *p, struct now now);
/* What to poll for reading. */
int pool_fd(const struct pool *p);
void pool_on_readable(struct pool *p, struct now now);

/* The handlers have changed: what has not begun begins with the new ones. */
void pool_renew(struct pool *p);

/* What the broker is told in BEAT: slots (less what is stuck beyond replacement), used, stuck, waiting, parked. */
struct pool_load pool_load(const struct pool *p);
/* True when more is stuck than may be replaced: the worker must drain and be restarted. */
bool pool_is_spent(const struct pool *p);
/* Asks it for a sign of life: for the watchdog. Has it given one since? */
void pool_ask_alive(struct pool *p);
bool pool_is_alive(const struct pool *p);
/* A line a slot for SIGUSR1. */
void pool_dump(const struct pool *p, struct now now);

#endif
