/* child.h - a process that runs jobs: a child of the process pool (capacity 1: handlers in place, or one command), or the
 * launcher (many commands at a time). It holds no descriptor but its data socket.
 *
 * Frames in: RUN with one job; STOP with one attempt, which tells a command to end, and said again, kills it. Frames out:
 * STARTED without attempts, once, when it is ready; RESULT with one outcome, once nothing of the job is left. A handler
 * is told to stop by SIGTERM from the zygote.
 *
 * A child of the pool gets a ring (ring.h) before the first frame, and may get several runs of handlers at once: it runs
 * one after the other, as far as they are not taken back before. The outcome of one is said before the next one begins.
 */
#ifndef TERN_CHILD_H
#define TERN_CHILD_H

#include "proto/base/base.h"

/* What a child of the zygote is. */
struct child_role {
    size_t capacity; /* jobs at a time. Without a runner, 1: a child of the process pool; more: the launcher; 0: the trial of
                      * a module */
    size_t runner;   /* its number (runners.h), from 1; 0: none. Else it is a keeper (keeper.h) */
    int64_t pool;    /* of a keeper: whose runs it gets; UNSET: none, its runner only tells what it has */
};

/* What the zygote calls in a process it has just forked. nofile_soft: the limit that commands get. */
_Noreturn void child_main(int fd, size_t capacity, int64_t nofile_soft);

/* Of the parent: a child is told by it that its zygote has died, and ends itself with its tree. */
#define CHILD_ORPHANED_SIGNAL SIGRTMAX

#endif
