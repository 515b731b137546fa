/* test_numbered.c - what is lost or repeated between a broker and a worker is noticed. */
#include "proto/numbered.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct message order(enum message_type type, uint64_t *last)
{
    struct message m;
    message_init(&m, type);
    numbered_set(last, &m);
    return m;
}

static void orders_count_from_one_whatever_they_are(void **state)
{
    (void)state;
    static const enum message_type types[] = { MSG_RUN, MSG_TAKE_BACK, MSG_STOP, MSG_DRAIN, MSG_STARTED, MSG_RESULT, MSG_GIVEN };
    uint64_t said = 0, heard = 0;
    for (size_t i = 0; i < ELEMENTS(types); i++) {
        struct message m = order(types[i], &said);
        assert_int_equal(said, i + 1);
        assert_int_equal(numbered_check(&heard, &m), NUMBERED_NEXT);
        assert_int_equal(heard, i + 1);
    }
}

static void what_has_no_number_is_not_counted(void **state)
{
    (void)state;
    uint64_t said = 0, heard = 0;
    struct message recorded = order(MSG_RECORDED, &said), hello = order(MSG_HELLO, &said);
    assert_int_equal(said, 0);
    assert_int_equal(numbered_check(&heard, &recorded), NUMBERED_NEXT);
    assert_int_equal(numbered_check(&heard, &hello), NUMBERED_NEXT);
    struct message run; /* of a peer that does not count */
    message_init(&run, MSG_RUN);
    heard = 7;
    assert_int_equal(numbered_check(&heard, &run), NUMBERED_NEXT);
    assert_int_equal(heard, 7);
}

static void a_repeated_order_is_told(void **state)
{
    (void)state;
    uint64_t said = 0, heard = 0;
    struct message run = order(MSG_RUN, &said), stop = order(MSG_STOP, &said);
    assert_int_equal(numbered_check(&heard, &run), NUMBERED_NEXT);
    assert_int_equal(numbered_check(&heard, &run), NUMBERED_REPEATED);
    assert_int_equal(numbered_check(&heard, &stop), NUMBERED_NEXT);
    assert_int_equal(numbered_check(&heard, &run), NUMBERED_REPEATED);
    assert_int_equal(heard, 2);
}

static void a_lost_order_is_told_by_the_next_one(void **state)
{
    (void)state;
    uint64_t said = 0, heard = 0;
    order(MSG_RUN, &said);
    struct message stop = order(MSG_STOP, &said);
    assert_int_equal(numbered_check(&heard, &stop), NUMBERED_GAP);
    assert_int_equal(heard, 0);
}

static void a_lost_order_is_told_by_a_beat(void **state)
{
    (void)state;
    uint64_t said = 0, heard = 0;
    struct message first = order(MSG_BEAT, &said);
    order(MSG_RUN, &said);
    struct message second = order(MSG_BEAT, &said);
    assert_int_equal(second.beat.number, 1);
    assert_int_equal(numbered_check(&heard, &first), NUMBERED_NEXT);
    assert_int_equal(numbered_check(&heard, &second), NUMBERED_GAP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orders_count_from_one_whatever_they_are),
        cmocka_unit_test(what_has_no_number_is_not_counted),
        cmocka_unit_test(a_repeated_order_is_told),
        cmocka_unit_test(a_lost_order_is_told_by_the_next_one),
        cmocka_unit_test(a_lost_order_is_told_by_a_beat),
    };
    return cmocka_run_group_tests_name("numbered", tests, NULL, NULL);
}
