/* test_pool_ahead.c - runs that a process was given ahead: they wait as the others do, are run once, and none pays for what
 * another one did; whatever dies, stops, lasts or scribbles in front of them. */
#include "worker/pool_kind.h"

#include <fcntl.h>
#include <setjmp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/rng.h"
#include "tests/own_zygote.h"
#include "worker/frame.h"
#include "worker/handlers.h"
#include "worker/tree.h"

/* ---- handlers; each notes first that it runs -------------------------------------------------- */

#define NOTES "TEST_POOL_AHEAD_NOTES" /* in the environment: the file */

static void nap(int64_t ms)
{
    int64_t until_us = clock_mono_us() + ms * 1000;
    while (clock_mono_us() < until_us)
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

static void note(const struct tern_job *job)
{
    static int fd = -1;
    uint64_t id = tern_job_id(job);
    if (fd < 0)
        fd = open(getenv(NOTES), O_WRONLY | O_APPEND | O_CLOEXEC);
    if (write(fd, &id, sizeof(id)) != sizeof(id))
        abort();
}

static const char *payload_of(struct tern_job *job)
{
    static char text[32];
    size_t n;
    const char *p = tern_payload(job, &n);
    snprintf(text, sizeof(text), "%.*s", (int)n, p);
    return text;
}

static int well(struct tern_job *job)
{
    note(job);
    return tern_should_stop(job) ? tern_fail(job, "told to stop") : tern_result(job, "well", 4);
}

/* For so many milliseconds. */
static int hold(struct tern_job *job)
{
    int64_t until_us = clock_mono_us() + strtol(payload_of(job), NULL, 10) * 1000;
    note(job);
    while (clock_mono_us() < until_us && !tern_should_stop(job))
        nap(1);
    return tern_should_stop(job) ? tern_fail(job, "told to stop") : 0;
}

static int large(struct tern_job *job)
{
    static char result[1 << 20];
    note(job);
    return tern_result(job, result, sizeof(result));
}

static int dies(struct tern_job *job)
{
    note(job);
    return kill(getpid(), SIGKILL);
}

/* Over the memory that it finds to be shared with the worker: all of it, its numbers, or its places. */
static int scribbles(struct tern_job *job)
{
    const char *kind = payload_of(job);
    char line[256];
    struct rng rng;
    uint64_t *from = NULL, *to = NULL;
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps && fgets(line, sizeof(line), maps))
        if (strstr(line, "tern-ring") && sscanf(line, "%p-%p", (void **)&from, (void **)&to) != 2)
            abort();
    fclose(maps);
    note(job);
    rng_init(&rng, tern_job_id(job));
    if (strcmp(kind, "numbers") == 0)
        to = from + 3;
    if (strcmp(kind, "places") == 0)
        from += 3;
    for (; from < to; from++)
        *from = strcmp(kind, "zeros") == 0 ? 0 : strcmp(kind, "ones") == 0 ? UINT64_MAX : rng_next(&rng);
    return 0;
}

/* Says that the next one has ended. */
static int forges(struct tern_job *job)
{
    struct frames f;
    struct outcome o;
    struct message m;
    record_init(RECORD_outcome, &o);
    message_init(&m, MSG_RESULT);
    o.job = tern_job_id(job) + 1;
    o.attempt = 1;
    o.ending = ENDING_DONE;
    o.result = str_of("forged");
    m.result.outcomes = &o;
    m.result.n_outcomes = 1;
    note(job);
    frames_init(&f, 3);
    frames_put(&f, &m);
    frames_flush(&f, true);
    nap(5000);
    return 0;
}

/* Writes where its process speaks to the worker. */
static int babbles(struct tern_job *job)
{
    note(job);
    if (write(3, "\x7f\xff\xff\xff babble", 11) != 11)
        abort();
    nap(2);
    return 0;
}

static const struct tern_handler handlers[] = {
    { .name = "babbles", .blocking = babbles },
    { .name = "well", .blocking = well },           { .name = "hold", .blocking = hold },
    { .name = "dies", .blocking = dies },           { .name = "scribbles", .blocking = scribbles },
    { .name = "forges", .blocking = forges },       { .name = "large", .blocking = large },
};

