/* show.h - a job on standard output or standard error, as JSON or for people: what several commands
 * print. */
#ifndef TERN_SHOW_H
#define TERN_SHOW_H

#include "client/cli.h"

/* One line of JSON with all that is known of the job. */
void show_json(const struct cli *cli, const struct tern_job_view *job);
/* `job 7 is dead: exit status 3`, on standard error. */
void show_ending(const struct cli *cli, const struct tern_job_view *job);
/* After a wait: says of each job in the ranges that ended otherwise than done how it ended. 0, or
 * STATUS_FAILED. */
int show_failures(struct cli *cli, const struct tern_range *ranges, size_t n);
/* Relays chunks of output: stream 1 to standard output, 2 to standard error; only_stream 0: both.
 * Cuts are said. */
void show_output(const struct tern_result *r, int only_stream);
/* Are all jobs that were named alone there? Says of each that is not. 0, or STATUS_NOT_FOUND. */
int show_missing(struct cli *cli, const struct selector *sel);

#endif
