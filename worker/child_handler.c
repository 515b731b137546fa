/* child_handler.c - a handler in a child: called in place, measured, and what it leaves behind undone. */
#include "worker/child_state.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/call.h"
#include "worker/handlers.h"
#include "worker/modules_child.h"
#include "worker/place.h"
#include "worker/ring.h"
#include "worker/tree.h"

#define RSS_GROWN_KB 256

/* The peak is of the process's life: after a job that raised it the kernel is told to forget, so that the next one is not
 * blamed for it. */
static void forget_peak(struct child *c, int64_t peak_kb)
{
    if (peak_kb <= c->base_kb + RSS_GROWN_KB)
        return;
    cleanup(closep) int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "5", 1) == 1)
        usage_of_process(&c->used, &peak_kb);
    c->base_kb = peak_kb;
    c->used.cpu_us = UNSET;
}

static void end_what_is_left(struct child *c)
{
    siginfo_t info;
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD)
        return;
    c->done = tree_end_children(CHILD_END_MS, NULL) < 0;
}

static int measured(struct child *c, int (*function)(struct tern_job *), struct tern_job *call)
{
    int64_t peak_kb, from_us = clock_mono_us();
    struct usage before = c->used;
    if (before.cpu_us == UNSET)
        usage_of_process(&before, &peak_kb);
    child_signals_run(call);
    int r = function(call);
    child_signals_run(NULL);
    if (c->ring && !ring_is_whole(c->ring, c->n_given - 1, c->said)) {
        child_flush(c, true); /* what ended before */
        child_leave(EXIT_FAILURE);
    }
    call->measured.wall_us = clock_mono_us() - from_us;
    end_what_is_left(c);
    usage_of_process(&c->used, &peak_kb);
    struct usage used = usage_between(&before, &c->used);
    call->measured.cpu_us = used.cpu_us;
    call->measured.ready_us = usage_ready_us(&used, call->measured.wall_us);
    call->measured.max_rss_kb = peak_kb;
    return r;
}

/* Of a handler the blocking form; HANDLER/FUNCTION: of its module, for a part of a job on the loop. */
static int (*function_of(struct str name))(struct tern_job *)
{
    const char *slash = name.n ? memchr(name.p, '/', name.n) : NULL;
    size_t n = slash ? (size_t)(slash - name.p) : name.n;
    if (slash) {
        struct str rest = { slash + 1, name.n - n - 1 };
        const struct tern_function *f = handlers_find_function((struct str){ name.p, n }, rest);
        return f ? f->call : NULL;
    }
    const struct tern_handler *h = handlers_find(name);
    return h ? h->blocking : NULL;
}

/* What a handler has done to its process is not for the next one, which begins in another one where it cannot be undone. */
static void restore(struct child *c)
{
    place_restore();
    child_signals_set();
    if (modules_are_there())
        return;
    child_flush(c, true);
    child_leave(EXIT_SUCCESS);
}

void child_run_handler(struct child *c, const struct run_job *job)
{
    struct now now = clock_now();
    int (*function)(struct tern_job *) = function_of(job->handler);
    if (!function || c->capacity > 1) {
        const char *why = modules_why_not();
        child_refuse(c, job, why ? why : "this worker has no blocking form of the handler, or no such function");
        return;
    }
    struct tern_job call;
    struct outcome o;
    int64_t from_us = clock_mono_us();
    call_init(&call, job, now);
    call.ask = c->ring ? child_ask : NULL;
    call.report = c->ring ? child_report : NULL;
    call_outcome(&call, measured(c, function, &call), &o);
    o.job = job->job;
    o.attempt = job->attempt;
    forget_peak(c, call.measured.max_rss_kb);
    child_send_outcome(c, &o);
    if (!handler_is_built_in(function))
        restore(c);
    child_send_in_time(c, from_us, from_us + call.measured.wall_us);
    call_fini(&call);
}
