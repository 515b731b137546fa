/* runner_process.h - the program of a runner as a process: started with one socket as its standard input and output and a
 * pipe as its standard error, measured, ended with all that descends from it. */
#ifndef TERN_RUNNER_PROCESS_H
#define TERN_RUNNER_PROCESS_H

#include <sys/types.h>

#include "worker/runners.h"

struct runner_process {
    pid_t pid;        /* 0: none */
    int socket, error; /* owned until taken: its input and output, its standard error; neither blocks */
};

/* With the limit of descriptors, and the environment that commands get (command.h). 0, or -errno. */
int runner_process_start(struct runner_process *p, const struct runner *r, int64_t nofile);
/* Of its own threads, so far; UNSET: not to be had. */
int64_t runner_process_cpu_us(const struct runner_process *p);
/* Its largest resident memory since it began or the kernel was told to forget; UNSET. */
int64_t runner_process_peak_kb(const struct runner_process *p);
void runner_process_forget_peak(const struct runner_process *p);

#endif
