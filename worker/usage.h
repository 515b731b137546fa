/* usage.h - what a thread, or a process with all it waited for, has used of the processors, from getrusage(2); and how much of the rest of
 * a run it waited for a core, not for anything else.
 *
 * Where more is ready to run than there are cores, CPU time over wall time says little of a job: sixteen threads that compute on two
 * cores have an eighth each. But whoever gives its core up by itself waits, and whoever is put off it does not: the
 * kernel counts both (ru_nvcsw, ru_nivcsw), and the time off the core is divided by them. */
#ifndef TERN_USAGE_H
#define TERN_USAGE_H

#include <sys/resource.h>

#include "proto/base/base.h"

struct usage {
    int64_t cpu_us; /* user and system */
    int64_t waits;  /* how often it gave its core up */
    int64_t put_off; /* how often it lost it */
};

void usage_of_thread(struct usage *ret);
/* Of the process and the children it waited for. The peak resident memory of the process, in KiB, in *ret_peak_kb. */
void usage_of_process(struct usage *ret, int64_t *ret_peak_kb);
void usage_add(struct usage *u, const struct rusage *r);
/* Between two looks at the same thing. */
struct usage usage_between(const struct usage *from, const struct usage *to);
/* Of a run that took wall_us: how long it was ready, but no core was free. An estimate. */
int64_t usage_ready_us(const struct usage *u, int64_t wall_us);

#endif
