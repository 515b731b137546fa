/* up.h - a broker and a worker of this user's own, on this machine: where they live, whether they
 * run, starting and stopping them. Nothing is configured, nobody else may come near: directories
 * are 0700 and checked for their owner.
 *
 *     DIR/lock          held while somebody starts or stops
 *     DIR/address       where the broker listens
 *     DIR/broker.pid    `PID START-TIME`: a number that another process has now is not ours
 *     DIR/broker.log, DIR/worker.log, DIR/worker.pid, DIR/tern.db */
#ifndef TERN_UP_H
#define TERN_UP_H

#include <sys/types.h>

#include "proto/base/base.h"

struct up {
    char *dir;     /* owned: absolute */
    char *address; /* owned */
    bool asked_dir;
    int lock;
};

/* Finds the directory (dir: --dir, or NULL) and the socket's path; make: makes what is missing.
 * *ret_error is owned by the caller. -ENOENT without make where there is nothing. */
int up_find(struct up *u, const char *dir, bool make, char **ret_error);
/* Waits until nobody else starts or stops there. */
int up_lock(struct up *u, char **ret_error);
void up_fini(struct up *u);

/* The address of this user's own broker, if it runs; owned by the caller. Else NULL. */
char *up_running_address(void);

/* ---- one of the two programs: "broker" or "worker" ------------------------------------------ */

/* A pidfd of the one that runs, and its number in *ret_pid; -ESRCH when none runs. */
int up_program_find(const struct up *u, const char *program, pid_t *ret_pid);
/* Starts it and waits until it says that it is ready. args: without the program's name, ending with
 * NULL. On failure the text has the end of its log. */
int up_program_start(const struct up *u, const char *program, const char *const *args,
                     char **ret_error);
/* TERM, and KILL after patience_ms. 1: stopped; 0: none ran. *ret_killed: it had to be killed. */
int up_program_stop(const struct up *u, const char *program, int64_t patience_ms, bool *ret_killed);

#endif
