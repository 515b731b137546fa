/* message.c - encoding and decoding: three small functions for each record and each message (init, put, get), made by the
 * lists in message.h, on top of what one field of each kind needs. */
#include "proto/message.h"

#include <msgpack.h>

#include "proto/base/utf8.h"
#include "proto/validate.h"

/* ---- one field, out --------------------------------------------------------------------------- */

/* Where encoding goes; the first failure stays, so that the many calls in between need no check of their own. */
struct sink {
    struct buf *out;
    int r;
};

static int write_to_sink(void *data, const char *p, size_t n)
{
    struct sink *to = data;
    if (to->r >= 0)
        to->r = buf_add(to->out, p, n);
    return to->r;
}

/* Undoes what a failed encoding has written. */
static int end_sink(struct sink *to, size_t before)
{
    if (to->r < 0)
        to->out->n = before;
    return to->r < 0 ? to->r : 0;
}

static void put_u64(msgpack_packer *to, uint64_t v) { msgpack_pack_uint64(to, v); }

static void put_i64(msgpack_packer *to, int64_t v)
{
    if (v == UNSET)
        msgpack_pack_nil(to);
    else
        msgpack_pack_int64(to, v);
}

static void put_str(msgpack_packer *to, struct str s)
{
    if (!s.p)
        msgpack_pack_nil(to);
    else
        msgpack_pack_str_with_body(to, s.p, s.n);
}

static void put_bin(msgpack_packer *to, struct str s)
{
    if (!s.p)
        msgpack_pack_nil(to);
    else
        msgpack_pack_bin_with_body(to, s.p, s.n);
}

static void put_strs(msgpack_packer *to, const struct str *s, size_t n)
{
    msgpack_pack_array(to, n);
    for (size_t i = 0; i < n; i++)
        put_str(to, s[i]);
}

/* ---- one field, in ---------------------------------------------------------------------------- */

struct source {
    const msgpack_object *next; /* the field that comes next */
    uint32_t left;              /* elements that are left in this array */
    msgpack_zone *zone;         /* where arrays are made; freed with the message */
    const char *why;            /* the first thing that was wrong, static */
};

static const msgpack_object *next_object(struct source *from)
{
    if (!from->left || from->why)
        return NULL;
    from->left--;
    const msgpack_object *o = from->next++;
    return o->type == MSGPACK_OBJECT_NIL ? NULL : o;
}

