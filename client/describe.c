/* describe.c - jobs in a few words. */
#include "client/describe.h"

#include <inttypes.h>

#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/base/parse.h"

static char *ending(const char *reason, int64_t exit_code, int64_t signal)
{
    static const struct {
        const char *reason, *text;
    } texts[] = {
        { "time-limit", "over its time limit" },        { "memory-limit", "over its memory limit" },
        { "handler-error", "the handler failed" },      { "cancelled", "cancelled" },
        { "expired", "expired before it could start" }, { "worker-lost", "its worker was lost" },
    };
    if (!reason)
        return xstrdup("");
    if (strcmp(reason, "exit") == 0)
        return xasprintf("exit status %" PRId64, exit_code == TERN_UNSET ? 0 : exit_code);
    if (strcmp(reason, "signal") == 0)
        return xasprintf("signal %" PRId64 " (%s)", signal,
                         signal > 0 && signal < 65 ? strsignal((int)signal) : "?");
    for (size_t i = 0; i < ELEMENTS(texts); i++)
        if (strcmp(texts[i].reason, reason) == 0)
            return xstrdup(texts[i].text);
    return xstrdup(reason);
}

char *describe_end(const char *reason, int64_t exit_code, int64_t signal, const char *error)
{
    return error && *error ? xstrdup(error) : ending(reason, exit_code, signal);
}

char *describe_work(const struct tern_job_view *job)
{
    if (!job->command)
        return xstrdup(job->handler ? job->handler : "-");
    struct buf b;
    buf_init(&b, SIZE_MAX / 4);
    for (size_t i = 0; job->command[i]; i++)
        buf_addf(&b, "%s%s", i ? " " : "", job->command[i]);
    buf_add(&b, "", 1);
    return b.p;
}

static const char *pool_of_tag(const char *tag)
{
    return strcmp(tag, "cpu") == 0 ? "process" : strcmp(tag, "io") == 0 ? "thread" : "loop";
}

char *describe_pool(const struct tern_job_view *job)
{
    static const struct {
        const char *by, *text;
    } texts[] = {
        { "job", "the job's own tag" },
        { "handler", "its handler's tag" },
        { "auto", "auto, from what was measured of earlier runs:" },
    };
    if (!job->pool || !job->pool_by || !job->pool_tag)
        return job->pool ? xstrdup(job->pool) : NULL;
    if (strcmp(job->pool_by, "suspect") == 0)
        return xasprintf("%s (a worker was lost under it)", job->pool);
    const char *form = strcmp(pool_of_tag(job->pool_tag), job->pool) == 0 ? "" : "; its handler has no form for another pool";
    for (size_t i = 0; i < ELEMENTS(texts); i++)
        if (strcmp(texts[i].by, job->pool_by) == 0)
            return xasprintf("%s (%s %s%s)", job->pool, texts[i].text, job->pool_tag, form);
    return xasprintf("%s (auto, and too little is known of earlier runs, or it has a memory limit%s)", job->pool, form);
}

char *describe_us(int64_t us)
{
    if (us == TERN_UNSET)
        return NULL;
    return us < 1000000 ? xasprintf("%.1f ms", (double)us / 1e3)
                        : xasprintf("%.2f s", (double)us / 1e6);
}

char *describe_age(int64_t ms)
{
    static const struct {
        int64_t ms;
        const char *unit;
    } units[] = { { 86400000, "d" }, { 3600000, "h" }, { 60000, "m" }, { 1000, "s" } };
    if (ms == TERN_UNSET)
        return NULL;
    int64_t age = max_i64(0, clock_now().wall_ms - ms);
    for (size_t i = 0; i < ELEMENTS(units); i++)
        if (age >= units[i].ms)
            return xasprintf("%" PRId64 "%s", age / units[i].ms, units[i].unit);
    return xstrdup("now");
}

char *describe_time(int64_t ms)
{
    char text[FORMAT_BYTES];
    return ms == TERN_UNSET ? NULL : xstrdup(format_time(ms, text));
}
