/* test_validate.c - hostile bytes: every way to make a decoder reserve, recurse or read too much is
 * refused, and all that is let through, msgpack-c can read. */
#include "proto/validate.h"

#include <inttypes.h>
#include <msgpack.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "proto/base/buf.h"
#include "proto/base/rng.h"
#include "proto/limits.h"

/* Judges a copy in memory of just that size, so that a read past the end is seen. */
static bool is_sane(const void *bytes, size_t n)
{
    const char *why = NULL;
    cleanup(freep) void *exact = xmalloc(n);
    memcpy(exact, bytes, n);
    bool sane = msgpack_is_sane(exact, n, &why);
    assert_int_equal(sane, why == NULL);
    return sane;
}

static bool is_sane_buf(const struct buf *b) { return is_sane(b->p, b->n); }

static uint64_t seed_of_run(void)
{
    const char *seed = getenv("SEED");
    uint64_t n = seed ? strtoull(seed, NULL, 0) : 19700101;
    print_message("SEED=%" PRIu64 "\n", n);
    return n;
}

/* What is said at once, and not only when the bytes have come to their end. */
#define TOO_LARGE "a length or count is larger than the message"

/* ---- every kind of object -------------------------------------------------------------------- */

/* One object of each form that msgpack has, the shortest one. */
static const struct str forms[] = {
#define BYTES(s) { s, sizeof(s) - 1 }
    BYTES("\x00"), BYTES("\x7f"), BYTES("\xe0"), BYTES("\xff"), BYTES("\xc0"), BYTES("\xc2"),
    BYTES("\xc3"),
    BYTES("\x80"), BYTES("\x81\x01\x02"), BYTES("\x90"), BYTES("\x92\x01\x02"), BYTES("\xa0"),
    BYTES("\xa3" "abc"),
    BYTES("\xc4\x01" "a"), BYTES("\xc5\0\x01" "a"), BYTES("\xc6\0\0\0\x01" "a"), /* bin */
    /* ext */
    BYTES("\xc7\x01\x05" "a"), BYTES("\xc8\0\x01\x05" "a"), BYTES("\xc9\0\0\0\x01\x05" "a"),
    BYTES("\xc7\0\x05"), BYTES("\xc8\0\0\x05"), BYTES("\xc9\0\0\0\0\x05"),
    BYTES("\xca" "1234"), BYTES("\xcb" "12345678"), /* floats */
    /* uint */
    BYTES("\xcc" "1"), BYTES("\xcd" "12"), BYTES("\xce" "1234"), BYTES("\xcf" "12345678"),
    BYTES("\xd0" "1"), BYTES("\xd1" "12"), BYTES("\xd2" "1234"), BYTES("\xd3" "12345678"), /* int */
    BYTES("\xd4\x05" "1"), BYTES("\xd5\x05" "12"), BYTES("\xd6\x05" "1234"), /* fixext */
    BYTES("\xd7\x05" "12345678"), BYTES("\xd8\x05" "1234567890123456"),
    BYTES("\xd9\x01" "a"), BYTES("\xda\0\x01" "a"), BYTES("\xdb\0\0\0\x01" "a"), /* str */
    BYTES("\xdc\0\x01\x01"), BYTES("\xdd\0\0\0\x01\x01"), BYTES("\xde\0\x01\x01\x01"),
    BYTES("\xdf\0\0\0\x01\x01\x01"),
    BYTES("\xc4\0"), BYTES("\xc5\0\0"), BYTES("\xc6\0\0\0\0"), BYTES("\xd9\0"), BYTES("\xda\0\0"),
    BYTES("\xdb\0\0\0\0"),
    BYTES("\xdc\0\0"), BYTES("\xdd\0\0\0\0"), BYTES("\xde\0\0"), BYTES("\xdf\0\0\0\0"),
};

static void every_form_of_msgpack_is_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < ELEMENTS(forms); i++)
        if (!is_sane(forms[i].p, forms[i].n))
            fail_msg("form %zu was refused", i);
}

static void every_form_is_refused_when_it_is_cut_at_any_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < ELEMENTS(forms); i++)
        for (size_t n = 0; n < forms[i].n; n++)
            if (is_sane(forms[i].p, n))
                fail_msg("the first %zu bytes of form %zu were accepted", n, i);
}

