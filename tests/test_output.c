/* test_output.c - chunks of output: what is written is read again, and hostile bytes end the
 * reading. */
#include "proto/output.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void chunks_come_back_in_order_with_their_streams(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1000);
    assert_int_equal(output_add(&b, OUTPUT_STDOUT, "hello", 5), 0);
    assert_int_equal(output_add(&b, OUTPUT_STDERR, "", 0), 0);
    assert_int_equal(output_add_cut(&b, 0x0102030405060708), 0);
    struct str rest = buf_str(&b), bytes;
    int stream;
    assert_true(output_next(&rest, &stream, &bytes));
    assert_int_equal(stream, OUTPUT_STDOUT);
    assert_true(str_is(bytes, "hello"));
    assert_true(output_next(&rest, &stream, &bytes));
    assert_int_equal(stream, OUTPUT_STDERR);
    assert_int_equal(bytes.n, 0);
    assert_true(output_next(&rest, &stream, &bytes));
    assert_int_equal(stream, OUTPUT_CUT);
    assert_int_equal(output_cut_bytes(bytes), 0x0102030405060708);
    assert_false(output_next(&rest, &stream, &bytes));
    assert_int_equal(rest.n, 0);
    buf_fini(&b);
}

static void a_chunk_past_the_ceiling_changes_nothing(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 12);
    assert_int_equal(output_add(&b, OUTPUT_STDOUT, "12345678", 8), -EMSGSIZE);
    assert_int_equal(b.n, 0);
    assert_int_equal(output_add(&b, OUTPUT_STDOUT, "1234567", 7), 0);
    buf_fini(&b);
}

static void a_hostile_chunk_ends_the_reading(void **state)
{
    (void)state;
    static const struct str hostile[] = {
        { "\x01\x00\x00\x00", 4 },      /* cut short in its head */
        { "\x01\x00\x00\x00\x02x", 6 }, /* longer than what is there */
        { "\x01\xff\xff\xff\xffx", 6 }, /* much longer */
        { "\x07\x00\x00\x00\x01x", 6 }, /* no such stream */
        { "\x03\x00\x00\x00\x04"
          "abcd",
          9 }, /* a cut that is no number */
    };
    for (size_t i = 0; i < ELEMENTS(hostile); i++) {
        struct str rest = hostile[i], bytes;
        int stream;
        assert_false(output_next(&rest, &stream, &bytes));
        assert_int_equal(rest.n, hostile[i].n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_come_back_in_order_with_their_streams),
        cmocka_unit_test(a_chunk_past_the_ceiling_changes_nothing),
        cmocka_unit_test(a_hostile_chunk_ends_the_reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
