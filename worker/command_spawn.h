/* command_spawn.h - starting a command: its program, directory, environment, descriptors and limits. */
#ifndef TERN_COMMAND_SPAWN_H
#define TERN_COMMAND_SPAWN_H

#include <sys/types.h>

#include "worker/command.h"

/* 0: it runs, in a session of its own; ret_fds are the ends to read its output and error from, not blocking. -errno: it
 * does not, and *ret_error (owned by the caller) says why; *ret_exit_code is then 127 or 126 as a shell would say it, or
 * 0 where the program is not to blame. */
int command_spawn(const struct run_job *job, const struct command_ground *g, struct now now, pid_t *ret_pid,
                  int ret_fds[2], int *ret_exit_code, char **ret_error);

#endif
