/* cmd_rm.c - `tern rm`: finished jobs and all that is known of them. */
#include "client/commands.h"

#include "client/change.h"

static int run(struct cli *cli, void *to, int n, char **args)
{
    (void)to;
    return change_jobs(cli, n, args, tern_client_remove, "have not finished and stay");
}

const struct command command_rm = {
    .name = "rm",
    .operands = "SEL...",
    .summary = "delete finished jobs",
    .run = run,
};
