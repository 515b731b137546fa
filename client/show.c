/* show.c - what several commands print of a job. */
#include "client/show.h"

#include <inttypes.h>

#include "client/describe.h"
#include "client/json.h"
#include "client/table.h"

void show_json(const struct tern_job_view *job)
{
    struct json j;
    json_begin(&j);
    json_job(&j, job);
    json_print(&j);
}

void show_ending(const struct tern_job_view *job)
{
    cleanup(freep) char *how = describe_end(job->reason, job->exit_code, job->signal, job->error);
    cleanup(freep) char *text = printable(how);
    if (strcmp(text, job->state) == 0 || !*text)
        cli_notice("job %" PRIu64 " is %s", job->id, job->state);
    else
        cli_notice("job %" PRIu64 " is %s: %s", job->id, job->state, text);
}

static int count_ending(void *context, const struct tern_job_view *job)
{
    ++*(uint64_t *)context;
    show_ending(job);
    return 0;
}

int show_failures(struct cli *cli, const struct tern_range *ranges, size_t n)
{
    static const char *const states[] = { "dead", "cancelled", "expired", NULL };
    uint64_t failed = 0;
    struct tern_filter f = { .ranges = ranges, .n_ranges = n, .states = states };
    int r = tern_client_list(cli->client, &f, count_ending, &failed);
    /* Not one is there that ended badly: that is good news. */
    if (r < 0 && r != -ENOENT)
        return cli_broken(cli, r);
    return failed ? STATUS_FAILED : 0;
}

void show_output(const struct tern_result *r, int only_stream)
{
    size_t position = 0, n;
    int stream;
    const void *bytes;
    uint64_t cut;
    while (tern_output_next(r, &position, &stream, &bytes, &n, &cut)) {
        if (stream == 3) {
            fflush(stdout);
            cli_notice("here %" PRIu64 " bytes of output are left out: it was over the limit", cut);
        } else if (!only_stream || stream == only_stream) {
            if (stream == 2)
                fflush(stdout);
            fwrite(bytes, 1, n, stream == 1 || only_stream ? stdout : stderr);
        }
    }
}

int show_missing(uint64_t id) { return cli_fail(STATUS_NOT_FOUND, "no such job: %" PRIu64, id); }

static bool is_among(uint64_t id, const uint64_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] == id)
            return true;
    return false;
}

int show_missing_of(const struct tern_range *ranges, size_t n, const uint64_t *ids, size_t n_ids)
{
    int status = 0;
    for (size_t i = 0; i < n; i++)
        if (ranges[i].first == ranges[i].last && !is_among(ranges[i].first, ids, n_ids))
            status = show_missing(ranges[i].first);
    return status;
}