static void every_form_is_refused_with_a_byte_behind_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < ELEMENTS(forms); i++) {
        char longer[32];
        memcpy(longer, forms[i].p, forms[i].n);
        for (unsigned more = 0; more < 256; more++) {
            longer[forms[i].n] = (char)more;
            if (is_sane(longer, forms[i].n + 1))
                fail_msg("form %zu with byte %#x behind it was accepted", i, more);
        }
    }
}

static void no_bytes_are_no_message(void **state)
{
    (void)state;
    const char *why = NULL;
    assert_false(msgpack_is_sane(NULL, 0, &why));
    assert_string_equal(why, "the message is cut short");
    assert_false(is_sane("", 0));
}

static void the_byte_that_msgpack_never_uses_is_refused(void **state)
{
    (void)state;
    assert_false(is_sane("\xc1", 1));
    assert_false(is_sane("\x91\xc1", 2));
    assert_false(is_sane("\x81\x01\xc1", 3));
    assert_true(is_sane("\xa1\xc1", 2)); /* as content it is a byte like any other */
}

/* ---- bombs ----------------------------------------------------------------------------------- */

static void a_count_larger_than_the_message_is_refused(void **state)
{
    (void)state;
    static const struct str bombs[] = {
        BYTES("\xdd\x04\0\0\0"), /* five bytes for which msgpack-c reserves 2 GB */
        BYTES("\xdd\xff\xff\xff\xff"), BYTES("\xdc\xff\xff"), BYTES("\x9f"), BYTES("\x92\x01"),
        BYTES("\xdf\x80\0\0\0"), BYTES("\xdf\xff\xff\xff\xff"), BYTES("\xde\xff\xff"),
        BYTES("\x8f"), BYTES("\x81\x01"),
        BYTES("\xdf\x80\0\0\0" "\x01"), /* twice 2^31 is 2^32: nothing is left of it in 32 bits */
        BYTES("\xdf\x80\0\0\x01" "\x01\x01"), BYTES("\x91\xdd\x04\0\0\0"),
        BYTES("\x81\x01\xdd\x04\0\0\0"),
    };
    for (size_t i = 0; i < ELEMENTS(bombs); i++) {
        const char *why = NULL;
        assert_false(is_sane(bombs[i].p, bombs[i].n));
        assert_false(msgpack_is_sane(bombs[i].p, bombs[i].n, &why));
        assert_string_equal(why, TOO_LARGE);
    }
}

static void a_length_larger_than_the_message_is_refused(void **state)
{
    (void)state;
    static const struct str bombs[] = {
        BYTES("\xdb\xff\xff\xff\xff"), BYTES("\xdb\x7f\xff\xff\xff" "abc"), BYTES("\xda\xff\xff"),
        BYTES("\xd9\xff"),
        BYTES("\xbf" "a"), BYTES("\xc6\xff\xff\xff\xff"), BYTES("\xc5\xff\xff"),
        BYTES("\xc4\x02" "a"),
        BYTES("\xc9\xff\xff\xff\xff\x05"), BYTES("\xc9\xff\xff\xff\xff"), BYTES("\xc8\xff\xff\x05"),
        BYTES("\xc7\x01\x05"), BYTES("\x91\xdb\xff\xff\xff\xff"),
    };
    for (size_t i = 0; i < ELEMENTS(bombs); i++) {
        const char *why = NULL;
        assert_false(is_sane(bombs[i].p, bombs[i].n));
        assert_false(msgpack_is_sane(bombs[i].p, bombs[i].n, &why));
        assert_string_equal(why, TOO_LARGE);
    }
}

/* 31 arrays in each other, each said to have 2^26 elements: 127 GB in msgpack-c. */
static void nested_counts_are_refused(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 4096);
    for (int i = 0; i < 31; i++)
        buf_add(&b, "\xdd\x04\0\0\0", 5);
    assert_false(is_sane_buf(&b));
    buf_fini(&b);
}

static void elements_that_an_outer_array_still_owes_are_counted(void **state)
{
    (void)state;
    assert_false(is_sane("\x92\x92\x01\x02", 4));
    assert_true(is_sane("\x92\x92\x01\x02\x03", 5));
    assert_false(is_sane("\x92\x92\x01\x02\x03\x04", 6));
    assert_true(is_sane("\x82\x01\x91\x02\x03\x80", 6));
    assert_false(is_sane("\x82\x01\x91\x02\x03", 5));
}

