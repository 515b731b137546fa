/* each_job.c - walks over a selector. A job that is named alone is asked for at once; of a range,
 * page by page, those that exist. */
#include "client/each_job.h"

#include "client/selector.h"

#define IDS_AT_ONCE 1000u

/* A page of ids: nothing may be asked while a list is under way. */
struct page {
    uint64_t ids[IDS_AT_ONCE];
    size_t n;
};

static int take_id(void *context, const struct tern_job_view *job)
{
    struct page *p = context;
    p->ids[p->n++] = job->id;
    return p->n == IDS_AT_ONCE;
}

static int each_of_range(struct cli *cli, void *options, struct tern_range range, each_job_fn *fn)
{
    int status = 0;
    bool any = false;
    for (;;) {
        struct page page = { .n = 0 };
        struct tern_filter f = { .ranges = &range, .n_ranges = 1, .limit = IDS_AT_ONCE };
        int r = tern_client_list(cli->client, &f, take_id, &page);
        if (r < 0 && !(r == -ENOENT && any))
            return cli_broken(cli, r);
        for (size_t i = 0; i < page.n; i++)
            cli_keep_first(&status, fn(cli, options, page.ids[i]));
        any = any || page.n;
        if (!page.n || page.n < IDS_AT_ONCE || page.ids[page.n - 1] >= range.last)
            return any ? status : cli_no_jobs(cli);
        range.first = page.ids[page.n - 1] + 1;
    }
}

struct walk {
    void *options;
    each_job_fn *fn;
};

static int each_of_broker(struct cli *cli, void *context, const struct selector *sel)
{
    const struct walk *w = context;
    int status = 0;
    for (size_t i = 0; i < sel->n; i++) {
        struct tern_range range = sel->ranges[i];
        cli_keep_first(&status, range.first == range.last ? w->fn(cli, w->options, range.first)
                                                          : each_of_range(cli, w->options, range, w->fn));
    }
    return status;
}

int each_job(struct cli *cli, void *options, int n, char **args, each_job_fn *fn)
{
    struct walk w = { options, fn };
    return cli_each_selected(cli, n, args, each_of_broker, &w);
}
