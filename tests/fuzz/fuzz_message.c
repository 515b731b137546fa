/* fuzz_message.c - any bytes at all, taken for a message and for each record: nothing is read past
 * their end, what is let through msgpack-c can read, and what was understood means the same when it
 * is said again. */
#include <msgpack.h>

#include "proto/message.h"
#include "proto/validate.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_validate(const uint8_t *bytes, size_t n)
{
    const char *why = NULL;
    if (!msgpack_is_sane(bytes, n, &why)) {
        assert(why);
        return;
    }
    msgpack_unpacked u;
    size_t used = 0;
    msgpack_unpacked_init(&u);
    msgpack_unpack_return r = msgpack_unpack_next(&u, (const char *)bytes, n, &used);
    assert(r == MSGPACK_UNPACK_SUCCESS && used == n);
    msgpack_unpacked_destroy(&u);
}

/* Twice encoded, with a decoding in between, is the same bytes. */
static void check_message(const uint8_t *bytes, size_t n)
{
    struct message m, again;
    const char *why = NULL;
    int r = message_decode(&m, bytes, n, &why);
    assert(r == 0 || ((r == -EBADMSG || r == -EPROTONOSUPPORT) && why));
    if (r < 0)
        return;
    struct buf one, two;
    buf_init(&one, LIMIT_MESSAGE_BYTES);
    buf_init(&two, LIMIT_MESSAGE_BYTES);
    r = message_encode(&one, &m);
    assert(r == 0);
    r = message_decode(&again, one.p, one.n, &why);
    assert(r == 0 && again.type == m.type);
    r = message_encode(&two, &again);
    assert(r == 0 && str_equal(buf_str(&one), buf_str(&two)));
    message_fini(&again);
    message_fini(&m);
    buf_fini(&one);
    buf_fini(&two);
}

union any_record {
#define MEMBER(name, FIELDS) struct name name;
    RECORDS(MEMBER)
    RUNNER_RECORDS(MEMBER)
#undef MEMBER
};

static void check_record(enum record_kind kind, const uint8_t *bytes, size_t n)
{
    union any_record r, again;
    void *arena = NULL, *arena_again = NULL;
    int e = record_decode(kind, &r, bytes, n, &arena);
    assert(e == 0 || (e == -EBADMSG && !arena));
    if (e < 0)
        return;
    struct buf one, two;
    buf_init(&one, LIMIT_MESSAGE_BYTES);
    buf_init(&two, LIMIT_MESSAGE_BYTES);
    e = record_encode(&one, kind, &r);
    assert(e == 0);
    e = record_decode(kind, &again, one.p, one.n, &arena_again);
    assert(e == 0);
    e = record_encode(&two, kind, &again);
    assert(e == 0 && str_equal(buf_str(&one), buf_str(&two)));
    record_free_arena(arena);
    record_free_arena(arena_again);
    buf_fini(&one);
    buf_fini(&two);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    check_validate(bytes, n);
    check_message(bytes, n);
#define CHECK(name, FIELDS) check_record(RECORD_##name, bytes, n);
    RECORDS(CHECK)
    RUNNER_RECORDS(CHECK)
#undef CHECK
    return 0;
}
