/* test_cli_job_options.c - the options that describe a job, and the lines of --batch that carry the
 * same. */
#include "client/batch.h"
#include "client/job_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

#define OPTIONS 16

/* Parses `--a b --c` words and loads; the command follows `--`. */
static int parse(struct job_options *o, const char *words, char **ret_error)
{
    char *copy = xstrdup(words), *save = NULL, *args[OPTIONS] = { 0 };
    int n = 0;
    for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
        args[n++] = w;
    job_options_init(o);
    const struct option_group group = { job_options, o };
    int operands = options_parse(&group, 1, n, args, true, ret_error);
    for (int i = 0; i < operands; i++)
        strings_add(&o->command, args[i]);
    int r = operands < 0 ? operands : job_options_load(o, ret_error);
    free(copy);
    return r;
}

static void every_option_arrives_in_the_spec(void **state)
{
    (void)state;
    struct job_options o;
    struct tern_job_spec s;
    char *error = NULL;
    assert_int_equal(parse(&o,
                           "--tag cpu --queue night --priority -5 --delay 10s --timeout 1m "
                           "--retries 3 --backoff=2s..1m "
                           "ls -l --json",
                           &error),
                     0);
    job_options_spec(&o, &s);
    assert_string_equal(s.tag, "cpu");
    assert_string_equal(s.queue, "night");
    assert_int_equal(s.priority, -5);
    assert_int_equal(s.delay_ms, 10000);
    assert_int_equal(s.timeout_ms, 60000);
    assert_int_equal(s.retries, 3);
    assert_int_equal(s.backoff_min_ms, 2000);
    assert_int_equal(s.backoff_max_ms, 60000);
    assert_string_equal(s.argv[0], "ls");
    assert_string_equal(s.argv[2], "--json");
    assert_null(s.argv[3]);
    assert_null(s.handler);
    job_options_fini(&o);
    assert_int_equal(parse(&o,
                           "--crash-limit 2 --expire 1h --memory 64M --kill-grace 1s --name x --at "
                           "1970-01-01T00:00:01Z y",
                           &error),
                     0);
    job_options_spec(&o, &s);
    assert_int_equal(s.crash_limit, 2);
    assert_int_equal(s.expire_ms, 3600000);
    assert_int_equal(s.memory_bytes, 64 << 20);
    assert_int_equal(s.kill_grace_ms, 1000);
    assert_int_equal(s.at_ms, 1000);
    assert_string_equal(s.name, "x");
    job_options_fini(&o);
}

static void what_is_not_given_is_unset(void **state)
{
    (void)state;
    struct job_options o;
    struct tern_job_spec s, unset;
    char *error = NULL;
    assert_int_equal(parse(&o, "--handler echo", &error), 0);
    job_options_spec(&o, &s);
    tern_job_spec_init(&unset);
    assert_int_equal(s.priority, unset.priority);
    assert_int_equal(s.retries, unset.retries);
    assert_int_equal(s.backoff_min_ms, unset.backoff_min_ms);
    assert_null(s.tag);
    assert_null(s.queue);
    assert_null(s.payload);
    assert_null(s.argv);
    job_options_fini(&o);
}

static void a_command_runs_where_its_submitter_stands(void **state)
{
    (void)state;
    struct job_options o;
    struct tern_job_spec s;
    char *error = NULL;
    cleanup(freep) char *here = getcwd(NULL, 0);
    assert_int_equal(parse(&o, "ls", &error), 0);
    job_options_spec(&o, &s);
    assert_string_equal(s.cwd, here);
    job_options_fini(&o);
    assert_int_equal(parse(&o, "--cwd sub ls", &error), 0);
    job_options_spec(&o, &s);
    assert_int_equal(strncmp(s.cwd, here, strlen(here)), 0);
    assert_string_equal(s.cwd + strlen(s.cwd) - 4, "/sub");
    job_options_fini(&o);
    assert_int_equal(parse(&o, "--cwd /x ls", &error), 0);
    job_options_spec(&o, &s);
    assert_string_equal(s.cwd, "/x");
    job_options_fini(&o);
}

