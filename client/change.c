/* change.c - what cancel, retry and rm share. */
#include "client/change.h"

#include <inttypes.h>

#include "client/json.h"
#include "client/selector.h"
#include "client/show.h"

struct refusals {
    const struct cli *cli;
    int status; /* of the first; 0: none */
    struct json j;
};

static void on_refusal(void *context, uint64_t job, int status, const char *text)
{
    struct refusals *r = context;
    if (!r->status)
        r->status = status;
    if (!r->cli->json) {
        cli_notice("job %s: %s", cli_id(r->cli, job).text, text);
        return;
    }
    json_item(&r->j);
    json_count(&r->j, "id", job);
    json_number(&r->j, "status", status);
    json_text(&r->j, "text", text);
    json_close(&r->j);
}

static void print_json(struct refusals *r, const struct tern_changed *c)
{
    json_list_end(&r->j);
    json_count(&r->j, "changed", c->changed);
    json_count(&r->j, "skipped", c->skipped);
    cli_json_broker(r->cli, &r->j);
    json_print(&r->j);
}

struct change {
    change_fn *change;
    const char *skipped;
};

/* Jobs that do not exist are looked for first: the broker refuses what is there, and after rm
 * nothing is. */
static int change_selected(struct cli *cli, void *context, const struct selector *sel)
{
    const struct change *c = context;
    struct tern_changed changed = { 0 };
    struct refusals refusals = { .cli = cli };
    json_begin(&refusals.j);
    json_list(&refusals.j, "refused");
    int missing = sel->n > 1 ? show_missing(cli, sel) : 0;
    int r = c->change(cli->client, sel->ranges, sel->n, on_refusal, &refusals, &changed);
    if (r >= 0 && cli->json)
        print_json(&refusals, &changed);
    else
        json_fini(&refusals.j);
    if (r < 0)
        return cli_broken_jobs(cli, r, sel);
    if (changed.skipped && !cli->json)
        cli_notice("%" PRIu64 " %s", changed.skipped, c->skipped);
    return missing ? missing : refusals.status;
}

int change_jobs(struct cli *cli, int n, char **args, change_fn *change, const char *skipped)
{
    struct change c = { change, skipped };
    return cli_each_selected(cli, n, args, change_selected, &c);
}