/* ---- a pool, and what has run ----------------------------------------------------------------- */

enum { MOST = 20000 };

struct rig {
    struct pool *pool;
    struct run *runs[MOST]; /* owned: what has finished, by job */
    size_t n;
    uint64_t last;          /* job given */
    uint64_t started;       /* the last one */
};

static void on_started(void *ctx, struct run *r) { ((struct rig *)ctx)->started = r->job.job; }

static void on_finished(void *ctx, struct run *r)
{
    struct rig *g = ctx;
    assert_null(g->runs[r->job.job]); /* exactly once */
    g->runs[r->job.job] = r;
    g->n++;
}

static struct rig *rig_open(size_t slots)
{
    static struct rig g;
    g = (struct rig){ .n = 0 };
    struct pool_options o = { .kind = POOL_PROCESS, .slots = slots, .zygote = zygote, .on_started = on_started,
                              .on_finished = on_finished, .ctx = &g };
    assert_int_equal(pool_open(&g.pool, &o), 0);
    assert_int_equal(truncate(getenv(NOTES), 0), 0);
    return &g;
}

static void rig_close(struct rig *g)
{
    pool_close(g->pool);
    for (size_t i = 0; i < MOST; i++)
        run_free(g->runs[i]);
}

/* How often it has run. */
static size_t n_ran(uint64_t job)
{
    uint64_t id;
    size_t n = 0;
    FILE *f = fopen(getenv(NOTES), "re");
    while (f && fread(&id, sizeof(id), 1, f) == 1)
        n += id == job;
    fclose(f);
    return n;
}

/* The pool hears nothing meanwhile. */
static void wait_ran(uint64_t job)
{
    int64_t until_us = clock_mono_us() + 60000000;
    while (!n_ran(job) && clock_mono_us() < until_us)
        nap(1);
    assert_int_equal(n_ran(job), 1);
}

static void turn(struct rig *g)
{
    struct now now = clock_now();
    size_t n = g->n;
    int64_t due_ms = pool_tick(g->pool, now);
    if (g->n != n)
        return;
    struct pollfd fds[] = { { pool_fd(g->pool), POLLIN, 0 }, { zygote_fd(zygote), POLLIN, 0 } };
    poll(fds, ELEMENTS(fds), (int)max_i64(0, min_i64(due_ms - now.mono_ms, 20)));
    now = clock_now();
    pool_on_readable(g->pool, now);
    zygote_on_readable(zygote, now);
}

static void finish(struct rig *g, size_t n)
{
    int64_t until_ms = clock_now().mono_ms + 60000;
    while (g->n < n && clock_now().mono_ms < until_ms)
        turn(g);
    assert_int_equal(g->n, n);
}

static const struct outcome *outcome_of(const struct rig *g, uint64_t job)
{
    assert_non_null(g->runs[job]);
    return &g->runs[job]->outcome;
}

static void assert_ended(struct rig *g, uint64_t job, enum ending ending, enum reason reason, size_t times)
{
    assert_int_equal(outcome_of(g, job)->ending, ending);
    assert_int_equal(outcome_of(g, job)->reason, reason);
    assert_int_equal(n_ran(job), times);
}

static void assert_done(struct rig *g, uint64_t first, uint64_t last)
{
    for (uint64_t job = first; job <= last; job++)
        assert_ended(g, job, ENDING_DONE, REASON_NONE, 1);
}

/* ---- runs ahead ------------------------------------------------------------------------------- */

struct what {
    const char *handler, *payload;
    int64_t timeout_ms, expire_ms, memory_bytes;
};

#define WELL { "well", "", 0, 0, 0 }
#define HOLD(ms) { "hold", #ms, 0, 0, 0 }
#define SCRIPT(text) { "exec", text, 0, 0, 0 } /* notes first that it runs, too */

