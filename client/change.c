/* change.c - what cancel, retry and rm share. */
#include "client/change.h"

#include <inttypes.h>

#include "client/json.h"
#include "client/selector.h"
#include "client/show.h"

struct refusals {
    int status; /* of the first; 0: none */
    bool json;
    struct json j;
};

static void on_refusal(void *context, uint64_t job, int status, const char *text)
{
    struct refusals *r = context;
    if (!r->status)
        r->status = status;
    if (!r->json) {
        cli_notice("job %" PRIu64 ": %s", job, text);
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
    json_print(&r->j);
}

/* Jobs that do not exist are looked for first: the broker refuses what is there, and after rm
 * nothing is. */
static int change_selected(struct cli *cli, const struct selector *sel, change_fn *change,
                           const char *skipped)
{
    struct tern_changed changed = { 0 };
    struct refusals refusals = { .json = cli->json };
    json_begin(&refusals.j);
    json_list(&refusals.j, "refused");
    int missing = sel->n > 1 ? show_missing(cli, sel) : 0;
    int r = change(cli->client, sel->ranges, sel->n, on_refusal, &refusals, &changed);
    if (r >= 0 && cli->json)
        print_json(&refusals, &changed);
    else
        json_fini(&refusals.j);
    if (r < 0)
        return cli_broken_jobs(cli, r, sel);
    if (changed.skipped && !cli->json)
        cli_notice("%" PRIu64 " %s", changed.skipped, skipped);
    return missing ? missing : refusals.status;
}

int change_jobs(struct cli *cli, int n, char **args, change_fn *change, const char *skipped)
{
    struct selector sel = { 0 };
    int status = cli_select(cli, n, args, &sel);
    if (status == 0)
        status = change_selected(cli, &sel, change, skipped);
    selector_fini(&sel);
    return status;
}
