/* cmd_retry.c - `tern retry`: the only move out of a terminal state; not of done. */
#include "client/commands.h"

#include "client/change.h"

static int run(struct cli *cli, void *to, int n, char **args)
{
    (void)to;
    return change_jobs(cli, n, args, tern_client_retry,
                       "could not be queued again: done, or not finished");
}

const struct command command_retry = {
    .name = "retry",
    .operands = "SEL...",
    .summary = "queue failed jobs again",
    .run = run,
};
