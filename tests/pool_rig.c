/* pool_rig.c - a pool of any kind with all it stands on, and handlers for it. */
#include "tests/pool_rig.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "worker/handlers.h"
#include "worker/launcher.h"

/* ---- handlers -------------------------------------------------------------------------------- */

static int well(struct tern_job *job)
{
    size_t n;
    const void *p = tern_payload(job, &n);
    tern_log(job, "line of job %d", (int)tern_job_id(job));
    return tern_result(job, p, n);
}

static int badly(struct tern_job *job)
{
    size_t n;
    const char *p = tern_payload(job, &n);
    if (n && *p == '!')
        return tern_fail_for_good(job, "never: \xff%.*s", (int)n, p);
    return n ? tern_fail(job, "not now: %.*s", (int)n, p) : -ENOSPC;
}

static void nap(int ms) { nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL); }

static int long_blocking(struct tern_job *job)
{
    while (!tern_should_stop(job))
        nap(5);
    return tern_fail(job, "stopped");
}

static int long_async(struct tern_job *job)
{
    while (tern_await_ms(job, 60000) == 0)
        ;
    return tern_fail(job, "stopped");
}

static int short_blocking(struct tern_job *job)
{
    (void)job;
    nap(50);
    return 0;
}

static int short_async(struct tern_job *job) { return tern_await_ms(job, 50); }

static int burn(struct tern_job *job)
{
    struct timespec t;
    int64_t until_ns = 0, at_ns;
    (void)job;
    do {
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
        at_ns = t.tv_sec * 1000000000L + t.tv_nsec;
        until_ns = until_ns ? until_ns : at_ns + 60000000;
    } while (at_ns < until_ns);
    return 0;
}

/* Does not hear that it should stop. */
static int deaf_blocking(struct tern_job *job)
{
    (void)job;
    nap(700);
    return 0;
}

static int deaf_async(struct tern_job *job)
{
    while (tern_await_ms(job, 10) <= 0)
        ;
    return 0;
}

/* Awaits both ends of a pipe. */
static int pipe_async(struct tern_job *job)
{
    int fds[2], r;
    char c = 0;
    if (pipe(fds) < 0)
        return -errno;
    r = tern_await_fd(job, fds[1], POLLOUT);
    if (r == POLLOUT && write(fds[1], "x", 1) == 1)
        r = tern_await_fd(job, fds[0], POLLIN);
    if (r == POLLIN && read(fds[0], &c, 1) == 1)
        r = c == 'x' ? 0 : -EIO;
    close(fds[1]);
    if (r == 0) /* the writer is gone */
        r = tern_await_fd(job, fds[0], POLLIN) & POLLHUP ? 0 : -EIO;
    close(fds[0]);
    if (r == 0)
        r = tern_await_fd(job, fds[0], POLLIN) == -EBADF ? 0 : -EIO;
    return r;
}

static int pipe_blocking(struct tern_job *job) { return tern_await_fd(job, 0, POLLIN) == -EOPNOTSUPP ? 0 : -EIO; }

/* Waits for a pipe that stays empty. */
static int dry_async(struct tern_job *job)
{
    int fds[2];
    if (pipe(fds) < 0)
        return -errno;
    int r = tern_await_fd(job, fds[0], POLLIN);
    close(fds[0]);
    close(fds[1]);
    return r < 0 ? r : 0;
}

static const struct tern_handler handlers[] = {
    { .name = "well", .blocking = well, .async = well },
    { .name = "badly", .blocking = badly, .async = badly },
    { .name = "long", .blocking = long_blocking, .async = long_async },
    { .name = "short", .blocking = short_blocking, .async = short_async },
    { .name = "burn", .blocking = burn, .async = burn },
    { .name = "deaf", .blocking = deaf_blocking, .async = deaf_async },
    { .name = "pipe", .blocking = pipe_blocking, .async = pipe_async },
    { .name = "dry", .blocking = long_blocking, .async = dry_async },
};

void init_handlers(void) { own_zygote_handlers(handlers, ELEMENTS(handlers)); }

/* ---- a pool with all it stands on ------------------------------------------------------------ */

static void on_started(void *ctx, struct run *r)
{
    struct rig *g = ctx;
    assert_true(g->n_started < ELEMENTS(g->started));
    g->started[g->n_started++] = r->job.job;
}

