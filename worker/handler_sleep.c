/* handler_sleep.c - `sleep`: waits for as long as the payload says, in a thread, a child or on the
 * loop. */
#include "worker/handlers.h"

#include "proto/base/clock.h"
#include "proto/base/parse.h"

#include <time.h>

#define SLICE_MS 50 /* in which the blocking form hears that it should stop */

static int duration_of(struct tern_job *job, int64_t *ret_ms)
{
    size_t n;
    const char *p = tern_payload(job, &n);
    while (n && strchr(" \t\r\n", p[n - 1]) && p[n - 1])
        n--;
    cleanup(freep) char *text = xstrndup((struct str){ p, n });
    cleanup(freep) char *error = NULL;
    if (strlen(text) != n)
        return tern_fail_for_good(job, "the payload is no duration: it has a NUL byte");
    if (parse_duration(text, ret_ms, &error) < 0)
        return tern_fail_for_good(job, "the payload is no duration: %s", error ? error : text);
    return 0;
}

static int stopped(struct tern_job *job) { return tern_fail(job, "stopped while it slept"); }

static int sleep_blocking(struct tern_job *job)
{
    int64_t ms, end_us, left_us;
    int r = duration_of(job, &ms);
    if (r < 0)
        return r;
    end_us = ms < INT64_MAX / 2000 ? clock_mono_us() + ms * 1000 : INT64_MAX;
    while ((left_us = end_us - clock_mono_us()) > 0) {
        if (tern_should_stop(job))
            return stopped(job);
        int64_t slice_us = min_i64(left_us, SLICE_MS * 1000);
        nanosleep(&(struct timespec){ .tv_nsec = slice_us * 1000 }, NULL);
    }
    return 0;
}

static int sleep_async(struct tern_job *job)
{
    int64_t ms;
    int r = duration_of(job, &ms);
    if (r < 0)
        return r;
    return tern_await_ms(job, ms) < 0 ? stopped(job) : 0;
}

const struct tern_handler handler_sleep = {
    .name = "sleep",
    .description = "waits for a duration, such as 2s or 500ms",
    .blocking = sleep_blocking,
    .async = sleep_async,
    .tag = TERN_TAG_SLOW_IO,
};
