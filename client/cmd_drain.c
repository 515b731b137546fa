/* cmd_drain.c - `tern drain`: before a worker is stopped. */
#include "client/commands.h"

static int run(struct cli *cli, void *to, int n, char **args)
{
    (void)to;
    int status = cli_one_operand(n, args, "worker");
    if (status == 0)
        status = cli_connect(cli);
    if (status)
        return status;
    int r = tern_client_drain(cli->client, args[0]);
    return r < 0 ? cli_broken(cli, r) : 0;
}

const struct command command_drain = {
    .name = "drain",
    .operands = "WORKER",
    .summary = "let a worker finish what it runs, and take nothing new",
    .run = run,
};
