/* message_rig.c - random messages and records, from the very lists that make them. */
#include "tests/message_rig.h"

#include <inttypes.h>

/* ---- pseudo-random values -------------------------------------------------------------------- */

struct rng rng;

static void *made[4096]; /* owned: what random values point to */
static size_t n_made;

static void *make(size_t n, size_t size)
{
    assert_true(n_made < ELEMENTS(made));
    return made[n_made++] = xcalloc(n, size);
}

void free_made(void)
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

void fill_message(struct message *m, enum message_type type)
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

void assert_same_message(const struct message *full, const struct message *got, size_t given)
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

size_t kinds_of(enum message_type type, const enum kind **ret)
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

void fill_record(enum record_kind kind, union any_record *r)
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

void assert_same_record(enum record_kind kind, const union any_record *full, const union any_record *got, size_t given)
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

size_t kinds_of_record(enum record_kind kind, const enum kind **ret)
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

struct buf encoded(const struct message *m)
{
    struct buf b;
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    assert_int_equal(message_encode(&b, m), 0);
    return b;
}

int decode_error(struct str bytes)
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

msgpack_sbuffer repack(struct str bytes, size_t keep, size_t more)
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

int set_up(void **state)
{
    (void)state;
    const char *seed = getenv("SEED");
    uint64_t n = seed ? strtoull(seed, NULL, 0) : 20240229;
    print_message("SEED=%" PRIu64 "\n", n);
    rng_init(&rng, n);
    return 0;
}
