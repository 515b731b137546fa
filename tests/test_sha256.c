/* test_sha256.c - the digests of FIPS 180-4's examples and of NIST's CAVP, in one go and in pieces.
 * */
#include "worker/sha256.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void hex_of(const void *p, size_t n, size_t piece, char ret[static SHA256_HEX_BYTES + 1])
{
    struct sha256 s;
    unsigned char digest[SHA256_BYTES];
    sha256_init(&s);
    for (size_t i = 0; i < n; i += piece)
        sha256_add(&s, (const char *)p + i, min_size(piece, n - i));
    sha256_end(&s, digest);
    sha256_hex(digest, ret);
}

static const struct {
    const char *message, *digest;
} known[] = {
    { "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
    { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
    { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
    { "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstn"
      "opqrstu",
      "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1" },
};

static void the_examples_of_the_standard_come_out(void **state)
{
    (void)state;
    char hex[SHA256_HEX_BYTES + 1];
    for (size_t i = 0; i < ELEMENTS(known); i++) {
        hex_of(known[i].message, strlen(known[i].message), SIZE_MAX / 2, hex);
        assert_string_equal(hex, known[i].digest);
    }
}

static void a_million_a_come_out_in_pieces_of_any_size(void **state)
{
    (void)state;
    static const size_t pieces[] = { 1, 3, 55, 56, 63, 64, 65, 127, 128, 1000, 1000000 };
    cleanup(freep) char *a = xmalloc(1000000);
    char hex[SHA256_HEX_BYTES + 1];
    memset(a, 'a', 1000000);
    for (size_t i = 0; i < ELEMENTS(pieces); i++) {
        hex_of(a, 1000000, pieces[i], hex);
        assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    }
}

/* Lengths around the padding's edges: from pieces of one byte comes the same as from all at once.
 * */
static void every_length_up_to_three_blocks_is_the_same_in_pieces(void **state)
{
    (void)state;
    char bytes[192], whole[SHA256_HEX_BYTES + 1], pieces[SHA256_HEX_BYTES + 1];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 7);
    for (size_t n = 1; n <= sizeof bytes; n++) {
        hex_of(bytes, n, n, whole);
        hex_of(bytes, n, 1, pieces);
        assert_string_equal(whole, pieces);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_the_standard_come_out),
        cmocka_unit_test(a_million_a_come_out_in_pieces_of_any_size),
        cmocka_unit_test(every_length_up_to_three_blocks_is_the_same_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
