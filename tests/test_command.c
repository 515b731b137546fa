/* test_command.c - one command alone in this process, and many at a time: what they print, how they end, what is left. */
#include "worker/commands.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/output.h"

/* ---- a set of commands, and what it said ------------------------------------------------------ */

struct rig {
    struct commands commands;
    struct outcome last;
    char *error; /* owned */
    struct buf out, err;
    uint64_t n_cut;
    size_t n, n_done;
};

static struct rig rig;

static void on_outcome(void *ctx, const struct outcome *o)
{
    struct rig *g = ctx;
    struct str rest = o->output, bytes;
    int stream;
    g->n++;
    g->n_done += o->ending == ENDING_DONE;
    g->last = *o;
    free(g->error);
    g->error = xstrndup(o->error);
    buf_clear(&g->out);
    buf_clear(&g->err);
    g->n_cut = 0;
    assert_true(o->output.n <= LIMIT_RESULT_BYTES);
    while (output_next(&rest, &stream, &bytes)) {
        if (stream == OUTPUT_CUT)
            g->n_cut += output_cut_bytes(bytes);
        else
            buf_add(stream == OUTPUT_STDOUT ? &g->out : &g->err, bytes.p, bytes.n);
    }
    assert_int_equal(rest.n, 0);
}

static struct rig *rig_of(size_t capacity)
{
    static size_t before;
    struct rig *g = &rig;
    if (before) {
        close(g->commands.epoll);
        close(g->commands.sigchld);
        command_ground_fini(&g->commands.ground);
        idmap_fini(&g->commands.by_pid);
        idmap_fini(&g->commands.by_job);
        tree_fini(&g->commands.tree);
    }
    before = capacity;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    commands_init(&g->commands, capacity, 777);
    g->commands.on_outcome = on_outcome;
    g->commands.ctx = g;
    g->n = g->n_done = 0;
    buf_init(&g->out, SIZE_MAX / 2);
    buf_init(&g->err, SIZE_MAX / 2);
    return g;
}

static void rig_fini(struct rig *g)
{
    struct tree t = { 0 };
    tree_read(&t, getpid());
    assert_int_equal(t.n, 1); /* nothing is left, no zombie either */
    tree_fini(&t);
    buf_fini(&g->out);
    buf_fini(&g->err);
    free(g->error);
    g->error = NULL;
}

struct spec {
    uint64_t job;
    const char *cwd, *input, *env;
    int64_t memory_bytes, timeout_ms;
};

static void begin_argv(struct rig *g, const struct spec *s, const char *const *argv, size_t n)
{
    struct command c;
    struct run_job j;
    struct str texts[8], env = str_of(s->env);
    struct buf b;
    record_init(RECORD_command, &c);
    for (size_t i = 0; i < n; i++)
        texts[i] = str_of(argv[i]);
    c.argv = texts;
    c.n_argv = n;
    c.cwd = str_of(s->cwd);
    c.input = str_of(s->input);
    c.env = &env;
    c.n_env = s->env != NULL;
    buf_init(&b, LIMIT_PAYLOAD_BYTES);
    assert_int_equal(record_encode(&b, RECORD_command, &c), 0);
    record_init(RECORD_run_job, &j);
    j.job = s->job ? s->job : 1;
    j.attempt = 1;
    j.queue = str_of("default");
    j.handler = str_of("exec");
    j.payload = buf_str(&b);
    j.memory_bytes = s->memory_bytes ? s->memory_bytes : UNSET;
    j.timeout_ms = s->timeout_ms ? s->timeout_ms : UNSET;
    commands_begin(&g->commands, &j, clock_now());
    buf_fini(&b);
}

static void begin(struct rig *g, const struct spec *s, const char *script)
{
    begin_argv(g, s, (const char *const[]){ "sh", "-c", script }, 3);
}

static void turn_until(struct rig *g, int64_t until_ms)
{
    size_t n = g->n;
    int64_t next = commands_tick(&g->commands);
    if (g->n == n)
        commands_wait(&g->commands, min_i64(next, until_ms));
}

static void turn(struct rig *g) { turn_until(g, NEVER); }

static void finish(struct rig *g)
{
    while (g->commands.n)
        turn(g);
}

static void turns(struct rig *g, int64_t ms)
{
    int64_t until_ms = clock_mono_us() / 1000 + ms;
    while (g->commands.n && clock_mono_us() / 1000 < until_ms)
        turn_until(g, until_ms);
}

static void assert_out(struct rig *g, const char *text)
{
    cleanup(freep) char *out = xstrndup(buf_str(&g->out));
    assert_string_equal(out, text);
}

/* ---- how they begin --------------------------------------------------------------------------- */

