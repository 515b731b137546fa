/* test_zygote.c - what goes wrong in a process costs its own attempt alone, is recorded as what it was, and leaves nothing
 * behind: handlers that crash, swell, hang, hide and scribble; the zygote, a child and the launcher killed. */
#include "worker/zygote.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/log.h"
#include "proto/base/rng.h"
#include "worker/handlers.h"
#include "worker/launcher.h"
#include "worker/pool.h"
#include "worker/tree.h"

/* ---- handlers --------------------------------------------------------------------------------- */

static void nap(int64_t ms)
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

static void init_handlers(void)
{
    static const struct tern_handler *all[ELEMENTS(handlers) + 2];
    char *error = NULL;
    for (size_t i = 0; i < ELEMENTS(handlers); i++)
        all[i] = &handlers[i];
    all[ELEMENTS(handlers)] = &handler_exec;
    if (handlers_init_from(all, NULL, true, &error) < 0)
        abort();
}

/* ---- pools with all they stand on ------------------------------------------------------------- */

enum { MOST = 4096 };

struct rig {
    struct zygote *zygote;
    struct launcher *launcher;
    struct pool *process, *thread;
    struct run *runs[MOST]; /* owned: what has finished, by job */
    size_t n, fds;
};

static struct rig rig;

static size_t count_fds(void)
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

static struct rig *rig_open(size_t slots, size_t jobs_per_child)
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

static size_t count_tree(void)
{
    struct tree t = { 0 };
    tree_read(&t, getpid());
    size_t n = t.n;
    tree_fini(&t);
    return n;
}

static void rig_close(struct rig *g)
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

static void turns(struct rig *g, int64_t ms)
{
    int64_t until_ms = clock_now().mono_ms + ms;
    while (clock_now().mono_ms < until_ms)
        turn(g, until_ms);
}

static void finish(struct rig *g, size_t n)
{
    int64_t until_ms = clock_now().mono_ms + 60000;
    while (g->n < n && clock_now().mono_ms < until_ms)
        turn(g, until_ms);
    assert_int_equal(g->n, n);
}

static struct run_job job_of(uint64_t id, const char *handler)
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

static void give(struct pool *p, const struct run_job *j)
{
    struct now now = clock_now();
    pool_give(p, run_new(j, now), now);
}

static void give_id(struct pool *p, uint64_t id, const char *handler)
{
    struct run_job j = job_of(id, handler);
    give(p, &j);
}

static void give_script(struct pool *p, struct run_job j, const char *script)
{
    struct str argv[] = { str_of("sh"), str_of("-c"), str_of(script) };
    struct command c;
    struct buf b;
    record_init(RECORD_command, &c);
    c.argv = argv;
    c.n_argv = ELEMENTS(argv);
    buf_init(&b, LIMIT_PAYLOAD_BYTES);
    assert_int_equal(record_encode(&b, RECORD_command, &c), 0);
    j.handler = str_of("exec");
    j.payload = buf_str(&b);
    give(p, &j);
    buf_fini(&b);
}

static const struct outcome *outcome_of(const struct rig *g, uint64_t job)
{
    assert_non_null(g->runs[job]);
    return &g->runs[job]->outcome;
}

static void assert_well(struct rig *g, uint64_t job)
{
    const struct outcome *o = outcome_of(g, job);
    assert_int_equal(o->ending, ENDING_DONE);
    assert_true(str_is(o->result, "well"));
}

/* ---- handlers that go wrong ------------------------------------------------------------------- */

static void a_crash_is_recorded_as_its_signal(void **state)
{
    (void)state;
    struct rig *g = rig_open(2, 0);
    give_id(g->process, 1, "aborts");
    give_id(g->process, 2, "well");
    give_id(g->process, 3, "exits");
    give_id(g->process, 4, "well");
    finish(g, 4);
    assert_int_equal(outcome_of(g, 1)->ending, ENDING_FAILED);
    assert_int_equal(outcome_of(g, 1)->reason, REASON_SIGNAL);
    assert_int_equal(outcome_of(g, 1)->signal, SIGABRT);
    assert_int_equal(outcome_of(g, 3)->reason, REASON_EXIT);
    assert_int_equal(outcome_of(g, 3)->exit_code, 5);
    assert_well(g, 2);
    assert_well(g, 4);
    rig_close(g);
}

