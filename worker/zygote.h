/* zygote.h - the one process that forks: the worker's own program started anew, single-threaded, without ZeroMQ.
 *
 * The worker's side: starts it, asks it for children, hears how they ended. A child is told of as ended only once its
 * whole tree is gone. A zygote that dies is replaced; its children end as lost. All of it runs on the link thread.
 *
 * Start it before any thread exists, and before the soft limit of descriptors is raised: commands get the limit that
 * stood when it was started. The worker becomes a subreaper, so that nothing escapes when a zygote dies. */
#ifndef TERN_ZYGOTE_H
#define TERN_ZYGOTE_H

#include <sys/types.h>

#include "proto/base/clock.h"
#include "worker/child.h"

struct zygote;

struct child_ended {
    int status;       /* of wait(2); only where neither error nor lost */
    int error;        /* the errno with which it could not be forked, else 0 */
    bool lost;        /* the zygote died under it */
    bool memory_limit; /* killed because its tree grew past its limit */
    bool strays;      /* something of its tree could not be killed (a process in state D) */
    int64_t cpu_us, max_rss_kb; /* UNSET where unknown */
    int64_t peak_bytes;         /* the tree's largest sample, where it had a memory limit */
};

typedef void zygote_on_ended(void *ctx, const struct child_ended *e, struct now now);

/* Starts /proc/self/exe with --zygote and then args (NULL-terminated, or NULL; borrowed for as long as it lives): its
 * main must call handlers_init with the same choice of handlers, and then zygote_main. */
int zygote_start(struct zygote **ret, char *const args[]);
/* Kills every child with its tree; nobody is told. Returns when they are gone, after 5 s at the latest. */
void zygote_stop(struct zygote *z);

/* What to poll for reading; it stays the same when the zygote is replaced. */
int zygote_fd(const struct zygote *z);
void zygote_on_readable(struct zygote *z, struct now now);

/* Asks for a child: what it is, its role says.
 * Its data socket can be written at once. on_ended is called exactly once, from zygote_on_readable, unless the zygote
 * is stopped before; *ret_child is its number, never used again. */
int zygote_fork(struct zygote *z, const struct child_role *role, zygote_on_ended *on_ended, void *ctx,
                uint64_t *ret_child, int *ret_fd);
/* Nothing happens when the child has ended. */
void zygote_signal(struct zygote *z, uint64_t child, int sig);
/* Kills the child and all that descends from it. */
void zygote_kill(struct zygote *z, uint64_t child);
/* Kills it as well, and on_ended will not be called: its ctx goes away. */
void zygote_abandon(struct zygote *z, uint64_t child);
/* From now on the child with all that descends from it may have so much resident memory. */
void zygote_limit(struct zygote *z, uint64_t child, int64_t bytes);
/* Asks the zygote for a sign of life; is there one, and has it given that since? */
void zygote_ask_alive(struct zygote *z);
bool zygote_is_alive(const struct zygote *z);
/* 0 while there is none. */
pid_t zygote_pid(const struct zygote *z);

/* The zygote itself: what main does when its first argument is --zygote. Returns the exit status. */
int zygote_main(void);

#endif