static struct buf script(const char *text)
{
    cleanup(freep) char *noting = xasprintf("printf \"\\\\$(printf %%o $((TERN_JOB_ID %% 256)))\\\\$(printf %%o $((TERN_JOB_ID / 256)))"
                                            "\\\\0\\\\0\\\\0\\\\0\\\\0\\\\0\" >> $" NOTES "; %s", text);
    struct str argv[] = { str_of("/bin/sh"), str_of("-c"), str_of(noting) };
    struct command c;
    record_init(RECORD_command, &c);
    c.argv = argv;
    c.n_argv = ELEMENTS(argv);
    c.cwd = str_of("/");
    struct buf payload;
    buf_init(&payload, LIMIT_PAYLOAD_BYTES);
    assert_int_equal(record_encode(&payload, RECORD_command, &c), 0);
    return payload;
}

static uint64_t give(struct rig *g, const struct what *w)
{
    struct now now = clock_now();
    struct run_job j;
    record_init(RECORD_run_job, &j);
    j.job = ++g->last;
    assert_true(j.job < MOST);
    j.attempt = 1;
    j.handler = str_of(w->handler);
    struct buf command = handler_is_exec(j.handler) ? script(w->payload) : (struct buf){ 0 };
    j.payload = command.n ? buf_str(&command) : str_of(w->payload);
    j.timeout_ms = w->timeout_ms ? w->timeout_ms : UNSET;
    j.expire_in_ms = w->expire_ms ? w->expire_ms : UNSET;
    j.memory_bytes = w->memory_bytes ? w->memory_bytes : UNSET;
    pool_give(g->pool, run_new(&j, now), now);
    buf_fini(&command);
    return j.job;
}

static void be_quick(struct rig *g)
{
    for (int i = 0; i < 30; i++)
        give(g, &(struct what)WELL);
    finish(g, g->last);
}

static void start(struct rig *g, uint64_t job)
{
    while (g->started < job)
        turn(g);
    pool_tick(g->pool, clock_now()); /* now what is behind it is sent */
}

static void cancel_all(struct rig *g, uint64_t from)
{
    for (uint64_t job = from; job <= g->last; job++)
        pool_stop(g->pool, job, 1, REASON_CANCELLED, 0, clock_now());
    finish(g, g->last);
}

/* The first ones run, one in each slot, and n_ahead of those behind them have been sent; nothing has been heard since. Which
 * takes processes whose jobs have been short, on a machine that is not too busy. The id of the first. */
static uint64_t set_up(struct rig *g, const struct what *w, size_t n, size_t n_ahead)
{
    size_t slots = pool_load(g->pool).slots;
    for (int i = 0; i < 100; i++) {
        be_quick(g);
        for (size_t slot = 0; slot < slots; slot++)
            give(g, &(struct what)WELL);
        uint64_t first = g->last + 1;
        for (size_t at = 0; at < n; at++)
            give(g, &w[at]);
        start(g, first + slots - 1);
        if (g->pool->n_ahead == n_ahead)
            return first;
        cancel_all(g, first);
    }
    fail_msg("nothing is given ahead");
    return 0;
}

#define SET_UP(g, n_ahead, ...)                                                                                         \
    set_up(g, (const struct what[]){ __VA_ARGS__ }, ELEMENTS(((const struct what[]){ __VA_ARGS__ })), n_ahead)

/* 0: there is none. */
static pid_t any_child_pid(void)
{
    struct tree t = { 0 };
    pid_t found = 0;
    tree_read(&t, zygote_pid(zygote));
    for (size_t i = 1; i < t.n; i++)
        found = t.at[i].pid;
    tree_fini(&t);
    return found;
}

static pid_t child_pid(void)
{
    pid_t found = any_child_pid();
    assert_true(found > 0);
    return found;
}

/* ---- cases ------------------------------------------------------------------------------------ */

static void what_is_ahead_still_waits(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 4, HOLD(50), WELL, WELL, WELL, WELL);
    assert_int_equal(pool_load(g->pool).used, 1);
    assert_int_equal(pool_load(g->pool).waiting, 4);
    assert_int_equal(g->started, id);
    finish(g, id + 4);
    assert_done(g, id, id + 4);
    assert_int_equal(pool_load(g->pool).waiting, 0);
    rig_close(g);
}

