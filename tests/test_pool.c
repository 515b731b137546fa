/* test_pool.c - the same cases on all three pools: how attempts end, are told to stop, are bounded
 * and measured. The handlers are this test's own; in the process pool its own program is the
 * zygote. */
#include "worker/pool.h"

#include "proto/message.h"
#include "proto/output.h"
#include "proto/base/rng.h"
#include "worker/handlers.h"
#include "worker/launcher.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/own_zygote.h"

/* ---- handlers --------------------------------------------------------------------------------- */

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

/* ---- a pool with all it stands on ------------------------------------------------------------- */

struct rig {
    struct pool *pool;
    struct launcher *launcher;
    enum pool_kind kind;
    struct link finished; /* in order */
    size_t n_started, n_finished;
    uint64_t started[2000]; /* jobs, in order */
};

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

static struct rig *rig_new(void **state, size_t slots)
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

static void rig_free(struct rig *g)
{
    pool_close(g->pool);
    launcher_close(g->launcher);
    for (struct link *l; (l = list_pop(&g->finished));)
        run_free(list_entry(l, struct run, link));
    free(g);
}

static struct run_job job_of(const struct rig *g, uint64_t id, const char *handler, const char *payload)
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

static void give(struct rig *g, const struct run_job *j)
{
    struct now now = clock_now();
    pool_give(g->pool, run_new(j, now), now);
}

static void give_id(struct rig *g, uint64_t id, const char *handler)
{
    struct run_job j = job_of(g, id, handler, "x");
    give(g, &j);
}

static void turn(struct rig *g, int64_t until_ms)
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

static void turns(struct rig *g, int64_t ms)
{
    int64_t until_ms = clock_now().mono_ms + ms;
    while (clock_now().mono_ms < until_ms)
        turn(g, until_ms);
}

/* Until n have finished; far above what it takes, for a machine that is busy. */
static void finish(struct rig *g, size_t n)
{
    int64_t until_ms = clock_now().mono_ms + 60000;
    while (g->n_finished < n && clock_now().mono_ms < until_ms)
        turn(g, until_ms);
    assert_int_equal(g->n_finished, n);
}

static void begin(struct rig *g, size_t n)
{
    int64_t until_ms = clock_now().mono_ms + 60000;
    while (g->n_started < n && clock_now().mono_ms < until_ms)
        turn(g, until_ms);
    assert_int_equal(g->n_started, n);
}

static const struct outcome *outcome_of(const struct rig *g, uint64_t job)
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

static void assert_text(struct str s, const char *text)
{
    assert_non_null(s.p);
    cleanup(freep) char *copy = xstrndup(s);
    assert_string_equal(copy, text);
}

static void wait_unused(struct rig *g)
{
    int64_t until_ms = clock_now().mono_ms + 60000;
    while ((pool_load(g->pool).used || pool_load(g->pool).stuck) && clock_now().mono_ms < until_ms)
        turn(g, clock_now().mono_ms + 20);
    assert_int_equal(pool_load(g->pool).used, 0);
    assert_int_equal(pool_load(g->pool).stuck, 0);
}

/* ---- cases ------------------------------------------------------------------------------------ */

static void a_job_is_done_and_has_its_result(void **state)
{
    struct rig *g = rig_new(state, 2);
    struct run_job j = job_of(g, 7, "well", "some bytes");
    give(g, &j);
    finish(g, 1);
    const struct outcome *o = outcome_of(g, 7);
    assert_int_equal(o->ending, ENDING_DONE);
    assert_int_equal(o->reason, REASON_NONE);
    assert_int_equal(o->attempt, 1);
    assert_int_equal(o->pool, g->kind);
    assert_text(o->result, "some bytes");
    assert_true(o->output.n > 5 && memcmp(o->output.p + 5, "line of job 7\n", 14) == 0);
    assert_int_equal(pool_load(g->pool).used, 0);
    rig_free(g);
}

