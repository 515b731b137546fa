/* cli_brokers.c - which of the brokers a command asks, one after the other. */
#include "client/cli.h"
#include "client/selector.h"
#include "proto/socket.h"

bool cli_has_several(const struct cli *cli) { return cli->brokers.n > 1; }

const char *cli_address(const struct cli *cli) { return cli->brokers.at[cli->place].address; }

void cli_keep_first(int *status, int one)
{
    if (*status == 0)
        *status = one;
}

int cli_open(struct cli *cli)
{
    char *error = NULL;
    if (cli->brokers.n)
        return 0;
    int r = address_find(&cli->where, cli->config, &error);
    if (r >= 0)
        r = brokers_read(&cli->brokers, &cli->where, &error);
    if (r >= 0)
        return 0;
    cli_notice("%s", error);
    free(error);
    return STATUS_USAGE;
}

/* An address without keys is refused where it needs them, with what to do. */
static int set_keys(struct cli *cli, const struct broker *b)
{
    if (!address_is_tcp(b->address) || !cli->where.key || !b->key)
        return 0;
    return tern_client_set_keys(b->client, cli->where.key, b->key);
}

static int connect_to(struct cli *cli, struct broker *b)
{
    cli->client = b->client = tern_client_new();
    tern_client_set_timeouts(b->client, min_i64(5000, cli->broker_timeout_ms), cli->broker_timeout_ms);
    int r = set_keys(cli, b);
    if (r >= 0)
        r = tern_client_connect(b->client, b->address);
    return r < 0 ? cli_broken(cli, r) : 0;
}

int cli_use(struct cli *cli, size_t place)
{
    struct broker *b = &cli->brokers.at[place];
    cli->place = place;
    cli->client = b->client;
    if (!b->client)
        b->status = connect_to(cli, b);
    return b->status;
}

int cli_use_home(struct cli *cli, const char *queue)
{
    int status = cli_open(cli);
    if (status)
        return status;
    queue = queue ? queue : "default";
    status = cli_use(cli, brokers_home(&cli->brokers, queue));
    if (status == STATUS_NO_BROKER && cli_has_several(cli))
        cli_notice("the queue %s lives on broker %zu, and nowhere else: try again when it is back", queue, cli->place + 1);
    return status;
}

int cli_each_broker(struct cli *cli, broker_fn *fn, void *context)
{
    int status = cli_open(cli);
    bool silent = false;
    if (status)
        return status;
    for (size_t i = 0; i < cli->brokers.n; i++) {
        int one = cli_use(cli, i);
        one = one ? one : fn(cli, context);
        if (one == STATUS_NO_BROKER)
            silent = true;
        else
            cli_keep_first(&status, one);
    }
    cli_keep_first(&status, silent ? STATUS_NO_BROKER : 0);
    return status;
}

/* ---- the jobs of each ------------------------------------------------------------------------ */

struct newest {
    uint64_t id;
    int64_t submitted_ms;
    size_t place;
};

static int take_newest(void *context, const struct tern_job_view *job)
{
    struct newest *n = context;
    n->id = job->id;
    n->submitted_ms = job->submitted_ms;
    return 1;
}

/* Of the broker that is asked. One that does not answer might have the newest: then there is no answer. */
static int find_newest(struct cli *cli, size_t place, struct newest *ret)
{
    struct tern_filter newest = { .own = true, .newest_first = true, .limit = 1 };
    struct newest found = { .place = place };
    int status = cli_use(cli, place);
    if (status)
        return status;
    int r = tern_client_list(cli->client, &newest, take_newest, &found);
    if (r < 0)
        return cli_broken(cli, r);
    if (found.id && (!ret->id || found.submitted_ms > ret->submitted_ms))
        *ret = found;
    return 0;
}

static int resolve_last(struct cli *cli, struct selection *sel, size_t begin, size_t end)
{
    struct newest newest = { 0 };
    for (size_t i = begin; i < end; i++) {
        int status = find_newest(cli, i, &newest);
        if (status)
            return status;
    }
    if (!newest.id)
        return cli_fail(STATUS_NOT_FOUND, "last: you have submitted no job yet");
    selector_add_range(&sel->of[newest.place], newest.id, newest.id);
    return 0;
}

static int read_selectors(int n, char **args, struct selection *sel)
{
    char *error = NULL;
    int r = n > 0 ? 0 : -EINVAL;
    if (n == 0)
        error = xstrdup("which job? Name an id, a range 5-9, a list 5,7,12-20, `last` or `all`");
    for (int i = 0; r >= 0 && i < n; i++)
        r = selection_add(sel, args[i], &error);
    if (r >= 0)
        return 0;
    cli_notice("%s", error);
    free(error);
    return STATUS_USAGE;
}

/* Who does not answer is said before a long wait for the others. */
static int prepare(struct cli *cli, struct selector *sel, size_t place)
{
    if (sel->n)
        cli_use(cli, place);
    return selector_compact(sel) < 0
               ? cli_fail(STATUS_USAGE, "too many ranges of jobs at once: name fewer, or a wider range")
               : 0;
}

int cli_select(struct cli *cli, int n, char **args, struct selection *sel)
{
    int status = cli_open(cli);
    if (status)
        return status;
    selection_init(sel, cli->brokers.n);
    status = read_selectors(n, args, sel);
    if (status == 0 && sel->last)
        status = resolve_last(cli, sel, 0, sel->n);
    for (size_t i = 0; status == 0 && i < sel->n; i++) {
        if (sel->of[i].last)
            status = resolve_last(cli, sel, i, i + 1);
        if (status == 0)
            status = prepare(cli, &sel->of[i], i);
    }
    return status;
}

int cli_each_of(struct cli *cli, const struct selection *sel, selected_fn *fn, void *context)
{
    int status = 0;
    size_t none = 0;
    for (size_t i = 0; i < sel->n; i++) {
        if (!sel->of[i].n)
            continue;
        int one = cli_use(cli, i);
        cli->all_of_several = sel->all && sel->n > 1 && sel->of[i].n == 1;
        one = one ? one : fn(cli, context, &sel->of[i]);
        if (cli->all_of_several && one == STATUS_NOT_FOUND)
            none++;
        else
            cli_keep_first(&status, one);
    }
    cli->all_of_several = false;
    return none && none == sel->n ? cli_no_jobs(cli) : status;
}

int cli_each_selected(struct cli *cli, int n, char **args, selected_fn *fn, void *context)
{
    struct selection sel = { 0 };
    int status = cli_select(cli, n, args, &sel);
    if (status == 0)
        status = cli_each_of(cli, &sel, fn, context);
    selection_fini(&sel);
    return status;
}
