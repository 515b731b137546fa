/* cmd_wait.c - `tern wait`: until all the jobs (with --any, one) have ended. Silent when all are
 * done. */
#include "client/commands.h"

#include <inttypes.h>

#include "client/selector.h"
#include "client/show.h"

struct wait_options {
    bool any;
    int64_t timeout_ms;
};

static const struct option_def options[] = {
    { .name = "any",
      .help = "return when one has ended, and print its id",
      .type = OPTION_FLAG,
      .offset = offsetof(struct wait_options, any) },
    { .name = "timeout",
      .value = "DUR",
      .help = "give up after this long, with status 124",
      .type = OPTION_DURATION,
      .offset = offsetof(struct wait_options, timeout_ms) },
    { 0 },
};

static int show_each(void *context, const struct tern_job_view *job)
{
    (void)context;
    show_json(job);
    return 0;
}

static int print_jobs(struct cli *cli, const struct tern_range *ranges, size_t n)
{
    struct tern_filter f = { .ranges = ranges, .n_ranges = n };
    int r = tern_client_list(cli->client, &f, show_each, NULL);
    return r < 0 ? cli_broken(cli, r) : 0;
}

static int wait_for(struct cli *cli, const struct wait_options *o, const struct selector *sel)
{
    uint64_t ended = 0;
    int r = tern_client_wait(cli->client, sel->ranges, sel->n, o->any, o->timeout_ms, &ended);
    if (r == -ETIMEDOUT)
        return cli_fail(STATUS_TIMEOUT, "not all have ended in time");
    if (r < 0)
        return cli_broken_jobs(cli, r, sel);
    struct tern_range one = { ended, ended };
    const struct tern_range *ranges = o->any ? &one : sel->ranges;
    size_t n = o->any ? 1 : sel->n;
    if (o->any && !cli->json)
        printf("%" PRIu64 "\n", ended);
    int status = cli->json ? print_jobs(cli, ranges, n) : 0;
    return status ? status : show_failures(cli, ranges, n);
}

static int run(struct cli *cli, void *to, int n, char **args)
{
    struct selector sel = { 0 };
    int status = cli_select(cli, n, args, &sel);
    if (status == 0 && sel.n > 1)
        status = show_missing(cli, &sel); /* rather now than after a long wait */
    if (status == 0)
        status = wait_for(cli, to, &sel);
    selector_fini(&sel);
    return status;
}

static void init(void *to) { ((struct wait_options *)to)->timeout_ms = -1; }

const struct command command_wait = {
    .name = "wait",
    .operands = "SEL...",
    .summary = "wait until jobs have ended; 1 unless all are done",
    .options = options,
    .options_bytes = sizeof(struct wait_options),
    .init = init,
    .run = run,
};