static void failures_say_what_and_whether_for_good(void **state)
{
    struct rig *g = rig_new(state, 2);
    struct run_job j[] = { job_of(g, 1, "badly", "later"), job_of(g, 2, "badly", "!"), job_of(g, 3, "badly", ""),
                           job_of(g, 4, "unheard-of", "") };
    for (size_t i = 0; i < ELEMENTS(j); i++)
        give(g, &j[i]);
    finish(g, ELEMENTS(j));
    for (size_t i = 0; i < ELEMENTS(j); i++) {
        assert_int_equal(outcome_of(g, i + 1)->ending, ENDING_FAILED);
        assert_int_equal(outcome_of(g, i + 1)->reason, REASON_HANDLER_ERROR);
    }
    assert_text(outcome_of(g, 1)->error, "not now: later");
    assert_int_equal(outcome_of(g, 1)->for_good, 0);
    assert_text(outcome_of(g, 2)->error, "never: ?!");
    assert_int_equal(outcome_of(g, 2)->for_good, 1);
    assert_text(outcome_of(g, 3)->error, "No space left on device");
    assert_int_equal(outcome_of(g, 3)->for_good, 0);
    rig_free(g);
}

static void a_time_limit_ends_the_attempt(void **state)
{
    struct rig *g = rig_new(state, 2);
    struct run_job j = job_of(g, 1, "long", "");
    int64_t from_us = clock_mono_us();
    j.timeout_ms = 100;
    give(g, &j);
    finish(g, 1);
    assert_int_equal(outcome_of(g, 1)->ending, ENDING_FAILED);
    assert_int_equal(outcome_of(g, 1)->reason, REASON_TIME_LIMIT);
    assert_in_range(clock_mono_us() - from_us, 99000, 20000000); /* limits count whole milliseconds */
    wait_unused(g);
    rig_free(g);
}

static void a_cancelled_job_ends(void **state)
{
    struct rig *g = rig_new(state, 1);
    give_id(g, 1, "long");
    give_id(g, 2, "long"); /* waits for the slot */
    begin(g, 1);
    turns(g, 30);
    pool_stop(g->pool, 2, 1, REASON_CANCELLED, 5000, clock_now());
    finish(g, 1);
    pool_stop(g->pool, 1, 1, REASON_CANCELLED, 5000, clock_now());
    pool_stop(g->pool, 3, 1, REASON_CANCELLED, 5000, clock_now()); /* not here */
    finish(g, 2);
    for (uint64_t i = 1; i <= 2; i++) {
        assert_int_equal(outcome_of(g, i)->ending, ENDING_CANCELLED);
        assert_int_equal(outcome_of(g, i)->reason, REASON_CANCELLED);
    }
    assert_int_equal(g->n_started, 1);
    wait_unused(g);
    rig_free(g);
}

static void one_that_waits_for_a_descriptor_hears_it_too(void **state)
{
    struct rig *g = rig_new(state, 1);
    give_id(g, 1, "dry");
    begin(g, 1);
    turns(g, 30);
    pool_stop(g->pool, 1, 1, REASON_CANCELLED, 5000, clock_now());
    finish(g, 1);
    assert_int_equal(outcome_of(g, 1)->ending, ENDING_CANCELLED);
    assert_in_range(outcome_of(g, 1)->wall_us, 1, 4000000); /* before the grace was over */
    rig_free(g);
}

static void what_runs_is_handed_back(void **state)
{
    struct rig *g = rig_new(state, 3);
    for (uint64_t i = 1; i <= 5; i++)
        give_id(g, i, "long");
    begin(g, 3);
    turns(g, 30);
    struct run *taken = pool_take_any_waiting(g->pool);
    assert_non_null(taken);
    assert_int_equal(taken->job.job, 5); /* the newest */
    run_free(taken);
    taken = pool_take_waiting(g->pool, 4, 1);
    assert_non_null(taken);
    run_free(taken);
    assert_null(pool_take_waiting(g->pool, 1, 1)); /* runs */
    pool_stop_all(g->pool, 5000, clock_now());
    finish(g, 3);
    for (uint64_t i = 1; i <= 3; i++) {
        assert_int_equal(outcome_of(g, i)->ending, ENDING_LOST);
        assert_int_equal(outcome_of(g, i)->reason, REASON_NONE);
    }
    rig_free(g);
}

static void one_that_has_expired_never_starts(void **state)
{
    struct rig *g = rig_new(state, 1);
    struct run_job j = job_of(g, 2, "well", "");
    j.expire_in_ms = 20;
    give_id(g, 1, "short");
    give(g, &j);
    finish(g, 2);
    assert_int_equal(outcome_of(g, 1)->ending, ENDING_DONE);
    assert_int_equal(outcome_of(g, 2)->ending, ENDING_EXPIRED);
    assert_int_equal(outcome_of(g, 2)->reason, REASON_EXPIRED);
    assert_int_equal(g->n_started, 1);
    rig_free(g);
}

