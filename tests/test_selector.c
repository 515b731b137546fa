/* test_selector.c - which jobs a person means. */
#include "client/selector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

/* Of so many brokers; the jobs of the second stand behind a `|`. */
static void selects_of(size_t brokers, const char *text, const char *want)
{
    struct selection s;
    char *error = NULL, got[200] = "";
    size_t n = 0;
    selection_init(&s, brokers);
    assert_int_equal(selection_add(&s, text, &error), 0);
    for (size_t b = 0; b < brokers; b++) {
        const struct selector *of = &s.of[b];
        n += (size_t)snprintf(got + n, sizeof got - n, "%s", b ? "| " : "");
        for (size_t i = 0; i < of->n; i++)
            n += (size_t)snprintf(got + n, sizeof got - n, "%llu-%llu ",
                                  (unsigned long long)of->ranges[i].first,
                                  (unsigned long long)of->ranges[i].last);
        n += (size_t)snprintf(got + n, sizeof got - n, "%s", of->last ? "last " : "");
    }
    snprintf(got + n, sizeof got - n, "%s", s.last ? "; last" : "");
    assert_string_equal(got, want);
    selection_fini(&s);
}

static void selects(const char *text, const char *want) { selects_of(1, text, want); }

static void refused(size_t brokers, const char *text, const char *because)
{
    struct selection s;
    char *error = NULL;
    selection_init(&s, brokers);
    if (selection_add(&s, text, &error) != -EINVAL || !error)
        fail_msg("\"%s\" was taken for a selector", text);
    if (!strstr(error, because))
        fail_msg("\"%s\": %s", text, error);
    free(error);
    selection_fini(&s);
}

static void an_id_a_range_a_list_last_and_all_name_jobs(void **state)
{
    (void)state;
    selects("7", "7-7 ");
    selects("5-9", "5-9 ");
    selects("5,7,12-20", "5-5 7-7 12-20 ");
    selects("last", "last ");
    selects("3,last", "3-3 last ");
    selects("last,3", "3-3 last ");
    selects("all", "1-18446744073709551615 ");
    selects("9223372036854775800", "9223372036854775800-9223372036854775800 ");
}

static void what_names_no_job_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = { "",
                                       "0",
                                       "x",
                                       "5-",
                                       "-5",
                                       "9-5",
                                       "5,",
                                       ",5",
                                       "5,,6",
                                       "5 6",
                                       "1.2",
                                       "b:3",
                                       "all,5",
                                       "lasts",
                                       "0-5",
                                       "5-0",
                                       "99999999999999999999" };
    for (size_t i = 0; i < ELEMENTS(bad); i++)
        refused(1, bad[i], "");
}

static void of_several_brokers_the_place_stands_before_the_id(void **state)
{
    (void)state;
    selects_of(2, "2:7", "| 7-7 ");
    selects_of(2, "1:5,7,2:9-12", "5-5 7-7 | 9-12 ");
    selects_of(2, "2:last", "| last ");
    selects_of(2, "2:all", "| 1-18446744073709551615 ");
    selects_of(2, "1:3,2:all", "3-3 | 1-18446744073709551615 ");
    selects_of(2, "last", "| ; last");
    selects_of(2, "all", "1-18446744073709551615 | 1-18446744073709551615 ");
    selects("1:7", "7-7 ");
}

static void an_id_that_may_be_of_several_brokers_or_of_none_is_refused(void **state)
{
    (void)state;
    refused(2, "7", "of which broker?");
    refused(2, "7,1:8", "of which broker?");
    refused(2, "3:7", "there are the brokers 1 to 2");
    refused(2, "0:7", "names no jobs");
    refused(2, "2:", "names no jobs");
    refused(2, ":7", "names no jobs");
    refused(2, "1:2:7", "names no jobs");
    refused(2, "99999999999999999999:1", "names no jobs");
    refused(1, "2:7", "one is configured");
    refused(1, "7.3", "reserved for arrays");
}

static void ids_stay_alone_until_there_are_more_than_a_request_may_have(void **state)
{
    (void)state;
    struct selector s = { 0 };
    selector_add_range(&s, 2, 2);
    selector_add_range(&s, 1, 1);
    assert_int_equal(selector_compact(&s), 0);
    assert_int_equal(s.n, 2);
    for (uint64_t id = 3; id < 5000; id++)
        selector_add_range(&s, id, id);
    selector_add_range(&s, 9000, UINT64_MAX);
    selector_add_range(&s, 9500, 9600);
    assert_int_equal(selector_compact(&s), 0);
    assert_int_equal(s.n, 2);
    assert_int_equal(s.ranges[0].first, 1);
    assert_int_equal(s.ranges[0].last, 4999);
    assert_true(s.ranges[1].last == UINT64_MAX);
    for (uint64_t id = 5001; id < 8999; id += 2)
        selector_add_range(&s, id, id);
    assert_int_equal(selector_compact(&s), -E2BIG);
    selector_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_a_range_a_list_last_and_all_name_jobs),
        cmocka_unit_test(what_names_no_job_is_refused),
        cmocka_unit_test(of_several_brokers_the_place_stands_before_the_id),
        cmocka_unit_test(an_id_that_may_be_of_several_brokers_or_of_none_is_refused),
        cmocka_unit_test(ids_stay_alone_until_there_are_more_than_a_request_may_have),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
