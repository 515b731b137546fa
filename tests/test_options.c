/* test_options.c - the option parser on the command line and on a configuration file. */
#include "proto/base/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

struct values {
    bool json;
    char *queue;
    int64_t retries, timeout_ms;
    char *config;
};

static const struct option_def table[] = {
    { "json", NULL, "one object a line", OPTION_FLAG, offsetof(struct values, json), 0, 0, NULL,
      false },
    { "queue", "NAME", "the line", OPTION_TEXT, offsetof(struct values, queue), 0, 0, NULL, false },
    { "retries", "N", "again", OPTION_NUMBER, offsetof(struct values, retries), 0, 100, NULL,
      false },
    { "timeout", "DUR", "at most", OPTION_DURATION, offsetof(struct values, timeout_ms), 10,
      3600000, NULL, false },
    { "config", "FILE", "this file", OPTION_TEXT, offsetof(struct values, config), 0, 0, NULL,
      true },
    { NULL, NULL, NULL, OPTION_FLAG, 0, 0, 0, NULL, false },
};

#define ARGS(...) ((char *[]){ __VA_ARGS__, NULL })
#define A(s) ((char[]){ s })

static int parse(struct values *v, int n, char **args, bool stop, char **ret_error)
{
    *v = (struct values){ 0 };
    const struct option_group group = { table, v };
    return options_parse(&group, 1, n, args, stop, ret_error);
}

static void options_stand_before_or_after_operands(void **state)
{
    (void)state;
    struct values v;
    char *error = NULL;
    char **args =
        ARGS(A("5"), A("--json"), A("--queue"), A("q"), A("6-9"), A("--timeout=1m"), A("-"));
    assert_int_equal(parse(&v, 7, args, false, &error), 3);
    assert_string_equal(args[0], "5");
    assert_string_equal(args[1], "6-9");
    assert_string_equal(args[2], "-");
    assert_true(v.json);
    assert_string_equal(v.queue, "q");
    assert_int_equal(v.timeout_ms, 60000);
    options_fini(table, &v);
}

static void two_dashes_or_the_first_operand_end_the_options(void **state)
{
    (void)state;
    struct values v;
    char *error = NULL;
    char **args = ARGS(A("--json"), A("--"), A("--queue"), A("x"));
    assert_int_equal(parse(&v, 4, args, false, &error), 2);
    assert_string_equal(args[0], "--queue");
    assert_true(v.json);
    args = ARGS(A("--json"), A("ls"), A("--queue"), A("--"));
    assert_int_equal(parse(&v, 4, args, true, &error), 3);
    assert_string_equal(args[0], "ls");
    assert_string_equal(args[1], "--queue");
    assert_string_equal(args[2], "--");
    assert_null(v.queue);
}

static void refused(int n, char **args, const char *text)
{
    struct values v;
    char *error = NULL;
    assert_int_equal(parse(&v, n, args, false, &error), -EINVAL);
    assert_string_equal(error, text);
    free(error);
    options_fini(table, &v);
}

static void an_unknown_option_names_the_nearest_one(void **state)
{
    (void)state;
    refused(1, ARGS(A("--retires")), "unknown option --retires; did you mean --retries?");
    refused(1, ARGS(A("--time=3")), "unknown option --time; did you mean --timeout?");
    refused(1, ARGS(A("--zzz")), "unknown option --zzz");
    refused(1, ARGS(A("-j")), "unknown option -j; options begin with two dashes");
}

static void a_missing_or_bad_value_names_its_option(void **state)
{
    (void)state;
    refused(1, ARGS(A("--queue")), "option --queue needs a value: --queue NAME");
    refused(1, ARGS(A("--json=yes")), "option --json takes no value");
    refused(2, ARGS(A("--retries"), A("101")), "--retries: 101 is not in the range 0 to 100");
    refused(1, ARGS(A("--timeout=2h")), "--timeout: must be at most 1h");
    refused(1, ARGS(A("--timeout=1ms")), "--timeout: must be at least 10ms");
    refused(2, ARGS(A("--retries"), A("many")), "--retries: \"many\" is not a whole number");
}

