/* test_cli_json.c - a job as JSON: all keys are always there, absent is null, numbers and times
 * have their form. */
#include "client/base64.h"
#include "client/json.h"
#include "proto/base/utf8.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const char *const keys[] = {
    "v",      "id",           "state",   "queue",      "handler",     "command",    "owner",
    "name",   "tag",          "pool",    "priority",   "attempt",     "retries",    "crashes",
    "worker", "submitted_at", "due_at",  "started_at", "finished_at", "timeout_ms", "exit_code",
    "signal", "reason",       "wall_ms", "cpu_ms",     "max_rss_kb",  "progress",   "error",
};

static struct tern_job_view empty_job(void)
{
    return (struct tern_job_view){
        .id = 7,
        .state = "queued",
        .queue = "default",
        .handler = "echo",
        .priority = 0,
        .retries = TERN_UNSET,
        .crash_limit = TERN_UNSET,
        .submitted_ms = TERN_UNSET,
        .due_ms = TERN_UNSET,
        .started_ms = TERN_UNSET,
        .finished_ms = TERN_UNSET,
        .expire_at_ms = TERN_UNSET,
        .timeout_ms = TERN_UNSET,
        .exit_code = TERN_UNSET,
        .signal = TERN_UNSET,
        .wall_us = TERN_UNSET,
        .cpu_us = TERN_UNSET,
        .max_rss_kb = TERN_UNSET,
        .progress = TERN_UNSET,
        .memory_bytes = TERN_UNSET,
    };
}

static json_t *read_back(const struct tern_job_view *job, char **ret_line)
{
    struct json j;
    json_begin(&j);
    json_job(&j, job);
    struct str line = json_end(&j);
    json_t *object = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(object);
    if (ret_line)
        *ret_line = xstrndup(line);
    json_fini(&j);
    return object;
}

static void every_key_is_there_and_null_where_nothing_is_known(void **state)
{
    (void)state;
    struct tern_job_view job = empty_job();
    json_t *object = read_back(&job, NULL);
    static const char *const known[] = { "v",       "id",       "state",   "queue",
                                         "handler", "priority", "attempt", "crashes" };
    for (size_t i = 0; i < ELEMENTS(keys); i++) {
        const json_t *v = json_object_get(object, keys[i]);
        bool is_known = false;
        for (size_t k = 0; k < ELEMENTS(known); k++)
            is_known = is_known || strcmp(known[k], keys[i]) == 0;
        if (!v || json_is_null(v) == is_known)
            fail_msg("%s is %s", keys[i], !v ? "missing" : json_is_null(v) ? "null" : "there");
    }
    assert_int_equal(json_integer_value(json_object_get(object, "v")), 1);
    json_decref(object);
}

static void durations_have_three_decimals_and_times_are_rfc_3339(void **state)
{
    (void)state;
    struct tern_job_view job = empty_job();
    job.wall_us = 1500;
    job.cpu_us = 1234567;
    job.timeout_ms = 2000;
    job.started_ms = 1795233906789;
    char *line = NULL;
    json_decref(read_back(&job, &line));
    assert_non_null(strstr(line, "\"wall_ms\":1.500,"));
    assert_non_null(strstr(line, "\"cpu_ms\":1234.567,"));
    assert_non_null(strstr(line, "\"timeout_ms\":2000.000,"));
    assert_non_null(strstr(line, "\"started_at\":\"2026-11-21T04:05:06.789Z\""));
    assert_int_equal(strncmp(line, "{\"v\":1,", 7), 0);
    free(line);
}

static void any_text_becomes_valid_json(void **state)
{
    (void)state;
    static const char *const command[] = { "printf", "a\"b\\c\n\t\x01\x7f", "caf\xc3\xa9",
                                           "bad \xff\xc3 end", NULL };
    struct tern_job_view job = empty_job();
    job.command = command;
    json_t *object = read_back(&job, NULL);
    const json_t *list = json_object_get(object, "command");
    assert_int_equal(json_array_size(list), 4);
    assert_string_equal(json_string_value(json_array_get(list, 1)), "a\"b\\c\n\t\x01\x7f");
    assert_string_equal(json_string_value(json_array_get(list, 2)), "caf\xc3\xa9");
    assert_string_equal(json_string_value(json_array_get(list, 3)),
                        "bad \xef\xbf\xbd\xef\xbf\xbd end");
    json_decref(object);
}

static void text_is_valid_utf_8_without_nul(void **state)
{
    (void)state;
    assert_true(utf8_is_text(str_of("")));
    assert_true(utf8_is_text(str_of("\xe2\x82\xac \xf0\x9f\x90\xa6")));
    assert_false(utf8_is_text((struct str){ "a\0b", 3 }));
    assert_false(utf8_is_text(str_of("\xc0\x80")));
    assert_false(utf8_is_text(str_of("\xed\xa0\x80")));
    assert_false(utf8_is_text(str_of("\xf5\x80\x80\x80")));
    assert_false(utf8_is_text(str_of("\xe2\x82")));
}

static void base64_comes_back_as_it_was(void **state)
{
    (void)state;
    static const char *const encoded[] = { "",         "Zg==",     "Zm8=",    "Zm9v",
                                           "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy" };
    for (size_t n = 0; n < ELEMENTS(encoded); n++) {
        cleanup(freep) char *text = base64_encode((struct str){ "foobar", n });
        struct buf b;
        buf_init(&b, 100);
        assert_string_equal(text, encoded[n]);
        assert_int_equal(base64_decode(str_of(text), &b), 0);
        assert_true(str_equal(buf_str(&b), (struct str){ "foobar", n }));
        buf_fini(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_is_there_and_null_where_nothing_is_known),
        cmocka_unit_test(durations_have_three_decimals_and_times_are_rfc_3339),
        cmocka_unit_test(any_text_becomes_valid_json),
        cmocka_unit_test(text_is_valid_utf_8_without_nul),
        cmocka_unit_test(base64_comes_back_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