static void output_and_exit_status_are_kept(void **state)
{
    struct rig *g = rig_of(*(size_t *)*state);
    begin(g, &(struct spec){ 0 }, "echo out; echo err >&2; exit 3");
    finish(g);
    assert_int_equal(g->last.ending, ENDING_FAILED);
    assert_int_equal(g->last.reason, REASON_EXIT);
    assert_int_equal(g->last.exit_code, 3);
    assert_out(g, "out\n");
    assert_memory_equal(g->err.p, "err\n", 4);
    assert_in_range(g->last.wall_us, 100, 5000000);
    assert_in_range(g->last.max_rss_kb, 100, 1 << 20);
    begin(g, &(struct spec){ 0 }, "exit 0");
    finish(g);
    assert_int_equal(g->last.ending, ENDING_DONE);
    assert_int_equal(g->last.exit_code, 0);
    begin(g, &(struct spec){ 0 }, "kill -ABRT $$");
    finish(g);
    assert_int_equal(g->last.reason, REASON_SIGNAL);
    assert_int_equal(g->last.signal, SIGABRT);
    rig_fini(g);
}

static void what_cannot_begin_says_why(void **state)
{
    struct rig *g = rig_of(*(size_t *)*state);
    begin_argv(g, &(struct spec){ 0 }, (const char *const[]){ "no-such-program" }, 1);
    assert_int_equal(g->last.exit_code, 127);
    assert_int_equal(g->last.reason, REASON_EXIT);
    assert_string_equal(g->error, "no-such-program: command not found");
    begin_argv(g, &(struct spec){ 0 }, (const char *const[]){ "/no/such" }, 1);
    assert_int_equal(g->last.exit_code, 127);
    begin_argv(g, &(struct spec){ 0 }, (const char *const[]){ "/etc/passwd" }, 1);
    assert_int_equal(g->last.exit_code, 126);
    assert_non_null(strstr(g->error, "/etc/passwd"));
    begin_argv(g, &(struct spec){ 0 }, (const char *const[]){ "/tmp" }, 1);
    assert_int_equal(g->last.exit_code, 126);
    begin_argv(g, &(struct spec){ 0 }, (const char *const[]){ "" }, 1);
    assert_int_equal(g->last.exit_code, 127);
    begin_argv(g, &(struct spec){ 0 }, NULL, 0);
    assert_int_equal(g->last.reason, REASON_HANDLER_ERROR);
    begin(g, &(struct spec){ .cwd = "/no/dir" }, "true");
    assert_true(g->last.exit_code == UNSET);
    assert_int_equal(g->last.ending, ENDING_FAILED);
    assert_non_null(strstr(g->error, "/no/dir"));
    assert_int_equal(g->n, 7);
    rig_fini(g);
}

static void a_hostile_payload_fails(void **state)
{
    struct rig *g = rig_of(*(size_t *)*state);
    struct run_job j;
    record_init(RECORD_run_job, &j);
    j.payload = (struct str){ "\xdd\xff\xff\xff\xff", 5 };
    commands_begin(&g->commands, &j, clock_now());
    j.payload = STR_UNSET;
    commands_begin(&g->commands, &j, clock_now());
    assert_int_equal(g->n, 2);
    assert_int_equal(g->last.ending, ENDING_FAILED);
    rig_fini(g);
}

static void surroundings_are_as_told(void **state)
{
    setenv("NOTIFY_SOCKET", "/x", 1);
    setenv("TERN_BROKER", "x", 1);
    setenv("KEPT", "yes", 1);
    setenv("CHANGED", "no", 1);
    struct rig *g = rig_of(*(size_t *)*state);
    begin(g, &(struct spec){ .job = 5, .env = "CHANGED=indeed", .timeout_ms = 60000, .input = "in\nput", .cwd = "/usr" },
          "echo $TERN_JOB_ID $TERN_ATTEMPT $TERN_QUEUE ${TERN_DEADLINE%%T*} [$NOTIFY_SOCKET$TERN_BROKER] $KEPT $CHANGED;"
          "pwd; cat; echo; ls /proc/self/fd | wc -l; ulimit -Sn; ps -o sid= -p $$ | grep -qx \" *$$\" && echo leads;"
          "grep -E 'Sig(Ign|Blk)' /proc/$$/status | tr -d '\\t' | sed s/018/000/"); /* 32 and 33 are libc's own */
    finish(g);
    char date[16];
    time_t now = time(NULL) + 60;
    struct tm tm;
    strftime(date, sizeof(date), "%Y-%m-%d", gmtime_r(&now, &tm));
    cleanup(freep) char *want = xasprintf("5 1 default %s [] yes indeed\n/usr\nin\nput\n4\n777\nleads\n"
                                          "SigBlk:0000000000000000\nSigIgn:0000000000000000\n", date);
    assert_out(g, want);
    rig_fini(g);
}

