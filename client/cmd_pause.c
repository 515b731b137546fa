/* cmd_pause.c - `tern pause`: what runs goes on; what waits, waits. */
#include "client/commands.h"

int cmd_pause(struct cli *cli, int n, char **args, bool paused)
{
    int status = cli_one_operand(n, args, "queue");
    if (status == 0)
        status = cli_use_home(cli, args[0]);
    if (status)
        return status;
    int r = tern_client_pause(cli->client, args[0], paused);
    return r < 0 ? cli_broken(cli, r) : 0;
}

static int run(struct cli *cli, void *to, int n, char **args)
{
    (void)to;
    return cmd_pause(cli, n, args, true);
}

const struct command command_pause = {
    .name = "pause",
    .operands = "QUEUE",
    .summary = "let no more jobs of a queue start",
    .run = run,
};
