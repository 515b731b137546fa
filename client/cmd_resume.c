/* cmd_resume.c - `tern resume`: the end of a pause. */
#include "client/commands.h"

static int run(struct cli *cli, void *to, int n, char **args)
{
    (void)to;
    return cmd_pause(cli, n, args, false);
}

const struct command command_resume = {
    .name = "resume",
    .operands = "QUEUE",
    .summary = "let the jobs of a paused queue start again",
    .run = run,
};
