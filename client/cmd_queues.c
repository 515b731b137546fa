/* cmd_queues.c - `tern queues`: counts by state, the age of the oldest, the rate. */
#include "client/commands.h"

#include <inttypes.h>

#include "client/describe.h"
#include "client/json.h"
#include "client/table.h"

static const char *const heads[] = { ">BROKER",  "QUEUE",    ">BLOCKED", ">SCHEDULED", ">QUEUED",
                                     ">RUNNING", ">DONE",    ">DEAD",      ">CANCELLED",
                                     ">EXPIRED", ">OLDEST",  ">PER MIN",   NULL };

struct listing {
    const struct cli *cli;
    size_t n;
    struct table table;
};

static void print_json(const struct cli *cli, const struct tern_queue_view *q)
{
    struct json j;
    json_begin(&j);
    json_text(&j, "name", q->name);
    json_bool(&j, "paused", q->paused);
    for (size_t i = 0; i < q->n_counts; i++)
        json_count(&j, q->counts[i].state, q->counts[i].jobs);
    json_time(&j, "oldest_at", q->oldest_ms);
    json_count(&j, "finished_last_minute", q->finished_last_minute);
    cli_json_broker(cli, &j);
    json_print(&j);
}

static int take(void *context, const struct tern_queue_view *q)
{
    struct listing *l = context;
    l->n++;
    if (l->cli->json) {
        print_json(l->cli, q);
        return 0;
    }
    cleanup(freep) char *age = describe_age(q->oldest_ms);
    if (cli_has_several(l->cli))
        table_addf(&l->table, "%zu", l->cli->place + 1);
    table_addf(&l->table, "%s%s", q->name, q->paused ? " (paused)" : "");
    for (size_t i = 0; i < q->n_counts; i++)
        table_addf(&l->table, "%" PRIu64, q->counts[i].jobs);
    table_add(&l->table, age);
    table_addf(&l->table, "%" PRIu64, q->finished_last_minute);
    return 0;
}

static int ask(struct cli *cli, void *context)
{
    struct listing *l = context;
    if (!l->table.heads)
        table_begin(&l->table, cli_has_several(cli) ? heads : heads + 1);
    int r = tern_client_queues(cli->client, take, l);
    return r < 0 ? cli_broken(cli, r) : 0;
}

static int run(struct cli *cli, void *to, int n, char **args)
{
    (void)to;
    struct listing l = { .cli = cli };
    int status = cli_no_operands(n, args);
    if (status)
        return status;
    status = cli_each_broker(cli, ask, &l);
    if (l.n && !cli->json)
        table_end(&l.table);
    else if (status == 0 && !l.n && !cli->json)
        cli_notice("no queues yet: the first submit makes one");
    return status;
}

const struct command command_queues = {
    .name = "queues",
    .operands = "",
    .summary = "the queues: counts by state, age of the oldest, rate",
    .run = run,
};
