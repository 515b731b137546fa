/* test_await_parts.c - what a job on the loop has the other pools do: functions in threads and processes, and commands. They
 * end with the job, a crash costs the call alone, and plain jobs have their turn among thousands of them. */
#include "tests/await_rig.h"

#include "worker/call.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#define EXPECT(job, what) \
    do { \
        if (!(what)) \
            return tern_fail(job, "line %d: %s", __LINE__, #what); \
    } while (0)

static void nap(int ms) { nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL); }

/* ---- functions of the module, in a process ----------------------------------------------------- */

static int reverse(struct tern_job *job)
{
    size_t n;
    const char *p = tern_payload(job, &n);
    cleanup(freep) char *turned = xmalloc(n + 1);
    for (size_t i = 0; i < n; i++)
        turned[i] = p[n - 1 - i];
    tern_log(job, "turned %zu bytes", n);
    return tern_result(job, turned, n);
}

static int crash(struct tern_job *job) { return (void)job, raise(SIGKILL); }
static int refuse(struct tern_job *job) { return tern_fail(job, "not this one"); }

static int grow(struct tern_job *job)
{
    while (!tern_should_stop(job)) {
        volatile char *p = xmalloc(1 << 20);
        for (size_t i = 0; i < 1 << 20; i += 4096)
            p[i] = 1;
        nap(5);
    }
    return 0;
}

static int spin(struct tern_job *job)
{
    while (!tern_should_stop(job))
        nap(5);
    return -ECANCELED;
}

static const struct tern_function functions[] = {
    { "reverse", reverse }, { "crash", crash }, { "refuse", refuse }, { "grow", grow }, { "spin", spin },
};

/* ---- handlers ---------------------------------------------------------------------------------- */

static int in_processes(struct tern_job *job)
{
    struct tern_reply reply;
    int r = tern_await_process(job, &(struct tern_process){ .function = "reverse", .in = "abc", .in_bytes = 3 }, &reply);
    bool good = r == 0 && reply.n == 3 && memcmp(reply.bytes, "cba", 4) == 0 && !reply.error;
    tern_reply_free(&reply);
    EXPECT(job, good);
    r = tern_await_process(job, &(struct tern_process){ .function = "crash" }, &reply);
    tern_log(job, "%s", reply.error ? reply.error : "");
    good = r == -EIO && reply.error && strstr(reply.error, "signal 9 (KILL)");
    tern_reply_free(&reply);
    EXPECT(job, good);
    r = tern_await_process(job, &(struct tern_process){ .function = "refuse" }, &reply);
    good = r == -EIO && reply.error && strcmp(reply.error, "not this one") == 0 && !reply.bytes;
    tern_reply_free(&reply);
    EXPECT(job, good);
    EXPECT(job, tern_await_process(job, &(struct tern_process){ .function = "reversed" }, &reply) == -ENOENT);
    EXPECT(job, tern_await_process(job, &(struct tern_process){ 0 }, &reply) == -ENOENT);
    struct tern_process large = { .function = "reverse", .in = "", .in_bytes = 2u << 20 };
    EXPECT(job, tern_await_process(job, &large, &reply) == -E2BIG);
    tern_reply_free(&reply);
    return 0;
}

static int at_limits(struct tern_job *job)
{
    struct tern_reply reply;
    int r = tern_await_process(job, &(struct tern_process){ .function = "spin", .timeout_ms = 100 }, &reply);
    bool good = r == -EIO && reply.error && strstr(reply.error, "time limit of 100 ms");
    tern_reply_free(&reply);
    EXPECT(job, good);
    r = tern_await_process(job, &(struct tern_process){ .function = "grow", .memory_bytes = 64 << 20 }, &reply);
    good = r == -EIO && reply.error && strstr(reply.error, "past its limit of 64 MiB");
    tern_reply_free(&reply);
    EXPECT(job, good);
    return 0;
}

struct sum {
    int from, to;
    int64_t sum;
};

static int add(struct tern_job *job, void *arg)
{
    struct sum *s = arg;
    for (int i = s->from; i < s->to; i++)
        s->sum += i;
    tern_log(job, "added up in job %" PRIu64, tern_job_id(job));
    return tern_await_ms(job, 1) == -EOPNOTSUPP ? 42 : -EIO;
}

static int fails(struct tern_job *job, void *arg) { return tern_fail_for_good(job, "the disk is %s", (char *)arg); }

