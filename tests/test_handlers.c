/* test_handlers.c - the built-in handlers but `http`: called as a thread calls them, and on the
 * loop. */
#include "worker/handlers.h"

#include "proto/output.h"
#include "tests/calling.h"
#include "worker/job_log.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the table -------------------------------------------------------------------------------- */

static void all_that_are_built_in_are_there(void **state)
{
    static const char *const names[] = { "echo", "exec", "http", "sha256", "sleep" };
    char *error = NULL;
    size_t n;
    (void)state;
    assert_int_equal(handlers_init(NULL, true, &error), 0);
    const struct handler_info *info = handlers_info(&n);
    assert_int_equal(n, ELEMENTS(names));
    for (size_t i = 0; i < n; i++) {
        assert_bytes(info[i].name, names[i]);
        assert_int_equal(info[i].thread_safe, 1);
        bool async = strchr("ehs", names[i][0]) && strcmp(names[i], "echo") != 0 && strcmp(names[i], "sha256") != 0;
        assert_int_equal(info[i].forms, async ? FORM_BLOCKING | FORM_ASYNC : FORM_BLOCKING);
    }
    assert_null(handlers_find(str_of("ech")));
    assert_null(handlers_find(str_of("echoo")));
    assert_null(handlers_find(STR_UNSET));
}

static void a_list_chooses_and_an_unknown_name_is_named(void **state)
{
    char *error = NULL;
    size_t n;
    (void)state;
    assert_int_equal(handlers_init("sleep,echo", true, &error), 0);
    handlers_info(&n);
    assert_int_equal(n, 2);
    assert_non_null(handlers_find(str_of("echo")));
    assert_null(handlers_find(str_of("sha256")));
    assert_int_equal(handlers_init("sleep,ecco", true, &error), -ENOENT);
    assert_string_equal(error, "there is no handler `ecco`");
    free(error);
    assert_int_equal(handlers_init(NULL, false, &error), 0);
    assert_null(handlers_find(str_of("exec")));
    assert_int_equal(handlers_init(NULL, true, &error), 0);
}

/* ---- echo, sleep, sha256 ---------------------------------------------------------------------- */

static void echo_gives_back_any_bytes(void **state)
{
    (void)state;
    static const char bytes[] = "a\0\xff\n";
    struct called *c = call("echo", (struct str){ bytes, 4 });
    assert_int_equal(c->outcome.ending, ENDING_DONE);
    assert_int_equal(c->outcome.result.n, 4);
    assert_memory_equal(c->outcome.result.p, bytes, 4);
    called_free(c);
    c = call("echo", STR_UNSET);
    assert_int_equal(c->outcome.ending, ENDING_DONE);
    assert_non_null(c->outcome.result.p);
    assert_int_equal(c->outcome.result.n, 0);
    called_free(c);
}

static void sleep_takes_as_long_as_it_says(void **state)
{
    (void)state;
    struct called *c = call("sleep", str_of("120ms\n"));
    assert_int_equal(c->outcome.ending, ENDING_DONE);
    assert_in_range(c->outcome.wall_us, 120000, 5000000);
    called_free(c);
    struct looped *l = looped_new(10);
    looped_give(l, 1, "sleep", "120ms");
    looped_give(l, 2, "sleep", "0s");
    looped_finish(l, 2);
    const struct run *r = list_entry(l->finished.prev, const struct run, link);
    assert_int_equal(r->outcome.ending, ENDING_DONE);
    assert_in_range(r->outcome.wall_us, 120000, 5000000);
    assert_in_range(r->outcome.cpu_us, 0, 20000);
    looped_free(l);
}

static void sleep_hears_that_it_should_stop_and_its_limit(void **state)
{
    (void)state;
    struct called *c = call_job(job_of("sleep", str_of("60s")), true);
    assert_int_equal(c->outcome.ending, ENDING_FAILED);
    assert_in_range(c->outcome.wall_us, 0, 2000000);
    called_free(c);
    struct run_job j = job_of("sleep", str_of("60s"));
    j.timeout_ms = 100;
    c = call_job(j, false);
    assert_int_equal(c->outcome.ending, ENDING_FAILED);
    assert_int_equal(c->outcome.reason, REASON_TIME_LIMIT);
    assert_in_range(c->outcome.wall_us, 100000, 5000000);
    called_free(c);
}

static void sleep_refuses_what_is_no_duration(void **state)
{
    static const char *const bad[] = { "", "soon", "5 parsecs", "-1s", "1s;rm" };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        struct called *c = call("sleep", str_of(bad[i]));
        assert_int_equal(c->outcome.ending, ENDING_FAILED);
        assert_int_equal(c->outcome.for_good, 1);
        called_free(c);
    }
}

static void ten_thousand_sleeps_at_once_end_in_time(void **state)
{
    (void)state;
#if defined(__SANITIZE_THREAD__)
    const size_t n = 1000; /* it has room for some 8,000 fibers, and each is large */
#else
    const size_t n = 10000;
#endif
    struct looped *l = looped_new(n);
    struct rusage usage;
    int64_t from_ms = now_ms();
    for (size_t i = 1; i <= n; i++)
        looped_give(l, i, "sleep", "1s");
    looped_finish(l, n);
    int64_t took_ms = now_ms() - from_ms;
    getrusage(RUSAGE_SELF, &usage);
    print_message("%zu sleeps of 1 s took %d ms; %ld MiB at the most\n", n, (int)took_ms, usage.ru_maxrss >> 10);
    list_each(k, &l->finished)
        assert_int_equal(list_entry(k, const struct run, link)->outcome.ending, ENDING_DONE);
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
    assert_in_range(usage.ru_maxrss >> 10, 1, 120);
    assert_in_range(took_ms, 1000, 4000);
#endif
    looped_free(l);
}

