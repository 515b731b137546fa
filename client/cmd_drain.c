/* cmd_drain.c - `tern drain`: before a worker is stopped. */
#include "client/commands.h"

struct draining {
    const char *worker;
    bool found;
};

/* A worker that one broker does not know, another does. */
static int ask(struct cli *cli, void *context)
{
    struct draining *d = context;
    int r = tern_client_drain(cli->client, d->worker);
    d->found = d->found || r >= 0;
    return r < 0 && (r != -ENOENT || !cli_has_several(cli)) ? cli_broken(cli, r) : 0;
}

static int run(struct cli *cli, void *to, int n, char **args)
{
    (void)to;
    int status = cli_one_operand(n, args, "worker");
    if (status)
        return status;
    struct draining d = { .worker = args[0] };
    status = cli_each_broker(cli, ask, &d);
    return status || d.found ? status : cli_fail(STATUS_NOT_FOUND, "no worker %s at any broker that answers", args[0]);
}

const struct command command_drain = {
    .name = "drain",
    .operands = "WORKER",
    .summary = "let a worker finish what it runs, and take nothing new",
    .run = run,
};
