/* cmd_cancel.c - `tern cancel`: a job that runs is told to stop, and killed after its grace. */
#include "client/commands.h"

#include "client/change.h"

static int run(struct cli *cli, void *to, int n, char **args)
{
    (void)to;
    return change_jobs(cli, n, args, tern_client_cancel, "had finished already");
}

const struct command command_cancel = {
    .name = "cancel",
    .operands = "SEL...",
    .summary = "cancel jobs, also while they run",
    .run = run,
};
