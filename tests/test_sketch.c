/* test_sketch.c - quantiles are what a sorted list would give, an eighth off at most; what is old is forgotten; bytes are checked. */
#include "broker/sketch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/base/rng.h"

static int by_size(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void a_quantile_is_off_by_an_eighth_at_most(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 11);
    for (int round = 0; round < 200; round++) {
        struct sketch s = { 0 };
        int64_t sorted[200];
        uint64_t most = UINT64_C(1) << (3 + rng_below(&rng, 37));
        for (size_t i = 0; i < ELEMENTS(sorted); i++)
            sketch_add(&s, sorted[i] = (int64_t)rng_below(&rng, most));
        qsort(sorted, ELEMENTS(sorted), sizeof *sorted, by_size);
        for (size_t i = 10; i < ELEMENTS(sorted); i += 10) {
            int64_t told = sketch_quantile(&s, (double)i / ELEMENTS(sorted));
            assert_in_range(told + 2, sorted[i - 1] * 7 / 8, sorted[i] * 5 / 4 + 4);
        }
    }
}

static void the_smallest_and_the_largest_have_a_bucket(void **state)
{
    (void)state;
    static const int64_t numbers[] = { INT64_MIN + 1, -1, 0, 1, 3, 4, 5, INT64_MAX };
    struct sketch s = { 0 };
    assert_int_equal(sketch_quantile(&s, 0.5), UNSET);
    for (size_t i = 0; i < ELEMENTS(numbers); i++)
        sketch_add(&s, numbers[i]);
    assert_int_equal(s.n, ELEMENTS(numbers));
    assert_int_equal(s.at[0], 3);
    assert_int_equal(s.at[SKETCH_BUCKETS - 1], 1);
    assert_true(sketch_quantile(&s, 1) > INT64_C(1) << 40);
}

static void old_numbers_weigh_less_and_then_nothing(void **state)
{
    (void)state;
    struct sketch s = { 0 };
    for (int i = 0; i < 10000; i++)
        sketch_add(&s, 1000000);
    assert_in_range(s.n, SKETCH_STEP, 2 * SKETCH_STEP);
    for (int i = 0; i < SKETCH_STEP / 8; i++)
        sketch_add(&s, 10);
    assert_in_range(sketch_quantile(&s, 0.5), 900000, 1100000);
    for (int i = 0; i < 3 * SKETCH_STEP; i++)
        sketch_add(&s, 10);
    assert_in_range(sketch_quantile(&s, 0.5), 9, 12);
    for (int i = 0; i < 20 * SKETCH_STEP; i++)
        sketch_add(&s, 10);
    assert_in_range(sketch_quantile(&s, 1), 9, 12);
}

static void what_was_saved_is_loaded(void **state)
{
    (void)state;
    struct sketch a = { 0 }, b = { 0 }, c;
    struct buf bytes;
    buf_init(&bytes, 10000);
    for (int i = 0; i < 200; i++) {
        sketch_add(&a, i * i);
        sketch_add(&b, 7);
    }
    sketch_save(&a, 0, &bytes);
    sketch_save(&b, 3, &bytes);
    assert_int_equal(sketch_load(&c, 3, buf_str(&bytes)), 0);
    assert_memory_equal(&b, &c, sizeof b);
    assert_int_equal(sketch_load(&c, 0, buf_str(&bytes)), 0);
    assert_memory_equal(&a, &c, sizeof a);
    assert_int_equal(sketch_load(&c, 1, buf_str(&bytes)), 0);
    assert_int_equal(c.n, 0);
    buf_fini(&bytes);
}

static void bytes_that_it_did_not_write_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
    } bad[] = {
        { "\0\5\1", 3 }, { "\0\240\1\0", 4 }, { "\0\5\0\0", 4 }, { "\0\5\1\0\0\5\1\0", 8 }, { "\0\5\1\1", 4 }, { "\0\5\377\377", 4 },
        { "\0\5\200\0\0\6\201\0", 8 },
    };
    struct sketch s = { .n = 1, .at = { 1 } }, before = s;
    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        assert_int_equal(sketch_load(&s, 0, (struct str){ bad[i].bytes, bad[i].n }), -EBADMSG);
        assert_memory_equal(&s, &before, sizeof s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quantile_is_off_by_an_eighth_at_most),
        cmocka_unit_test(the_smallest_and_the_largest_have_a_bucket),
        cmocka_unit_test(old_numbers_weigh_less_and_then_nothing),
        cmocka_unit_test(what_was_saved_is_loaded),
        cmocka_unit_test(bytes_that_it_did_not_write_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
