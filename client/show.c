/* show.c - what several commands print of a job. */
#include "client/show.h"

#include <inttypes.h>

#include "client/describe.h"
#include "client/json.h"
#include "client/selector.h"

void show_json(const struct cli *cli, const struct tern_job_view *job)
{
    struct json j;
    json_begin(&j);
    json_job(&j, job);
    cli_json_broker(cli, &j);
    json_print(&j);
}

void show_ending(const struct cli *cli, const struct tern_job_view *job)
{
    cleanup(freep) char *how = describe_end(job->reason, job->exit_code, job->signal, job->error);
    if (strcmp(how, job->state) == 0 || !*how)
        cli_notice("job %s is %s", cli_id(cli, job->id).text, job->state);
    else
        cli_notice("job %s is %s: %s", cli_id(cli, job->id).text, job->state, how);
}

struct failures {
    const struct cli *cli;
    uint64_t n;
};

static int count_ending(void *context, const struct tern_job_view *job)
{
    struct failures *f = context;
    f->n++;
    show_ending(f->cli, job);
    return 0;
}

int show_failures(struct cli *cli, const struct tern_range *ranges, size_t n)
{
    static const char *const states[] = { "dead", "cancelled", "expired", NULL };
    struct failures failed = { .cli = cli };
    struct tern_filter f = { .ranges = ranges, .n_ranges = n, .states = states };
    int r = tern_client_list(cli->client, &f, count_ending, &failed);
    /* Not one is there that ended badly: that is good news. */
    if (r < 0 && r != -ENOENT)
        return cli_broken(cli, r);
    return failed.n ? STATUS_FAILED : 0;
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

static int by_id(const void *a, const void *b)
{
    const struct tern_range *x = a, *y = b;
    return x->first < y->first ? -1 : x->first > y->first;
}

static size_t unique(struct tern_range *ranges, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (!kept || ranges[kept - 1].first != ranges[i].first)
            ranges[kept++] = ranges[i];
    return kept;
}

/* last becomes 0 once it was seen. */
static int note_seen(void *context, const struct tern_job_view *job)
{
    struct selector *named = context;
    struct tern_range key = { job->id, job->id };
    struct tern_range *found = bsearch(&key, named->ranges, named->n, sizeof key, by_id);
    if (found)
        found->last = 0;
    return 0;
}

static int say_missing(const struct cli *cli, const struct selector *named)
{
    int status = 0;
    for (size_t i = 0; i < named->n; i++)
        if (named->ranges[i].last)
            status = cli_fail(STATUS_NOT_FOUND, "no such job: %s", cli_id(cli, named->ranges[i].first).text);
    return status;
}

int show_missing(struct cli *cli, const struct selector *sel)
{
    struct selector named = { 0 };
    int status = 0;
    for (size_t i = 0; i < sel->n; i++)
        if (sel->ranges[i].first == sel->ranges[i].last)
            selector_add_range(&named, sel->ranges[i].first, sel->ranges[i].last);
    if (named.n) {
        qsort(named.ranges, named.n, sizeof *named.ranges, by_id);
        named.n = unique(named.ranges, named.n);
        cleanup(freep) struct tern_range *asked = xcalloc(named.n, sizeof *asked);
        memcpy(asked, named.ranges, named.n * sizeof *asked);
        struct tern_filter f = { .ranges = asked, .n_ranges = named.n };
        int r = tern_client_list(cli->client, &f, note_seen, &named);
        status = r < 0 && r != -ENOENT ? cli_broken(cli, r) : say_missing(cli, &named);
    }
    selector_fini(&named);
    return status;
}
