/* test_buf.c - a buffer grows up to its ceiling and is unchanged by what would pass it. */
#include "proto/base/buf.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void what_is_added_is_there_in_order(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(buf_add(&b, (char[]){ (char)i, (char)(i >> 8) }, 2), 0);
    assert_int_equal(b.n, 2000);
    for (int i = 0; i < 1000; i++)
        assert_memory_equal(b.p + 2 * i, ((char[]){ (char)i, (char)(i >> 8) }), 2);
    buf_fini(&b);
}

static void nothing_is_allocated_before_the_first_byte(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 10);
    assert_int_equal(buf_add(&b, NULL, 0), 0);
    assert_null(b.p);
    assert_int_equal(buf_str(&b).n, 0);
    assert_non_null(buf_str(&b).p); /* empty, not: not given */
    buf_fini(&b);
}

static void the_ceiling_can_be_reached_but_not_passed(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 10);
    assert_int_equal(buf_add(&b, "0123456", 7), 0);
    assert_int_equal(buf_add(&b, "abcd", 4), -EMSGSIZE);
    assert_int_equal(buf_add(&b, "abcd", SIZE_MAX), -EMSGSIZE);
    assert_int_equal(buf_addf(&b, "%d", 1234), -EMSGSIZE);
    assert_int_equal(buf_reserve(&b, 4), -EMSGSIZE);
    assert_int_equal(b.n, 7);
    assert_memory_equal(b.p, "0123456", 7);
    assert_int_equal(buf_add(&b, "789", 3), 0);
    assert_int_equal(buf_add(&b, "", 0), 0);
    assert_int_equal(buf_add(&b, "a", 1), -EMSGSIZE);
    assert_memory_equal(b.p, "0123456789", 10);
    buf_fini(&b);
}

static void formatted_text_is_added_without_its_end(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100);
    assert_int_equal(buf_addf(&b, "%s=%d;", "job", 5), 0);
    assert_int_equal(buf_addf(&b, "%s=%c;", "c", 0), 0);
    assert_int_equal(b.n, 10);
    assert_memory_equal(b.p, "job=5;c=\0;", 10);
    buf_fini(&b);
}

static void reserved_room_counts_when_the_caller_says_so(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1000);
    assert_int_equal(buf_reserve(&b, 1000), 0);
    memset(b.p, 'x', 1000);
    assert_int_equal(b.n, 0);
    b.n = 1000;
    assert_int_equal(buf_reserve(&b, 0), 0);
    assert_int_equal(buf_reserve(&b, 1), -EMSGSIZE);
    buf_fini(&b);
}

static void bytes_are_taken_off_the_front(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 10);
    buf_consume(&b, 0);
    buf_add(&b, "0123456789", 10);
    buf_consume(&b, 0);
    assert_int_equal(b.n, 10);
    buf_consume(&b, 4);
    assert_true(str_is(buf_str(&b), "456789"));
    assert_int_equal(buf_add(&b, "abcd", 4), 0);
    assert_true(str_is(buf_str(&b), "456789abcd"));
    buf_consume(&b, 10);
    assert_int_equal(b.n, 0);
    buf_fini(&b);
}

static void a_buffer_can_be_used_again(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 4);
    buf_add(&b, "abcd", 4);
    buf_clear(&b);
    assert_int_equal(buf_add(&b, "efgh", 4), 0);
    assert_true(str_is(buf_str(&b), "efgh"));
    buf_fini(&b);
    assert_int_equal(b.n, 0);
    assert_int_equal(buf_add(&b, "ijklm", 5), -EMSGSIZE);
    assert_int_equal(buf_add(&b, "ijkl", 4), 0);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_added_is_there_in_order),
        cmocka_unit_test(nothing_is_allocated_before_the_first_byte),
        cmocka_unit_test(the_ceiling_can_be_reached_but_not_passed),
        cmocka_unit_test(formatted_text_is_added_without_its_end),
        cmocka_unit_test(reserved_room_counts_when_the_caller_says_so),
        cmocka_unit_test(bytes_are_taken_off_the_front),
        cmocka_unit_test(a_buffer_can_be_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