static void env_without_a_value_copies_the_submitters(void **state)
{
    (void)state;
    struct job_options o;
    struct tern_job_spec s;
    char *error = NULL;
    setenv("TEST_MINE", "42", 1);
    unsetenv("TEST_NOT_SET");
    assert_int_equal(parse(&o, "--env TEST_MINE --env A=b=c ls", &error), 0);
    job_options_spec(&o, &s);
    assert_string_equal(s.env[0], "TEST_MINE=42");
    assert_string_equal(s.env[1], "A=b=c");
    assert_null(s.env[2]);
    job_options_fini(&o);
    assert_int_equal(parse(&o, "--env TEST_NOT_SET ls", &error), -EINVAL);
    assert_non_null(strstr(error, "TEST_NOT_SET is not set"));
    free(error);
    job_options_fini(&o);
}

static void refused(const char *words, const char *want)
{
    struct job_options o;
    char *error = NULL;
    int r = parse(&o, words, &error);
    if (r >= 0)
        fail_msg("\"%s\" was accepted", words);
    if (!strstr(error, want))
        fail_msg("\"%s\": wanted \"%s\" in \"%s\"", words, want, error);
    free(error);
    job_options_fini(&o);
}

static void options_that_make_no_sense_are_refused_and_named(void **state)
{
    (void)state;
    refused("", "Name a command");
    refused("--handler exec", "leave --handler out");
    refused("--handler echo ls", "not both");
    refused("--payload x ls", "--payload goes with --handler");
    refused("--handler echo --cwd /", "go with a command");
    refused("--tag cpuu ls", "did you mean cpu?");
    refused("--queue a/b ls", "byte 2 is 0x2f");
    refused("--handler a$b", "byte 2 is 0x24");
    refused("--backoff 2m..1m ls", "ends below");
    refused("--backoff x ls", "not a duration");
    refused("--delay 1s --at 2030-01-01T00:00:00Z ls", "not both");
    refused("--retries -1 ls", "not in the range");
    refused("--env =x ls", "names no variable");
    refused("--stdin /nonexistent/file ls", "No such file");
    refused("--retires 3 ls", "did you mean --retries?");
}

static void payload_is_text_or_a_file(void **state)
{
    (void)state;
    struct job_options o;
    struct tern_job_spec s;
    char *error = NULL, path[] = "/tmp/test_cli_job_options.XXXXXX", words[100];
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "a\0b", 3), 3);
    close(fd);
    snprintf(words, sizeof words, "--handler echo --payload @%s", path);
    assert_int_equal(parse(&o, words, &error), 0);
    job_options_spec(&o, &s);
    assert_int_equal(s.payload_bytes, 3);
    assert_memory_equal(s.payload, "a\0b", 3);
    job_options_fini(&o);
    unlink(path);
    assert_int_equal(parse(&o, words, &error), -ENOENT);
    free(TAKE(error));
    job_options_fini(&o);
    assert_int_equal(parse(&o, "--handler echo --payload hi", &error), 0);
    job_options_spec(&o, &s);
    assert_int_equal(s.payload_bytes, 2);
    job_options_fini(&o);
}

/* ---- lines of --batch ----------------------------------------------------------------------- */

static int read_line(struct job_options *o, const char *line, char **ret_error)
{
    job_options_init(o);
    int r = batch_read_line(str_of(line), o, ret_error);
    return r < 0 ? r : job_options_load(o, ret_error);
}

static void a_line_carries_what_the_options_carry(void **state)
{
    (void)state;
    struct job_options o;
    struct tern_job_spec s;
    char *error = NULL;
    assert_int_equal(
        read_line(&o,
                  "{\"command\": [\"ls\", \"-l\"], \"env\": {\"A\": \"1\"}, \"tag\": \"io\", "
                  "\"timeout\": 2.5, "
                  "\"retries\": 3, \"delay\": \"1m\", \"memory\": 1048576, \"crash-limit\": \"2\"}",
                  &error),
        0);
    job_options_spec(&o, &s);
    assert_string_equal(s.argv[1], "-l");
    assert_string_equal(s.env[0], "A=1");
    assert_string_equal(s.tag, "io");
    assert_int_equal(s.timeout_ms, 2500);
    assert_int_equal(s.retries, 3);
    assert_int_equal(s.delay_ms, 60000);
    assert_int_equal(s.memory_bytes, 1048576);
    assert_int_equal(s.crash_limit, 2);
    job_options_fini(&o);
}

