/* zygote_rig.c - pools on a zygote of their own, and handlers that go wrong there. */
#include "tests/zygote_rig.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "worker/handlers.h"
#include "worker/tree.h"
#include "worker/zygote.h"

/* ---- handlers -------------------------------------------------------------------------------- */

void nap(int64_t ms)
{
    int64_t until_us = clock_mono_us() + ms * 1000;
    while (clock_mono_us() < until_us)
        nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
}

static int well(struct tern_job *job) { return tern_result(job, "well", 4); }

static int aborts(struct tern_job *job)
{
    (void)job;
    signal(SIGABRT, SIG_DFL);
    kill(getpid(), SIGABRT); /* as abort() does, but past the sanitizers' own handlers */
    return 0;
}

static int exits(struct tern_job *job)
{
    (void)job;
    _exit(5);
}

static int eats(struct tern_job *job)
{
    size_t bytes = 300u << 20, page = 4096;
    volatile char *p = malloc(bytes);
    for (size_t at = 0; at < bytes; at += page) {
        p[at] = 1;
        if (at % (page * 256) == 0 && tern_job_id(job) == 1)
            nap(10);
    }
    nap(100);
    free((void *)p);
    return 0;
}

static void start_script(const char *script)
{
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", script, NULL);
        _exit(127);
    }
}

/* Grandchildren in sessions of their own, with another environment, deaf to signals. */
static int hangs(struct tern_job *job)
{
    (void)job;
    start_script("setsid env -i sh -c 'trap \"\" TERM INT HUP; setsid sleep 1000 & sleep 1000' & exit 0");
    while (true)
        nap(1000);
    return 0;
}

static int leaves(struct tern_job *job)
{
    start_script("setsid env -i sh -c 'setsid sleep 1000 & sleep 1000' & exit 0");
    nap(50);
    return well(job);
}