static void past_its_memory_a_handler_is_killed(void **state)
{
    (void)state;
    struct rig *g = rig_open(1, 0);
    struct run_job j = job_of(1, "eats");
    j.memory_bytes = 100 << 20;
    give(g->process, &j);
    give_id(g->process, 2, "eats"); /* without a limit */
    give_id(g->process, 3, "small");
    finish(g, 3);
    assert_int_equal(outcome_of(g, 1)->ending, ENDING_FAILED);
    assert_int_equal(outcome_of(g, 1)->reason, REASON_MEMORY_LIMIT);
    assert_in_range(outcome_of(g, 1)->max_rss_kb, 100 << 10, 600 << 10);
    assert_int_equal(outcome_of(g, 2)->ending, ENDING_DONE);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* which keep memory of their own */
    assert_in_range(outcome_of(g, 2)->max_rss_kb, 300 << 10, 400 << 10);
    assert_in_range(outcome_of(g, 3)->max_rss_kb, 100, 100 << 10); /* not blamed for what ran before it */
#endif
    j = job_of(4, "well");
    j.memory_bytes = 100 << 20;
    give(g->thread, &j);
    finish(g, 4);
    assert_int_equal(outcome_of(g, 4)->for_good, 1);
    rig_close(g);
}

static void one_that_hangs_and_hides_is_ended_at_its_limit(void **state)
{
    (void)state;
    struct rig *g = rig_open(2, 0);
    struct run_job j = job_of(1, "hangs");
    j.timeout_ms = 300;
    give(g->process, &j);
    turns(g, 200);
    assert_in_range(count_tree(), 4, 8);
    finish(g, 1);
    assert_int_equal(outcome_of(g, 1)->ending, ENDING_FAILED);
    assert_int_equal(outcome_of(g, 1)->reason, REASON_TIME_LIMIT);
    assert_in_range(outcome_of(g, 1)->wall_us, 300000, 5000000);
    assert_int_equal(count_tree(), 2); /* the zygote alone */
    j = job_of(2, "hangs");
    give(g->process, &j);
    turns(g, 100);
    pool_stop(g->process, 2, 1, REASON_CANCELLED, 0, clock_now());
    finish(g, 2);
    assert_int_equal(outcome_of(g, 2)->ending, ENDING_CANCELLED);
    assert_int_equal(count_tree(), 2);
    rig_close(g);
}

static void what_a_job_leaves_behind_is_ended_before_its_outcome(void **state)
{
    (void)state;
    struct rig *g = rig_open(1, 0);
    give_id(g->process, 1, "leaves");
    finish(g, 1);
    assert_well(g, 1);
    assert_int_equal(count_tree(), 3); /* the zygote, the child */
    struct run_job j = job_of(2, "exec");
    give_script(g->process, j, "(setsid env -i sleep 1000 </dev/null >/dev/null 2>&1 &); echo x");
    finish(g, 2);
    assert_true(outcome_of(g, 2)->ending == ENDING_DONE);
    assert_int_equal(count_tree(), 3);
    give_id(g->process, 3, "swarms");
    finish(g, 3);
    assert_int_equal(outcome_of(g, 3)->exit_code, 9);
    assert_int_equal(count_tree(), 2);
    rig_close(g);
}

static void what_a_process_leaves_behind_is_reaped_before_its_outcome(void **state)
{
    (void)state;
    struct rig *g = rig_open(1, 0);
    for (uint64_t i = 1; i <= 200; i++) { /* without the wait for what is dead, one in 300 was early */
        give_id(g->process, i, "bequeaths");
        finish(g, i);
        assert_int_equal(outcome_of(g, i)->exit_code, 9);
        assert_int_equal(count_tree(), 2);
    }
    rig_close(g);
}

static void one_that_scribbles_costs_its_own_attempt(void **state)
{
    (void)state;
    struct rig *g = rig_open(3, 0);
    give_id(g->process, 1, "garbles");
    give_id(g->process, 2, "closes");
    give_id(g->process, 3, "well");
    finish(g, 3);
    assert_int_equal(outcome_of(g, 1)->reason, REASON_HANDLER_ERROR);
    assert_int_equal(outcome_of(g, 2)->reason, REASON_SIGNAL);
    assert_well(g, 3);
    rig_close(g);
}