/* `depth` of these around a 1. */
static struct buf nested(const char *opening, unsigned depth)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    for (unsigned i = 0; i < depth; i++)
        buf_add(&b, opening, strlen(opening));
    buf_add(&b, "\x01", 1);
    return b;
}

static void nesting_ends_at_the_limit(void **state)
{
    (void)state;
    static const char *const openings[] = { "\x91", "\x81\x01" };
    for (unsigned depth = 0; depth <= 40; depth++)
        for (size_t i = 0; i < 2; i++) {
            struct buf b = nested(openings[i], depth);
            assert_int_equal(is_sane_buf(&b), depth <= LIMIT_MESSAGE_DEPTH);
            buf_fini(&b);
        }
    struct buf b = nested("\x91", 1000000);
    assert_false(is_sane_buf(&b));
    buf_fini(&b);
}

/* Depth is given back where an array ends: many short branches are not one long one. */
static void many_branches_are_not_deep(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_addf(&b, "\xdc\x01%c", 44); /* 300 */
    for (int i = 0; i < 300; i++) {
        for (unsigned depth = 1; depth < LIMIT_MESSAGE_DEPTH; depth++)
            buf_add(&b, "\x91", 1);
        buf_add(&b, "\x90", 1);
    }
    assert_true(is_sane_buf(&b));
    buf_fini(&b);
}

