/* test_spread.c - the ids of several brokers come out in the order of the batch's lines. */
#include "client/spread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static char told[400];

static void note(void *context, size_t place, uint64_t id)
{
    (void)context;
    size_t n = strlen(told);
    snprintf(told + n, sizeof told - n, "%zu:%llu ", place, (unsigned long long)id);
}

static void begin(struct spread *s, const char *homes)
{
    told[0] = '\0';
    spread_init(s, 3, note, NULL);
    for (uint64_t i = 0; homes[i]; i++)
        assert_true(spread_add(s, (size_t)(homes[i] - '0'), i + 1));
}

static void ids_come_in_the_order_of_the_lines(void **state)
{
    (void)state;
    struct spread s;
    begin(&s, "010120");
    spread_on_submitted(&s.at[1], 50, 1);
    assert_string_equal(told, "");
    spread_on_submitted(&s.at[0], 7, 2);
    assert_string_equal(told, "0:7 1:50 0:8 ");
    spread_on_submitted(&s.at[2], 1, 1);
    spread_on_submitted(&s.at[0], 20, 1);
    assert_string_equal(told, "0:7 1:50 0:8 ");
    spread_on_submitted(&s.at[1], 51, 1);
    assert_string_equal(told, "0:7 1:50 0:8 1:51 2:1 0:20 ");
    spread_fini(&s);
}

static void lines_behind_one_that_came_to_nothing_are_told_apart(void **state)
{
    (void)state;
    struct spread s;
    struct spread_line line;
    begin(&s, "0101");
    spread_on_submitted(&s.at[1], 50, 2);
    assert_string_equal(told, "");
    assert_true(spread_next_behind(&s, &line));
    assert_int_equal(line.number, 2);
    assert_int_equal(line.id, 50);
    assert_true(spread_next_behind(&s, &line));
    assert_int_equal(line.number, 4);
    assert_false(spread_next_behind(&s, &line));
    spread_fini(&s);
}

static void lines_that_a_broker_refuses_are_passed_over(void **state)
{
    (void)state;
    struct spread s;
    struct spread_line line;
    begin(&s, "0101000");
    spread_on_submitted(&s.at[0], 7, 1);
    assert_int_equal(spread_skip(&s.at[0], 2, 2), 5);
    spread_on_submitted(&s.at[0], 8, 2);
    assert_string_equal(told, "0:7 ");
    assert_true(spread_next_behind(&s, &line));
    assert_int_equal(line.number, 6);
    assert_int_equal(line.id, 8);
    assert_int_equal(spread_skip(&s.at[1], 2, 0), 2);
    spread_fini(&s);
}

static void a_line_that_was_dropped_gets_no_id(void **state)
{
    (void)state;
    struct spread s;
    begin(&s, "012");
    spread_drop_last(&s);
    spread_on_submitted(&s.at[1], 5, 1);
    spread_on_submitted(&s.at[0], 4, 1);
    assert_string_equal(told, "0:4 1:5 ");
    assert_true(spread_add(&s, 2, 4));
    spread_on_submitted(&s.at[2], 6, 1);
    assert_string_equal(told, "0:4 1:5 2:6 ");
    spread_fini(&s);
}

static uint64_t expected;

static void count(void *context, size_t place, uint64_t id)
{
    (void)context;
    assert_int_equal(id, expected / 2 + 1);
    assert_int_equal(place, expected % 2);
    expected++;
}

/* Memory is bounded: a broker that owes its answer stops the batch, and one that does not never does. */
static void it_is_full_only_when_a_broker_owes_too_much(void **state)
{
    (void)state;
    struct spread s;
    uint64_t n = 0;
    expected = 0;
    spread_init(&s, 2, count, NULL);
    for (; spread_add(&s, n % 2, n + 1); n++)
        ;
    assert_int_equal(n, SPREAD_LINES);
    spread_on_submitted(&s.at[0], 1, n / 2);
    assert_false(spread_add(&s, 0, n + 1));
    spread_on_submitted(&s.at[1], 1, n / 2);
    for (uint64_t done = n / 2; n < 5u * SPREAD_LINES; n += 2, done++) {
        assert_true(spread_add(&s, 0, n + 1));
        assert_true(spread_add(&s, 1, n + 2));
        if (done < SPREAD_LINES / 2 + 1000)
            continue;
        spread_on_submitted(&s.at[1], expected / 2 + 1, 1);
        spread_on_submitted(&s.at[0], expected / 2 + 1, 1);
    }
    spread_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_come_in_the_order_of_the_lines),
        cmocka_unit_test(lines_behind_one_that_came_to_nothing_are_told_apart),
        cmocka_unit_test(lines_that_a_broker_refuses_are_passed_over),
        cmocka_unit_test(a_line_that_was_dropped_gets_no_id),
        cmocka_unit_test(it_is_full_only_when_a_broker_owes_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
