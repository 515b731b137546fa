/* test_message_text.c - which bytes are text. */
#include "tests/message_rig.h"

/* Is this the text of a HELLO_AGAIN that decodes? */
static bool is_taken_as_text(const void *text, size_t n)
{
    struct message m;
    message_init(&m, MSG_HELLO_AGAIN);
    m.hello_again.text = (struct str){ text, n };
    struct buf b = encoded(&m);
    int r = decode_error(buf_str(&b));
    buf_fini(&b);
    return r == 0;
}

static size_t utf8_of(uint32_t c, char *ret)
{
    static const unsigned lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; c >>= 6)
        ret[i] = (char)(0x80 | (c & 0x3f));
    ret[0] = (char)(lead[n] | c);
    return n;
}

static void every_character_but_nul_is_text(void **state)
{
    (void)state;
    char text[4 * 256];
    for (uint32_t first = 1; first <= 0x10ffff; first += 256) {
        size_t n = 0;
        for (uint32_t c = first; c < first + 256 && c <= 0x10ffff; c++)
            if (c < 0xd800 || c > 0xdfff)
                n += utf8_of(c, text + n);
        assert_true(is_taken_as_text(text, n));
    }
    assert_false(is_taken_as_text("\0", 1));
    assert_false(is_taken_as_text("end\0", 4));
}

static void surrogates_and_what_is_past_the_last_character_are_no_text(void **state)
{
    (void)state;
    char text[4];
    for (uint32_t c = 0xd800; c <= 0xdfff; c++)
        assert_false(is_taken_as_text(text, utf8_of(c, text)));
    for (uint32_t c = 0x110000; c <= 0x1fffff; c += 257)
        assert_false(is_taken_as_text(text, utf8_of(c, text)));
    assert_false(is_taken_as_text("\xf8\x88\x80\x80\x80", 5));
    assert_false(is_taken_as_text("\xfe", 1));
    assert_false(is_taken_as_text("\xff", 1));
}

static void longer_forms_and_cut_characters_are_no_text(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\xc0\xaf", "\xc1\xbf", "\xe0\x80\xaf", "\xe0\x9f\xbf", "\xf0\x80\x80\xaf",
        "\xf0\x8f\xbf\xbf", "\xc3", "\xe2\x82", "\xe2", "\xf0\x9f\x90", "\xf0\x9f", "\xf0", "\x80",
        "\xbf", "a\x80", "\xc3\xa9\xa9", "\xe2\x28\xa1", "\xe2\x82\x28", "\xf0\x28\x8c\xbc",
        "\xf0\x9f\x28\xa6", "\xf0\x9f\x90\x28", "\xc3\xc3\xa9",
    };
    for (size_t i = 0; i < ELEMENTS(bad); i++)
        if (is_taken_as_text(bad[i], strlen(bad[i])))
            fail_msg("number %zu was taken for text", i);
}

/* A slower way to say the same: read the code point, see whether it would be written like that. */
static bool is_text_by_the_book(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t length = p[i] < 0x80 ? 1 : p[i] >> 5 == 6 ? 2 : p[i] >> 4 == 14 ? 3 : 0;
        length = p[i] >> 3 == 30 ? 4 : length;
        if (!length || length > n - i)
            return false;
        uint32_t c = length == 1 ? p[i] : p[i] & (0x7fu >> length);
        for (size_t k = 1; k < length; k++)
            c = c << 6 | (p[i + k] & 0x3f);
        char again[4];
        if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) || utf8_of(c, again) != length ||
            memcmp(again, p + i, length) != 0)
            return false;
        i += length;
    }
    return true;
}

static void text_is_what_the_book_says(void **state)
{
    (void)state;
    unsigned char p[6];
    for (uint32_t i = 0; i < 65536; i++) {
        p[0] = (unsigned char)(i >> 8);
        p[1] = (unsigned char)i;
        assert_int_equal(is_taken_as_text(p, 2), is_text_by_the_book(p, 2));
    }
    static const unsigned char likely[] = { 0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf,
                                            0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee,
                                            0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff };
    for (int i = 0; i < 200000; i++) {
        size_t n = rng_below(&rng, 7);
        for (size_t k = 0; k < n; k++)
            p[k] = likely[rng_below(&rng, ELEMENTS(likely))];
        assert_int_equal(is_taken_as_text(p, n), is_text_by_the_book(p, n));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_character_but_nul_is_text),
        cmocka_unit_test(surrogates_and_what_is_past_the_last_character_are_no_text),
        cmocka_unit_test(longer_forms_and_cut_characters_are_no_text),
        cmocka_unit_test(text_is_what_the_book_says),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
