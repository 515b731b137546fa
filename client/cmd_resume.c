/* cmd_resume.c - `tern resume`: the end of a pause. */
#include "client/commands.h"

static int run(struct cli *cli, void *to, int n, char **args)
{
    (void)to;
    int status = cli_one_operand(n, args, "queue");
    if (status == 0)
        status = cli_use_home(cli, args[0]);
    if (status)
        return status;
    int r = tern_client_pause(cli->client, args[0], false);
    return r < 0 ? cli_broken(cli, r) : 0;
}

const struct command command_resume = {
    .name = "resume",
    .operands = "QUEUE",
    .summary = "let the jobs of a paused queue start again",
    .run = run,
};