static void slots_bound_what_runs_and_the_order_is_kept(void **state)
{
    struct rig *g = rig_new(state, 3);
    for (uint64_t i = 1; i <= 12; i++)
        give_id(g, i, "short");
    while (g->n_finished < 12) {
        struct pool_load load = pool_load(g->pool);
        assert_int_equal(load.slots, 3);
        assert_true(load.used <= 3);
        assert_int_equal(load.used + load.waiting + g->n_finished, 12);
        assert_int_equal(g->n_started, g->n_finished + load.used);
        turn(g, clock_now().mono_ms + 10000);
    }
    for (uint64_t i = 0; i < 12; i++)
        assert_int_equal(g->started[i], i + 1);
    rig_free(g);
}

static void a_thousand_jobs_finish_exactly_once(void **state)
{
    struct rig *g = rig_new(state, 8);
    for (uint64_t i = 1; i <= 1000; i++) {
        char text[32];
        snprintf(text, sizeof text, "%d", (int)i);
        struct run_job j = job_of(g, i, "well", text);
        give(g, &j);
    }
    finish(g, 1000);
    turns(g, 20);
    assert_int_equal(g->n_finished, 1000);
    bool seen[1001] = { false };
    list_each(l, &g->finished) {
        const struct run *r = list_entry(l, const struct run, link);
        char text[32];
        assert_in_range(r->job.job, 1, 1000);
        assert_false(seen[r->job.job]);
        seen[r->job.job] = true;
        snprintf(text, sizeof text, "%d", (int)r->job.job);
        assert_int_equal(r->outcome.ending, ENDING_DONE);
        assert_text(r->outcome.result, text);
    }
    rig_free(g);
}

static void what_waits_can_be_taken_back_and_stopped(void **state)
{
    struct rig *g = rig_new(state, 1);
    give_id(g, 1, "short");
    for (uint64_t i = 2; i <= 6; i++)
        give_id(g, i, "well");
    begin(g, 1);
    turns(g, 5);
    struct run *taken = pool_take_waiting(g->pool, 3, 1), *last = pool_take_any_waiting(g->pool);
    assert_non_null(taken);
    assert_null(pool_take_waiting(g->pool, 3, 1));
    assert_int_equal(last->job.job, 6);
    pool_stop(g->pool, 4, 1, REASON_CANCELLED, 1000, clock_now());
    assert_int_equal(outcome_of(g, 4)->ending, ENDING_CANCELLED);
    finish(g, 4);
    static const uint64_t started[] = { 1, 2, 5 };
    assert_int_equal(g->n_started, ELEMENTS(started));
    assert_memory_equal(g->started, started, sizeof started);
    run_free(taken);
    run_free(last);
    rig_free(g);
}

static void a_time_limit_counts_from_the_begin(void **state)
{
    struct rig *g = rig_new(state, 1);
    for (uint64_t i = 1; i <= 4; i++)
        give_id(g, i, "short");
    struct run_job j = job_of(g, 5, "short", "");
    j.timeout_ms = 150;
    give(g, &j);
    finish(g, 5);
    assert_int_equal(outcome_of(g, 5)->ending, ENDING_DONE);
    rig_free(g);
}

/* Each ends once, or is given back once, whatever is asked of it while it begins. */
static void what_is_stopped_and_taken_back_at_any_moment_is_there_once(void **state)
{
    enum { JOBS = 1500 };
    struct rig *g = rig_new(state, 4);
    struct rng rng;
    rng_init(&rng, 7);
    size_t n_taken = 0;
    for (uint64_t next = 1; g->n_finished + n_taken < JOBS;) {
        for (size_t i = 0; i < 50 && next <= JOBS; i++)
            give_id(g, next++, "well");
        for (size_t i = 0; i < 3; i++) {
            uint64_t stopped = 1 + rng_below(&rng, JOBS), wanted = 1 + rng_below(&rng, JOBS);
            pool_stop(g->pool, stopped, 1, REASON_CANCELLED, 1000, clock_now());
            struct run *r = pool_take_waiting(g->pool, wanted, 1);
            n_taken += r != NULL;
            if (r)
                run_free(r);
        }
        turn(g, clock_now().mono_ms + 1);
    }
    turns(g, 20);
    assert_int_equal(g->n_finished + n_taken, JOBS);
    bool seen[JOBS + 1] = { false };
    list_each(l, &g->finished) {
        const struct run *r = list_entry(l, const struct run, link);
        assert_false(seen[r->job.job]);
        seen[r->job.job] = true;
    }
    for (size_t i = 0; i < g->n_started; i++)
        assert_true(seen[g->started[i]]);
    assert_int_equal(pool_load(g->pool).used + pool_load(g->pool).waiting, 0);
    rig_free(g);
}

