/* cmd_history.c - `tern history`: every transition of a job with its time and cause. */
#include "client/commands.h"

#include <inttypes.h>

#include "client/describe.h"
#include "client/each_job.h"
#include "client/json.h"
#include "client/table.h"

static const char *const heads[] = { "TIME", "EVENT", ">TRY", "WORKER", "WHAT", NULL };

struct history {
    const struct cli *cli;
    uint64_t id;
    struct table table;
};

static void print_json(const struct cli *cli, uint64_t id, const struct tern_event *e)
{
    struct json j;
    json_begin(&j);
    json_count(&j, "id", id);
    json_time(&j, "at", e->at_ms);
    json_text(&j, "event", e->event);
    json_number(&j, "attempt", e->attempt);
    json_text(&j, "worker", e->worker);
    json_text(&j, "text", e->text);
    cli_json_broker(cli, &j);
    json_print(&j);
}

static void add_row(struct table *t, const struct tern_event *e)
{
    cleanup(freep) char *time = describe_time(e->at_ms);
    table_add(t, time);
    table_add(t, e->event);
    if (e->attempt == TERN_UNSET)
        table_add(t, "");
    else
        table_addf(t, "%" PRId64, e->attempt);
    table_add(t, e->worker ? e->worker : "");
    table_add(t, e->text ? e->text : "");
}

static int take(void *context, const struct tern_event *e)
{
    struct history *h = context;
    if (h->cli->json)
        print_json(h->cli, h->id, e);
    else
        add_row(&h->table, e);
    return 0;
}

static int ask(struct cli *cli, void *options, uint64_t id)
{
    (void)options;
    struct history h = { .cli = cli, .id = id };
    table_begin(&h.table, heads);
    int r = tern_client_history(cli->client, id, take, &h);
    if (r >= 0 && !cli->json)
        table_end(&h.table);
    return r < 0 ? cli_broken_job(cli, r, id) : 0;
}

static int run(struct cli *cli, void *to, int n, char **args)
{
    return each_job(cli, to, n, args, ask);
}

const struct command command_history = {
    .name = "history",
    .operands = "SEL",
    .summary = "every transition of a job, with its time",
    .run = run,
};
