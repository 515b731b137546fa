/* test_message_refused.c - nothing comes in that no message can be: what is refused. */
#include "tests/message_rig.h"

static void an_unknown_type_is_not_supported(void **state)
{
    (void)state;
    uint64_t n[MESSAGE_TYPES + 4] = { MESSAGE_TYPES, (UINT64_C(1) << 32) + MSG_HELLO,
                                      UINT64_C(1) << 63, UINT64_MAX };
    for (uint64_t i = 0; i < MESSAGE_TYPES; i++)
        n[4 + i] = i;
    for (size_t i = 0; i < ELEMENTS(types); i++)
        n[4 + types[i]] = MESSAGE_TYPES;
    for (size_t i = 0; i < ELEMENTS(n); i++) {
        msgpack_sbuffer s;
        msgpack_packer to;
        msgpack_sbuffer_init(&s);
        msgpack_packer_init(&to, &s, msgpack_sbuffer_write);
        msgpack_pack_array(&to, 4);
        msgpack_pack_uint64(&to, n[i]);
        for (int k = 0; k < 3; k++)
            msgpack_pack_uint64(&to, 1);
        assert_int_equal(decode_error((struct str){ s.data, s.size }), -EPROTONOSUPPORT);
        msgpack_sbuffer_destroy(&s);
    }
}

/* Values of all kinds, and which fields take them. */
static const struct sample {
    const char *what;
    struct str bytes;
    bool taken[6]; /* by kind */
} samples[] = {
#define BYTES(s) { s, sizeof(s) - 1 }
    { "nil", BYTES("\xc0"), { true, true, true, true, true, true } },
    { "1", BYTES("\x01"), { [U64] = true, [I64] = true } },
    { "5 as int 64", BYTES("\xd3\0\0\0\0\0\0\0\x05"), { [U64] = true, [I64] = true } },
    { "-1", BYTES("\xff"), { [I64] = true } },
    { "2^63 - 1", BYTES("\xcf\x7f\xff\xff\xff\xff\xff\xff\xff"), { [U64] = true, [I64] = true } },
    { "2^63", BYTES("\xcf\x80\0\0\0\0\0\0\0"), { [U64] = true } },
    { "2^64 - 1", BYTES("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), { [U64] = true } },
    { "-2^63 + 1", BYTES("\xd3\x80\0\0\0\0\0\0\x01"), { [I64] = true } },
    { "-2^63", BYTES("\xd3\x80\0\0\0\0\0\0\0"), { 0 } },
    { "true", BYTES("\xc3"), { 0 } },
    { "false", BYTES("\xc2"), { 0 } },
    { "1 as float 32", BYTES("\xca\x3f\x80\0\0"), { 0 } },
    { "NaN", BYTES("\xcb\x7f\xf8\0\0\0\0\0\0"), { 0 } },
    { "text", BYTES("\xa2hi"), { [STR] = true } },
    { "empty text", BYTES("\xa0"), { [STR] = true } },
    { "text with NUL", BYTES("\xa3h\0i"), { 0 } },
    { "text that is no UTF-8", BYTES("\xa2\xc3\x28"), { 0 } },
    { "bytes", BYTES("\xc4\x02\xff\0"), { [BIN] = true } },
    { "empty bytes", BYTES("\xc4\0"), { [BIN] = true } },
    { "ext", BYTES("\xd4\x01\0"), { 0 } },
    { "timestamp", BYTES("\xd6\xff\0\0\0\0"), { 0 } },
    { "[]", BYTES("\x90"), { [STRS] = true, [LIST] = true } },
    { "[text]", BYTES("\x91\xa1x"), { [STRS] = true } },
    { "[[]]", BYTES("\x91\x90"), { [LIST] = true } },
    { "[nil]", BYTES("\x91\xc0"), { 0 } },
    { "[1]", BYTES("\x91\x01"), { 0 } },
    { "[bytes]", BYTES("\x91\xc4\x01x"), { 0 } },
    { "[text, 1]", BYTES("\x92\xa1x\x01"), { 0 } },
    { "[[], {}]", BYTES("\x92\x90\x80"), { 0 } },
    { "[{}]", BYTES("\x91\x80"), { 0 } },
    { "{}", BYTES("\x80"), { 0 } },
    { "{1: 1}", BYTES("\x81\x01\x01"), { 0 } },
};

/* An array of n nils, but for `sample` at i. */
static struct buf nils_but(size_t n, size_t i, const struct sample *sample)
{
    struct buf b;
    buf_init(&b, 4096);
    buf_addf(&b, "\xdc%c%c", (int)(n >> 8), (int)(n & 0xff));
    for (size_t k = 0; k < n; k++)
        if (k == i)
            buf_add(&b, sample->bytes.p, sample->bytes.n);
        else
            buf_add(&b, "\xc0", 1);
    return b;
}

static void a_field_of_a_message_takes_values_of_its_kind_alone(void **state)
{
    (void)state;
    for (size_t t = 0; t < ELEMENTS(types); t++) {
        const enum kind *kinds;
        size_t n = kinds_of(types[t], &kinds);
        for (size_t k = 0; k < n * ELEMENTS(samples); k++) {
            const struct sample *s = &samples[k % ELEMENTS(samples)];
            size_t i = k / ELEMENTS(samples);
            struct buf b = nils_but(3 + n, 3 + i, s);
            b.p[3] = (char)types[t];
            int r = decode_error(buf_str(&b));
            if (r != (s->taken[kinds[i]] ? 0 : -EBADMSG))
                fail_msg("field %zu of %s, given %s: %d", i, message_name(types[t]), s->what, r);
            buf_fini(&b);
        }
    }
}

static void a_field_of_a_record_takes_values_of_its_kind_alone(void **state)
{
    (void)state;
    for (int t = 0; t < N_RECORDS; t++) {
        const enum kind *kinds;
        size_t n = kinds_of_record((enum record_kind)t, &kinds);
        for (size_t k = 0; k < n * ELEMENTS(samples); k++) {
            const struct sample *s = &samples[k % ELEMENTS(samples)];
            size_t i = k / ELEMENTS(samples);
            struct buf b = nils_but(n, i, s);
            union any_record got;
            void *arena = NULL;
            int r = record_decode((enum record_kind)t, &got, b.p, b.n, &arena);
            if (r != (s->taken[kinds[i]] ? 0 : -EBADMSG))
                fail_msg("field %zu of record %d, given %s: %d", i, t, s->what, r);
            if (r == 0)
                record_free_arena(arena);
            buf_fini(&b);
        }
    }
}

static void type_epoch_and_session_must_be_numbers(void **state)
{
    (void)state;
    for (size_t k = 0; k < 3 * ELEMENTS(samples); k++) {
        const struct sample *s = &samples[k % ELEMENTS(samples)];
        struct buf b = nils_but(3, k / ELEMENTS(samples), s);
        if (b.p[3] == (char)0xc0)
            b.p[3] = MSG_OK;
        int r = decode_error(buf_str(&b));
        if (!s->taken[U64])
            assert_int_equal(r, -EBADMSG);
        else
            assert_int_not_equal(r, -EBADMSG);
        buf_fini(&b);
    }
}

static void what_is_not_one_array_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ELEMENTS(samples); i++)
        if (samples[i].bytes.p[0] != (char)0x90 &&
            ((unsigned char)samples[i].bytes.p[0] & 0xf0) != 0x90)
            assert_int_equal(decode_error(samples[i].bytes), -EBADMSG);
    assert_int_equal(decode_error((struct str)BYTES("")), -EBADMSG);
    assert_int_equal(decode_error(STR_UNSET), -EBADMSG);
    assert_int_equal(decode_error((struct str)BYTES("\x93\x07\x01\x01\xc0")), -EBADMSG);
    assert_int_equal(decode_error((struct str)BYTES("\x93\x07\x01\x01")), 0);
}