static int in_threads(struct tern_job *job)
{
    struct sum s = { 0, 1001, 0 }; /* on this stack: it stands until the thread has returned */
    EXPECT(job, tern_await_thread(job, add, &s) == 42);
    EXPECT(job, s.sum == 500500);
    return tern_await_thread(job, fails, (char *)"full");
}

static int await_add(struct tern_job *job, void *arg) { return tern_await_thread(job, add, arg); }

/* A thousand at once, with four threads. */
static int many(struct tern_job *job)
{
    enum { N = 1000 };
    cleanup(freep) struct sum *sums = xcalloc(N, sizeof *sums);
    cleanup(freep) struct tern_task **tasks = xcalloc(N, sizeof *tasks);
    int r = 0, wrong = 0;
    for (int i = 0; i < N && r == 0; i++) {
        sums[i] = (struct sum){ i, i + 2, 0 };
        r = tern_start(job, &tasks[i], await_add, &sums[i]);
    }
    if (r == 0)
        r = tern_await_all(job, tasks, N);
    tern_end_all(job);
    for (int i = 0; i < N; i++)
        wrong += sums[i].sum != 2 * i + 1;
    return r < 0 || !wrong ? r : tern_fail(job, "%d are wrong", wrong);
}

static _Atomic uint64_t called; /* the job whose function runs in the thread */

static int wait_long(struct tern_job *job, void *arg)
{
    called = tern_job_id(job);
    while (!tern_should_stop(job))
        nap(5);
    *(int *)arg = 1;
    return -ECANCELED;
}

static int waits_for_a_thread(struct tern_job *job)
{
    int heard = 0;
    int r = tern_await_thread(job, wait_long, &heard);
    tern_log(job, heard ? "heard" : "not called");
    return r;
}

static int in_commands(struct tern_job *job)
{
    static const char *const env[] = { "COLOUR=red", NULL };
    static const char *const script[] = { "sh", "-c", "cat; echo $COLOUR $TERN_JOB_ID $TERN_ATTEMPT; echo no >&2; exit 3", NULL };
    static const char *const none[] = { "/nowhere/at/all", NULL }, *const kill[] = { "sh", "-c", "kill -9 $$", NULL };
    struct tern_command c = { .argv = script, .env = env, .input = "in\n", .input_bytes = 3 };
    for (int i = 0; i < 2; i++) {
        struct tern_reply reply;
        c.tag = i ? TERN_TAG_IO : TERN_TAG_CPU;
        int r = tern_await_command(job, &c, &reply);
        bool good = r == 0 && reply.status == 3 && strcmp(reply.bytes, "in\nred 1 1\n") == 0 &&
                    strcmp(reply.err_bytes, "no\n") == 0;
        tern_log(job, "%d %d %s", r, reply.status, reply.bytes ? (char *)reply.bytes : "");
        tern_reply_free(&reply);
        EXPECT(job, good);
        r = tern_await_command(job, &(struct tern_command){ .argv = kill, .tag = c.tag }, &reply);
        good = r == -EIO && reply.status == 128 + 9 && strstr(reply.error, "signal 9");
        tern_reply_free(&reply);
        EXPECT(job, good);
        r = tern_await_command(job, &(struct tern_command){ .argv = none, .tag = c.tag }, &reply);
        good = r == -EIO && strstr(reply.error, "/nowhere/at/all: command not found");
        tern_reply_free(&reply);
        EXPECT(job, good);
        EXPECT(job, tern_await_command(job, &(struct tern_command){ .tag = c.tag }, &reply) == -EINVAL);
    }
    return 0;
}

/* The payload is where a grandchild writes its pid. */
static int long_command(struct tern_job *job)
{
    size_t n;
    const char *p = tern_payload(job, &n);
    cleanup(freep) char *script = xasprintf("setsid sleep 600 & echo $! >%.*s.new; mv %.*s.new %.*s; sleep 600", (int)n - 1, p + 1,
                                            (int)n - 1, p + 1, (int)n - 1, p + 1);
    const char *const argv[] = { "sh", "-c", script, NULL };
    struct tern_reply reply;
    int r = tern_await_command(job, &(struct tern_command){ .argv = argv, .tag = *p == 't' ? TERN_TAG_IO : TERN_TAG_CPU }, &reply);
    tern_reply_free(&reply);
    return r;
}

static int long_process(struct tern_job *job)
{
    struct tern_reply reply;
    int r = tern_await_process(job, &(struct tern_process){ .function = "spin" }, &reply);
    tern_reply_free(&reply);
    return r;
}

