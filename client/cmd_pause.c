/* cmd_pause.c - `tern pause`: what runs goes on; what waits, waits. */
#include "client/commands.h"

static int run(struct cli *cli, void *to, int n, char **args)
{
    (void)to;
    int status = cli_one_operand(n, args, "queue");
    if (status == 0)
        status = cli_use_home(cli, args[0]);
    if (status)
        return status;
    int r = tern_client_pause(cli->client, args[0], true);
    return r < 0 ? cli_broken(cli, r) : 0;
}

const struct command command_pause = {
    .name = "pause",
    .operands = "QUEUE",
    .summary = "let no more jobs of a queue start",
    .run = run,
};
