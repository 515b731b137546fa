/* cases.c - the cases of tests/flow/runner.bats and runner_asks.bats as a module in C; tests/runner/cases.py has the same. */
#include <tern/handler.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
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

/* ---- what is asked of the broker ---- */

static int resume(struct tern_job *job)
{
    size_t n;
    const void *kept = tern_checkpoint_get(job, &n);
    if (kept)
        return tern_result(job, kept, n);
    int r = tern_checkpoint(job, "half of it", 10);
    return r < 0 ? r : tern_fail(job, "at half");
}

static int progress(struct tern_job *job)
{
    for (int i = 0; i <= 42; i++)
        tern_progress(job, i);
    tern_log(job, "at the answer");
    return wait_blocking(job);
}

static int progress_async(struct tern_job *job)
{
    tern_progress(job, 42);
    tern_log(job, "at the answer");
    return wait_async(job);
}

/* Two words of the payload, the second perhaps empty. */
static void read_payload(struct tern_job *job, char first[64], char second[64])
{
    size_t n;
    char text[64];
    const void *p = tern_payload(job, &n);
    snprintf(text, sizeof text, "%.*s", (int)n, (const char *)p);
    *first = *second = '\0';
    sscanf(text, "%s %s", first, second);
}

/* The payload: handler and tag of its children. The first attempt fails once it has them. */
static int family(struct tern_job *job)
{
    size_t n;
    char handler[64], tag[64], text[64] = "";
    struct tern_child children[3];
    uint64_t ids[3];
    read_payload(job, handler, tag);
    for (int i = 0; i < 3; i++)
        children[i] = (struct tern_child){ .handler = handler, .tag = tag, .payload = &"123"[i], .payload_bytes = 1 };
    children[1].key = "the-second";
    int r = tern_spawn_many(job, children, 3, ids);
    if (r >= 0 && tern_attempt(job) == 1)
        return tern_fail(job, "again");
    if (r >= 0)
        r = tern_await_any_child(job, ids, 3, NULL);
    if (r >= 0)
        r = tern_await_children(job, ids, 3, NULL);
    for (int i = 0; i < 3 && r >= 0; i++) {
        void *bytes = NULL;
        r = tern_child_result(job, ids[i], &bytes, &n);
        if (r >= 0)
            strncat(text, bytes, n);
        free(bytes);
    }
    return r < 0 ? r : tern_result(job, text, strlen(text));
}

/* Of the child that its payload names. */
static int parent(struct tern_job *job)
{
    char handler[64], none[64];
    uint64_t id;
    read_payload(job, handler, none);
    int r = tern_spawn(job, &(struct tern_child){ .handler = handler }, &id);
    return r < 0 ? r : tern_await_child(job, id, NULL);
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
    { .name = "c.resume", .blocking = resume, .async = resume },
    { .name = "c.progress", .blocking = progress, .async = progress_async },
    { .name = "c.family", .blocking = family, .async = family },
    { .name = "c.parent", .blocking = parent, .async = parent },
};
TERN_MODULE(handlers);