static int quick(struct tern_job *job) { return (void)job, nap(1), 0; }

static int nap_in_thread(struct tern_job *job, void *arg) { return (void)job, (void)arg, nap(20), 0; }
static int await_nap(struct tern_job *job, void *arg) { return tern_await_thread(job, nap_in_thread, arg); }

static int crowd(struct tern_job *job)
{
    struct tern_task *tasks[300];
    int r = 0;
    for (size_t i = 0; i < ELEMENTS(tasks) && r == 0; i++)
        r = tern_start(job, &tasks[i], await_nap, NULL);
    return r < 0 ? r : tern_await_all(job, tasks, ELEMENTS(tasks));
}

static const struct tern_handler handlers[] = {
    { .name = "processes", .async = in_processes },
    { .name = "limits", .async = at_limits },
    { .name = "threads", .async = in_threads },
    { .name = "many", .async = many },
    { .name = "thread", .async = waits_for_a_thread },
    { .name = "commands", .async = in_commands },
    { .name = "command", .async = long_command },
    { .name = "process", .async = long_process },
    { .name = "crowd", .async = crowd },
    { .name = "quick", .blocking = quick },
};
TERN_MODULE_WITH(handlers, functions);

/* ---- cases ------------------------------------------------------------------------------------- */

static bool has(struct str s, const char *text) { return s.n && memmem(s.p, s.n, text, strlen(text)); }

static void done(const char *handler)
{
    struct rig *g = rig_new(4);
    rig_give(g, 1, handler, "");
    rig_finish(g, 1);
    rig_assert_done(g, 1);
    rig_wait_unused(g);
    rig_free(g);
}

static void a_function_runs_in_a_process_and_a_crash_is_an_error(void **state)
{
    (void)state;
    struct rig *g = rig_new(4);
    rig_give(g, 1, "processes", "");
    rig_finish(g, 1);
    rig_assert_done(g, 1);
    assert_true(has(rig_outcome(g, 1)->output, "turned 3 bytes\n"));
    rig_free(g);
}

static void a_process_has_its_limits(void **state) { (void)state, done("limits"); }
static void a_thousand_calls_take_turns_on_four_threads(void **state) { (void)state, done("many"); }
static void a_command_runs_and_its_output_and_status_come_back(void **state) { (void)state, done("commands"); }

static void a_function_runs_in_a_thread_and_its_words_are_the_jobs(void **state)
{
    (void)state;
    struct rig *g = rig_new(4);
    rig_give(g, 7, "threads", "");
    rig_finish(g, 1);
    rig_assert_failed(g, 7, "the disk is full");
    assert_int_equal(rig_outcome(g, 7)->for_good, 1);
    assert_true(has(rig_outcome(g, 7)->output, "added up in job 7\n"));
    rig_free(g);
}

static void a_thread_is_told_and_waited_for(void **state)
{
    (void)state;
    struct rig *g = rig_new(1);
    called = 0;
    rig_give(g, 1, "thread", "");
    rig_give(g, 2, "thread", ""); /* one of the two waits for the one slot */
    rig_wait_load(g, POOL_THREAD, 1, 1);
    while (!called)
        rig_turns(g, 5);
    uint64_t first = called, second = 3 - first;
    pool_stop(g->pools[POOL_LOOP], second, 1, REASON_CANCELLED, 5000, clock_now());
    rig_finish(g, 1);
    assert_int_equal(rig_outcome(g, second)->ending, ENDING_CANCELLED);
    assert_true(has(rig_outcome(g, second)->output, "not called\n"));
    pool_stop(g->pools[POOL_LOOP], first, 1, REASON_CANCELLED, 5000, clock_now());
    rig_finish(g, 2);
    assert_int_equal(rig_outcome(g, first)->ending, ENDING_CANCELLED);
    assert_true(has(rig_outcome(g, first)->output, "heard\n"));
    rig_wait_unused(g);
    rig_free(g);
}

/* 0: it is not written yet. */
static pid_t pid_in(const char *path)
{
    FILE *f = fopen(path, "r");
    int pid;
    if (!f)
        return 0;
    if (fscanf(f, "%d", &pid) != 1)
        pid = 0;
    fclose(f);
    return pid;
}

