/* cmd_wait.c - `tern wait`: until all the jobs (with --any, one) have ended. Silent when all are
 * done. */
#include "client/commands.h"

#include "client/selector.h"
#include "client/show.h"
#include "proto/base/clock.h"

struct wait_options {
    bool any;
    int64_t timeout_ms;
    int64_t until_ms; /* of the monotonic clock; not an option */
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
    show_json(context, job);
    return 0;
}

static int tell(struct cli *cli, const struct tern_range *ranges, size_t n)
{
    struct tern_filter f = { .ranges = ranges, .n_ranges = n };
    int r = cli->json ? tern_client_list(cli->client, &f, show_each, cli) : 0;
    return r < 0 ? cli_broken(cli, r) : show_failures(cli, ranges, n);
}

static int64_t left_ms(const struct wait_options *o)
{
    return o->timeout_ms < 0 ? -1 : max_i64(0, o->until_ms - clock_now().mono_ms);
}

static int too_late(void) { return cli_fail(STATUS_TIMEOUT, "not all have ended in time"); }

static int wait_for_all(struct cli *cli, void *o, const struct selector *sel)
{
    int r = tern_client_wait(cli->client, sel->ranges, sel->n, false, left_ms(o), NULL);
    if (r == -ETIMEDOUT)
        return too_late();
    return r < 0 ? cli_broken_jobs(cli, r, sel) : tell(cli, sel->ranges, sel->n);
}

static int tell_one(struct cli *cli, uint64_t ended)
{
    struct tern_range one = { ended, ended };
    if (!cli->json)
        printf("%s\n", cli_id(cli, ended).text);
    return tell(cli, &one, 1);
}

#define TURN_MS 200

/* Of several brokers each is asked for a moment, in turn: a call waits for one of them. 0: none has ended yet. */
static int ask_in_turn(struct cli *cli, const struct wait_options *o, const struct selection *sel, uint64_t *ret)
{
    for (size_t i = 0; i < sel->n; i++) {
        int64_t left = left_ms(o), turn = left < 0 ? TURN_MS : min_i64(left, TURN_MS);
        if (!sel->of[i].n)
            continue;
        int status = cli_use(cli, i);
        if (status)
            return status;
        int r = tern_client_wait(cli->client, sel->of[i].ranges, sel->of[i].n, true, turn, ret);
        if (r >= 0)
            return 0;
        if (r != -ETIMEDOUT && !(r == -ENOENT && sel->all))
            return cli_broken_jobs(cli, r, &sel->of[i]);
    }
    return left_ms(o) == 0 ? too_late() : 0;
}

static int wait_for_any(struct cli *cli, const struct wait_options *o, const struct selection *sel)
{
    uint64_t ended = 0;
    int status = 0;
    while (status == 0 && !ended)
        status = ask_in_turn(cli, o, sel, &ended);
    return status ? status : tell_one(cli, ended);
}

static int wait_for_any_of_one(struct cli *cli, void *o, const struct selector *sel)
{
    uint64_t ended = 0;
    int r = tern_client_wait(cli->client, sel->ranges, sel->n, true, left_ms(o), &ended);
    if (r == -ETIMEDOUT)
        return too_late();
    return r < 0 ? cli_broken_jobs(cli, r, sel) : tell_one(cli, ended);
}

static int look_for_missing(struct cli *cli, void *context, const struct selector *sel)
{
    (void)context;
    return show_missing(cli, sel);
}

static int wait_for(struct cli *cli, struct wait_options *o, const struct selection *sel)
{
    size_t brokers = selection_brokers(sel), n = 0;
    int status = 0;
    for (size_t i = 0; i < sel->n; i++)
        n += sel->of[i].n;
    if (n > 1)
        status = cli_each_of(cli, sel, look_for_missing, NULL); /* rather now than after a long wait */
    o->until_ms = clock_now().mono_ms + o->timeout_ms;
    if (status)
        return status;
    if (o->any && brokers > 1)
        return wait_for_any(cli, o, sel);
    return cli_each_of(cli, sel, o->any ? wait_for_any_of_one : wait_for_all, o);
}

static int run(struct cli *cli, void *to, int n, char **args)
{
    struct selection sel = { 0 };
    int status = cli_select(cli, n, args, &sel);
    if (status == 0)
        status = wait_for(cli, to, &sel);
    selection_fini(&sel);
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