static void computing_and_waiting_are_told_apart(void **state)
{
    struct rig *g = rig_new(state, 2);
    give_id(g, 1, "burn");
    finish(g, 1);
    give_id(g, 2, "short");
    finish(g, 2);
    const struct outcome *burnt = outcome_of(g, 1), *waited = outcome_of(g, 2);
    assert_in_range(burnt->cpu_us, 59000, 1000000);
    assert_in_range(burnt->wall_us, 59000, 10000000);
    assert_in_range(waited->wall_us, 50000, 5000000);
    assert_in_range(waited->cpu_us, 0, 40000);
    if (g->kind == POOL_PROCESS)
        assert_in_range(burnt->max_rss_kb, 100, 10 << 20);
    else
        assert_true(burnt->max_rss_kb == UNSET);
    rig_free(g);
}

/* Threads and coroutines are given up, and replaced while that is allowed; a process is killed. */
static void one_that_does_not_hear_costs_its_own_attempt_alone(void **state)
{
    struct rig *g = rig_new(state, 1);
    struct run_job j = job_of(g, 1, "deaf", "");
    j.timeout_ms = 50;
    j.kill_grace_ms = 50;
    give(g, &j);
    give_id(g, 2, "well");
    finish(g, 2);
    assert_int_equal(outcome_of(g, 1)->reason, REASON_TIME_LIMIT);
    assert_int_equal(outcome_of(g, 2)->ending, ENDING_DONE);
    assert_int_equal(pool_load(g->pool).slots, 1);
    assert_false(pool_is_spent(g->pool));
    if (g->kind == POOL_LOOP)
        assert_int_equal(pool_load(g->pool).stuck, 1); /* for ever: it never returns */
    else
        wait_unused(g);
    give_id(g, 3, "well");
    finish(g, 3);
    rig_free(g);
}

static void too_many_that_do_not_hear_spend_the_pool(void **state)
{
    struct rig *g = rig_new(state, 2);
    if (g->kind == POOL_PROCESS) {
        rig_free(g);
        skip();
    }
    for (uint64_t i = 1; i <= 5; i++) {
        struct run_job j = job_of(g, i, "deaf", "");
        j.timeout_ms = 30;
        give(g, &j);
    }
    finish(g, 5);
    assert_true(pool_is_spent(g->pool));
    assert_int_equal(pool_load(g->pool).stuck, 5);
    assert_int_equal(pool_load(g->pool).slots, 1);
    rig_free(g); /* does not wait for them */
}

static void descriptors_can_be_awaited_on_the_loop_alone(void **state)
{
    struct rig *g = rig_new(state, 2);
    for (uint64_t i = 1; i <= 50; i++)
        give_id(g, i, "pipe");
    finish(g, 50);
    for (uint64_t i = 1; i <= 50; i++)
        assert_int_equal(outcome_of(g, i)->ending, ENDING_DONE);
    rig_free(g);
}

static struct buf command_of(const char *script)
{
    struct str argv[] = { str_of("sh"), str_of("-c"), str_of(script) };
    struct command c;
    struct buf b;
    record_init(RECORD_command, &c);
    c.argv = argv;
    c.n_argv = ELEMENTS(argv);
    buf_init(&b, LIMIT_PAYLOAD_BYTES);
    assert_int_equal(record_encode(&b, RECORD_command, &c), 0);
    return b;
}

static void assert_stdout(struct str output, const char *text)
{
    struct str bytes;
    int stream;
    struct buf all;
    buf_init(&all, LIMIT_RESULT_BYTES);
    while (output_next(&output, &stream, &bytes))
        if (stream == OUTPUT_STDOUT)
            assert_int_equal(buf_add(&all, bytes.p, bytes.n), 0);
    assert_text(buf_str(&all), text);
    buf_fini(&all);
}

