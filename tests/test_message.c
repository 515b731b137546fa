/* test_message.c - every message and every record, from the very lists that make them: what goes
 * out comes in again, and nothing else comes in. */
#include "proto/message.h"

#include <inttypes.h>
#include <msgpack.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "proto/base/rng.h"

#define ROUNDS 100

static const enum message_type types[] = {
#define TYPE(NAME, number, name, FIELDS) MSG_##NAME,
    MESSAGES(TYPE)
#undef TYPE
};

/* ---- pseudo-random values -------------------------------------------------------------------- */

static struct rng rng;
static void *made[4096]; /* owned: what random values point to */
static size_t n_made;

static void *make(size_t n, size_t size)
{
    assert_true(n_made < ELEMENTS(made));
    return made[n_made++] = xcalloc(n, size);
}

static void free_made(void)
{
    while (n_made)
        free(made[--n_made]);
}

static uint64_t any_u64(void)
{
    static const uint64_t edges[] = { 0, 1, 127, 128, 255, 256, 65535, 65536, UINT32_MAX,
                                      UINT64_C(1) << 32, INT64_MAX, UINT64_C(1) << 63, UINT64_MAX };
    return rng_below(&rng, 2) ? edges[rng_below(&rng, ELEMENTS(edges))]
                              : rng_next(&rng) >> rng_below(&rng, 64);
}

static int64_t any_i64(void)
{
    static const int64_t edges[] = { UNSET, 0, -1, -32, -33, -128, -129, -32769, INT32_MIN,
                                     INT64_MIN + 1, INT64_MAX };
    return rng_below(&rng, 2) ? edges[rng_below(&rng, ELEMENTS(edges))] : (int64_t)any_u64();
}

static struct str any_bytes(void)
{
    static const size_t lengths[] = { 0, 1, 31, 32, 255, 256, 300 };
    size_t n = lengths[rng_below(&rng, ELEMENTS(lengths))];
    char *p = make(n + 1, 1);
    for (size_t i = 0; i < n; i++)
        p[i] = (char)rng_next(&rng);
    return rng_below(&rng, 4) ? (struct str){ p, n } : STR_UNSET;
}

static struct str given_text(void)
{
    static const char *const pieces[] = { "a", "Z", "\x7f", "\n", "\xc3\xa9", "\xe2\x82\xac",
                                          "\xf0\x9f\x90\xa6" };
    char *p = make(80, 1);
    size_t n = 0;
    for (uint64_t left = rng_below(&rng, 20); left; left--) {
        const char *piece = pieces[rng_below(&rng, ELEMENTS(pieces))];
        memcpy(p + n, piece, strlen(piece));
        n += strlen(piece);
    }
    return (struct str){ p, n };
}

static struct str any_text(void) { return rng_below(&rng, 4) ? given_text() : STR_UNSET; }

