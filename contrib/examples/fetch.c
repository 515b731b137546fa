/* fetch.c - an async handler: fetches many pages at once, and says of each how it went.
 *
 *      cc -shared -fPIC -o fetch.so fetch.c     into the worker's module path (--modules DIR)
 *      printf '%s\n' http://a.example/ http://b.example/ | tern submit --handler fetch --payload -
 *
 * It is straight-line code: while one page is awaited, the same thread goes on with the others, and with other jobs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tern/handler.h>

#define PAGES_MOST 1000

struct page {
    char *url;
    int status;   /* of the answer; 0: there was none */
    size_t bytes;
};

/* One page, as a task of its own. That one is not there is no reason for the others to end. */
static int fetch_page(struct tern_job *job, void *arg)
{
    struct page *page = arg;
    struct tern_reply reply;
    int r = tern_await_http(job, &(struct tern_http){ .url = page->url, .timeout_ms = 30000 }, &reply);
    if (r == 0) {
        page->status = reply.status;
        page->bytes = reply.n;
    } else if (reply.error) {
        tern_log(job, "%s: %s", page->url, reply.error);
    }
    tern_reply_free(&reply);
    return r == -ECANCELED ? r : 0;
}

static int report(struct tern_job *job, const struct page *pages, size_t n)
{
    char *text = NULL;
    size_t bytes;
    FILE *f = open_memstream(&text, &bytes);
    if (!f)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        fprintf(f, "%d %zu %s\n", pages[i].status, pages[i].bytes, pages[i].url);
    int r = fclose(f) == 0 ? tern_result(job, text, bytes) : -ENOMEM;
    free(text);
    return r;
}

static int fetch_all(struct tern_job *job, struct page *pages, size_t n)
{
    struct tern_task **tasks = calloc(n + 1, sizeof *tasks);
    int r = tasks ? 0 : -ENOMEM;
    size_t started = 0;
    while (r == 0 && started < n && (r = tern_start(job, &tasks[started], fetch_page, &pages[started])) == 0)
        started++;
    if (r == 0)
        r = tern_await_all(job, tasks, n);
    tern_end_all(job); /* before what they use goes away */
    free(tasks);
    return r == 0 ? report(job, pages, n) : r;
}

/* One URL a line. */
static int fetch(struct tern_job *job)
{
    static const char blank[] = "\r\n";
    size_t bytes, n = 0;
    const char *payload = tern_payload(job, &bytes);
    char *text = strndup(payload, bytes), *rest = NULL;
    struct page *pages = calloc(PAGES_MOST + 1, sizeof *pages);
    int r = text && pages ? 0 : -ENOMEM;
    for (char *url = text ? strtok_r(text, blank, &rest) : NULL; r == 0 && url && n <= PAGES_MOST; url = strtok_r(NULL, blank, &rest))
        pages[n++].url = url;
    if (r == 0 && n > PAGES_MOST)
        r = tern_fail_for_good(job, "more than %d pages", PAGES_MOST);
    if (r == 0)
        r = fetch_all(job, pages, n);
    free(pages);
    free(text);
    return r;
}

static const struct tern_handler handlers[] = {
    {
        .name = "fetch",
        .description = "fetches pages, one URL a line, all at once",
        .async = fetch,
        .tag = TERN_TAG_SLOW_IO,
        .retries = 3,
    },
};
TERN_MODULE(handlers);