static void a_killed_process_costs_the_run_that_had_begun(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 6, HOLD(60000), WELL, WELL, WELL, WELL, WELL, WELL);
    wait_ran(id);
    kill(child_pid(), SIGKILL);
    finish(g, id + 6);
    assert_ended(g, id, ENDING_FAILED, REASON_SIGNAL, 1);
    assert_int_equal(outcome_of(g, id)->signal, SIGKILL);
    assert_done(g, id + 1, id + 6);
    rig_close(g);
}

/* Those before it have ended but not been sent; those behind it have not begun. */
static void a_crash_costs_neither_those_before_nor_those_behind(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 6, HOLD(20), WELL, WELL, WELL, { "dies", "", 0, 0, 0 }, WELL, WELL);
    wait_ran(id + 4);
    nap(50);
    zygote_on_readable(zygote, clock_now()); /* of its end first */
    finish(g, id + 6);
    assert_done(g, id, id + 3);
    assert_ended(g, id + 4, ENDING_FAILED, REASON_SIGNAL, 1);
    assert_done(g, id + 5, id + 6);
    rig_close(g);
}

static void one_that_had_not_begun_is_not_to_blame(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    be_quick(g);
    kill(child_pid(), SIGSTOP);
    uint64_t id = give(g, &(struct what)WELL);
    pool_tick(g->pool, clock_now());
    assert_int_equal(g->started, id);
    kill(child_pid(), SIGKILL);
    finish(g, id);
    assert_done(g, id, id);
    rig_close(g);
}

/* As soon as it is seen to be long; here both slots have such a one, and then one is free. */
static void behind_a_long_one_nothing_is_stuck(void **state)
{
    (void)state;
    struct rig *g = rig_open(2);
    uint64_t id = SET_UP(g, 6, HOLD(60000), HOLD(60000), WELL, WELL, WELL, WELL, WELL, WELL);
    while (g->pool->n_ahead)
        turn(g);
    assert_int_equal(g->pool->n_waiting, 6);
    pool_stop(g->pool, id + 1, 1, REASON_CANCELLED, 60000, clock_now());
    finish(g, id + 6);
    assert_null(g->runs[id]);
    assert_ended(g, id + 1, ENDING_CANCELLED, REASON_CANCELLED, 1);
    assert_done(g, id + 2, id + 7);
    cancel_all(g, id);
    rig_close(g);
}

static void a_result_does_not_wait_for_the_long_run_behind_it(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 2, WELL, WELL, HOLD(60000));
    finish(g, id + 1);
    assert_done(g, id, id + 1);
    cancel_all(g, id);
    rig_close(g);
}

static void what_is_ahead_is_taken_back_and_cancelled(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 5, HOLD(100), WELL, WELL, WELL, WELL, WELL);
    struct run *taken = pool_take_waiting(g->pool, id + 3, 1);
    assert_non_null(taken);
    run_free(taken);
    pool_stop(g->pool, id + 2, 1, REASON_CANCELLED, 5000, clock_now());
    assert_ended(g, id + 2, ENDING_CANCELLED, REASON_CANCELLED, 0);
    finish(g, id + 4);
    assert_int_equal(n_ran(id + 3), 0);
    assert_done(g, id, id + 1);
    assert_done(g, id + 4, id + 5);
    rig_close(g);
}

static void cancelled_in_front_of_others_it_alone_hears_of_it(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 3, HOLD(60000), WELL, WELL, WELL);
    wait_ran(id);
    pool_stop(g->pool, id, 1, REASON_CANCELLED, 60000, clock_now());
    finish(g, id + 3);
    assert_ended(g, id, ENDING_CANCELLED, REASON_CANCELLED, 1);
    assert_done(g, id + 1, id + 3);
    rig_close(g);
}

