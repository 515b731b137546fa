/* cmd_stats.c - `tern stats`: the broker's counters. */
#include "client/commands.h"

#include <inttypes.h>

#include "client/json.h"

static int take_json(void *context, const char *name, int64_t value)
{
    json_number(context, name, value);
    return 0;
}

static int take_line(void *context, const char *name, int64_t value)
{
    (void)context;
    printf("%-32s %" PRId64 "\n", name, value);
    return 0;
}

static int ask(struct cli *cli, void *context)
{
    struct json j;
    json_begin(&j);
    if (cli_has_several(cli) && !cli->json)
        printf("%sbroker %zu, %s\n", cli->place ? "\n" : "", cli->place + 1, cli_address(cli));
    (void)context;
    int r = tern_client_stats(cli->client, cli->json ? take_json : take_line, &j);
    cli_json_broker(cli, &j);
    if (r >= 0 && cli->json)
        json_print(&j);
    else
        json_fini(&j);
    return r < 0 ? cli_broken(cli, r) : 0;
}

static int run(struct cli *cli, void *to, int n, char **args)
{
    (void)to;
    int status = cli_no_operands(n, args);
    return status ? status : cli_each_broker(cli, ask, NULL);
}

const struct command command_stats = {
    .name = "stats",
    .operands = "",
    .summary = "the broker's counters",
    .run = run,
};