/* An array of n objects, and itself, makes n + 1. */
static struct buf array_of(uint32_t n, const char *object, size_t bytes)
{
    struct buf b;
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    char head[] = { (char)0xdd, (char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n };
    buf_add(&b, head, sizeof head);
    for (uint32_t i = 0; i < n; i++)
        buf_add(&b, object, bytes);
    return b;
}

static void objects_end_at_the_limit(void **state)
{
    (void)state;
    for (uint32_t over = 0; over < 2; over++) {
        struct buf b = array_of(LIMIT_MESSAGE_OBJECTS - 1 + over, "\xc0", 1);
        assert_int_equal(is_sane_buf(&b), !over);
        buf_fini(&b);
        b = array_of((LIMIT_MESSAGE_OBJECTS - 1) / 3 + over, "\x81\x01\x01", 3);
        assert_int_equal(is_sane_buf(&b), !over);
        buf_fini(&b);
    }
}

/* A message of the full 16 MiB that is nothing but small objects would cost 24 times its size. */
static void a_full_message_of_small_objects_is_refused(void **state)
{
    (void)state;
    struct buf b = array_of(LIMIT_MESSAGE_BYTES - 5, "\x01", 1);
    assert_false(is_sane_buf(&b));
    buf_fini(&b);
}

static void a_full_message_of_one_large_object_is_accepted(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    uint32_t n = LIMIT_MESSAGE_BYTES - 5;
    char head[] = { (char)0xc6, (char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n };
    buf_add(&b, head, sizeof head);
    buf_reserve(&b, n);
    memset(b.p + b.n, 0, n);
    b.n += n;
    assert_true(is_sane_buf(&b));
    buf_fini(&b);
}

/* ---- against msgpack-c ----------------------------------------------------------------------- */

/* Depth of what msgpack-c has read; a 1 has none. */
static unsigned depth_of(const msgpack_object *o)
{
    unsigned most = 0;
    if (o->type == MSGPACK_OBJECT_ARRAY)
        for (uint32_t i = 0; i < o->via.array.size; i++) {
            unsigned inner = 1 + depth_of(&o->via.array.ptr[i]);
            most = inner > most ? inner : most;
        }
    if (o->type == MSGPACK_OBJECT_MAP)
        for (uint32_t i = 0; i < 2 * o->via.map.size; i++) {
            const msgpack_object_kv *kv = &o->via.map.ptr[i / 2];
            unsigned inner = 1 + depth_of(i % 2 ? &kv->val : &kv->key);
            most = inner > most ? inner : most;
        }
    return most;
}

/* Has it a 32-bit count? msgpack-c would believe that one. */
static bool may_be_a_bomb(const char *bytes, size_t n)
{
    return memchr(bytes, 0xdd, n) || memchr(bytes, 0xdf, n);
}

/* What is let through, msgpack-c reads to the last byte; and what it reads so is let through, but
 * for the depth. Returns whether the bytes were let through. */
static bool agree(const char *bytes, size_t n)
{
    bool sane = is_sane(bytes, n);
    if (!sane && may_be_a_bomb(bytes, n))
        return false;
    msgpack_unpacked u;
    size_t used = 0;
    msgpack_unpacked_init(&u);
    msgpack_unpack_return r =
        n ? msgpack_unpack_next(&u, bytes, n, &used) : MSGPACK_UNPACK_CONTINUE;
    bool read = r == MSGPACK_UNPACK_SUCCESS && used == n;
    if (sane)
        assert_true(read);
    else if (read)
        assert_true(depth_of(&u.data) > LIMIT_MESSAGE_DEPTH);
    msgpack_unpacked_destroy(&u);
    return sane;
}

static void random_bytes_are_judged_as_msgpack_c_does(void **state)
{
    (void)state;
    struct rng rng;
    size_t accepted = 0;
    rng_init(&rng, seed_of_run());
    for (int i = 0; i < 200000; i++) {
        char bytes[12];
        size_t n = rng_below(&rng, sizeof bytes + 1);
        for (size_t k = 0; k < n; k++)
            bytes[k] = (char)rng_next(&rng);
        accepted += agree(bytes, n);
    }
    assert_in_range(accepted, 5000, 150000);
}

/* Likelier to be right than random bytes: arrays and maps of the forms above, up to past the depth
 * that is allowed. */
static void add_object(struct buf *b, struct rng *rng, unsigned depth)
{
    if (depth && rng_below(rng, 3)) {
        unsigned n = (unsigned)rng_below(rng, 4), map = (unsigned)rng_below(rng, 2);
        buf_addf(b, "%c", (int)((map ? 0x80 : 0x90) | n));
        for (unsigned i = 0; i < n << map; i++)
            add_object(b, rng, depth - 1);
    } else {
        const struct str *form = &forms[rng_below(rng, ELEMENTS(forms))];
        buf_add(b, form->p, form->n);
    }
}

static void mutated_messages_are_judged_as_msgpack_c_does(void **state)
{
    (void)state;
    struct rng rng;
    size_t accepted = 0, n = 30000;
    rng_init(&rng, seed_of_run());
    for (size_t i = 0; i < n; i++) {
        struct buf b;
        buf_init(&b, 1 << 20);
        add_object(&b, &rng, (unsigned)rng_below(&rng, LIMIT_MESSAGE_DEPTH + 3));
        for (uint64_t k = rng_below(&rng, 3); k; k--)
            b.p[rng_below(&rng, b.n)] = (char)rng_next(&rng);
        if (rng_below(&rng, 4) == 0)
            b.n = rng_below(&rng, b.n) + 1;
        accepted += agree(b.p, b.n);
        buf_fini(&b);
    }
    assert_in_range(accepted, n / 10, n - n / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_of_msgpack_is_accepted),
        cmocka_unit_test(every_form_is_refused_when_it_is_cut_at_any_byte),
        cmocka_unit_test(every_form_is_refused_with_a_byte_behind_it),
        cmocka_unit_test(no_bytes_are_no_message),
        cmocka_unit_test(the_byte_that_msgpack_never_uses_is_refused),
        cmocka_unit_test(a_count_larger_than_the_message_is_refused),
        cmocka_unit_test(a_length_larger_than_the_message_is_refused),
        cmocka_unit_test(nested_counts_are_refused),
        cmocka_unit_test(elements_that_an_outer_array_still_owes_are_counted),
        cmocka_unit_test(nesting_ends_at_the_limit),
        cmocka_unit_test(many_branches_are_not_deep),
        cmocka_unit_test(objects_end_at_the_limit),
        cmocka_unit_test(a_full_message_of_small_objects_is_refused),
        cmocka_unit_test(a_full_message_of_one_large_object_is_accepted),
        cmocka_unit_test(random_bytes_are_judged_as_msgpack_c_does),
        cmocka_unit_test(mutated_messages_are_judged_as_msgpack_c_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