static void what_has_begun_is_not_taken_back_but_stopped(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 3, HOLD(20), HOLD(60000), WELL, WELL);
    wait_ran(id + 1);
    assert_null(pool_take_waiting(g->pool, id + 1, 1));
    pool_stop(g->pool, id + 1, 1, REASON_CANCELLED, 60000, clock_now());
    finish(g, id + 3);
    assert_done(g, id, id);
    assert_ended(g, id + 1, ENDING_CANCELLED, REASON_CANCELLED, 1);
    assert_done(g, id + 2, id + 3);
    rig_close(g);
}

static void a_cancel_that_comes_too_late_stops_nobody_else(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 2, HOLD(20), HOLD(100), WELL);
    wait_ran(id + 1);
    pool_stop(g->pool, id, 1, REASON_CANCELLED, 0, clock_now());
    finish(g, id + 2);
    assert_done(g, id, id + 2);
    rig_close(g);
}

static void one_that_ended_within_its_limit_is_done(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 2, { "hold", "20", 300, 0, 0 }, HOLD(400), WELL);
    wait_ran(id + 1);
    nap(300); /* the pool hears of it later */
    finish(g, id + 2);
    assert_done(g, id, id + 2);
    rig_close(g);
}

static void all_that_has_begun_is_handed_back(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 2, HOLD(20), HOLD(60000), WELL);
    wait_ran(id + 1);
    pool_stop_all(g->pool, 60000, clock_now());
    finish(g, id + 2);
    assert_done(g, id, id);
    assert_ended(g, id + 1, ENDING_LOST, REASON_NONE, 1);
    assert_done(g, id + 2, id + 2);
    rig_close(g);
}

static void a_drain_takes_back_all_that_is_ahead(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 5, HOLD(100), WELL, WELL, WELL, WELL, WELL);
    for (uint64_t i = 5; i > 0; i--) {
        struct run *taken = pool_take_any_waiting(g->pool);
        assert_non_null(taken);
        assert_int_equal(taken->job.job, id + i); /* the newest */
        run_free(taken);
    }
    assert_null(pool_take_any_waiting(g->pool));
    finish(g, id);
    nap(20);
    for (uint64_t i = 1; i <= 5; i++)
        assert_int_equal(n_ran(id + i), 0);
    assert_done(g, id, id);
    rig_close(g);
}

/* More often than there are places in what is shared, while a result arrives piece by piece. */
static void what_is_given_again_and_again_is_run_once(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    struct what w[21] = { { "large", "", 0, 0, 0 } };
    for (size_t i = 1; i < ELEMENTS(w); i++)
        w[i] = (struct what)WELL;
    uint64_t id = set_up(g, w, ELEMENTS(w), ELEMENTS(w) - 1), last = id + ELEMENTS(w) - 1;
    pid_t child = child_pid();
    size_t n_recalled = 0;
    while (!g->runs[id]) {
        n_recalled += g->pool->n_ahead;
        g->pool->ops->recall(g->pool);
        turn(g);
    }
    assert_true(n_recalled >= 40);
    finish(g, last);
    assert_done(g, id, last);
    assert_int_equal(child_pid(), child);
    rig_close(g);
}

static void what_can_expire_or_is_limited_is_not_given_ahead(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 1, HOLD(100), WELL, { "well", "", 0, 20, 0 }, WELL);
    nap(30);
    finish(g, id + 3);
    assert_done(g, id, id + 1);
    assert_ended(g, id + 2, ENDING_EXPIRED, REASON_EXPIRED, 0);
    assert_done(g, id + 3, id + 3);
    id = SET_UP(g, 1, HOLD(20), WELL, { "well", "", 0, 0, INT64_C(1) << 40 }, WELL);
    finish(g, id + 3);
    assert_done(g, id, id + 3);
    id = SET_UP(g, 0, { "hold", "20", 0, 0, INT64_C(1) << 40 }, WELL);
    finish(g, id + 1);
    assert_done(g, id, id + 1);
    rig_close(g);
}