static void a_script_without_interpreter_runs(void **state)
{
    struct rig *g = rig_of(*(size_t *)*state);
    char path[] = "/tmp/test_command.XXXXXX";
    int fd = mkstemp(path);
    assert_true(write(fd, "echo script $1\n", 15) == 15);
    fchmod(fd, 0700);
    close(fd);
    begin_argv(g, &(struct spec){ 0 }, (const char *const[]){ path, "arg" }, 2);
    finish(g);
    assert_out(g, "script arg\n");
    unlink(path);
    rig_fini(g);
}

/* ---- output ----------------------------------------------------------------------------------- */

static void a_flood_is_cut_in_the_middle(void **state)
{
    struct rig *g = rig_of(*(size_t *)*state);
    begin(g, &(struct spec){ 0 }, "echo first; yes | head -c 300000000; echo; echo last");
    finish(g);
    assert_int_equal(g->last.ending, ENDING_DONE);
    assert_memory_equal(g->out.p, "first\n", 6);
    assert_memory_equal(g->out.p + g->out.n - 6, "\nlast\n", 6);
    assert_int_equal(g->out.n + g->n_cut, 300000000 + 12);
    assert_in_range(g->out.n, LIMIT_RESULT_BYTES * 9 / 10, LIMIT_RESULT_BYTES);
    rig_fini(g);
}

static void many_small_writes_are_kept_in_order(void **state)
{
    struct rig *g = rig_of(*(size_t *)*state);
    begin(g, &(struct spec){ 0 }, "i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); done; seq 1 200000 >&2");
    finish(g);
    assert_memory_equal(g->out.p, "0\n1\n2\n", 6);
    assert_int_equal(g->out.n, 10 * 2 + 90 * 3 + 900 * 4 + 2000 * 5);
    assert_memory_equal(g->err.p + g->err.n - 7, "200000\n", 7);
    rig_fini(g);
}

static void one_that_closes_its_output_is_waited_for(void **state)
{
    struct rig *g = rig_of(*(size_t *)*state);
    begin(g, &(struct spec){ 0 }, "exec >&- 2>&-; sleep 0.3; exit 4");
    finish(g);
    assert_int_equal(g->last.exit_code, 4);
    assert_in_range(g->last.wall_us, 300000, 5000000);
    rig_fini(g);
}

/* ---- ending ----------------------------------------------------------------------------------- */

static void a_daemon_that_holds_the_pipe_is_ended(void **state)
{
    struct rig *g = rig_of(*(size_t *)*state);
    int64_t from_us = clock_mono_us();
    begin(g, &(struct spec){ 0 }, "setsid sh -c 'sleep 1000 & sleep 1000' & echo x; exit 0");
    finish(g);
    assert_in_range(clock_mono_us() - from_us, 100000, 3000000);
    assert_out(g, "x\n");
    assert_int_equal(g->last.ending, ENDING_DONE);
    rig_fini(g);
}

static void a_scrubbed_daemon_is_ended(void **state)
{
    struct rig *g = rig_of(*(size_t *)*state);
    begin(g, &(struct spec){ 0 }, "(setsid env -i sh -c 'cd /; setsid sleep 1000 & trap \"\" TERM; sleep 1000' "
                                  "</dev/null >/dev/null 2>&1 &) ; exit 0");
    finish(g);
    assert_int_equal(g->last.ending, ENDING_DONE);
    rig_fini(g);
}

static void told_to_end_it_ends_with_its_tree(void **state)
{
    struct rig *g = rig_of(*(size_t *)*state);
    begin(g, &(struct spec){ .job = 8 }, "setsid sleep 1000 & trap 'echo bye; exit 0' TERM; sleep 1000 & wait");
    turns(g, 200);
    commands_stop(&g->commands, 8, 1);
    finish(g);
    assert_int_equal(g->last.ending, ENDING_FAILED); /* done it is not: it was told to end */
    assert_out(g, "bye\n");
    rig_fini(g);
}

static void one_that_ignores_term_or_is_stopped_is_killed(void **state)
{
    struct rig *g = rig_of(*(size_t *)*state);
    begin(g, &(struct spec){ .job = 8 }, "trap '' TERM; echo here; sleep 1000; sleep 1000");
    turns(g, 200);
    commands_stop(&g->commands, 8, 1);
    turns(g, 200);
    assert_int_equal(g->commands.n, 1);
    commands_stop(&g->commands, 8, 1);
    finish(g);
    assert_int_equal(g->last.signal, SIGKILL);
    assert_out(g, "here\n");
    begin(g, &(struct spec){ .job = 9 }, "kill -STOP $$");
    turns(g, 200);
    commands_stop(&g->commands, 9, 1);
    finish(g);
    assert_int_equal(g->last.signal, SIGTERM);
    rig_fini(g);
}

