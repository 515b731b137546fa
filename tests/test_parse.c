/* test_parse.c - durations, sizes, numbers and times: what is right, what is refused, and that
 * errors say so. */
#include "proto/base/parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static int64_t duration(const char *text)
{
    int64_t ms = -1;
    cleanup(freep) char *error = NULL;
    return parse_duration(text, &ms, &error) < 0 ? -1 : ms;
}

static int64_t size(const char *text)
{
    int64_t bytes = -1;
    cleanup(freep) char *error = NULL;
    return parse_size(text, &bytes, &error) < 0 ? -1 : bytes;
}

static int64_t time_of(const char *text)
{
    int64_t ms = -1;
    cleanup(freep) char *error = NULL;
    return parse_time(text, &ms, &error) < 0 ? -1 : ms;
}

static void durations_have_units_biggest_first(void **state)
{
    (void)state;
    assert_int_equal(duration("500ms"), 500);
    assert_int_equal(duration("10s"), 10000);
    assert_int_equal(duration("5m"), 300000);
    assert_int_equal(duration("1h30m"), 5400000);
    assert_int_equal(duration("7d"), 604800000);
    assert_int_equal(duration("1.5s"), 1500);
    assert_int_equal(duration("0s"), 0);
    assert_int_equal(duration("10"), 10000);
}

static void what_is_no_duration_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = { "",     "s",    "10x", "-1s",  "1m1h",
                                       "1s1s", "10 s", "1s ", "1h30", "99999999999999w",
                                       "1e3s", "10S",  ".5s" };
    for (size_t i = 0; i < ELEMENTS(bad); i++)
        if (duration(bad[i]) != -1)
            fail_msg("\"%s\" was taken for a duration", bad[i]);
}

static void sizes_are_powers_of_1024(void **state)
{
    (void)state;
    assert_int_equal(size("64M"), 64 << 20);
    assert_int_equal(size("512k"), 512 << 10);
    assert_int_equal(size("1.5G"), INT64_C(3) << 29);
    assert_int_equal(size("1MiB"), 1 << 20);
    assert_int_equal(size("4096"), 4096);
    assert_int_equal(size("10B"), 10);
    assert_int_equal(size("M"), -1);
    assert_int_equal(size("64X"), -1);
    assert_int_equal(size("64MM"), -1);
    assert_int_equal(size("-1"), -1);
    assert_int_equal(size("99999999999999T"), -1);
}

static void times_are_rfc_3339_with_an_offset(void **state)
{
    (void)state;
    assert_int_equal(time_of("1970-01-01T00:00:00Z"), 0);
    assert_int_equal(time_of("2026-11-21T04:05:06.789Z"), 1795233906789);
    assert_int_equal(time_of("2026-11-21T05:05:06.789+01:00"), 1795233906789);
    assert_int_equal(time_of("2026-11-21 04:05:06.7891Z"), 1795233906789);
    assert_int_equal(time_of("2024-02-29T00:00:00Z"), 1709164800000);
    static const char *const bad[] = { "2026-11-21T04:05:06",
                                       "2026-02-29T00:00:00Z",
                                       "2026-13-01T00:00:00Z",
                                       "2026-11-21T24:00:00Z",
                                       "tomorrow",
                                       "",
                                       "2026-11-21",
                                       "2026-11-21T04:05:06Zx" };
    for (size_t i = 0; i < ELEMENTS(bad); i++)
        if (time_of(bad[i]) != -1)
            fail_msg("\"%s\" was taken for a time", bad[i]);
}

static void numbers_are_whole_and_within_range(void **state)
{
    (void)state;
    int64_t v = 7;
    char *error = NULL;
    assert_int_equal(parse_number("-5", -10, 10, &v, &error), 0);
    assert_int_equal(v, -5);
    assert_int_equal(parse_number("11", -10, 10, &v, &error), -EINVAL);
    assert_string_equal(error, "11 is not in the range -10 to 10");
    free(TAKE(error));
    assert_int_equal(parse_number("99999999999999999999", 0, INT64_MAX, &v, &error), -EINVAL);
    free(TAKE(error));
    static const char *const bad[] = { "", "1.5", "0x10", " 1", "1 ", "+1", "-", "one" };
    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        assert_int_equal(parse_number(bad[i], 0, 100, &v, &error), -EINVAL);
        free(TAKE(error));
    }
    assert_int_equal(v, -5);
}

static void what_is_formatted_can_be_parsed_again(void **state)
{
    (void)state;
    char text[FORMAT_BYTES];
    static const int64_t values[] = { 0, 1, 999, 1000, 61000, 5400000, 90061001, 1795233906789 };
    for (size_t i = 0; i < ELEMENTS(values); i++) {
        assert_int_equal(duration(format_duration(values[i], text)), values[i]);
        assert_int_equal(time_of(format_time(values[i], text)), values[i]);
        assert_int_equal(size(format_size(values[i], text)), values[i]);
    }
    assert_string_equal(format_duration(5400000, text), "1h30m");
    assert_string_equal(format_size(64 << 20, text), "64M");
    assert_string_equal(format_time(1795233906789, text), "2026-11-21T04:05:06.789Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_have_units_biggest_first),
        cmocka_unit_test(what_is_no_duration_is_refused),
        cmocka_unit_test(sizes_are_powers_of_1024),
        cmocka_unit_test(times_are_rfc_3339_with_an_offset),
        cmocka_unit_test(numbers_are_whole_and_within_range),
        cmocka_unit_test(what_is_formatted_can_be_parsed_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