static void one_that_scribbles_over_what_is_shared_is_to_blame(void **state)
{
    (void)state;
    static const char *const kinds[] = { "zeros", "ones", "random", "numbers", "places" };
    struct rig *g = rig_open(1);
    for (size_t i = 0; i < ELEMENTS(kinds); i++) {
        uint64_t id = SET_UP(g, 4, HOLD(20), { "scribbles", kinds[i], 0, 0, 0 }, WELL, WELL, WELL);
        finish(g, id + 4);
        assert_done(g, id, id);
        assert_int_equal(outcome_of(g, id + 1)->ending, ENDING_FAILED);
        assert_int_equal(n_ran(id + 1), 1);
        assert_done(g, id + 2, id + 4);
    }
    rig_close(g);
}

static void no_other_attempt_can_be_finished(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 3, { "forges", "", 0, 0, 0 }, WELL, WELL, WELL);
    finish(g, id + 3);
    assert_ended(g, id, ENDING_FAILED, REASON_HANDLER_ERROR, 1);
    assert_done(g, id + 1, id + 3);
    assert_true(str_is(outcome_of(g, id + 1)->result, "well"));
    rig_close(g);
}

/* What had ended before it is done, though none of it was sent; and nothing else is blamed for good, or runs twice unsaid. */
static void one_that_babbles_costs_neither_those_before_nor_those_behind(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    for (int i = 0; i < 20; i++) {
        uint64_t id = SET_UP(g, 5, WELL, WELL, { "babbles", "", 0, 0, 0 }, WELL, WELL, WELL);
        finish(g, id + 5);
        assert_done(g, id, id + 1);
        for (uint64_t job = id + 2; job <= id + 5; job++) {
            const struct outcome *o = outcome_of(g, job);
            assert_int_equal(n_ran(job), 1);
            assert_true(o->ending == ENDING_DONE || o->ending == ENDING_LOST || job == id + 2);
        }
    }
    rig_close(g);
}

/* ---- commands: nothing behind one begins before it has ended ------------------------------------ */

static void commands_and_handlers_run_one_after_the_other(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 5, SCRIPT("sleep .1"), SCRIPT("exit 3"), WELL, SCRIPT("kill -9 $$"), SCRIPT(":"), WELL);
    wait_ran(id);
    nap(20);
    assert_int_equal(n_ran(id + 1), 0);
    finish(g, id + 5);
    assert_done(g, id, id);
    assert_ended(g, id + 1, ENDING_FAILED, REASON_EXIT, 1);
    assert_done(g, id + 2, id + 2);
    assert_ended(g, id + 3, ENDING_FAILED, REASON_SIGNAL, 1);
    assert_done(g, id + 4, id + 5);
    rig_close(g);
}

static void a_command_does_not_wait_for_the_long_one_behind_it(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 2, SCRIPT(":"), SCRIPT(":"), SCRIPT("sleep 60"));
    finish(g, id + 1);
    assert_done(g, id, id + 1);
    cancel_all(g, id);
    assert_ended(g, id + 2, ENDING_CANCELLED, REASON_CANCELLED, n_ran(id + 2));
    rig_close(g);
}

static void a_command_that_is_cancelled_costs_nothing_behind_it(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 3, SCRIPT("exec sleep 60"), SCRIPT(":"), WELL, SCRIPT(":"));
    wait_ran(id);
    pool_stop(g->pool, id + 1, 1, REASON_CANCELLED, 60000, clock_now());
    assert_ended(g, id + 1, ENDING_CANCELLED, REASON_CANCELLED, 0);
    pool_stop(g->pool, id, 1, REASON_CANCELLED, 60000, clock_now());
    finish(g, id + 3);
    assert_ended(g, id, ENDING_CANCELLED, REASON_CANCELLED, 1);
    assert_done(g, id + 2, id + 3);
    rig_close(g);
}

static void a_process_killed_under_a_command_costs_that_alone(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    uint64_t id = SET_UP(g, 3, WELL, SCRIPT("kill -9 $PPID; sleep 60"), SCRIPT(":"), WELL);
    finish(g, id + 3);
    assert_done(g, id, id);
    assert_ended(g, id + 1, ENDING_FAILED, REASON_SIGNAL, 1);
    assert_done(g, id + 2, id + 3);
    rig_close(g);
}

