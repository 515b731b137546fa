/* cmd_logs.c - `tern logs`: standard output and error of an attempt, in the order they were
 * written. */
#include "client/commands.h"

#include <inttypes.h>

#include "client/each_job.h"
#include "client/json.h"
#include "client/show.h"
#include "proto/base/utf8.h"

struct logs_options {
    bool only_stderr;
    int64_t attempt;
};

static const struct option_def options[] = {
    { .name = "stderr",
      .help = "standard error alone, on standard output",
      .type = OPTION_FLAG,
      .offset = offsetof(struct logs_options, only_stderr) },
    { .name = "attempt",
      .value = "N",
      .help = "of this attempt (the last)",
      .type = OPTION_NUMBER,
      .offset = offsetof(struct logs_options, attempt),
      .min = 1,
      .max = INT64_MAX },
    { 0 },
};

static void print_chunk(const struct cli *cli, const struct tern_result *r, int stream, struct str bytes, uint64_t cut)
{
    static const char *const streams[] = { "", "stdout", "stderr", "cut" };
    struct json j;
    json_begin(&j);
    json_count(&j, "id", r->job);
    json_count(&j, "attempt", r->attempt);
    json_text(&j, "stream", streams[stream]);
    json_bytes(&j, "text", stream != 3 && utf8_is_text(bytes) ? bytes : STR_UNSET);
    json_base64(&j, "base64", stream == 3 ? STR_UNSET : bytes);
    json_number(&j, "cut_bytes", stream == 3 ? (int64_t)cut : TERN_UNSET);
    cli_json_broker(cli, &j);
    json_print(&j);
}

static void print_chunks(const struct cli *cli, const struct tern_result *r, int only_stream)
{
    size_t position = 0, n;
    int stream;
    const void *bytes;
    uint64_t cut;
    while (tern_output_next(r, &position, &stream, &bytes, &n, &cut))
        if (!only_stream || stream == only_stream || stream == 3)
            print_chunk(cli, r, stream, (struct str){ bytes, n }, cut);
}

static int fetch(struct cli *cli, void *to, uint64_t id)
{
    const struct logs_options *o = to;
    struct tern_result result;
    int r = tern_client_fetch_output(cli->client, id, (uint64_t)o->attempt, &result);
    if (r == -ENOENT && o->attempt)
        return cli_fail(STATUS_NOT_FOUND,
                        "no such job, or no such attempt: %s, attempt %" PRId64, cli_id(cli, id).text,
                        o->attempt);
    if (r < 0)
        return cli_broken_job(cli, r, id);
    int only_stream = o->only_stderr ? 2 : 0, status = 0;
    if (!result.data && strcmp(result.state, "done") != 0 && !result.reason)
        status = cli_fail(STATUS_REFUSED, "job %s has no output yet: it is %s", cli_id(cli, id).text,
                          result.state);
    else if (cli->json)
        print_chunks(cli, &result, only_stream);
    else
        show_output(&result, only_stream);
    tern_result_fini(&result);
    return status;
}

static int run(struct cli *cli, void *to, int n, char **args)
{
    return each_job(cli, to, n, args, fetch);
}

const struct command command_logs = {
    .name = "logs",
    .operands = "SEL",
    .summary = "print what a job wrote: output and error in order",
    .options = options,
    .options_bytes = sizeof(struct logs_options),
    .run = run,
};
