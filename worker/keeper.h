/* keeper.h - a process that keeps one runner: it starts the program, speaks the runner protocol with it (proto/RUNNER.md),
 * and speaks to the worker as any child does (child.h), so that a pool need not know what language a handler is in.
 *
 * What the runner says is read as hostile, and bounded: a wrong word ends it, and the keeper with it. Frames in: RUN with one
 * job; STOP with one attempt, which is handed on; in the process pool, said again, it kills the runner. Frames out: STARTED
 * without attempts, once the runner is ready; RESULT with one outcome; ERROR, once, before all that follows from the
 * runner's end: the keeper takes no further run, tells how each one ended that it has, and leaves. A keeper of no pool
 * says HELLO with the handlers in the place of STARTED, and leaves. */
#ifndef TERN_KEEPER_H
#define TERN_KEEPER_H

#include "worker/child.h"

/* What the zygote calls in a process it has just forked. nofile_soft: the limit of descriptors that commands get. */
_Noreturn void keeper_main(int fd, const struct child_role *role, int64_t nofile_soft);

#endif
