/* test_tree.c - what descends from a process: from a /proc made for the test with and without lists of children, and from the
 * true one, with processes that hide. */
#include "worker/tree.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a /proc of our own ----------------------------------------------------------------------- */

static char place[] = "/tmp/test_tree.XXXXXX";

static void put(const char *text, const char *format, ...)
{
    char path[256] = { 0 };
    va_list ap;
    va_start(ap, format);
    vsnprintf(path, sizeof(path), format, ap);
    va_end(ap);
    char *whole = xasprintf("%s/%s", place, path);
    for (char *s = whole + strlen(place) + 1; (s = strchr(s, '/')); *s++ = '/') {
        *s = 0;
        mkdir(whole, 0700);
    }
    FILE *f = fopen(whole, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    free(whole);
}

/* One process: its name is as nasty as may be. */
static void put_process(int pid, int ppid, long pages)
{
    char *stat = xasprintf("%d (a) R 9 (x) S %d %d %d 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 999 8888888 %ld 18446744073709551615 1",
                           pid, ppid, pid, pid, pages);
    put(stat, "%d/stat", pid);
    free(stat);
}

static void put_processes(void)
{
    put_process(10, 1, 1000);
    put_process(11, 10, 1);
    put_process(12, 10, 2);
    put_process(13, 11, 4);
    put_process(14, 13, 8);
    put_process(20, 1, 5000);
}

static void check_tree(void)
{
    struct tree t = { 0 };
    tree_read(&t, 10);
    assert_int_equal(t.n, 5);
    assert_int_equal(t.at[0].pid, 10);
    assert_int_equal(tree_rss_bytes(&t, false), 15 * sysconf(_SC_PAGESIZE));
    assert_int_equal(tree_rss_bytes(&t, true), 1015 * sysconf(_SC_PAGESIZE));
    for (size_t i = 1; i < t.n; i++)
        assert_int_equal(t.at[i].top, t.at[i].pid == 12 ? 12 : 11);
    assert_int_equal(t.at[4].pid, 14);
    assert_int_equal(t.at[1].state, 'S');
    tree_read(&t, 99);
    assert_int_equal(t.n, 0);
    tree_fini(&t);
}

static void clear(void)
{
    char *command = xasprintf("%s", place);
    execlp("rm", "rm", "-rf", command, NULL);
    _exit(1);
}

static void a_tree_is_read_by_a_scan_and_by_lists(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(place));
    tree_set_proc(place);
    put_processes();
    check_tree();
    put("", "thread-self/children");
    put("11 ", "10/task/10/children");
    put("12 ", "10/task/15/children"); /* the child of another thread */
    put("13 ", "11/task/11/children");
    put("14 ", "13/task/13/children");
    put("", "12/task/12/children");
    tree_set_proc(place);
    check_tree();
    put("A=1", "13/environ");
    tree_set_proc("/proc");
    pid_t pid = fork();
    if (pid == 0)
        clear();
    waitpid(pid, NULL, 0);
}

/* ---- the true one ----------------------------------------------------------------------------- */

static void run(const char *script)
{
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", script, NULL);
        _exit(127);
    }
    assert_true(pid > 0);
}

static void count(void *ctx, const struct tree_process *p)
{
    (void)p;
    ++*(size_t *)ctx;
}

static size_t count_children(void)
{
    size_t n = 0;
    tree_each_child(getpid(), NULL, count, &n);
    return n;
}

static void all_that_hides_is_ended(void **state)
{
    (void)state;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    run("setsid env -i sleep 1000 & setsid sh -c 'trap \"\" TERM HUP; setsid sleep 1000 & sleep 1000' & exit 0");
    run("for i in 1 2 3 4 5 6 7 8 9 10; do (sleep 1000 & sleep 1000) & done; kill -STOP $$");
    usleep(300000);
    struct tree t = { 0 };
    tree_read(&t, getpid());
    assert_in_range(t.n, 20, 60);
    tree_fini(&t);
    int64_t cpu_us = 0;
    assert_int_equal(tree_end_children(5000, &cpu_us), 0);
    assert_true(cpu_us > 0);
    assert_int_equal(count_children(), 0);
    assert_int_equal(tree_end_children(0, NULL), 0);
}

static void a_number_is_read_from_an_environment(void **state)
{
    (void)state;
    uint64_t n = 0;
    run("TERN_JOB_ID=42 XTERN_ATTEMPT=3 exec sleep 1000");
    usleep(200000);
    struct tree t = { 0 };
    tree_read(&t, getpid());
    assert_int_equal(t.n, 2);
    assert_true(tree_environ_number(t.at[1].pid, "TERN_JOB_ID=", &n));
    assert_int_equal(n, 42);
    assert_false(tree_environ_number(t.at[1].pid, "TERN_ATTEMPT=", &n));
    tree_fini(&t);
    tree_end_children(5000, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_is_read_by_a_scan_and_by_lists),
        cmocka_unit_test(all_that_hides_is_ended),
        cmocka_unit_test(a_number_is_read_from_an_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