static void a_command_runs_in_every_pool(void **state)
{
    static const char *const scripts[] = { "echo out; echo err >&2", "exit 3", "kill -9 $$", "sleep 60" };
    struct rig *g = rig_new(state, 4);
    for (size_t i = 0; i < ELEMENTS(scripts); i++) {
        struct buf payload = command_of(scripts[i]);
        struct run_job j = job_of(g, i + 1, "exec", "");
        j.payload = buf_str(&payload);
        j.timeout_ms = i == 3 ? 200 : UNSET;
        give(g, &j);
        buf_fini(&payload);
    }
    finish(g, ELEMENTS(scripts));
    assert_int_equal(outcome_of(g, 1)->ending, ENDING_DONE);
    assert_stdout(outcome_of(g, 1)->output, "out\n");
    assert_int_equal(outcome_of(g, 2)->reason, REASON_EXIT);
    assert_int_equal(outcome_of(g, 2)->exit_code, 3);
    assert_int_equal(outcome_of(g, 3)->reason, REASON_SIGNAL);
    assert_int_equal(outcome_of(g, 3)->signal, SIGKILL);
    assert_int_equal(outcome_of(g, 4)->reason, REASON_TIME_LIMIT);
    rig_free(g);
}

static void what_waits_behind_commands_runs_after_them(void **state)
{
    struct rig *g = rig_new(state, 2);
    struct buf payload = command_of("sleep .05");
    for (uint64_t i = 1; i <= 2; i++) {
        struct run_job j = job_of(g, i, "exec", "");
        j.payload = buf_str(&payload);
        give(g, &j);
    }
    buf_fini(&payload);
    begin(g, 2);
    for (uint64_t i = 3; i <= 8; i++)
        give_id(g, i, "well");
    finish(g, 8);
    rig_free(g);
}

static void a_pool_closes_while_jobs_run_and_wait(void **state)
{
    struct rig *g = rig_new(state, 3);
    for (uint64_t i = 1; i <= 6; i++)
        give_id(g, i, i % 2 ? "long" : "dry");
    begin(g, 3);
    turns(g, 20);
    rig_free(g);
}

/* ---- all of them, thrice ---------------------------------------------------------------------- */

#define CASES(C, pool)                                                                                              \
    C(a_job_is_done_and_has_its_result, pool)                                                                       \
    C(failures_say_what_and_whether_for_good, pool)                                                                 \
    C(a_time_limit_ends_the_attempt, pool)                                                                          \
    C(a_cancelled_job_ends, pool)                                                                                   \
    C(one_that_waits_for_a_descriptor_hears_it_too, pool)                                                           \
    C(what_runs_is_handed_back, pool)                                                                               \
    C(one_that_has_expired_never_starts, pool)                                                                      \
    C(slots_bound_what_runs_and_the_order_is_kept, pool)                                                            \
    C(a_thousand_jobs_finish_exactly_once, pool)                                                                    \
    C(what_waits_can_be_taken_back_and_stopped, pool)                                                               \
    C(a_time_limit_counts_from_the_begin, pool)                                                                     \
    C(what_is_stopped_and_taken_back_at_any_moment_is_there_once, pool)                                             \
    C(computing_and_waiting_are_told_apart, pool)                                                                   \
    C(one_that_does_not_hear_costs_its_own_attempt_alone, pool)                                                     \
    C(too_many_that_do_not_hear_spend_the_pool, pool)                                                               \
    C(descriptors_can_be_awaited_on_the_loop_alone, pool)                                                           \
    C(what_waits_behind_commands_runs_after_them, pool)                                                             \
    C(a_command_runs_in_every_pool, pool)                                                                           \
    C(a_pool_closes_while_jobs_run_and_wait, pool)
#define CASE(f, pool) { #pool ": " #f, f, NULL, NULL, &pool },

int main(int argc, char **argv)
{
    static enum pool_kind process = POOL_PROCESS, thread = POOL_THREAD, loop = POOL_LOOP;
    const struct CMUnitTest tests[] = { CASES(CASE, process) CASES(CASE, thread) CASES(CASE, loop) };
    own_zygote_handlers(handlers, ELEMENTS(handlers));
    return own_zygote_main(argc, argv, tests, ELEMENTS(tests));
}
