/* launcher.h - runs what a thread pool and a loop pool do not run themselves: one child that holds many runs at a time, each
 * of which occupies its slot, but neither a thread nor a coroutine. One launcher runs commands, for both pools; and each
 * shared runner of a pool has one, whose child is its keeper (keeper.h).
 *
 * When the child dies its runs end as lost, and the next run starts another. On the link thread only. */
#ifndef TERN_LAUNCHER_H
#define TERN_LAUNCHER_H

#include "worker/pool.h"

struct launcher;

/* capacity: commands at a time, over all pools that share it. Nothing is forked before the first command. */
int launcher_open(struct launcher **ret, struct zygote *z, size_t capacity);
/* The same for a runner (runners.h), whose runs are of this pool alone. */
int launcher_open_runner(struct launcher **ret, struct zygote *z, size_t capacity, size_t runner, enum pool_kind pool);
void launcher_close(struct launcher *l);

/* What to poll for reading. */
int launcher_fd(const struct launcher *l);
void launcher_on_readable(struct launcher *l, struct now now);

/* Begins s->run; pool_slot_ended(p, s, ...) follows once its whole tree is gone. For the pools. */
int launcher_begin(struct launcher *l, struct pool *p, struct slot *s, struct now now);
/* Tells it to end: a command, TERM to its tree. */
void launcher_tell_stop(struct launcher *l, struct slot *s);
void launcher_kill(struct launcher *l, struct slot *s);
/* Hands an answer to what runs there, which has asked. */
void launcher_answer(struct launcher *l, const struct message *answer);
/* Its pool goes away: the command is killed, and nobody is told. */
void launcher_forget(struct launcher *l, struct slot *s);

#endif