static void payload_of_a_line_is_the_text_itself(void **state)
{
    (void)state;
    struct job_options o;
    struct tern_job_spec s;
    char *error = NULL;
    assert_int_equal(read_line(&o, "{\"handler\": \"echo\", \"payload\": \"@/etc/passwd\"}",
                               &error),
                     0);
    job_options_spec(&o, &s);
    assert_int_equal(s.payload_bytes, 12);
    assert_memory_equal(s.payload, "@/etc/passwd", 12);
    job_options_fini(&o);
    assert_int_equal(read_line(&o, "{\"handler\": \"echo\", \"payload_base64\": \"AAEC/w==\"}",
                               &error),
                     0);
    job_options_spec(&o, &s);
    assert_int_equal(s.payload_bytes, 4);
    assert_memory_equal(s.payload, "\0\1\2\xff", 4);
    job_options_fini(&o);
}

static void a_bad_line_says_what_is_wrong(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        { "{", "no JSON object" },
        { "[1]", "must be a JSON object" },
        { "7", "no JSON object" },
        { "{}", "Name a command" },
        { "{\"retires\": 3}", "did you mean retries?" },
        { "{\"command\": \"ls\"}", "must be a list" },
        { "{\"command\": []}", "must be a list" },
        { "{\"command\": [1]}", "element 1" },
        { "{\"env\": [\"A=1\"]}", "must be an object" },
        { "{\"env\": {\"A\": 1}}", "with a text as its value" },
        { "{\"tag\": true}", "must be a number or a text" },
        { "{\"tag\": null}", "must be a number or a text" },
        { "{\"timeout\": \"soon\"}", "not a duration" },
        { "{\"timeout\": -1}", "not a duration" },
        { "{\"queue\": \"a b\"}", "0x20" },
        { "{\"handler\": \"a\", \"handler\": \"b\"}", "duplicate" },
        { "{\"handler\": \"a\", \"payload_base64\": \"A\"}", "no base64" },
        { "{\"handler\": \"a\", \"payload_base64\": \"AA=A\"}", "no base64" },
        { "{\"handler\": \"a\", \"payload\": 1}", "must be a text" },
        { "{\"handler\": \"a\"} x", "no JSON object" },
    };
    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        struct job_options o;
        char *error = NULL;
        if (read_line(&o, bad[i][0], &error) >= 0)
            fail_msg("%s was accepted", bad[i][0]);
        if (!strstr(error, bad[i][1]))
            fail_msg("%s: wanted \"%s\" in \"%s\"", bad[i][0], bad[i][1], error);
        free(error);
        job_options_fini(&o);
    }
}

static void options_of_the_command_line_are_defaults_of_the_lines(void **state)
{
    (void)state;
    struct job_options base, o;
    struct tern_job_spec s;
    char *error = NULL;
    job_options_init(&base);
    assert_int_equal(option_set(option_find(job_options, "queue"), &base, "night", &error), 0);
    assert_int_equal(option_set(option_find(job_options, "env"), &base, "A=1", &error), 0);
    job_options_copy(&o, &base);
    assert_int_equal(batch_read_line(str_of("{\"command\": [\"ls\"], \"env\": {\"B\": \"2\"}}"), &o,
                                     &error),
                     0);
    assert_int_equal(job_options_load(&o, &error), 0);
    job_options_spec(&o, &s);
    assert_string_equal(s.queue, "night");
    assert_string_equal(s.env[0], "A=1");
    assert_string_equal(s.env[1], "B=2");
    assert_int_equal(base.env.n, 1);
    job_options_fini(&o);
    job_options_fini(&base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_option_arrives_in_the_spec),
        cmocka_unit_test(what_is_not_given_is_unset),
        cmocka_unit_test(a_command_runs_where_its_submitter_stands),
        cmocka_unit_test(env_without_a_value_copies_the_submitters),
        cmocka_unit_test(options_that_make_no_sense_are_refused_and_named),
        cmocka_unit_test(payload_is_text_or_a_file),
        cmocka_unit_test(a_line_carries_what_the_options_carry),
        cmocka_unit_test(payload_of_a_line_is_the_text_itself),
        cmocka_unit_test(a_bad_line_says_what_is_wrong),
        cmocka_unit_test(options_of_the_command_line_are_defaults_of_the_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
