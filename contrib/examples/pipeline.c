/* pipeline.c - a hybrid: an async handler that fetches on the loop, computes in processes, and writes files in threads.
 *
 *      cc -shared -fPIC -o pipeline.so pipeline.c     into the worker's module path (--modules DIR)
 *      { echo /srv/pages; seq -f http://a.example/%g 1000; } | tern submit --handler pipeline --payload -
 *
 * The first line is a directory, each other line a page: it is fetched, packed (by counting equal bytes, which stands for
 * something that takes a processor), and written as DIRECTORY/N.packed. All pages are under way at once; each step runs
 * where it belongs, and as many of them at a time as that pool has slots. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tern/handler.h>

#define ITEMS_MOST 10000

struct item {
    char *url;
    int directory; /* the same for all */
    size_t number;
    const void *packed; /* while it is written */
    size_t bytes_fetched, bytes_packed;
};

/* ---- in a process ------------------------------------------------------------------------------ */

/* Each run of up to 255 equal bytes becomes two: how many, and which. A crash here costs this call alone. */
static int pack(struct tern_job *job)
{
    size_t n, bytes = 0;
    const unsigned char *in = tern_payload(job, &n);
    unsigned char *out = malloc(2 * n + 1);
    if (!out)
        return tern_fail(job, "no memory for %zu bytes", n);
    for (size_t i = 0, run; i < n; i += run) {
        for (run = 1; run < 255 && i + run < n && in[i + run] == in[i];)
            run++;
        out[bytes++] = (unsigned char)run;
        out[bytes++] = in[i];
    }
    int r = tern_result(job, out, bytes);
    free(out);
    return r < 0 ? tern_fail_for_good(job, "packed it is larger than a result may be") : 0;
}

/* ---- in a thread ------------------------------------------------------------------------------- */

static int write_all(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t written = write(fd, bytes, n);
        if (written < 0 && errno != EINTR)
            return -errno;
        bytes += written > 0 ? written : 0;
        n -= written > 0 ? (size_t)written : 0;
    }
    return 0;
}

/* Whole or not at all, so that the job can be run again. */
static int write_file(struct tern_job *job, void *arg)
{
    const struct item *item = arg;
    char name[64], fresh[64];
    snprintf(name, sizeof name, "%zu.packed", item->number);
    snprintf(fresh, sizeof fresh, ".%zu.new", item->number);
    int fd = openat(item->directory, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return tern_fail(job, "%s cannot be made: %s", fresh, strerror(errno));
    int r = write_all(fd, item->packed, item->bytes_packed);
    if (close(fd) < 0 && r == 0)
        r = -errno;
    if (r == 0 && renameat(item->directory, fresh, item->directory, name) < 0)
        r = -errno;
    return r < 0 ? tern_fail(job, "%s cannot be written: %s", name, strerror(-r)) : 0;
}

/* ---- on the loop ------------------------------------------------------------------------------- */

static int fetch(struct tern_job *job, const struct item *item, struct tern_reply *page)
{
    int r = tern_await_http(job, &(struct tern_http){ .url = item->url }, page);
    if (r < 0)
        return page->error ? tern_fail(job, "%s: %s", item->url, page->error) : r;
    return page->status == 200 ? 0 : tern_fail(job, "%s: the server answered %d", item->url, page->status);
}

static int do_item(struct tern_job *job, void *arg)
{
    struct item *item = arg;
    struct tern_reply page, packed = { 0 };
    int r = fetch(job, item, &page);
    if (r == 0) {
        item->bytes_fetched = page.n;
        r = tern_await_process(job, &(struct tern_process){ .function = "pack", .in = page.bytes, .in_bytes = page.n }, &packed);
        if (r < 0 && packed.error)
            r = tern_fail(job, "%s: %s", item->url, packed.error);
    }
    if (r == 0) {
        item->packed = packed.bytes;
        item->bytes_packed = packed.n;
        r = tern_await_thread(job, write_file, item);
    }
    tern_reply_free(&packed);
    tern_reply_free(&page);
    return r;
}

static int report(struct tern_job *job, const struct item *items, size_t n)
{
    char text[128];
    size_t fetched = 0, packed = 0;
    for (size_t i = 0; i < n; i++) {
        fetched += items[i].bytes_fetched;
        packed += items[i].bytes_packed;
    }
    int bytes = snprintf(text, sizeof text, "%zu items, %zu bytes, packed %zu\n", n, fetched, packed);
    return tern_result(job, text, (size_t)bytes);
}

/* The first item that fails ends them all. */
static int do_all(struct tern_job *job, struct item *items, size_t n)
{
    struct tern_task **tasks = calloc(n + 1, sizeof *tasks);
    int r = tasks ? 0 : -ENOMEM;
    for (size_t i = 0; i < n && r == 0; i++)
        r = tern_start(job, &tasks[i], do_item, &items[i]);
    if (r == 0)
        r = tern_await_all(job, tasks, n);
    tern_end_all(job); /* before what they use goes away */
    free(tasks);
    return r == 0 ? report(job, items, n) : r;
}

static int do_lines(struct tern_job *job, char *text, struct item *items)
{
    static const char blank[] = "\r\n";
    char *rest = NULL, *directory = strtok_r(text, blank, &rest);
    size_t n = 0;
    int fd = directory ? open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd < 0)
        return tern_fail_for_good(job, "the first line, `%s`, is no directory: %s", directory ? directory : "",
                                  directory ? strerror(errno) : "it is empty");
    for (char *url; n <= ITEMS_MOST && (url = strtok_r(NULL, blank, &rest)); n++)
        items[n] = (struct item){ .url = url, .directory = fd, .number = n + 1 };
    int r = n > ITEMS_MOST ? tern_fail_for_good(job, "more than %d items", ITEMS_MOST) : do_all(job, items, n);
    close(fd);
    return r;
}

static int pipeline(struct tern_job *job)
{
    size_t bytes;
    const char *payload = tern_payload(job, &bytes);
    char *text = strndup(payload, bytes);
    struct item *items = calloc(ITEMS_MOST + 1, sizeof *items);
    int r = text && items ? do_lines(job, text, items) : -ENOMEM;
    free(items);
    free(text);
    return r;
}

static const struct tern_handler handlers[] = {
    {
        .name = "pipeline",
        .description = "a directory, then URLs, one a line: each page is fetched, packed, and written there",
        .async = pipeline,
        .tag = TERN_TAG_SLOW_IO,
        .retries = 3,
    },
};
static const struct tern_function functions[] = {
    { "pack", pack },
};
TERN_MODULE_WITH(handlers, functions);
