/* cmd_show.c - `tern show`: all that is known of a job. */
#include "client/commands.h"

#include <inttypes.h>

#include "client/describe.h"
#include "client/selector.h"
#include "client/show.h"
#include "client/table.h"
#include "proto/base/parse.h"

struct showing {
    const struct cli *cli;
    size_t n;
};

static void field_number(const char *name, int64_t v, const char *unit)
{
    cleanup(freep) char *text = v == TERN_UNSET ? NULL : xasprintf("%" PRId64 "%s", v, unit);
    table_field(name, text);
}

static void field_taken(const char *name, char *text)
{
    table_field(name, text);
    free(text);
}

static void show_asked(const struct cli *cli, const struct tern_job_view *j)
{
    char text[FORMAT_BYTES];
    field_taken(j->command ? "command" : "handler", describe_work(j));
    table_field("name", j->name);
    table_field("owner", j->owner);
    table_field("queue", j->queue);
    table_field("tag", j->tag);
    table_field("needs", j->needs);
    if (j->priority != 0)
        field_number("priority", j->priority, "");
    table_field("timeout", j->timeout_ms > 0 ? format_duration(j->timeout_ms, text) : NULL);
    table_field("memory", j->memory_bytes > 0 ? format_size(j->memory_bytes, text) : NULL);
    if (j->parent)
        table_field("parent", cli_id(cli, j->parent).text);
}

static void show_course(const struct tern_job_view *j)
{
    field_taken("submitted", describe_time(j->submitted_ms));
    if (j->due_ms != TERN_UNSET && j->due_ms > j->submitted_ms && !j->terminal)
        field_taken("due", describe_time(j->due_ms));
    field_taken("expires", describe_time(j->terminal ? TERN_UNSET : j->expire_at_ms));
    field_taken("started", describe_time(j->started_ms));
    field_taken("finished", describe_time(j->finished_ms));
    table_field("worker", j->worker);
    field_taken("pool", describe_pool(j));
    if (j->attempt)
        field_taken("attempt", j->retries > 0 && j->retries != TERN_UNSET
                                   ? xasprintf("%" PRIu64 " (failed %" PRIu64
                                               ", may be retried %" PRId64 " times)",
                                               j->attempt, j->failures, j->retries)
                                   : xasprintf("%" PRIu64, j->attempt));
    if (j->crashes)
        field_number("crashes", (int64_t)j->crashes, "");
    field_number("progress", j->progress, " %");
}

static void show_person(const struct cli *cli, const struct tern_job_view *j)
{
    cleanup(freep) char *how = describe_end(j->reason, j->exit_code, j->signal, j->error);
    table_field("job", cli_id(cli, j->id).text);
    table_field("state", j->state);
    if (j->cancel_asked && !j->terminal)
        table_field("", "it is being cancelled");
    table_field("ended", *how ? how : NULL);
    show_asked(cli, j);
    show_course(j);
    field_taken("wall time", describe_us(j->wall_us));
    field_taken("CPU time", describe_us(j->cpu_us));
    field_number("peak memory", j->max_rss_kb, " KiB");
}

static int show(void *context, const struct tern_job_view *job)
{
    struct showing *s = context;
    if (s->cli->json)
        show_json(s->cli, job);
    else {
        if (s->n)
            putchar('\n');
        show_person(s->cli, job);
    }
    s->n++;
    return 0;
}

static int show_selected(struct cli *cli, void *context, const struct selector *sel)
{
    struct showing *s = context;
    size_t before = s->n;
    struct tern_filter f = { .ranges = sel->ranges, .n_ranges = sel->n };
    int r = tern_client_list(cli->client, &f, show, s);
    int status = r < 0 ? cli_broken_jobs(cli, r, sel) : show_missing(cli, sel);
    return r >= 0 && s->n == before && !status ? cli_no_jobs(cli) : status;
}

static int run(struct cli *cli, void *to, int n, char **args)
{
    (void)to;
    struct showing s = { .cli = cli };
    return cli_each_selected(cli, n, args, show_selected, &s);
}

const struct command command_show = {
    .name = "show",
    .operands = "SEL...",
    .summary = "all that is known of a job",
    .run = run,
};