static void one_that_stops_itself_is_ended_at_its_limit(void **state)
{
    (void)state;
    struct rig *g = rig_open(1, 0);
    struct run_job j = job_of(1, "stops");
    j.timeout_ms = 100;
    give(g->process, &j);
    j = job_of(2, "exec");
    j.timeout_ms = 100;
    give_script(g->process, j, "kill -STOP $PPID; sleep 1000"); /* the child that runs it */
    finish(g, 2);
    assert_int_equal(outcome_of(g, 1)->reason, REASON_TIME_LIMIT);
    assert_int_equal(outcome_of(g, 2)->reason, REASON_TIME_LIMIT);
    rig_close(g);
}

/* ---- commands --------------------------------------------------------------------------------- */

static void commands_end_as_what_they_were_in_each_pool(void **state)
{
    (void)state;
    struct rig *g = rig_open(3, 0);
    for (uint64_t i = 0; i < 2; i++) {
        struct pool *p = i ? g->thread : g->process;
        struct run_job j = job_of(10 * i + 1, "exec");
        give_script(p, j, "echo out; exit 3");
        j = job_of(10 * i + 2, "exec");
        j.timeout_ms = 200;
        give_script(p, j, "echo before; setsid sleep 1000 & trap '' TERM; sleep 1000; sleep 1000; sleep 1000");
        j = job_of(10 * i + 3, "exec");
        j.memory_bytes = 50 << 20;
        give_script(p, j, "x=$(head -c 200000000 /dev/zero | tr '\\0' x); sleep 1000");
        j = job_of(10 * i + 4, "exec");
        give_script(p, j, "yes | head -c 100000000");
    }
    finish(g, 8);
    for (uint64_t i = 0; i < 20; i += 10) {
        assert_int_equal(outcome_of(g, i + 1)->exit_code, 3);
        assert_memory_equal(outcome_of(g, i + 1)->output.p, "\1\0\0\0\4out\n", 9);
        assert_int_equal(outcome_of(g, i + 2)->reason, REASON_TIME_LIMIT);
        assert_memory_equal(outcome_of(g, i + 2)->output.p, "\1\0\0\0\7before\n", 12);
        assert_int_equal(outcome_of(g, i + 3)->reason, REASON_MEMORY_LIMIT);
        assert_int_equal(outcome_of(g, i + 4)->ending, ENDING_DONE);
        assert_in_range(outcome_of(g, i + 4)->output.n, 900000, LIMIT_RESULT_BYTES);
    }
    assert_in_range(count_tree(), 3, 6); /* zygote, launcher, idle children */
    rig_close(g);
}

static void a_command_holds_no_thread(void **state)
{
    (void)state;
    struct rig *g = rig_open(1, 0);
    struct run_job j;
    for (uint64_t i = 1; i <= 90; i++) {
        j = job_of(i, "exec");
        give_script(g->thread, j, "sleep 0.3");
    }
    int64_t from_us = clock_mono_us();
    finish(g, 90);
    assert_true(clock_mono_us() - from_us < 5000000);
    for (uint64_t i = 1; i <= 90; i++)
        assert_int_equal(outcome_of(g, i)->ending, ENDING_DONE);
    rig_close(g);
}

/* ---- deaths ----------------------------------------------------------------------------------- */

static pid_t child_named(const char *name)
{
    struct tree t = { 0 };
    pid_t found = 0;
    tree_read(&t, getpid());
    for (size_t i = 1; i < t.n && !found; i++) {
        char path[64], comm[32] = "";
        snprintf(path, sizeof(path), "/proc/%d/comm", t.at[i].pid);
        FILE *f = fopen(path, "r");
        if (f && fgets(comm, sizeof(comm), f) && strncmp(comm, name, strlen(name)) == 0)
            found = t.at[i].pid;
        if (f)
            fclose(f);
    }
    tree_fini(&t);
    return found;
}

static void a_zygote_that_dies_is_replaced(void **state)
{
    (void)state;
    struct rig *g = rig_open(2, 0);
    give_id(g->process, 1, "hangs");
    struct run_job j = job_of(2, "exec");
    give_script(g->thread, j, "setsid env -i sleep 1000 & (setsid sleep 1000 &) ; sleep 1000");
    turns(g, 300);
    kill(zygote_pid(g->zygote), SIGKILL);
    give_id(g->process, 3, "well");
    finish(g, 3);
    assert_int_equal(outcome_of(g, 1)->ending, ENDING_LOST);
    assert_int_equal(outcome_of(g, 1)->reason, REASON_WORKER_LOST);
    assert_int_equal(outcome_of(g, 2)->ending, ENDING_LOST);
    assert_well(g, 3);
    give_id(g->process, 4, "well");
    j = job_of(5, "exec");
    give_script(g->thread, j, "exit 0");
    finish(g, 5);
    assert_well(g, 4);
    assert_int_equal(outcome_of(g, 5)->ending, ENDING_DONE);
    assert_in_range(count_tree(), 4, 5);
    rig_close(g);
}

