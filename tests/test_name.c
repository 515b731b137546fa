/* test_name.c - names of queues, handlers and workers. */
#include "proto/name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "proto/limits.h"

static void names_are_of_letters_digits_and_four_signs(void **state)
{
    (void)state;
    assert_null(name_check(str_of("default"), "queue"));
    assert_null(name_check(str_of("a.B-9_:x"), "queue"));
    static const char *const bad[] = { "a b", "a/b", "caf\xc3\xa9", "\n", "a\x7f" };
    for (size_t i = 0; i < ELEMENTS(bad); i++)
        assert_non_null(name_check(str_of(bad[i]), "queue"));
    assert_non_null(name_check((struct str){ "a\0b", 3 }, "queue"));
}

static void the_first_bad_byte_is_named(void **state)
{
    (void)state;
    const char *why = name_check(str_of("a b/"), "queue");
    assert_non_null(strstr(why, "byte 2"));
    assert_non_null(strstr(why, "0x20"));
    assert_non_null(strstr(why, "queue"));
}

static void a_name_has_1_to_128_bytes(void **state)
{
    (void)state;
    char name[LIMIT_NAME_BYTES + 1];
    memset(name, 'x', sizeof name);
    assert_non_null(name_check(str_of(""), "handler"));
    assert_null(name_check((struct str){ name, LIMIT_NAME_BYTES }, "handler"));
    assert_non_null(name_check((struct str){ name, LIMIT_NAME_BYTES + 1 }, "handler"));
}

static void a_peers_name_begins_like_no_hidden_file_and_no_option(void **state)
{
    (void)state;
    assert_null(name_check_peer(str_of("a.b-c")));
    assert_non_null(strstr(name_check_peer(str_of(".a")), "hidden"));
    assert_non_null(strstr(name_check_peer(str_of("-a")), "option"));
    assert_non_null(strstr(name_check_peer(str_of("a/b")), "0x2f"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_of_letters_digits_and_four_signs),
        cmocka_unit_test(the_first_bad_byte_is_named),
        cmocka_unit_test(a_name_has_1_to_128_bytes),
        cmocka_unit_test(a_peers_name_begins_like_no_hidden_file_and_no_option),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