static void sha256_of_bytes_and_of_files(void **state)
{
    (void)state;
    struct called *c = call("sha256", str_of("abc"));
    assert_bytes(c->outcome.result, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    called_free(c);
    char path[] = "/tmp/tern-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    for (int i = 0; i < 1000000; i += 1000) {
        char a[1000];
        memset(a, 'a', sizeof a);
        assert_int_equal(write(fd, a, sizeof a), sizeof a);
    }
    close(fd);
    cleanup(freep) char *payload = xasprintf("@%s", path);
    c = call("sha256", str_of(payload));
    assert_bytes(c->outcome.result, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    called_free(c);
    c = call_job(job_of("sha256", str_of(payload)), true);
    assert_int_equal(c->outcome.ending, ENDING_FAILED);
    called_free(c);
    unlink(path);
    c = call("sha256", str_of(payload));
    assert_int_equal(c->outcome.ending, ENDING_FAILED);
    assert_int_equal(c->outcome.for_good, 0);
    called_free(c);
    c = call("sha256", str_of("@/dev/zero")); /* never ends */
    assert_int_equal(c->outcome.for_good, 1);
    called_free(c);
}

static void a_fifo_does_not_hang_sha256(void **state)
{
    (void)state;
    cleanup(freep) char *path = xasprintf("/tmp/tern-test-fifo-%d", (int)getpid());
    assert_int_equal(mkfifo(path, 0600), 0);
    cleanup(freep) char *payload = xasprintf("@%s", path);
    struct called *c = call("sha256", str_of(payload));
    assert_int_equal(c->outcome.for_good, 1);
    called_free(c);
    unlink(path);
}

/* ---- the job's log and its texts -------------------------------------------------------------- */

static void a_long_log_keeps_its_head_and_its_tail(void **state)
{
    (void)state;
    struct run_job job = job_of("echo", STR_UNSET);
    struct tern_job j;
    struct str bytes, first = STR_UNSET, last = STR_UNSET;
    uint64_t n_cut = 0, n_bytes = 0, n_said = 0, n_cuts = 0;
    int stream;
    call_init(&j, &job, clock_now());
    for (int i = 0; i < 200000; i++) {
        tern_log(&j, "line %d %s", i, i % 1000 ? "" : "and a longer one, for a change of length");
        n_said += (uint64_t)snprintf(NULL, 0, "line %d %s", i, i % 1000 ? "" : "and a longer one, for a change of length") + 1;
    }
    struct str rest = buf_str(&j.output);
    assert_true(rest.n <= LIMIT_RESULT_BYTES);
    assert_true(rest.n > LIMIT_RESULT_BYTES / 2);
    while (output_next(&rest, &stream, &bytes)) {
        n_cuts += stream == OUTPUT_CUT;
        n_cut += stream == OUTPUT_CUT ? output_cut_bytes(bytes) : 0;
        n_bytes += stream == OUTPUT_CUT ? 0 : bytes.n;
        first = first.p ? first : bytes;
        last = bytes;
    }
    assert_int_equal(rest.n, 0);
    assert_int_equal(n_cuts, 1);
    assert_int_equal(n_bytes + n_cut, n_said);
    assert_bytes(first, "line 0 and a longer one, for a change of length\n");
    assert_bytes(last, "line 199999 \n");
    call_fini(&j);
}

static void texts_are_made_fit_for_the_wire(void **state)
{
    (void)state;
    struct run_job job = job_of("echo", STR_UNSET);
    struct tern_job j;
    call_init(&j, &job, clock_now());
    assert_true(tern_fail(&j, "%s", "gr\xc3\xbc\xc3\x9f \x1b[31m\n \xff \xe2\x82 \xed\xa0\x80 \xf0\x9f\x98\x80") < 0);
    assert_string_equal(j.error, "gr\xc3\xbc\xc3\x9f  [31m  ? ?? ??? \xf0\x9f\x98\x80");
    char text[3000];
    memset(text, 'x', sizeof text);
    memcpy(text + LIMIT_TEXT_BYTES - 1, "\xc3\xbc", 2); /* the cut goes through it */
    text[sizeof text - 1] = '\0';
    tern_fail_for_good(&j, "%s", text);
    assert_int_equal(strlen(j.error), LIMIT_TEXT_BYTES - 1);
    assert_true(j.for_good);
    tern_log(&j, "%s%s%s%s", text, text, text, text);
    assert_int_equal(j.output.n, OUTPUT_HEAD_BYTES + JOB_LOG_LINE_BYTES);
    cleanup(freep) char *large = xcalloc(1, LIMIT_RESULT_BYTES + 1);
    assert_int_equal(tern_result(&j, large, LIMIT_RESULT_BYTES + 1), -EMSGSIZE);
    assert_false(j.result_set);
    assert_int_equal(tern_result(&j, large, LIMIT_RESULT_BYTES), 0);
    call_fini(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_are_built_in_are_there),
        cmocka_unit_test(a_list_chooses_and_an_unknown_name_is_named),
        cmocka_unit_test(echo_gives_back_any_bytes),
        cmocka_unit_test(sleep_takes_as_long_as_it_says),
        cmocka_unit_test(sleep_hears_that_it_should_stop_and_its_limit),
        cmocka_unit_test(sleep_refuses_what_is_no_duration),
        cmocka_unit_test(ten_thousand_sleeps_at_once_end_in_time),
        cmocka_unit_test(sha256_of_bytes_and_of_files),
        cmocka_unit_test(a_fifo_does_not_hang_sha256),
        cmocka_unit_test(a_long_log_keeps_its_head_and_its_tail),
        cmocka_unit_test(texts_are_made_fit_for_the_wire),
    };
    char *error = NULL;
    if (handlers_init(NULL, true, &error) < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