static void a_record_that_is_not_there_is_refused(void **state)
{
    (void)state;
    struct command c;
    void *arena = NULL;
    assert_int_equal(record_decode(RECORD_command, &c, NULL, 0, &arena), -EBADMSG);
    assert_null(arena);
}

static void a_list_may_be_as_long_as_the_limit_says(void **state)
{
    (void)state;
    for (uint32_t over = 0; over < 2; over++) {
        struct buf b;
        uint32_t n = LIMIT_LIST + over;
        buf_init(&b, LIMIT_MESSAGE_BYTES);
        buf_addf(&b, "%c%c%c%c%c%c%c", 0x94, MSG_STARTED, 1, 1, 0xdc, (int)(n >> 8),
                 (int)(n & 0xff));
        for (uint32_t i = 0; i < n; i++)
            buf_add(&b, "\x90", 1);
        assert_int_equal(decode_error(buf_str(&b)), over ? -EBADMSG : 0);
        buf_fini(&b);
    }
}

static void a_message_that_was_cut_anywhere_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ELEMENTS(types); i++) {
        struct message m;
        fill_message(&m, types[i]);
        struct buf b = encoded(&m);
        for (size_t n = 0; n < b.n; n++) {
            char *exact = xmalloc(n); /* so that a read past the cut is seen */
            memcpy(exact, b.p, n);
            assert_int_equal(decode_error((struct str){ exact, n }), -EBADMSG);
            free(exact);
        }
        assert_int_equal(buf_add(&b, "\0", 1), 0);
        assert_int_equal(decode_error(buf_str(&b)), -EBADMSG);
        buf_fini(&b);
        free_made();
    }
}

static void broken_bytes_are_refused_or_mean_something_else(void **state)
{
    (void)state;
    for (int i = 0; i < 20000; i++) {
        struct message m, got;
        const char *why = NULL;
        fill_message(&m, types[rng_below(&rng, ELEMENTS(types))]);
        struct buf b = encoded(&m);
        for (uint64_t k = 1 + rng_below(&rng, 4); k; k--)
            b.p[rng_below(&rng, b.n)] = (char)rng_next(&rng);
        if (message_decode(&got, b.p, b.n, &why) == 0) {
            struct buf again = encoded(&got);
            buf_fini(&again);
            message_fini(&got);
        }
        buf_fini(&b);
        free_made();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unknown_type_is_not_supported),
        cmocka_unit_test(a_field_of_a_message_takes_values_of_its_kind_alone),
        cmocka_unit_test(a_field_of_a_record_takes_values_of_its_kind_alone),
        cmocka_unit_test(type_epoch_and_session_must_be_numbers),
        cmocka_unit_test(what_is_not_one_array_is_refused),
        cmocka_unit_test(a_record_that_is_not_there_is_refused),
        cmocka_unit_test(a_list_may_be_as_long_as_the_limit_says),
        cmocka_unit_test(a_message_that_was_cut_anywhere_is_refused),
        cmocka_unit_test(broken_bytes_are_refused_or_mean_something_else),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
