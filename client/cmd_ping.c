/* cmd_ping.c - `tern ping`: is the broker there, and how long does an answer take? */
#include "client/commands.h"

#include "client/json.h"

static void print(const struct cli *cli, int64_t us)
{
    if (!cli->json) {
        printf("%s answers in %.3f ms (%s)\n", cli_address(cli), (double)us / 1000,
               tern_client_broker_software(cli->client));
        return;
    }
    struct json j;
    json_begin(&j);
    json_text(&j, "broker", cli_address(cli));
    json_text(&j, "version", tern_client_broker_software(cli->client));
    json_us(&j, "answer_ms", us);
    cli_json_broker(cli, &j);
    json_print(&j);
}

static int ask(struct cli *cli, void *context)
{
    int64_t us = 0;
    (void)context;
    int r = tern_client_ping(cli->client, &us);
    if (r < 0)
        return cli_broken(cli, r);
    print(cli, us);
    return 0;
}

static int run(struct cli *cli, void *to, int n, char **args)
{
    (void)to;
    int status = cli_no_operands(n, args);
    return status ? status : cli_each_broker(cli, ask, NULL);
}

const struct command command_ping = {
    .name = "ping",
    .operands = "",
    .summary = "is the broker there, and how long does an answer take",
    .run = run,
};
