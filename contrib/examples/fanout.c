/* fanout.c - a module with a job that splits its work among children: `words` counts the words of its payload, each line in a job of
 * its own (`words-of-line`), wherever there is room, and adds up.
 *
 *     cc -shared -fPIC -o fanout.so fanout.c && cp fanout.so MODULES/
 *     tern submit --wait --handler words --payload @poem.txt
 *
 * Both forms are the same function: in a process, in a thread and on the loop its slot is free while it waits. When its worker
 * dies, the next attempt finds the children of this one, and counts no line twice. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tern/handler.h>

#define LINES_MAX 10000

static int words_of_line(struct tern_job *job)
{
    size_t n, words = 0;
    const char *p = tern_payload(job, &n);
    for (size_t i = 0; i < n; i++)
        words += p[i] != ' ' && (i + 1 == n || p[i + 1] == ' ');
    char text[24];
    return tern_result(job, text, (size_t)snprintf(text, sizeof text, "%zu", words));
}

/* A child for each line. Returns how many, or what tern_fail returned. */
static int split(struct tern_job *job, struct tern_child *children)
{
    size_t bytes, n = 0;
    const char *p = tern_payload(job, &bytes), *end = p + bytes;
    while (p < end) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        size_t length = (size_t)((stop ? stop : end) - p);
        if (n == LINES_MAX)
            return tern_fail_for_good(job, "more than %d lines", LINES_MAX);
        children[n++] = (struct tern_child){ .handler = "words-of-line", .payload = p, .payload_bytes = length };
        p += length + 1;
    }
    return (int)n;
}

static int add(struct tern_job *job, uint64_t child, long *sum)
{
    void *bytes;
    size_t n;
    char text[24] = "";
    int r = tern_child_result(job, child, &bytes, &n);
    if (r < 0)
        return r;
    if (n && n < sizeof text)
        memcpy(text, bytes, n);
    *sum += strtol(text, NULL, 10);
    free(bytes);
    return 0;
}

static int words(struct tern_job *job)
{
    struct tern_child *children = calloc(LINES_MAX, sizeof *children);
    uint64_t *ids = calloc(LINES_MAX, sizeof *ids);
    long sum = 0;
    int n = children && ids ? split(job, children) : tern_fail(job, "out of memory");
    int r = n < 0 ? n : tern_spawn_many(job, children, (size_t)n, ids);
    if (r >= 0)
        r = tern_await_children(job, ids, (size_t)n, NULL); /* each must be done */
    for (int i = 0; i < n && r >= 0; i++)
        r = add(job, ids[i], &sum);
    free(children);
    free(ids);
    char text[24];
    return r < 0 ? r : tern_result(job, text, (size_t)snprintf(text, sizeof text, "%ld", sum));
}

static const struct tern_handler handlers[] = {
    { .name = "words", .description = "counts words, each line in a child", .blocking = words, .async = words, .tag = TERN_TAG_SLOW_IO,
      .retries = 2 },
    { .name = "words-of-line", .description = "counts the words of one line", .blocking = words_of_line, .tag = TERN_TAG_CPU,
      .retries = 2 },
};
TERN_MODULE(handlers);
