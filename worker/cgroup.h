/* cgroup.h - control groups of this worker's own, where it has been given a part of the tree (cgroup v2, Delegate=yes of a unit).
 *
 *     UNIT/worker         the worker and its zygote: no process may stand beside groups
 *     UNIT/child.N        the N-th process of the pool, for as long as it lives, with all that it starts; also the launcher
 *     UNIT/command.P.N    a command with a memory limit, the N-th of process P
 *
 * A group is named by the part after UNIT. Where nothing was given, all of these do nothing and say so; then process groups and the
 * subreapers do what they can. The worker finds out, the zygote and its children inherit. */
#ifndef TERN_CGROUP_H
#define TERN_CGROUP_H

#include <sys/types.h>

#include "proto/base/base.h"

enum isolation {
    ISOLATION_PROCESS_GROUP,
    ISOLATION_CGROUP_NO_MEMORY, /* groups, but this kernel's memory controller is elsewhere */
    ISOLATION_CGROUP,
};
const char *isolation_name(enum isolation i);

#define CGROUP_NAME_BYTES 64

/* Before the zygote starts: takes over what has been given to this process, moves into its own leaf, and removes what an earlier worker
 * left. What it found is passed on to what it starts. */
enum isolation cgroup_open(void);
/* In the zygote: as the worker found. */
void cgroup_inherit(void);
enum isolation cgroup_isolation(void);

/* False: there is none. */
bool cgroup_make(const char *name);
/* Moves this process there: what it starts from now on begins there. False: it stays where it is. */
bool cgroup_enter(const char *name);
/* Bounds its memory from now on; past it all of the group is killed. False: it does not. */
bool cgroup_limit(const char *name, int64_t bytes);
/* How often has the kernel killed in it for memory? *ret_peak_bytes: the most it had, 0 when not known. */
uint64_t cgroup_count_oom(const char *name, int64_t *ret_peak_bytes);
/* The group that this process is in now; empty when it is none of these. */
void cgroup_own(char ret_name[static CGROUP_NAME_BYTES]);
void cgroup_kill(const char *name);
/* With what its processes may have made in it. False: something lives in it still. */
bool cgroup_remove(const char *name);
/* All whose names begin so; what lives in them is killed. */
void cgroup_remove_all(const char *prefix);

#endif