static void on_finished(void *ctx, struct run *r)
{
    struct rig *g = ctx;
    assert_int_equal(r->state, RUN_FINISHED);
    list_add_tail(&g->finished, &r->link);
    g->n_finished++;
}

struct rig *rig_new(void **state, size_t slots)
{
    struct rig *g = xcalloc(1, sizeof *g);
    g->kind = *(const enum pool_kind *)*state;
    list_init(&g->finished);
    assert_int_equal(launcher_open(&g->launcher, zygote, 64), 0);
    struct pool_options o = {
        .kind = g->kind,
        .slots = slots,
        .zygote = zygote,
        .launcher = g->launcher,
        .stuck_max = 4,
        .on_started = on_started,
        .on_finished = on_finished,
        .ctx = g,
    };
    assert_int_equal(pool_open(&g->pool, &o), 0);
    return g;
}

void rig_free(struct rig *g)
{
    pool_close(g->pool);
    launcher_close(g->launcher);
    for (struct link *l; (l = list_pop(&g->finished));)
        run_free(list_entry(l, struct run, link));
    free(g);
}

struct run_job job_of(const struct rig *g, uint64_t id, const char *handler, const char *payload)
{
    struct run_job j;
    record_init(RECORD_run_job, &j);
    j.job = id;
    j.attempt = 1;
    j.pool = g->kind;
    j.queue = str_of("default");
    j.handler = str_of(handler);
    j.payload = str_of(payload);
    return j;
}

void give(struct rig *g, const struct run_job *j)
{
    struct now now = clock_now();
    pool_give(g->pool, run_new(j, now), now);
}

void give_id(struct rig *g, uint64_t id, const char *handler)
{
    struct run_job j = job_of(g, id, handler, "x");
    give(g, &j);
}

void turn(struct rig *g, int64_t until_ms)
{
    struct now now = clock_now();
    size_t n_before = g->n_finished;
    int64_t due_ms = min_i64(pool_tick(g->pool, now), until_ms);
    if (g->n_finished > n_before)
        return;
    struct pollfd fds[] = {
        { .fd = pool_fd(g->pool), .events = POLLIN },
        { .fd = zygote_fd(zygote), .events = POLLIN },
        { .fd = launcher_fd(g->launcher), .events = POLLIN },
    };
    poll(fds, ELEMENTS(fds), (int)max_i64(0, min_i64(due_ms - now.mono_ms, 1000)));
    now = clock_now();
    zygote_on_readable(zygote, now);
    launcher_on_readable(g->launcher, now);
    pool_on_readable(g->pool, now);
}

void turns(struct rig *g, int64_t ms)
{
    int64_t until_ms = clock_now().mono_ms + ms;
    while (clock_now().mono_ms < until_ms)
        turn(g, until_ms);
}

void finish(struct rig *g, size_t n)
{
    int64_t until_ms = clock_now().mono_ms + 60000;
    while (g->n_finished < n && clock_now().mono_ms < until_ms)
        turn(g, until_ms);
    assert_int_equal(g->n_finished, n);
}

void begin(struct rig *g, size_t n)
{
    int64_t until_ms = clock_now().mono_ms + 60000;
    while (g->n_started < n && clock_now().mono_ms < until_ms)
        turn(g, until_ms);
    assert_int_equal(g->n_started, n);
}

const struct outcome *outcome_of(const struct rig *g, uint64_t job)
{
    const struct outcome *found = NULL;
    list_each(l, &g->finished) {
        const struct run *r = list_entry(l, const struct run, link);
        if (r->job.job != job)
            continue;
        assert_null(found); /* exactly once */
        found = &r->outcome;
    }
    assert_non_null(found);
    return found;
}

void assert_text(struct str s, const char *text)
{
    assert_non_null(s.p);
    cleanup(freep) char *copy = xstrndup(s);
    assert_string_equal(copy, text);
}

void wait_unused(struct rig *g)
{
    int64_t until_ms = clock_now().mono_ms + 60000;
    while ((pool_load(g->pool).used || pool_load(g->pool).stuck) && clock_now().mono_ms < until_ms)
        turn(g, clock_now().mono_ms + 20);
    assert_int_equal(pool_load(g->pool).used, 0);
    assert_int_equal(pool_load(g->pool).stuck, 0);
}
