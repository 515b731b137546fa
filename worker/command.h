/* command.h - one running command: started without a shell, its output drained and kept, its tree ended.
 *
 *   RUNNING --exit--> DRAINING --pipes closed, or 100 ms over--> ENDING --nothing of its tree left--> ENDED
 *
 * Event-driven, and without a clock of its own: the loop of a child (child.c) reads what is readable, reaps, samples, and
 * looks after what a command leaves behind. */
#ifndef TERN_COMMAND_H
#define TERN_COMMAND_H

#include "proto/base/list.h"
#include "worker/capture.h"
#include "worker/cgroup.h"
#include "worker/run.h"
#include "worker/tree.h"
#include "worker/usage.h"

/* What all commands of a process share. Made once. */
struct command_ground {
    char **environ;          /* owned array of borrowed texts: this process's, less what is tern's or systemd's own */
    int64_t nofile_soft;     /* the limit that commands get */
};

void command_ground_init(struct command_ground *g, int64_t nofile_soft);
void command_ground_fini(struct command_ground *g);

enum command_state { COMMAND_RUNNING, COMMAND_DRAINING, COMMAND_ENDING, COMMAND_ENDED };

struct command_run {
    struct link link;
    struct run *run; /* owned: the copy of what was told */
    enum command_state state;
    pid_t pid;
    struct command_pipe {
        struct command_run *command; /* borrowed: the one around it */
        int fd;                  /* owned; -1: closed */
        int stream;              /* OUTPUT_STDOUT, OUTPUT_STDERR */
    } pipes[2];
    struct capture capture;
    int status; /* of wait(2) */
    int64_t started_us, ended_us, max_rss_kb;
    struct usage used;  /* by all its processes that were waited for */
    int64_t drain_until_ms, end_until_ms;
    bool told_stop, killed;
    int signal;    /* to be sent to all its processes at the end of this turn; 0: none */
    bool has_stray; /* found in this sweep: something that it left behind */
    int64_t rss_bytes; /* its processes' sum, as of this survey */
    int64_t memory_peak_bytes; /* the sample past the limit; 0: never past it */
    char cgroup[CGROUP_NAME_BYTES]; /* of its own; empty: none */
    bool strays;               /* something of its tree could not be ended */
    int exit_code;             /* not started: 126 or 127, else 0 */
    char *error;               /* owned: why it could not be started */
};

/* Never fails: a command that could not be started is ENDED, and its outcome says why. */
struct command_run *command_start(const struct run_job *job, const struct command_ground *g, struct now now);
void command_free(struct command_run *c);

/* Reads what there is, at most so much that others get their turn. */
void command_on_readable(struct command_pipe *p);
void command_on_exit(struct command_run *c, int status, const void *rusage, struct now now);
/* Moves on from DRAINING when its pipes are closed or its time is over; when to come back, or NEVER. */
int64_t command_tick(struct command_run *c, struct now now);

/* Views into c. */
void command_outcome(struct command_run *c, struct outcome *ret);

#endif