#define FILL_U64(name, record) r->name = any_u64();
#define FILL_I64(name, record) r->name = any_i64();
#define FILL_STR(name, record) r->name = any_text();
#define FILL_BIN(name, record) r->name = any_bytes();
#define FILL_STRS(name, record)                                                                    \
    r->n_##name = rng_below(&rng, 4);                                                              \
    r->name = make(r->n_##name, sizeof *r->name);                                                  \
    for (size_t i = 0; i < r->n_##name; i++)                                                       \
        r->name[i] = given_text();
#define FILL_LIST(name, record)                                                                    \
    r->n_##name = rng_below(&rng, 4);                                                              \
    r->name = make(r->n_##name, sizeof *r->name);                                                  \
    for (size_t i = 0; i < r->n_##name; i++)                                                       \
        fill_##record(&r->name[i]);
#define FILL(kind, name, record) FILL_##kind(name, record)

/* ---- equality -------------------------------------------------------------------------------- */

/* What is not given differs from what is empty. */
static void assert_same_str(struct str a, struct str b)
{
    assert_int_equal(a.p == NULL, b.p == NULL);
    assert_int_equal(a.n, b.n);
    assert_true(str_equal(a, b));
}

static void assert_same_strs(const struct str *a, size_t n, const struct str *b, size_t n_b)
{
    assert_int_equal(n, n_b);
    for (size_t i = 0; i < n; i++)
        assert_same_str(a[i], b[i]);
}

/* The first `given` fields of `got` are those of `full`, the others those of `empty`. */
#define SAME_U64(name, record) assert_true(want->name == got->name);
#define SAME_I64(name, record) assert_true(want->name == got->name);
#define SAME_STR(name, record) assert_same_str(want->name, got->name);
#define SAME_BIN(name, record) assert_same_str(want->name, got->name);
#define SAME_STRS(name, record)                                                                    \
    assert_same_strs(want->name, want->n_##name, got->name, got->n_##name);
#define SAME_LIST(name, record)                                                                    \
    assert_int_equal(want->n_##name, got->n_##name);                                               \
    for (size_t i = 0; i < want->n_##name; i++)                                                    \
        same_##record(&want->name[i], NULL, &got->name[i], SIZE_MAX);
#define SAME(kind, name, record)                                                                   \
    want = given ? full : empty;                                                                   \
    given -= given > 0;                                                                            \
    SAME_##kind(name, record)

/* ---- what each record and each message consists of ------------------------------------------- */

enum kind { U64, I64, STR, BIN, STRS, LIST };
#define KIND(kind, name, record) kind,

#define FUNCTIONS(T, S, FIELDS)                                                                    \
    static void fill_##T(S *r) { FIELDS(FILL) }                                                    \
    static void same_##T(const S *full, const S *empty, const S *got, size_t given)                \
    {                                                                                              \
        const S *want;                                                                             \
        FIELDS(SAME)                                                                               \
    }                                                                                              \
    static const enum kind kinds_##T[] = { FIELDS(KIND) };
#define RECORD_FUNCTIONS(name, FIELDS) FUNCTIONS(name, struct name, FIELDS)
RECORDS(RECORD_FUNCTIONS)
RUNNER_RECORDS(RECORD_FUNCTIONS)
#define MESSAGE_FUNCTIONS(NAME, number, name, FIELDS)                                              \
    FUNCTIONS(msg_##name, struct msg_##name, FIELDS)
MESSAGES(MESSAGE_FUNCTIONS)

static void fill_message(struct message *m, enum message_type type)
{
    message_init(m, type);
    m->epoch = any_u64();
    m->session = any_u64();
    switch (type) {
#define CASE(NAME, number, name, FIELDS)                                                           \
    case MSG_##NAME:                                                                               \
        fill_msg_##name(&m->name);                                                                 \
        break;
        MESSAGES(CASE)
#undef CASE
    }
}

static void assert_same_message(const struct message *full, const struct message *got, size_t given)
{
    struct message empty;
    message_init(&empty, full->type);
    assert_int_equal(got->type, full->type);
    switch (full->type) {
#define CASE(NAME, number, name, FIELDS)                                                           \
    case MSG_##NAME:                                                                               \
        same_msg_##name(&full->name, &empty.name, &got->name, given);                              \
        break;
        MESSAGES(CASE)
#undef CASE
    }
}

static size_t kinds_of(enum message_type type, const enum kind **ret)
{
    switch (type) {
#define CASE(NAME, number, name, FIELDS)                                                           \
    case MSG_##NAME:                                                                               \
        *ret = kinds_msg_##name;                                                                   \
        return ELEMENTS(kinds_msg_##name);
        MESSAGES(CASE)
#undef CASE
    }
    return 0;
}

union any_record {
#define MEMBER(name, FIELDS) struct name name;
    RECORDS(MEMBER)
    RUNNER_RECORDS(MEMBER)
#undef MEMBER
};

#define N_RECORDS (0 RECORDS(COUNT) RUNNER_RECORDS(COUNT))
#define COUNT(name, FIELDS) +1

static void fill_record(enum record_kind kind, union any_record *r)
{
    switch (kind) {
#define CASE(name, FIELDS)                                                                         \
    case RECORD_##name:                                                                            \
        fill_##name(&r->name);                                                                     \
        break;
        RECORDS(CASE)
        RUNNER_RECORDS(CASE)
#undef CASE
    }
}

static void assert_same_record(enum record_kind kind, const union any_record *full,
                               const union any_record *got, size_t given)
{
    union any_record empty;
    record_init(kind, &empty);
    switch (kind) {
#define CASE(name, FIELDS)                                                                         \
    case RECORD_##name:                                                                            \
        same_##name(&full->name, &empty.name, &got->name, given);                                  \
        break;
        RECORDS(CASE)
        RUNNER_RECORDS(CASE)
#undef CASE
    }
}

static size_t kinds_of_record(enum record_kind kind, const enum kind **ret)
{
    switch (kind) {
#define CASE(name, FIELDS)                                                                         \
    case RECORD_##name:                                                                            \
        *ret = kinds_##name;                                                                       \
        return ELEMENTS(kinds_##name);
        RECORDS(CASE)
        RUNNER_RECORDS(CASE)
#undef CASE
    }
    return 0;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static struct buf encoded(const struct message *m)
{
    struct buf b;
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    assert_int_equal(message_encode(&b, m), 0);
    return b;
}

static int decode_error(struct str bytes)
{
    struct message m;
    const char *why = NULL;
    int r = message_decode(&m, bytes.p, bytes.n, &why);
    if (r == 0)
        message_fini(&m);
    else
        assert_non_null(why);
    return r;
}

/* The array in `bytes` with only its first `keep` elements, and `more` others behind them. */
static msgpack_sbuffer repack(struct str bytes, size_t keep, size_t more)
{
    msgpack_unpacked u;
    msgpack_sbuffer out;
    msgpack_packer to;
    size_t off = 0;
    msgpack_unpacked_init(&u);
    assert_int_equal(msgpack_unpack_next(&u, bytes.p, bytes.n, &off), MSGPACK_UNPACK_SUCCESS);
    assert_true(keep <= u.data.via.array.size);
    msgpack_sbuffer_init(&out);
    msgpack_packer_init(&to, &out, msgpack_sbuffer_write);
    msgpack_pack_array(&to, keep + more);
    for (size_t i = 0; i < keep; i++)
        msgpack_pack_object(&to, u.data.via.array.ptr[i]);
    for (size_t i = 0; i < more; i++) {
        msgpack_pack_map(&to, 1);
        msgpack_pack_str_with_body(&to, "later", 5);
        msgpack_pack_double(&to, 0.5);
    }
    msgpack_unpacked_destroy(&u);
    return out;
}

static int set_up(void **state)
{
    (void)state;
    const char *seed = getenv("SEED");
    uint64_t n = seed ? strtoull(seed, NULL, 0) : 20240229;
    print_message("SEED=%" PRIu64 "\n", n);
    rng_init(&rng, n);
    return 0;
}

/* ---- tests: there and back ------------------------------------------------------------------- */

static void every_message_comes_back_as_it_went(void **state)
{
    (void)state;
    for (size_t i = 0; i < ELEMENTS(types) * ROUNDS; i++) {
        struct message m, got;
        const char *why = NULL;
        fill_message(&m, types[i % ELEMENTS(types)]);
        struct buf b = encoded(&m);
        assert_int_equal(message_decode(&got, b.p, b.n, &why), 0);
        assert_true(got.epoch == m.epoch && got.session == m.session);
        assert_same_message(&m, &got, SIZE_MAX);
        message_fini(&got);
        buf_fini(&b);
        free_made();
    }
}

static void every_record_comes_back_as_it_went(void **state)
{
    (void)state;
    for (int i = 0; i < N_RECORDS * ROUNDS; i++) {
        enum record_kind kind = (enum record_kind)(i % N_RECORDS);
        union any_record r, got;
        void *arena = NULL;
        struct buf b;
        buf_init(&b, LIMIT_MESSAGE_BYTES);
        fill_record(kind, &r);
        assert_int_equal(record_encode(&b, kind, &r), 0);
        assert_int_equal(record_decode(kind, &got, b.p, b.n, &arena), 0);
        assert_same_record(kind, &r, &got, SIZE_MAX);
        record_free_arena(arena);
        buf_fini(&b);
        free_made();
    }
}

static void an_empty_message_comes_back_empty(void **state)
{
    (void)state;
    for (size_t i = 0; i < ELEMENTS(types); i++) {
        struct message m, got;
        const char *why = NULL;
        message_init(&m, types[i]);
        struct buf b = encoded(&m);
        assert_int_equal(message_decode(&got, b.p, b.n, &why), 0);
        assert_same_message(&m, &got, SIZE_MAX);
        message_fini(&got);
        buf_fini(&b);
    }
}

static void empty_text_is_not_taken_for_text_that_is_not_given(void **state)
{
    (void)state;
    struct message m, got;
    const char *why = NULL;
    message_init(&m, MSG_BYE);
    m.bye.text = str_of("");
    struct buf b = encoded(&m);
    assert_int_equal(message_decode(&got, b.p, b.n, &why), 0);
    assert_same_message(&m, &got, SIZE_MAX);
    message_fini(&got);
    buf_fini(&b);
}

static void a_shorter_array_leaves_the_rest_not_given(void **state)
{
    (void)state;
    for (size_t i = 0; i < ELEMENTS(types); i++) {
        struct message m, got;
        const char *why = NULL;
        const enum kind *kinds;
        fill_message(&m, types[i]);
        struct buf b = encoded(&m);
        for (size_t given = 0; given <= kinds_of(types[i], &kinds); given++) {
            msgpack_sbuffer s = repack(buf_str(&b), 3 + given, 0);
            assert_int_equal(message_decode(&got, s.data, s.size, &why), 0);
            assert_same_message(&m, &got, given);
            message_fini(&got);
            msgpack_sbuffer_destroy(&s);
        }
        buf_fini(&b);
        free_made();
    }
}

static void elements_behind_the_last_known_field_are_ignored(void **state)
{
    (void)state;
    for (size_t i = 0; i < ELEMENTS(types); i++) {
        struct message m, got;
        const char *why = NULL;
        const enum kind *kinds;
        fill_message(&m, types[i]);
        struct buf b = encoded(&m);
        msgpack_sbuffer s =
            repack(buf_str(&b), 3 + kinds_of(types[i], &kinds), 1 + rng_below(&rng, 20));
        assert_int_equal(message_decode(&got, s.data, s.size, &why), 0);
        assert_same_message(&m, &got, SIZE_MAX);
        message_fini(&got);
        msgpack_sbuffer_destroy(&s);
        buf_fini(&b);
        free_made();
    }
}

static void records_may_be_shorter_and_longer_too(void **state)
{
    (void)state;
    for (int i = 0; i < N_RECORDS; i++) {
        enum record_kind kind = (enum record_kind)i;
        union any_record r, got;
        const enum kind *kinds;
        struct buf b;
        buf_init(&b, LIMIT_MESSAGE_BYTES);
        fill_record(kind, &r);
        assert_int_equal(record_encode(&b, kind, &r), 0);
        size_t n = kinds_of_record(kind, &kinds);
        for (size_t given = 0; given <= n; given++) {
            void *arena = NULL;
            msgpack_sbuffer s = repack(buf_str(&b), given, given == n ? 3 : 0);
            assert_int_equal(record_decode(kind, &got, s.data, s.size, &arena), 0);
            assert_same_record(kind, &r, &got, given);
            record_free_arena(arena);
            msgpack_sbuffer_destroy(&s);
        }
        buf_fini(&b);
        free_made();
    }
}

static void each_message_has_its_own_name_and_number(void **state)
{
    (void)state;
    for (size_t i = 0; i < ELEMENTS(types); i++) {
        assert_in_range(types[i], 1, MESSAGE_TYPES - 1);
        for (size_t k = 0; k < i; k++) {
            assert_int_not_equal(types[i], types[k]);
            assert_string_not_equal(message_name(types[i]), message_name(types[k]));
        }
    }
    assert_string_equal(message_name(MSG_HELLO_AGAIN), "HELLO_AGAIN");
    assert_string_equal(message_name((enum message_type)63), "?");
}

/* ---- tests: a ceiling ------------------------------------------------------------------------ */

static void a_message_over_the_ceiling_leaves_the_buffer_unchanged(void **state)
{
    (void)state;
    for (size_t i = 0; i < ELEMENTS(types); i++) {
        struct message m;
        fill_message(&m, types[i]);
        struct buf full = encoded(&m), b;
        for (size_t room = 0; room <= full.n; room++) {
            buf_init(&b, 3 + room);
            assert_int_equal(buf_add(&b, "abc", 3), 0);
            assert_int_equal(message_encode(&b, &m), room < full.n ? -EMSGSIZE : 0);
            assert_int_equal(b.n, room < full.n ? 3 : 3 + full.n);
            assert_memory_equal(b.p, "abc", 3);
            buf_fini(&b);
        }
        buf_fini(&full);
        free_made();
    }
}

static void a_record_over_the_ceiling_leaves_the_buffer_unchanged(void **state)
{
    (void)state;
    struct str argv[] = { str_of("echo"), str_of("hello") };
    struct command c;
    record_init(RECORD_command, &c);
    c.argv = argv;
    c.n_argv = 2;
    for (size_t room = 0; room <= 16; room++) {
        struct buf b;
        buf_init(&b, 3 + room);
        assert_int_equal(buf_add(&b, "abc", 3), 0);
        assert_int_equal(record_encode(&b, RECORD_command, &c), room < 16 ? -EMSGSIZE : 0);
        assert_int_equal(b.n, room < 16 ? 3 : 3 + 16);
        buf_fini(&b);
    }
}

static void a_message_is_added_behind_what_the_buffer_holds(void **state)
{
    (void)state;
    struct message m, got;
    const char *why = NULL;
    struct buf b;
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    message_init(&m, MSG_OK);
    m.ok.req = 77;
    assert_int_equal(message_encode(&b, &m), 0);
    size_t first = b.n;
    assert_int_equal(message_encode(&b, &m), 0);
    assert_int_equal(b.n, 2 * first);
    assert_int_equal(message_decode(&got, b.p + first, first, &why), 0);
    assert_int_equal(got.ok.req, 77);
    message_fini(&got);
    buf_fini(&b);
}

/* ---- tests: what is refused ------------------------------------------------------------------ */

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

/* ---- tests: text ----------------------------------------------------------------------------- */

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
        cmocka_unit_test(every_message_comes_back_as_it_went),
        cmocka_unit_test(every_record_comes_back_as_it_went),
        cmocka_unit_test(an_empty_message_comes_back_empty),
        cmocka_unit_test(empty_text_is_not_taken_for_text_that_is_not_given),
        cmocka_unit_test(a_shorter_array_leaves_the_rest_not_given),
        cmocka_unit_test(elements_behind_the_last_known_field_are_ignored),
        cmocka_unit_test(records_may_be_shorter_and_longer_too),
        cmocka_unit_test(each_message_has_its_own_name_and_number),
        cmocka_unit_test(a_message_over_the_ceiling_leaves_the_buffer_unchanged),
        cmocka_unit_test(a_record_over_the_ceiling_leaves_the_buffer_unchanged),
        cmocka_unit_test(a_message_is_added_behind_what_the_buffer_holds),
        cmocka_unit_test(an_unknown_type_is_not_supported),
        cmocka_unit_test(a_field_of_a_message_takes_values_of_its_kind_alone),
        cmocka_unit_test(a_field_of_a_record_takes_values_of_its_kind_alone),
        cmocka_unit_test(type_epoch_and_session_must_be_numbers),
        cmocka_unit_test(what_is_not_one_array_is_refused),
        cmocka_unit_test(a_record_that_is_not_there_is_refused),
        cmocka_unit_test(a_list_may_be_as_long_as_the_limit_says),
        cmocka_unit_test(a_message_that_was_cut_anywhere_is_refused),
        cmocka_unit_test(broken_bytes_are_refused_or_mean_something_else),
        cmocka_unit_test(every_character_but_nul_is_text),
        cmocka_unit_test(surrogates_and_what_is_past_the_last_character_are_no_text),
        cmocka_unit_test(longer_forms_and_cut_characters_are_no_text),
        cmocka_unit_test(text_is_what_the_book_says),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
