/* test_words.c - the words that people, databases and peers rely on: their names and numbers stay
 * what they are. */
#include "proto/words.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void names_and_numbers_are_each_others_inverse(void **state)
{
    (void)state;
#define TAG(id, number, name) assert_int_equal(tag_parse(str_of(tag_name(id))), number);
    TAGS(TAG)
#define POOL(id, number, name) assert_int_equal(pool_parse(str_of(pool_name(id))), number);
    POOLS(POOL)
#define STATE(id, number, name) assert_int_equal(state_parse(str_of(state_name(id))), number);
    STATES(STATE)
}

/* These numbers are in databases and on the wire, these names in scripts: none of them may ever
 * change. */
static void numbers_stay_what_they_are(void **state)
{
    (void)state;
    static const char *const tags[] = { "auto", "cpu", "io", "slow-io" };
    static const char *const pools[] = { "process", "thread", "loop" };
    static const char *const states[] = { "blocked", "scheduled", "queued",    "running",
                                          "done",    "dead",      "cancelled", "expired" };
    static const char *const reasons[] = { "",           "exit",         "signal",
                                           "time-limit", "memory-limit", "handler-error",
                                           "cancelled",  "expired",      "worker-lost" };
    static const char *const endings[] = { "done", "failed", "cancelled", "expired", "lost" };
    for (size_t i = 0; i < ELEMENTS(tags); i++)
        assert_string_equal(tag_name((int64_t)i), tags[i]);
    for (size_t i = 0; i < ELEMENTS(pools); i++)
        assert_string_equal(pool_name((int64_t)i), pools[i]);
    for (size_t i = 0; i < ELEMENTS(states); i++)
        assert_string_equal(state_name((int64_t)i), states[i]);
    for (size_t i = 0; i < ELEMENTS(reasons); i++)
        assert_string_equal(reason_name((int64_t)i), reasons[i]);
    for (size_t i = 0; i < ELEMENTS(endings); i++)
        assert_string_equal(ending_name((int64_t)i), endings[i]);
    assert_int_equal(ELEMENTS(pools), N_POOLS);
    assert_int_equal(ELEMENTS(states), N_STATES);
}

/* They are the exit statuses of `tern`. */
static void codes_stay_what_they_are(void **state)
{
    (void)state;
    assert_string_equal(code_name(2), "usage");
    assert_string_equal(code_name(3), "not-found");
    assert_string_equal(code_name(4), "refused");
    assert_string_equal(code_name(75), "busy");
    assert_string_equal(code_name(76), "protocol");
    assert_string_equal(code_name(77), "not-allowed");
}

static void a_number_that_is_none_has_a_question_mark_for_a_name(void **state)
{
    (void)state;
    static const int64_t bad[] = { -1, 99, UNSET, INT64_MAX, INT64_C(1) << 32 };
    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        assert_string_equal(tag_name(bad[i]), "?");
        assert_string_equal(pool_name(bad[i]), "?");
        assert_string_equal(state_name(bad[i]), "?");
        assert_string_equal(reason_name(bad[i]), "?");
        assert_string_equal(ending_name(bad[i]), "?");
        assert_string_equal(code_name(bad[i]), "?");
    }
}

static void a_name_must_be_whole_and_exact(void **state)
{
    (void)state;
    static const char *const bad[] = { "",     "CPU",     "cp",   "cpu ", "slow_io",
                                       "slow", "threads", "Done", "?" };
    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        assert_int_equal(tag_parse(str_of(bad[i])), -EINVAL);
        assert_int_equal(pool_parse(str_of(bad[i])), -EINVAL);
        assert_int_equal(state_parse(str_of(bad[i])), -EINVAL);
    }
    assert_int_equal(tag_parse(STR_UNSET), -EINVAL);
    assert_int_equal(tag_parse((struct str){ "cpu\0x", 5 }), -EINVAL);
    assert_int_equal(tag_parse((struct str){ "cpux", 3 }), TAG_CPU);
}

static void the_last_four_states_are_terminal(void **state)
{
    (void)state;
    for (int64_t s = 0; s < N_STATES; s++)
        assert_int_equal(state_is_terminal(s), s == STATE_DONE || s == STATE_DEAD ||
                                                   s == STATE_CANCELLED || s == STATE_EXPIRED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_numbers_are_each_others_inverse),
        cmocka_unit_test(numbers_stay_what_they_are),
        cmocka_unit_test(codes_stay_what_they_are),
        cmocka_unit_test(a_number_that_is_none_has_a_question_mark_for_a_name),
        cmocka_unit_test(a_name_must_be_whole_and_exact),
        cmocka_unit_test(the_last_four_states_are_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
