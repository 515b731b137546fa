/* launcher.h - runs the commands of the thread pool and the loop pool: one child that holds many commands, so that a
 * command holds neither a thread nor a coroutine. pool.c begins an `exec` run on it while the run occupies its slot.
 *
 * When the launcher dies its commands end as lost, and the next command starts another. On the link thread only. */
#ifndef TERN_LAUNCHER_H
#define TERN_LAUNCHER_H

#include "worker/pool.h"

struct launcher;

/* capacity: commands at a time, over all pools that share it. Nothing is forked before the first command. */
int launcher_open(struct launcher **ret, struct zygote *z, size_t capacity);
void launcher_close(struct launcher *l);

/* What to poll for reading. */
int launcher_fd(const struct launcher *l);
void launcher_on_readable(struct launcher *l, struct now now);

/* Begins s->run; pool_slot_ended(p, s, ...) follows once its whole tree is gone. For pool.c. */
int launcher_begin(struct launcher *l, struct pool *p, struct slot *s, struct now now);
/* Tells it to end: TERM to its tree. */
void launcher_tell_stop(struct launcher *l, struct slot *s);
void launcher_kill(struct launcher *l, struct slot *s);
/* Its pool goes away: the command is killed, and nobody is told. */
void launcher_forget(struct launcher *l, struct slot *s);

#endif
