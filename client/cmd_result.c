/* cmd_result.c - `tern result`: the result's bytes, and nothing else, on standard output. */
#include "client/commands.h"

#include <inttypes.h>

#include "client/describe.h"
#include "client/each_job.h"
#include "client/json.h"
#include "proto/base/utf8.h"

static void print_json(const struct cli *cli, const struct tern_result *r)
{
    struct str data = { r->data, r->data_bytes };
    struct json j;
    json_begin(&j);
    json_count(&j, "id", r->job);
    json_text(&j, "state", r->state);
    json_count(&j, "attempt", r->attempt);
    json_text(&j, "reason", r->reason);
    json_number(&j, "exit_code", r->exit_code);
    json_number(&j, "signal", r->signal);
    json_text(&j, "error", r->error);
    json_bytes(&j, "result", utf8_is_text(data) ? data : STR_UNSET);
    json_base64(&j, "result_base64", data);
    cli_json_broker(cli, &j);
    json_print(&j);
}

static bool is_terminal(const char *state)
{
    static const char *const ends[] = { "done", "dead", "cancelled", "expired" };
    for (size_t i = 0; i < ELEMENTS(ends); i++)
        if (strcmp(state, ends[i]) == 0)
            return true;
    return false;
}

static int show(const struct cli *cli, const struct tern_result *r)
{
    if (!is_terminal(r->state))
        return cli_fail(STATUS_REFUSED,
                        "job %s has not finished: it is %s (`tern wait %s` waits for it)",
                        cli_id(cli, r->job).text, r->state, cli_id(cli, r->job).text);
    if (cli->json)
        print_json(cli, r);
    else if (r->data)
        fwrite(r->data, 1, r->data_bytes, stdout);
    if (strcmp(r->state, "done") == 0)
        return 0;
    cleanup(freep) char *how = describe_end(r->reason, r->exit_code, r->signal, r->error);
    return cli_fail(STATUS_FAILED, "job %s is %s%s%s", cli_id(cli, r->job).text, r->state, *how ? ": " : "",
                    how);
}

static int fetch(struct cli *cli, void *options, uint64_t id)
{
    (void)options;
    struct tern_result result;
    int r = tern_client_fetch_result(cli->client, id, &result);
    if (r < 0)
        return cli_broken_job(cli, r, id);
    int status = show(cli, &result);
    tern_result_fini(&result);
    return status;
}

static int run(struct cli *cli, void *to, int n, char **args)
{
    return each_job(cli, to, n, args, fetch);
}

const struct command command_result = {
    .name = "result",
    .operands = "SEL",
    .summary = "print a job's result (of a command: its standard output)",
    .run = run,
};