static void a_child_that_is_killed_costs_one_attempt(void **state)
{
    (void)state;
    struct rig *g = rig_open(1, 0);
    give_id(g->process, 1, "hangs");
    turns(g, 300);
    kill(child_named("tern-child"), SIGKILL);
    finish(g, 1);
    assert_int_equal(outcome_of(g, 1)->reason, REASON_SIGNAL);
    assert_int_equal(outcome_of(g, 1)->signal, SIGKILL);
    assert_int_equal(count_tree(), 2);
    give_id(g->process, 2, "well");
    finish(g, 2);
    kill(child_named("tern-child"), SIGKILL); /* while it has nothing to do */
    nap(50);
    give_id(g->process, 3, "well");
    finish(g, 3);
    assert_well(g, 3);
    rig_close(g);
}

static void a_launcher_that_dies_is_replaced(void **state)
{
    (void)state;
    struct rig *g = rig_open(1, 0);
    struct run_job j = job_of(1, "exec");
    give_script(g->thread, j, "(setsid env -i sleep 1000 &); sleep 1000");
    turns(g, 300);
    kill(child_named("tern-launcher"), SIGKILL);
    finish(g, 1);
    assert_int_equal(outcome_of(g, 1)->ending, ENDING_LOST);
    assert_int_equal(count_tree(), 2);
    j = job_of(2, "exec");
    give_script(g->thread, j, "exit 0");
    finish(g, 2);
    assert_int_equal(outcome_of(g, 2)->ending, ENDING_DONE);
    rig_close(g);
}

/* What is behind begins on a new launcher as soon as an outcome of the old one is heard. */
static void what_a_launcher_dies_of_is_lost_and_not_begun_again(void **state)
{
    (void)state;
    struct rig *g = rig_open(1, 0);
    give_script(g->thread, job_of(1, "exec"), "sleep 5");
    for (uint64_t id = 2; id <= 100; id++)
        give_script(g->thread, job_of(id, "exec"), "sleep 0.5");
    for (uint64_t id = 101; id <= 110; id++)
        give_script(g->thread, job_of(id, "exec"), "exit 0");
    turns(g, 300);
    nap(1000);
    kill(child_named("tern-launcher"), SIGKILL);
    nap(200);
    finish(g, 110);
    assert_int_equal(outcome_of(g, 1)->ending, ENDING_LOST);
    for (uint64_t id = 101; id <= 110; id++)
        assert_int_equal(outcome_of(g, id)->ending, ENDING_DONE);
    rig_close(g);
}

static void deaths_at_random_lose_no_job(void **state)
{
    (void)state;
    static const char *const victims[] = { "tern-zygote", "tern-child", "tern-child", "tern-launcher" };
    struct rig *g = rig_open(3, 7);
    struct rng rng;
    rng_init(&rng, 11);
    uint64_t id = 0;
    for (int round = 0; round < 25; round++) {
        for (int i = 0; i < 8; i++)
            give_id(g->process, ++id, "computes");
        struct run_job j = job_of(++id, "exec");
        give_script(g->thread, j, "sleep 0.05");
        j = job_of(++id, "exec");
        give_script(g->process, j, "(setsid sleep 1000 &); sleep 0.02");
        turns(g, (int64_t)rng_below(&rng, 60));
        pid_t victim = child_named(victims[rng_below(&rng, 1000) * ELEMENTS(victims) / 1000]);
        if (victim)
            kill(victim, SIGKILL);
    }
    finish(g, id);
    size_t n_done = 0;
    for (uint64_t i = 1; i <= id; i++)
        n_done += outcome_of(g, i)->ending == ENDING_DONE;
    assert_true(n_done > id / 2);
    give_id(g->process, id + 1, "well");
    finish(g, id + 1);
    assert_well(g, id + 1);
    rig_close(g);
}

