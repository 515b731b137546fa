/* test_selector.c - which jobs a person means. */
#include "client/selector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void selects(const char *text, const char *want)
{
    struct selector s = { 0 };
    char *error = NULL, got[200] = "";
    size_t n = 0;
    assert_int_equal(selector_add(&s, text, &error), 0);
    for (size_t i = 0; i < s.n; i++)
        n += (size_t)snprintf(got + n, sizeof got - n, "%llu-%llu ",
                              (unsigned long long)s.ranges[i].first,
                              (unsigned long long)s.ranges[i].last);
    if (s.last)
        snprintf(got + n, sizeof got - n, "last ");
    assert_string_equal(got, want);
    selector_fini(&s);
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
    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        struct selector s = { 0 };
        char *error = NULL;
        if (selector_add(&s, bad[i], &error) != -EINVAL || !error)
            fail_msg("\"%s\" was taken for a selector", bad[i]);
        free(error);
        selector_fini(&s);
    }
}

static void reserved_forms_are_named_as_reserved(void **state)
{
    (void)state;
    struct selector s = { 0 };
    char *error = NULL;
    selector_add(&s, "7.3", &error);
    assert_non_null(strstr(error, "reserved for arrays"));
    free(TAKE(error));
    selector_add(&s, "2:7", &error);
    assert_non_null(strstr(error, "reserved for several brokers"));
    free(error);
    selector_fini(&s);
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
        cmocka_unit_test(reserved_forms_are_named_as_reserved),
        cmocka_unit_test(ids_stay_alone_until_there_are_more_than_a_request_may_have),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
