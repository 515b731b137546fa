/* cmd_why.c - `tern why`: why is a job not running? The broker answers from the very gates that
 * dispatch looks at. */
#include "client/commands.h"

#include <inttypes.h>

#include "client/each_job.h"
#include "client/json.h"
#include "client/table.h"

struct answer {
    const struct cli *cli;
    bool json, begun;
    uint64_t id;
    struct json j;
};

static void begin(struct answer *a, const char *state)
{
    if (a->json) {
        json_begin(&a->j);
        json_count(&a->j, "id", a->id);
        json_text(&a->j, "state", state);
        json_list(&a->j, "reasons");
    } else
        printf("job %s is %s%s%s\n", cli_id(a->cli, a->id).text, colour_of_state(state), state,
               *colour_of_state(state) ? colour_off() : "");
    a->begun = true;
}

static int take(void *context, const struct tern_reason *reason)
{
    struct answer *a = context;
    if (!a->begun)
        begin(a, reason->state);
    if (a->json) {
        json_item(&a->j);
        json_text(&a->j, "code", reason->code);
        json_text(&a->j, "text", reason->text);
        json_close(&a->j);
    } else {
        cleanup(freep) char *text = printable(reason->text ? reason->text : reason->code);
        printf("  %s\n", text);
    }
    return 0;
}

static int ask(struct cli *cli, void *options, uint64_t id)
{
    (void)options;
    struct answer a = { .cli = cli, .json = cli->json, .id = id };
    int r = tern_client_why(cli->client, id, take, &a);
    if (a.json && a.begun) {
        json_list_end(&a.j);
        cli_json_broker(cli, &a.j);
        json_print(&a.j);
    }
    if (r >= 0 && !a.begun)
        cli_notice("job %s: nothing stands in its way", cli_id(cli, id).text);
    return r < 0 ? cli_broken_job(cli, r, id) : 0;
}

static int run(struct cli *cli, void *to, int n, char **args)
{
    return each_job(cli, to, n, args, ask);
}

const struct command command_why = {
    .name = "why",
    .operands = "SEL",
    .summary = "why is a job not running",
    .run = run,
};