/* how: cancelled, or at its time limit. */
static void command_tree_ends(char where, bool cancel)
{
    struct rig *g = rig_new(2);
    char path[] = "/tmp/test_await.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && close(fd) == 0 && unlink(path) == 0);
    cleanup(freep) char *payload = xasprintf("%c%s", where, path);
    struct run_job j = rig_job(1, "command", payload);
    j.kill_grace_ms = 500;
    j.timeout_ms = cancel ? UNSET : 1000;
    rig_give_job(g, &j);
    while (!pid_in(path) && !g->n_finished)
        rig_turn(g, clock_now().mono_ms + 20);
    pid_t stray = pid_in(path);
    unlink(path);
    if (cancel)
        pool_stop(g->pools[POOL_LOOP], 1, 1, REASON_CANCELLED, 500, clock_now());
    rig_finish(g, 1);
    assert_true(stray > 0 && kill(stray, 0) < 0 && errno == ESRCH); /* gone before it is recorded */
    assert_int_equal(rig_outcome(g, 1)->reason, cancel ? REASON_CANCELLED : REASON_TIME_LIMIT);
    rig_wait_unused(g);
    rig_free(g);
}

static void the_whole_tree_of_a_command_ends_with_its_job(void **state)
{
    (void)state;
    command_tree_ends('t', true);
    command_tree_ends('p', true);
    command_tree_ends('t', false);
    command_tree_ends('p', false);
}

static void a_process_ends_with_its_job(void **state)
{
    (void)state;
    struct rig *g = rig_new(2);
    rig_give(g, 1, "process", "");
    rig_begin(g, 1);
    rig_turns(g, 200);
    pool_stop(g->pools[POOL_LOOP], 1, 1, REASON_CANCELLED, 5000, clock_now());
    rig_finish(g, 1);
    assert_int_equal(rig_outcome(g, 1)->ending, ENDING_CANCELLED);
    rig_wait_unused(g);
    rig_free(g);
}

/* 300 calls of 20 ms on two threads are three seconds: a plain job waits behind four of them at most. */
static void a_plain_job_has_its_turn_among_hundreds_of_calls(void **state)
{
    (void)state;
    struct rig *g = rig_new(2);
    struct run_job j = rig_job(2, "quick", "");
    j.pool = POOL_THREAD;
    rig_give(g, 1, "crowd", "");
    rig_wait_load(g, POOL_THREAD, 2, 2);
    assert_int_equal(pool_load(g->pools[POOL_THREAD]).waiting, 2);
    rig_give_job(g, &j);
    rig_finish(g, 1);
    rig_assert_done(g, 2); /* before the job whose calls were first */
    rig_finish(g, 2);
    rig_assert_done(g, 1);
    rig_free(g);
}

static void what_parts_wait_for_is_not_handed_back_to_the_broker(void **state)
{
    (void)state;
    struct rig *g = rig_new(1);
    rig_give(g, 1, "crowd", "");
    rig_begin(g, 1);
    rig_turns(g, 50);
    pool_stop_all(g->pools[POOL_THREAD], 100, clock_now());
    pool_stop_all(g->pools[POOL_LOOP], 1000, clock_now());
    rig_finish(g, 1);
    assert_int_equal(rig_outcome(g, 1)->ending, ENDING_LOST);
    rig_wait_unused(g);
    rig_free(g);
}

static void the_pools_close_while_parts_run_and_wait(void **state)
{
    static const char *const what[] = { "thread", "process", "crowd", "thread", "thread" };
    (void)state;
    struct rig *g = rig_new(2);
    for (size_t i = 0; i < ELEMENTS(what); i++)
        rig_give(g, i + 1, what[i], "");
    rig_begin(g, ELEMENTS(what));
    rig_turns(g, 100);
    rig_free(g);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_function_runs_in_a_process_and_a_crash_is_an_error),
        cmocka_unit_test(a_process_has_its_limits),
        cmocka_unit_test(a_function_runs_in_a_thread_and_its_words_are_the_jobs),
        cmocka_unit_test(a_thousand_calls_take_turns_on_four_threads),
        cmocka_unit_test(a_thread_is_told_and_waited_for),
        cmocka_unit_test(a_command_runs_and_its_output_and_status_come_back),
        cmocka_unit_test(the_whole_tree_of_a_command_ends_with_its_job),
        cmocka_unit_test(a_process_ends_with_its_job),
        cmocka_unit_test(a_plain_job_has_its_turn_among_hundreds_of_calls),
        cmocka_unit_test(what_parts_wait_for_is_not_handed_back_to_the_broker),
        cmocka_unit_test(the_pools_close_while_parts_run_and_wait),
    };
    return rig_main(argc, argv, &tern_module, tests, ELEMENTS(tests));
}
