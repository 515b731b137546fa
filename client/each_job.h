/* each_job.h - the same for each job of a selector: for the commands that ask the broker about one
 * job at a time. */
#ifndef TERN_EACH_JOB_H
#define TERN_EACH_JOB_H

#include "client/cli.h"

/* An exit status; one that is not 0 does not end the walk. */
typedef int each_job_fn(struct cli *cli, void *options, uint64_t id);
/* The first status that was not 0, or 0. */
int each_job(struct cli *cli, void *options, int n, char **args, each_job_fn *fn);

#endif