static void past_its_memory_it_is_killed(void **state)
{
    struct rig *g = rig_of(*(size_t *)*state);
    begin(g, &(struct spec){ .memory_bytes = 64 << 20 },
          "setsid sh -c 'x=$(head -c 200000000 /dev/zero | tr \"\\0\" x); sleep 1000' & wait");
    finish(g);
    assert_int_equal(g->last.ending, ENDING_FAILED);
    assert_int_equal(g->last.reason, REASON_MEMORY_LIMIT);
    assert_non_null(strstr(g->error, "64 MiB"));
    assert_in_range(g->last.max_rss_kb, 64 << 10, 1 << 20);
    begin(g, &(struct spec){ .memory_bytes = 64 << 20 }, "sleep 0.2");
    finish(g);
    assert_int_equal(g->last.ending, ENDING_DONE);
    rig_fini(g);
}

static void a_swarm_of_twenty_ends(void **state)
{
    struct rig *g = rig_of(*(size_t *)*state);
    begin(g, &(struct spec){ .job = 3 }, "for i in 1 2 3 4 5 6 7 8 9 10; do (trap '' TERM; setsid sleep 1000 & sleep 1000; "
                                         "sleep 1000) & done; wait");
    turns(g, 300);
    commands_stop(&g->commands, 3, 1);
    turns(g, 100);
    commands_stop(&g->commands, 3, 1);
    finish(g);
    rig_fini(g);
}

/* ---- many at a time --------------------------------------------------------------------------- */

static size_t count_fds(void)
{
    size_t n = 0;
    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void many_run_at_once(void **state)
{
    (void)state;
    struct rig *g = rig_of(1000);
    size_t fds = count_fds();
    for (uint64_t i = 1; i <= 100; i++)
        begin(g, &(struct spec){ .job = i }, "sleep 0.3; echo $TERN_JOB_ID");
    int64_t from_us = clock_mono_us();
    finish(g);
    assert_int_equal(g->n_done, 100);
    assert_in_range(clock_mono_us() - from_us, 1, 5000000);
    assert_int_equal(count_fds(), fds);
    rig_fini(g);
}

static void one_ends_with_its_tree_and_its_neighbour_goes_on(void **state)
{
    (void)state;
    struct rig *g = rig_of(1000);
    begin(g, &(struct spec){ .job = 1 }, "(setsid sleep 1000 &); (setsid sh -c 'sleep 0.7; echo daemon' &); sleep 1; echo neighbour");
    begin(g, &(struct spec){ .job = 2 }, "(setsid sleep 1000 &); setsid sleep 1000 & exit 0");
    begin(g, &(struct spec){ .job = 3 }, "trap '' TERM; (setsid sleep 1000 &); sleep 1000");
    turns(g, 200);
    commands_stop(&g->commands, 3, 1);
    commands_stop(&g->commands, 3, 1);
    while (g->n < 2)
        turn(g);
    assert_int_equal(g->commands.n, 1);
    struct tree t = { 0 };
    tree_read(&t, getpid());
    size_t n = 0;
    for (size_t i = 0; i < t.n; i++)
        n += t.at[i].state != 'Z';
    tree_fini(&t);
    assert_int_equal(n, 6); /* this one; sh, its sleep, a daemon, a daemon of two */
    finish(g);
    assert_out(g, "daemon\nneighbour\n");
    rig_fini(g);
}

#define CASES(C, with)                                                                             \
    C(output_and_exit_status_are_kept, with)                                                       \
    C(what_cannot_begin_says_why, with)                                                            \
    C(a_hostile_payload_fails, with)                                                               \
    C(surroundings_are_as_told, with)                                                              \
    C(a_script_without_interpreter_runs, with)                                                     \
    C(a_flood_is_cut_in_the_middle, with)                                                          \
    C(many_small_writes_are_kept_in_order, with)                                                   \
    C(one_that_closes_its_output_is_waited_for, with)                                              \
    C(a_daemon_that_holds_the_pipe_is_ended, with)                                                 \
    C(a_scrubbed_daemon_is_ended, with)                                                            \
    C(told_to_end_it_ends_with_its_tree, with)                                                     \
    C(one_that_ignores_term_or_is_stopped_is_killed, with)                                         \
    C(past_its_memory_it_is_killed, with)                                                          \
    C(a_swarm_of_twenty_ends, with)

static size_t alone = 1, among_others = 1000;

#define CASE(f, with) { #with ": " #f, f, NULL, NULL, &with },

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASES(CASE, alone)
        CASES(CASE, among_others)
        cmocka_unit_test(many_run_at_once),
        cmocka_unit_test(one_ends_with_its_tree_and_its_neighbour_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
