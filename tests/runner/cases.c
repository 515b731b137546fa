/* cases.c - the cases of tests/flow/runner.bats as a module in C; tests/runner/cases.py has the same. */
#include <tern/handler.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int echo(struct tern_job *job)
{
    size_t n;
    const void *p = tern_payload(job, &n);
    tern_log(job, "first line");
    tern_log(job, "second line");
    return tern_result(job, p, n);
}

static int fail(struct tern_job *job) { return tern_fail(job, "not now"); }

static int never(struct tern_job *job) { return tern_fail_for_good(job, "never"); }

static int unmeant(struct tern_job *job)
{
    (void)job;
    return -ENOSPC;
}

static int wait_blocking(struct tern_job *job)
{
    while (!tern_should_stop(job))
        usleep(5000);
    return tern_fail(job, "stopped");
}

static int wait_async(struct tern_job *job)
{
    while (tern_await_ms(job, 60000) == 0)
        ;
    return tern_fail(job, "stopped");
}

static int deaf(struct tern_job *job)
{
    (void)job;
    for (;;)
        pause();
}

static int crash(struct tern_job *job)
{
    tern_log(job, "before the crash");
    raise(SIGSEGV);
    return 0;
}

static int memory(struct tern_job *job)
{
    for (;;) {
        char *p = malloc(1 << 20);
        if (p)
            memset(p, 1, 1 << 20);
        if (tern_should_stop(job))
            free(p);
        usleep(1000);
    }
}

static int huge(struct tern_job *job)
{
    static char bytes[(1 << 20) + 1];
    return tern_result(job, bytes, sizeof bytes);
}

static const struct tern_handler handlers[] = {
    { .name = "c.echo", .blocking = echo, .async = echo },
    { .name = "c.fail", .blocking = fail, .async = fail },
    { .name = "c.never", .blocking = never, .async = never },
    { .name = "c.unmeant", .blocking = unmeant, .async = unmeant },
    { .name = "c.wait", .blocking = wait_blocking, .async = wait_async },
    { .name = "c.deaf", .blocking = deaf, .not_thread_safe = true },
    { .name = "c.crash", .blocking = crash, .not_thread_safe = true },
    { .name = "c.memory", .blocking = memory, .not_thread_safe = true },
    { .name = "c.huge", .blocking = huge, .async = huge },
};
TERN_MODULE(handlers);
