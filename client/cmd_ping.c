/* cmd_ping.c - `tern ping`: is the broker there, and how long does an answer take? */
#include "client/commands.h"

#include "client/json.h"

static void print(const struct cli *cli, int64_t us)
{
    if (!cli->json) {
        printf("%s answers in %.3f ms (%s)\n", cli->where.broker, (double)us / 1000,
               tern_client_broker_software(cli->client));
        return;
    }
    struct json j;
    json_begin(&j);
    json_text(&j, "broker", cli->where.broker);
    json_text(&j, "version", tern_client_broker_software(cli->client));
    json_us(&j, "answer_ms", us);
    json_print(&j);
}

static int run(struct cli *cli, void *to, int n, char **args)
{
    (void)to;
    int64_t us = 0;
    int status = cli_no_operands(n, args);
    if (status == 0)
        status = cli_connect(cli);
    if (status)
        return status;
    int r = tern_client_ping(cli->client, &us);
    if (r < 0)
        return cli_broken(cli, r);
    print(cli, us);
    return 0;
}

const struct command command_ping = {
    .name = "ping",
    .operands = "",
    .summary = "is the broker there, and how long does an answer take",
    .run = run,
};