static uint64_t get_u64(struct source *from)
{
    const msgpack_object *o = next_object(from);
    if (!o)
        return 0;
    if (o->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
        return o->via.u64;
    from->why = "a field that must be a number of 0 or more is not";
    return 0;
}

static int64_t get_i64(struct source *from)
{
    const msgpack_object *o = next_object(from);
    if (!o)
        return UNSET;
    if (o->type == MSGPACK_OBJECT_POSITIVE_INTEGER && o->via.u64 <= INT64_MAX)
        return (int64_t)o->via.u64;
    if (o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER && o->via.i64 != UNSET)
        return o->via.i64;
    from->why = "a field that must be a 64-bit number is not";
    return UNSET;
}

/* For an empty text, msgpack-c's pointer can be NULL, which would mean: not given. */
static struct str view(const char *p, size_t n) { return (struct str){ n ? p : "", n }; }

static struct str text_of(struct source *from, const msgpack_object *o)
{
    if (o->type == MSGPACK_OBJECT_STR && utf8_is_text((struct str){ o->via.str.ptr, o->via.str.size }))
        return view(o->via.str.ptr, o->via.str.size);
    from->why = "a field that must be UTF-8 text without NUL is not";
    return STR_UNSET;
}

static struct str get_str(struct source *from)
{
    const msgpack_object *o = next_object(from);
    return o ? text_of(from, o) : STR_UNSET;
}

static struct str get_bin(struct source *from)
{
    const msgpack_object *o = next_object(from);
    if (!o)
        return STR_UNSET;
    if (o->type == MSGPACK_OBJECT_BIN)
        return view(o->via.bin.ptr, o->via.bin.size);
    from->why = "a field that must be bytes (bin) is not";
    return STR_UNSET;
}

static const msgpack_object_array *get_array(struct source *from)
{
    static const msgpack_object_array empty;
    const msgpack_object *o = next_object(from);
    if (!o)
        return &empty;
    if (o->type == MSGPACK_OBJECT_ARRAY && o->via.array.size <= LIMIT_LIST)
        return &o->via.array;
    from->why = o->type == MSGPACK_OBJECT_ARRAY ? "a list is longer than may be"
                                                : "a field that must be an array is not";
    return &empty;
}

static void *zone_array(struct source *from, size_t n, size_t bytes)
{
    void *p = n ? msgpack_zone_malloc(from->zone, n * bytes) : NULL;
    if (n && !p) {
        from->why = "out of memory";
        return NULL;
    }
    return p;
}

static struct str *get_strs(struct source *from, size_t *ret_n)
{
    const msgpack_object_array *a = get_array(from);
    struct str *s = zone_array(from, a->size, sizeof *s);
    *ret_n = s ? a->size : 0;
    for (size_t i = 0; s && i < a->size; i++)
        s[i] = text_of(from, &a->ptr[i]);
    return s;
}

static struct source source_of(const struct source *parent, const msgpack_object *o)
{
    struct source inner = { .zone = parent->zone };
    if (o->type == MSGPACK_OBJECT_ARRAY) {
        inner.next = o->via.array.ptr;
        inner.left = o->via.array.size;
    } else {
        inner.why = "a record must be an array";
    }
    return inner;
}

/* ---- what the lists make ---------------------------------------------------------------------- */

#define INIT_U64(name, record) r->name = 0;
#define INIT_I64(name, record) r->name = UNSET;
#define INIT_STR(name, record) r->name = STR_UNSET;
#define INIT_BIN(name, record) r->name = STR_UNSET;
#define INIT_STRS(name, record) r->name = NULL, r->n_##name = 0;
#define INIT_LIST(name, record) r->name = NULL, r->n_##name = 0;
#define INIT(kind, name, record) INIT_##kind(name, record)

#define PUT_U64(name, record) put_u64(to, r->name);
#define PUT_I64(name, record) put_i64(to, r->name);
#define PUT_STR(name, record) put_str(to, r->name);
#define PUT_BIN(name, record) put_bin(to, r->name);
#define PUT_STRS(name, record) put_strs(to, r->name, r->n_##name);
#define PUT_LIST(name, record)                                                                     \
    msgpack_pack_array(to, r->n_##name);                                                           \
    for (size_t i = 0; i < r->n_##name; i++) {                                                     \
        msgpack_pack_array(to, count_##record);                                                    \
        put_##record(to, &r->name[i]);                                                             \
    }
#define PUT(kind, name, record) PUT_##kind(name, record)

#define GET_U64(name, record) r->name = get_u64(from);
#define GET_I64(name, record) r->name = get_i64(from);
#define GET_STR(name, record) r->name = get_str(from);
#define GET_BIN(name, record) r->name = get_bin(from);
#define GET_STRS(name, record) r->name = get_strs(from, &r->n_##name);
#define GET_LIST(name, record)                                                                     \
    {                                                                                              \
        const msgpack_object_array *a = get_array(from);                                           \
        r->name = zone_array(from, a->size, sizeof *r->name);                                      \
        r->n_##name = r->name ? a->size : 0;                                                       \
        for (size_t i = 0; i < r->n_##name && !from->why; i++) {                                   \
            struct source inner = source_of(from, &a->ptr[i]);                                     \
            get_##record(&inner, &r->name[i]);                                                     \
            from->why = inner.why;                                                                 \
        }                                                                                          \
    }
#define GET(kind, name, record) GET_##kind(name, record)

#define ONE(kind, name, record) +1

#define FUNCTIONS(T, S, FIELDS)                                                                    \
    enum { count_##T = 0 FIELDS(ONE) };                                                            \
    static void init_##T(S *r) { FIELDS(INIT) }                                                    \
    static void put_##T(msgpack_packer *to, const S *r) { FIELDS(PUT) }                            \
    static void get_##T(struct source *from, S *r) { FIELDS(GET) }

#define RECORD_FUNCTIONS(record, FIELDS) FUNCTIONS(record, struct record, FIELDS)
RECORDS(RECORD_FUNCTIONS)
RUNNER_RECORDS(RECORD_FUNCTIONS)
#define MESSAGE_FUNCTIONS(NAME, number, name, FIELDS) FUNCTIONS(msg_##name, struct msg_##name, FIELDS)
MESSAGES(MESSAGE_FUNCTIONS)

/* ---- messages --------------------------------------------------------------------------------- */

const char *message_name(enum message_type type)
{
    switch (type) {
#define CASE(NAME, number, name, FIELDS)                                                           \
    case MSG_##NAME:                                                                               \
        return #NAME;
        MESSAGES(CASE)
#undef CASE
    }
    return "?";
}

void message_init(struct message *m, enum message_type type)
{
    m->type = type;
    m->epoch = m->session = 0;
    m->arena = NULL;
    switch (type) {
#define CASE(NAME, number, name, FIELDS)                                                           \
    case MSG_##NAME:                                                                               \
        init_msg_##name(&m->name);                                                                 \
        break;
        MESSAGES(CASE)
#undef CASE
    }
}

static void put_body(msgpack_packer *to, const struct message *m)
{
    switch (m->type) {
#define CASE(NAME, number, name, FIELDS)                                                           \
    case MSG_##NAME:                                                                               \
        msgpack_pack_array(to, 3 + count_msg_##name);                                              \
        put_u64(to, m->type);                                                                      \
        put_u64(to, m->epoch);                                                                     \
        put_u64(to, m->session);                                                                   \
        put_msg_##name(to, &m->name);                                                              \
        break;
        MESSAGES(CASE)
#undef CASE
    }
}

int message_encode(struct buf *out, const struct message *m)
{
    struct sink sink = { .out = out };
    size_t before = out->n;
    msgpack_packer to;
    msgpack_packer_init(&to, &sink, write_to_sink);
    put_body(&to, m);
    return end_sink(&sink, before);
}

static bool get_body(struct source *from, struct message *m)
{
    switch (m->type) {
#define CASE(NAME, number, name, FIELDS)                                                           \
    case MSG_##NAME:                                                                               \
        get_msg_##name(from, &m->name);                                                            \
        return true;
        MESSAGES(CASE)
#undef CASE
    }
    return false;
}

/* Validates the bytes and makes objects of them, which must be an array. */
static msgpack_unpacked *unpack_array(const void *bytes, size_t n, const char **ret_why)
{
    if (!msgpack_is_sane(bytes, n, ret_why))
        return NULL;
    msgpack_unpacked *u = xmalloc(sizeof *u);
    msgpack_unpacked_init(u);
    size_t used = 0;
    msgpack_unpack_return r = msgpack_unpack_next(u, bytes, n, &used);
    if (r == MSGPACK_UNPACK_SUCCESS && used == n && u->data.type == MSGPACK_OBJECT_ARRAY)
        return u;
    *ret_why = "a message must be one msgpack array";
    record_free_arena(u);
    return NULL;
}

int message_decode(struct message *m, const void *bytes, size_t n, const char **ret_why)
{
    msgpack_unpacked *u = unpack_array(bytes, n, ret_why);
    if (!u)
        return -EBADMSG;
    struct source from = source_of(&(struct source){ .zone = u->zone }, &u->data);
    uint64_t type = get_u64(&from);
    m->epoch = get_u64(&from);
    m->session = get_u64(&from);
    m->arena = u;
    m->type = (enum message_type)(type < MESSAGE_TYPES ? type : 0);
    bool known = !from.why && get_body(&from, m);
    if (known && !from.why)
        return 0;
    *ret_why = from.why ? from.why : "no message has this type";
    message_fini(m);
    return from.why ? -EBADMSG : -EPROTONOSUPPORT;
}

void message_fini(struct message *m)
{
    record_free_arena(m->arena);
    m->arena = NULL;
}

/* ---- records on their own --------------------------------------------------------------------- */

void record_init(enum record_kind kind, void *record)
{
    switch (kind) {
#define CASE(name, FIELDS)                                                                         \
    case RECORD_##name:                                                                            \
        init_##name(record);                                                                       \
        break;
        RECORDS(CASE)
        RUNNER_RECORDS(CASE)
#undef CASE
    }
}

int record_encode(struct buf *out, enum record_kind kind, const void *record)
{
    struct sink sink = { .out = out };
    size_t before = out->n;
    msgpack_packer to;
    msgpack_packer_init(&to, &sink, write_to_sink);
    switch (kind) {
#define CASE(name, FIELDS)                                                                         \
    case RECORD_##name:                                                                            \
        msgpack_pack_array(&to, count_##name);                                                     \
        put_##name(&to, record);                                                                   \
        break;
        RECORDS(CASE)
        RUNNER_RECORDS(CASE)
#undef CASE
    }
    return end_sink(&sink, before);
}

int record_decode(enum record_kind kind, void *record, const void *bytes, size_t n, void **ret_arena)
{
    const char *why;
    msgpack_unpacked *u = unpack_array(bytes, n, &why);
    if (!u)
        return -EBADMSG;
    struct source from = source_of(&(struct source){ .zone = u->zone }, &u->data);
    switch (kind) {
#define CASE(name, FIELDS)                                                                         \
    case RECORD_##name:                                                                            \
        get_##name(&from, record);                                                                 \
        break;
        RECORDS(CASE)
        RUNNER_RECORDS(CASE)
#undef CASE
    }
    if (from.why) {
        record_free_arena(u);
        return -EBADMSG;
    }
    *ret_arena = u;
    return 0;
}

void record_free_arena(void *arena)
{
    if (!arena)
        return;
    msgpack_unpacked_destroy(arena);
    free(arena);
}
