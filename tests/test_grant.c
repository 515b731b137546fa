/* test_grant.c - the file of a key: what it says, what is wrong with it, what follows from it; and the directory of them. */
#include "broker/grants.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/log.h"

#define KEY_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define KEY_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static char directory[64];

static int set_up(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "%s/tern-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    log_init("test", LOG_LEVEL_ERROR);
    return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    static const char *const names[] = { "a.conf", "b.conf", "c.conf", ".new.conf", "notes" };
    for (size_t i = 0; i < ELEMENTS(names); i++) {
        cleanup(freep) char *path = xasprintf("%s/%s", directory, names[i]);
        unlink(path);
    }
    return rmdir(directory);
}

static void put(const char *name, const char *text)
{
    cleanup(freep) char *path = xasprintf("%s/%s", directory, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static struct grant read_grant(const char *text)
{
    cleanup(freep) char *path = xasprintf("%s/a.conf", directory), *error = NULL;
    struct grant g;
    put("a.conf", text);
    grant_init(&g);
    if (grant_load(&g, path, &error) < 0)
        fail_msg("%s", error);
    return g;
}

static void expect_refused(const char *text, const char *part)
{
    cleanup(freep) char *path = xasprintf("%s/a.conf", directory), *error = NULL;
    struct grant g;
    put("a.conf", text);
    grant_init(&g);
    assert_true(grant_load(&g, path, &error) < 0);
    if (!strstr(error, part))
        fail_msg("\"%s\" does not say \"%s\"", error, part);
    grant_fini(&g);
}

#define ADA "[peer]\nname = ada\nrole = client\nkey = " KEY_A "\n"

static void a_client_may_use_all_handlers_but_exec(void **state)
{
    (void)state;
    struct grant g = read_grant(ADA);
    assert_true(grant_allows_handler(&g, str_of("resize")));
    assert_false(grant_allows_handler(&g, str_of("exec")));
    assert_true(grant_allows_queue(&g, str_of("any")));
    cleanup(freep) char *why = grant_refuses_job(&g, str_of("default"), str_of("exec"));
    assert_non_null(strstr(why, "commands"));
    assert_null(grant_refuses_job(&g, str_of("default"), str_of("resize")));
    grant_fini(&g);
}

static void exec_and_lists_widen_and_narrow(void **state)
{
    (void)state;
    struct grant g = read_grant(ADA "exec = yes\nqueues = mail,reports\nhandlers = resize\n");
    assert_true(grant_allows_handler(&g, str_of("exec")));
    assert_true(grant_allows_handler(&g, str_of("resize")));
    assert_false(grant_allows_handler(&g, str_of("resiz")));
    assert_false(grant_allows_handler(&g, str_of("http")));
    assert_true(grant_allows_queue(&g, str_of("reports")));
    assert_false(grant_allows_queue(&g, str_of("report")));
    assert_false(grant_allows_queue(&g, str_of("mail,reports")));
    assert_false(grant_allows_queue(&g, str_of("")));
    grant_fini(&g);
}

static void a_worker_offers_all_unless_it_is_narrowed(void **state)
{
    (void)state;
    struct grant g = read_grant("[peer]\nname = w\nrole = worker\nkey = " KEY_A "\n");
    assert_true(grant_allows_handler(&g, str_of("exec")) && g.may_work);
    grant_fini(&g);
    g = read_grant("[peer]\nname = w\nrole = worker\nkey = " KEY_A "\nhandlers = echo\n");
    assert_false(grant_allows_handler(&g, str_of("exec")));
    grant_fini(&g);
}

static void limits_are_off_unless_they_are_given_and_count_as_rights(void **state)
{
    (void)state;
    struct grant without = read_grant(ADA), g = read_grant(ADA "rate = 5\nbytes = 1k\nopen-jobs = 100\n");
    assert_int_equal(without.rate + without.bytes + without.open_jobs, 0);
    assert_int_equal(g.rate, 5);
    assert_int_equal(g.bytes, 1024);
    assert_int_equal(g.open_jobs, 100);
    g.rate = g.bytes = 0;
    assert_false(grant_equal(&g, &without));
    g.open_jobs = 0;
    assert_true(grant_equal(&g, &without));
    grant_fini(&g);
    grant_fini(&without);
}

static void a_wrong_file_says_where_and_what(void **state)
{
    (void)state;
    expect_refused("[peer]\nname = a b\nrole = client\nkey = " KEY_A "\n", "a.conf: ");
    expect_refused("[peer]\nrole = client\nkey = " KEY_A "\n", "no name");
    expect_refused("[peer]\nname = ada\nrole = root\nkey = " KEY_A "\n", "client, worker or admin");
    expect_refused("[peer]\nname = ada\nkey = " KEY_A "\n", "client, worker or admin");
    expect_refused("[peer]\nname = ada\nrole = client\n", "64 hexadecimal");
    expect_refused("[peer]\nname = ada\nrole = client\nkey = abc\n", "64 hexadecimal");
    expect_refused(ADA "queues = mail,\xff\n", "queues");
    expect_refused(ADA "queues =\n", "queues: the list is empty"); /* none, and not all */
    expect_refused(ADA "handlers =\n", "handlers: the list is empty");
    expect_refused("[peer]\nname = .ada\nrole = client\nkey = " KEY_A "\n", "hidden");
    expect_refused(ADA "shell = yes\n", "a.conf:5");
    expect_refused(ADA "open-job = 5\n", "open-job"); /* what is not held to is not taken */
    expect_refused(ADA "open-jobs = -1\n", "open-jobs");
    expect_refused("[grant]\nname = ada\n", "[peer]");
}

static void one_wrong_file_keeps_nobody_else_out_and_lets_nobody_in(void **state)
{
    (void)state;
    cleanup(freep) char *error = NULL;
    struct grants *all = NULL;
    put("a.conf", ADA);
    put("b.conf", "[peer]\nname = b\nrole = client\nkey = " KEY_B "x\n");
    put("c.conf", ADA); /* the same key again */
    put(".new.conf", "[peer]\nname = b\nrole = client\nkey = " KEY_B "\n");
    put("notes", "not a key");
    log_init("test", LOG_LEVEL_ERROR);
    assert_int_equal(grants_load(&all, directory, &error), 0);
    assert_int_equal(all->by_key.n, 1);
    assert_int_equal(all->n_bad, 2);
    assert_string_equal(grants_find(all, KEY_A)->name, "ada");
    assert_null(grants_find(all, KEY_B));
    assert_null(grants_find(NULL, KEY_A));
    grants_free(all);
}

static void what_is_no_file_hangs_nobody_and_lets_nobody_in(void **state)
{
    (void)state;
    cleanup(freep) char *error = NULL, *fifo = xasprintf("%s/fifo.conf", directory);
    struct grants *all = NULL;
    put("a.conf", ADA);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    log_init("test", LOG_LEVEL_ERROR);
    alarm(20);
    assert_int_equal(grants_load(&all, directory, &error), 0);
    alarm(0);
    assert_int_equal(all->by_key.n, 1);
    assert_int_equal(all->n_bad, 1);
    grants_free(all);
    unlink(fifo);
}

static void a_directory_that_is_not_there_is_an_error(void **state)
{
    (void)state;
    cleanup(freep) char *error = NULL;
    struct grants *all = NULL;
    assert_int_equal(grants_load(&all, "/nowhere", &error), -ENOENT);
    assert_non_null(strstr(error, "authorize"));
}

#define WITH(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(a_client_may_use_all_handlers_but_exec),
        WITH(exec_and_lists_widen_and_narrow),
        WITH(a_worker_offers_all_unless_it_is_narrowed),
        WITH(limits_are_off_unless_they_are_given_and_count_as_rights),
        WITH(a_wrong_file_says_where_and_what),
        WITH(one_wrong_file_keeps_nobody_else_out_and_lets_nobody_in),
        WITH(what_is_no_file_hangs_nobody_and_lets_nobody_in),
        cmocka_unit_test(a_directory_that_is_not_there_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