static void deaths_at_random_cost_one_run_each(void **state)
{
    (void)state;
    struct rig *g = rig_open(3);
    struct rng rng;
    rng_init(&rng, 4);
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < 100; i++)
            give(g, i % 10 ? &(struct what)WELL : &(struct what)HOLD(1));
        for (uint64_t i = rng_below(&rng, 30); i > 0; i--)
            turn(g);
        pid_t pid = pool_load(g->pool).used ? any_child_pid() : 0; /* none while it waits after early deaths */
        if (pid)
            kill(pid, SIGKILL);
    }
    finish(g, g->last);
    size_t n_failed = 0;
    for (uint64_t job = 1; job <= g->last; job++) {
        if (outcome_of(g, job)->ending == ENDING_DONE) {
            assert_int_equal(n_ran(job), 1);
        } else {
            assert_int_equal(outcome_of(g, job)->reason, REASON_SIGNAL);
            assert_in_range(n_ran(job), 0, 1);
            n_failed++;
        }
    }
    assert_in_range(n_failed, 0, 40); /* one a death */
    rig_close(g);
}

static void a_pool_closes_with_runs_ahead(void **state)
{
    (void)state;
    struct rig *g = rig_open(1);
    SET_UP(g, 3, HOLD(60000), WELL, WELL, WELL);
    rig_close(g);
}

int main(int argc, char **argv)
{
    own_zygote_handlers(handlers, ELEMENTS(handlers));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_ahead_still_waits),
        cmocka_unit_test(a_killed_process_costs_the_run_that_had_begun),
        cmocka_unit_test(a_crash_costs_neither_those_before_nor_those_behind),
        cmocka_unit_test(one_that_had_not_begun_is_not_to_blame),
        cmocka_unit_test(behind_a_long_one_nothing_is_stuck),
        cmocka_unit_test(a_result_does_not_wait_for_the_long_run_behind_it),
        cmocka_unit_test(what_is_ahead_is_taken_back_and_cancelled),
        cmocka_unit_test(cancelled_in_front_of_others_it_alone_hears_of_it),
        cmocka_unit_test(what_has_begun_is_not_taken_back_but_stopped),
        cmocka_unit_test(a_cancel_that_comes_too_late_stops_nobody_else),
        cmocka_unit_test(one_that_ended_within_its_limit_is_done),
        cmocka_unit_test(all_that_has_begun_is_handed_back),
        cmocka_unit_test(a_drain_takes_back_all_that_is_ahead),
        cmocka_unit_test(what_is_given_again_and_again_is_run_once),
        cmocka_unit_test(what_can_expire_or_is_limited_is_not_given_ahead),
        cmocka_unit_test(one_that_scribbles_over_what_is_shared_is_to_blame),
        cmocka_unit_test(one_that_babbles_costs_neither_those_before_nor_those_behind),
        cmocka_unit_test(no_other_attempt_can_be_finished),
        cmocka_unit_test(commands_and_handlers_run_one_after_the_other),
        cmocka_unit_test(a_command_does_not_wait_for_the_long_one_behind_it),
        cmocka_unit_test(a_command_that_is_cancelled_costs_nothing_behind_it),
        cmocka_unit_test(a_process_killed_under_a_command_costs_that_alone),
        cmocka_unit_test(deaths_at_random_cost_one_run_each),
        cmocka_unit_test(a_pool_closes_with_runs_ahead),
    };
    char notes[] = "/tmp/tern-test-pool-ahead.XXXXXX";
    if (getenv(NOTES)) /* the zygote */
        return own_zygote_main(argc, argv, tests, ELEMENTS(tests));
    closep(&(int){ mkstemp(notes) });
    setenv(NOTES, notes, 1);
    int status = own_zygote_main(argc, argv, tests, ELEMENTS(tests));
    unlink(notes);
    return status;
}
