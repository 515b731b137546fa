/* commands.h - the commands that one child runs: their events, their signals, their memory, what they leave behind.
 *
 * Alone in its process (a child of the process pool), a command owns all that descends from the process. Among others (the
 * launcher) it owns what descends from it, and of what has been left behind: what has its session, its process group,
 * or its TERN_JOB_ID and TERN_ATTEMPT. What hides from all of that ends when no command is left. */
#ifndef TERN_COMMANDS_H
#define TERN_COMMANDS_H

#include "proto/base/map.h"
#include "worker/command.h"

struct commands {
    size_t capacity;
    struct command_ground ground;
    int epoll, sigchld;          /* owned */
    struct link running, ending; /* owned commands */
    size_t n;
    struct idmap by_pid, by_job;
    char group[CGROUP_NAME_BYTES]; /* that this process is in; empty: memory is sampled */
    uint64_t n_groups;           /* made so far: their numbers */
    uint64_t n_oom;              /* kills for memory in this process's own group, as last seen */
    size_t n_sampled;            /* commands whose memory is looked at */
    bool signals;                /* some command has one to be sent */
    bool saw_dead;               /* the last look at what is left behind met some that are not reaped yet */
    int64_t sample_at_ms, sweep_at_ms;
    struct tree tree;            /* scratch */
    void (*on_outcome)(void *ctx, const struct outcome *o);
    void *ctx;
};

void commands_init(struct commands *s, size_t capacity, int64_t nofile_soft);
/* fd: to be watched together with the commands, in commands_wait. */
void commands_watch(struct commands *s, int fd, bool to_write);
void commands_begin(struct commands *s, const struct run_job *job, struct now now);
/* Tells one to end, or kills it if it has been told before. */
void commands_stop(struct commands *s, uint64_t job, uint64_t attempt);
/* Does what is due; the time (monotonic, ms) to wait for an event at most, or NEVER. */
int64_t commands_tick(struct commands *s);
/* Waits for an event and reads what there is. */
void commands_wait(struct commands *s, int64_t until_ms);

#endif