static int load(struct values *v, const char *text, char **ret_error)
{
    char path[] = "/tmp/test_options.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (int)strlen(text));
    close(fd);
    *v = (struct values){ 0 };
    const struct option_group group = { table, v };
    int r = options_load(&group, 1, path, "client", ret_error);
    unlink(path);
    return r;
}

static void a_configuration_file_sets_the_same_options(void **state)
{
    (void)state;
    struct values v;
    char *error = NULL;
    assert_int_equal(load(&v, "# a comment\n[client]\njson = yes\nqueue = night\nretries=3\n",
                          &error),
                     0);
    assert_true(v.json);
    assert_string_equal(v.queue, "night");
    assert_int_equal(v.retries, 3);
    options_fini(table, &v);
}

static void bad(const char *text, const char *want)
{
    struct values v;
    char *error = NULL;
    assert_true(load(&v, text, &error) < 0);
    if (!strstr(error, want))
        fail_msg("wanted \"%s\" in \"%s\"", want, error);
    free(error);
    options_fini(table, &v);
}

static void an_error_in_the_file_names_its_line(void **state)
{
    (void)state;
    char line[400];
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    bad("[client]\nqueue=a\nretires = 3\n", ":3: unknown key retires; did you mean retries?");
    bad("\n[other]\nqueue=a\n", ":3: unknown section [other]");
    bad("retries = 1000\n", ":1: retries: 1000 is not in the range");
    bad("queue = a\nnonsense\n", ":2: neither");
    bad(line, ":1: the line is too long");
    bad("config = x\n", ":1: unknown key config");
    struct values v;
    char *error = NULL;
    const struct option_group group = { table, &v };
    assert_int_equal(options_load(&group, 1, "/nonexistent/x.conf", "client", &error), -ENOENT);
    assert_string_equal(error, "/nonexistent/x.conf: No such file or directory");
    free(error);
}

static void an_indented_line_is_a_line_of_its_own(void **state)
{
    (void)state;
    struct values v;
    char *error = NULL;
    assert_int_equal(load(&v, "[client]\nqueue = night\n  retries = 3\n\tjson = yes\n  \n", &error), 0);
    assert_string_equal(v.queue, "night");
    assert_int_equal(v.retries, 3);
    assert_true(v.json);
    options_fini(table, &v);
    bad("queue = a\n  nonsense\n", ":2: neither");
}

static void a_nul_in_the_file_and_a_directory_are_refused(void **state)
{
    (void)state;
    struct values v = { 0 };
    char *error = NULL, path[] = "/tmp/test_options.XXXXXX";
    const struct option_group group = { table, &v };
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "queue = a\nqueue = b\0c\n", 23), 23);
    close(fd);
    assert_int_equal(options_load(&group, 1, path, "client", &error), -EINVAL);
    assert_non_null(strstr(error, ":2: there is a NUL in the line"));
    unlink(path);
    free(TAKE(error));
    assert_int_equal(options_load(&group, 1, "/tmp", "client", &error), -EISDIR);
    assert_string_equal(error, "/tmp: Is a directory");
    free(error);
    options_fini(table, &v);
}

static void peeking_finds_the_last_value_before_the_dashes(void **state)
{
    (void)state;
    char **args = ARGS(A("--config=a"), A("x"), A("--config"), A("b"), A("--"), A("--config=c"));
    assert_string_equal(options_peek(6, args, "config"), "b");
    assert_null(options_peek(6, args, "conf"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_stand_before_or_after_operands),
        cmocka_unit_test(two_dashes_or_the_first_operand_end_the_options),
        cmocka_unit_test(an_unknown_option_names_the_nearest_one),
        cmocka_unit_test(a_missing_or_bad_value_names_its_option),
        cmocka_unit_test(a_configuration_file_sets_the_same_options),
        cmocka_unit_test(an_error_in_the_file_names_its_line),
        cmocka_unit_test(an_indented_line_is_a_line_of_its_own),
        cmocka_unit_test(a_nul_in_the_file_and_a_directory_are_refused),
        cmocka_unit_test(peeking_finds_the_last_value_before_the_dashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
