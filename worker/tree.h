/* tree.h - what descends from a process, read from /proc: for killing, counting memory, finding what was left behind.
 *
 * A subreaper needs no more than its direct children to end all that descends from it: whatever they leave behind
 * becomes its child. Process ids are safe there, because a child keeps its id until it is reaped. */
#ifndef TERN_TREE_H
#define TERN_TREE_H

#include <sys/types.h>

#include "proto/base/base.h"

struct tree_process {
    pid_t pid, ppid, pgrp, session;
    char state;         /* as in proc(5): R, S, D, Z, T ... */
    int64_t rss_bytes;
    pid_t top;          /* in a tree: which child of the root it descends from, or is */
};

/* False when there is no such process. Allocates nothing; safe in a signal handler. */
bool tree_process_read(pid_t pid, struct tree_process *ret);
/* Calls each for every direct child, less those that skip (or NULL) says it knows. Safe in a signal handler if they are. */
void tree_each_child(pid_t of, bool (*skip)(void *ctx, pid_t pid),
                     void (*each)(void *ctx, const struct tree_process *p), void *ctx);

struct tree {
    struct tree_process *at; /* owned; the root first, parents before their children */
    size_t n, cap;
};

/* Reads all that descends from root now. Reuses t's memory. */
void tree_read(struct tree *t, pid_t root);
void tree_fini(struct tree *t);
int64_t tree_rss_bytes(const struct tree *t, bool include_root);
void tree_signal(const struct tree *t, bool include_root, int sig);

/* Kills and reaps every child of this process, and what they leave behind, for as long as timeout_ms. 0 when none is left,
 * -ETIMEDOUT. Safe in a signal handler. The CPU time of what was reaped is added to *cpu_us, if given. */
int tree_end_children(int64_t timeout_ms, int64_t *cpu_us);

/* The number that a name has in the environment that the process was started with. prefix: "NAME=". */
bool tree_environ_number(pid_t pid, const char *prefix, uint64_t *ret);

/* For tests: another place than /proc. */
void tree_set_proc(const char *path);

#endif