static int garbles(struct tern_job *job)
{
    (void)job;
    for (int i = 0; i < 100; i++)
        if (send(3, "\0\0\0\7garbage scribbled over the socket", 30, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            break;
    nap(10000);
    return 0;
}

static int closes(struct tern_job *job)
{
    (void)job;
    close_range(3, ~0u, 0);
    nap(20000);
    return 0;
}

static int stops_itself(struct tern_job *job)
{
    (void)job;
    raise(SIGSTOP);
    return 0;
}

static int swarms(struct tern_job *job)
{
    (void)job;
    for (int i = 0; i < 20; i++)
        if (fork() == 0) {
            setsid();
            signal(SIGTERM, SIG_IGN);
            if (fork() == 0)
                nap(100000);
            nap(100000);
            _exit(0);
        }
    _exit(9);
}

/* Leaves a process behind whose children come to the zygote only as it dies, and then die together. */
static int bequeaths(struct tern_job *job)
{
    (void)job;
    start_script("setsid env -i sh -c 'sleep 1000 & sleep 1000 & sleep 1000' & exit 0");
    nap(10);
    _exit(9);
}

static int computes(struct tern_job *job)
{
    int64_t until_us = clock_mono_us() + 20000;
    while (clock_mono_us() < until_us && !tern_should_stop(job))
        ;
    return well(job);
}

static int tells_size(struct tern_job *job)
{
    (void)job;
    return 0;
}

static const struct tern_handler handlers[] = {
    { .name = "well", .blocking = well },     { .name = "aborts", .blocking = aborts },
    { .name = "exits", .blocking = exits },   { .name = "eats", .blocking = eats },
    { .name = "hangs", .blocking = hangs },   { .name = "leaves", .blocking = leaves },
    { .name = "garbles", .blocking = garbles }, { .name = "closes", .blocking = closes },
    { .name = "stops", .blocking = stops_itself }, { .name = "swarms", .blocking = swarms },
    { .name = "bequeaths", .blocking = bequeaths },
    { .name = "computes", .blocking = computes }, { .name = "small", .blocking = tells_size },
};

/* ---- pools with all they stand on ------------------------------------------------------------ */

static struct rig rig;

size_t count_fds(void)
{
    size_t n = 0;
    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void on_started(void *ctx, struct run *r) { (void)ctx, (void)r; }

static void on_finished(void *ctx, struct run *r)
{
    struct rig *g = ctx;
    assert_null(g->runs[r->job.job]); /* exactly once */
    g->runs[r->job.job] = r;
    g->n++;
}

struct rig *rig_open(size_t slots, size_t jobs_per_child)
{
    struct rig *g = &rig;
    size_t fds = count_fds();
    *g = (struct rig){ .fds = fds };
    assert_int_equal(zygote_start(&g->zygote, NULL), 0);
    assert_int_equal(launcher_open(&g->launcher, g->zygote, 1000), 0);
    struct pool_options o = { .kind = POOL_PROCESS, .slots = slots, .zygote = g->zygote, .launcher = g->launcher,
                              .jobs_per_child = jobs_per_child, .on_started = on_started, .on_finished = on_finished,
                              .ctx = g };
    assert_int_equal(pool_open(&g->process, &o), 0);
    o.kind = POOL_THREAD;
    o.slots = 100;
    o.stuck_max = 4;
    assert_int_equal(pool_open(&g->thread, &o), 0);
    return g;
}

size_t count_tree(void)
{
    struct tree t = { 0 };
    tree_read(&t, getpid());
    size_t n = t.n;
    tree_fini(&t);
    return n;
}

void rig_close(struct rig *g)
{
    pool_close(g->process);
    pool_close(g->thread);
    launcher_close(g->launcher);
    zygote_stop(g->zygote);
    for (size_t i = 0; i < MOST; i++)
        run_free(g->runs[i]);
    assert_int_equal(count_tree(), 1); /* no process is left, and no zombie */
    assert_int_equal(count_fds(), g->fds);
}

static void turn(struct rig *g, int64_t until_ms)
{
    struct now now = clock_now();
    size_t n = g->n;
    int64_t due_ms = min_i64(until_ms, min_i64(pool_tick(g->process, now), pool_tick(g->thread, now)));
    if (g->n != n)
        return;
    struct pollfd fds[] = { { pool_fd(g->process), POLLIN, 0 }, { pool_fd(g->thread), POLLIN, 0 },
                            { zygote_fd(g->zygote), POLLIN, 0 }, { launcher_fd(g->launcher), POLLIN, 0 } };
    poll(fds, ELEMENTS(fds), (int)max_i64(0, min_i64(due_ms - now.mono_ms, 1000)));
    now = clock_now();
    if (fds[0].revents)
        pool_on_readable(g->process, now);
    if (fds[1].revents)
        pool_on_readable(g->thread, now);
    if (fds[2].revents)
        zygote_on_readable(g->zygote, now);
    if (fds[3].revents)
        launcher_on_readable(g->launcher, now);
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
    while (g->n < n && clock_now().mono_ms < until_ms)
        turn(g, until_ms);
    assert_int_equal(g->n, n);
}

struct run_job job_of(uint64_t id, const char *handler)
{
    struct run_job j;
    record_init(RECORD_run_job, &j);
    j.job = id;
    j.attempt = 1;
    j.queue = str_of("default");
    j.handler = str_of(handler);
    j.kill_grace_ms = 200;
    return j;
}

void give(struct pool *p, const struct run_job *j)
{
    struct now now = clock_now();
    pool_give(p, run_new(j, now), now);
}

void give_id(struct pool *p, uint64_t id, const char *handler)
{
    struct run_job j = job_of(id, handler);
    give(p, &j);
}

void give_script(struct pool *p, struct run_job j, const char *script)
{
    struct buf b = own_zygote_script(script);
    j.handler = str_of("exec");
    j.payload = buf_str(&b);
    give(p, &j);
    buf_fini(&b);
}

const struct outcome *outcome_of(const struct rig *g, uint64_t job)
{
    assert_non_null(g->runs[job]);
    return &g->runs[job]->outcome;
}

void assert_well(struct rig *g, uint64_t job)
{
    const struct outcome *o = outcome_of(g, job);
    assert_int_equal(o->ending, ENDING_DONE);
    assert_true(str_is(o->result, "well"));
}

int rig_main(int argc, char **argv, const struct CMUnitTest *tests, size_t n_tests)
{
    own_zygote_handlers(handlers, ELEMENTS(handlers));
    if (argc > 1 && strcmp(argv[1], "--zygote") == 0)
        return zygote_main();
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return _cmocka_run_group_tests("tests", tests, n_tests, NULL, NULL);
}