static void when_the_worker_dies_all_that_it_started_ends(void **state)
{
    (void)state;
    int gone[2];
    assert_int_equal(pipe(gone), 0); /* all that the worker starts but commands' own children would hold it open */
    pid_t worker = fork();
    if (worker == 0) {
        struct rig *g = rig_open(2, 0);
        give_id(g->process, 1, "hangs");
        struct run_job j = job_of(2, "exec");
        give_script(g->thread, j, "(setsid env -i sleep 1000 &); sleep 1000");
        turns(g, 400);
        kill(getpid(), SIGKILL);
    }
    close(gone[0]);
    close(gone[1]);
    waitpid(worker, NULL, 0);
    for (int i = 0; i < 500 && count_tree() > 1; i++) { /* this process is a subreaper: what is left comes to it */
        nap(10);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    }
    assert_int_equal(count_tree(), 1);
}

/* ---- many ------------------------------------------------------------------------------------- */

static void children_are_recycled_and_nothing_leaks(void **state)
{
    (void)state;
    struct rig *g = rig_open(2, 10);
    for (uint64_t i = 1; i <= 1000; i++)
        give_id(g->process, i, "well");
    finish(g, 1000);
    for (uint64_t i = 1; i <= 1000; i++)
        assert_well(g, i);
    assert_in_range(count_fds() - g->fds, 1, 40);
    rig_close(g);
}

static void one_that_is_asked_gives_a_sign_of_life_unless_it_hangs(void **state)
{
    (void)state;
    struct rig *g = rig_open(2, 0);
    assert_true(zygote_is_alive(g->zygote));
    zygote_ask_alive(g->zygote);
    assert_false(zygote_is_alive(g->zygote));
    for (int i = 0; i < 500 && !zygote_is_alive(g->zygote); i++)
        turns(g, 10);
    assert_true(zygote_is_alive(g->zygote));
    kill(zygote_pid(g->zygote), SIGSTOP);
    zygote_ask_alive(g->zygote);
    turns(g, 200);
    assert_false(zygote_is_alive(g->zygote));
    kill(zygote_pid(g->zygote), SIGCONT);
    for (int i = 0; i < 500 && !zygote_is_alive(g->zygote); i++)
        turns(g, 10);
    assert_true(zygote_is_alive(g->zygote));
    rig_close(g);
}

static void it_is_fast(void **state)
{
    (void)state;
    struct rig *g = rig_open(2, 0);
    int64_t from_us = clock_mono_us();
    for (uint64_t i = 1; i < MOST; i++)
        give_id(g->process, i, "small");
    finish(g, MOST - 1);
    print_message("%.0f jobs/s in 2 processes\n", (MOST - 1) * 1e6 / (double)(clock_mono_us() - from_us));
    rig_close(g);
}

int main(int argc, char **argv)
{
    init_handlers();
    if (argc > 1 && strcmp(argv[1], "--zygote") == 0)
        return zygote_main();
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crash_is_recorded_as_its_signal),
        cmocka_unit_test(past_its_memory_a_handler_is_killed),
        cmocka_unit_test(one_that_hangs_and_hides_is_ended_at_its_limit),
        cmocka_unit_test(what_a_job_leaves_behind_is_ended_before_its_outcome),
        cmocka_unit_test(what_a_process_leaves_behind_is_reaped_before_its_outcome),
        cmocka_unit_test(one_that_scribbles_costs_its_own_attempt),
        cmocka_unit_test(one_that_stops_itself_is_ended_at_its_limit),
        cmocka_unit_test(commands_end_as_what_they_were_in_each_pool),
        cmocka_unit_test(a_command_holds_no_thread),
        cmocka_unit_test(a_zygote_that_dies_is_replaced),
        cmocka_unit_test(a_child_that_is_killed_costs_one_attempt),
        cmocka_unit_test(a_launcher_that_dies_is_replaced),
        cmocka_unit_test(what_a_launcher_dies_of_is_lost_and_not_begun_again),
        cmocka_unit_test(deaths_at_random_lose_no_job),
        cmocka_unit_test(when_the_worker_dies_all_that_it_started_ends),
        cmocka_unit_test(children_are_recycled_and_nothing_leaks),
        cmocka_unit_test(one_that_is_asked_gives_a_sign_of_life_unless_it_hangs),
        cmocka_unit_test(it_is_fast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
