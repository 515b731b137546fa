/* clock_handler.c - the handlers of the benchmark's worker: built-in ones, those of load_handlers.c, and `clock`, whose result is when
 * it started.
 *
 * That worker is tern-worker's own main and objects; main's call of handlers_init is made one of bench_handlers_init by the
 * compiler's arguments. */
#include "worker/handlers.h"

#include <inttypes.h>
#include <stdio.h>

#include "tests/bench/load_handlers.h"
#include "tests/bench/samples.h"

static int tell_start(struct tern_job *job)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%" PRId64, mono_ns());
    return tern_result(job, text, (size_t)n);
}

static const struct tern_handler handler_clock = {
    .name = "clock",
    .description = "tells CLOCK_MONOTONIC, in nanoseconds, as it was when it started",
    .blocking = tell_start,
    .async = tell_start,
    .tag = TERN_TAG_IO,
};

static const struct tern_handler *const all[] = { &handler_clock, &handler_compute, &handler_echo, &handler_exec,
                                           &handler_file, &handler_sleep, NULL };

int handlers_init(const char *only, bool with_exec, char **ret_error)
{
    return handlers_init_from(all, only, with_exec, ret_error);
}
