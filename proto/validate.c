/* validate.c - one pass over the bytes, a small stack of how many children are still owed. */
#include "proto/validate.h"

#include "proto/limits.h"

struct walk {
    const unsigned char *p, *end;
    uint64_t objects;
    unsigned depth;
    uint64_t owed[LIMIT_MESSAGE_DEPTH + 1]; /* children still to come, a level each */
};

/* What an object's first byte says: how many bytes of header follow it (a big-endian length or count), how many
 * bytes of body per unit of that number, or how many children. */
struct shape {
    unsigned header;   /* bytes of the number after the first byte */
    uint64_t fixed;    /* body bytes that are always there */
    uint64_t children; /* of a fixarray or fixmap */
    enum { SCALAR, BYTES, ARRAY, MAP } body;
    bool bad;
};

static struct shape shape_of_fix(unsigned char c)
{
    if (c <= 0x7f || c >= 0xe0)
        return (struct shape){ .body = SCALAR };
    if (c <= 0x8f)
        return (struct shape){ .body = SCALAR, .children = 2u * (c & 0x0fu) };
    if (c <= 0x9f)
        return (struct shape){ .body = SCALAR, .children = c & 0x0fu };
    return (struct shape){ .body = SCALAR, .fixed = c & 0x1fu };
}

static struct shape shape_of(unsigned char c)
{
    static const struct shape by_code[32] = {
        [0x00] = { 0 },                            /* nil */
        [0x01] = { .bad = true },                  /* never used */
        [0x02] = { 0 }, [0x03] = { 0 },            /* false, true */
        [0x04] = { .header = 1, .body = BYTES },   /* bin 8, 16, 32 */
        [0x05] = { .header = 2, .body = BYTES },
        [0x06] = { .header = 4, .body = BYTES },
        [0x07] = { .header = 1, .fixed = 1, .body = BYTES }, /* ext 8, 16, 32: and a type byte */
        [0x08] = { .header = 2, .fixed = 1, .body = BYTES },
        [0x09] = { .header = 4, .fixed = 1, .body = BYTES },
        [0x0a] = { .fixed = 4 }, [0x0b] = { .fixed = 8 }, /* floats */
        [0x0c] = { .fixed = 1 }, [0x0d] = { .fixed = 2 }, /* uint */
        [0x0e] = { .fixed = 4 }, [0x0f] = { .fixed = 8 },
        [0x10] = { .fixed = 1 }, [0x11] = { .fixed = 2 }, /* int */
        [0x12] = { .fixed = 4 }, [0x13] = { .fixed = 8 },
        [0x14] = { .fixed = 2 }, [0x15] = { .fixed = 3 }, /* fixext */
        [0x16] = { .fixed = 5 }, [0x17] = { .fixed = 9 }, [0x18] = { .fixed = 17 },
        [0x19] = { .header = 1, .body = BYTES },   /* str 8, 16, 32 */
        [0x1a] = { .header = 2, .body = BYTES },
        [0x1b] = { .header = 4, .body = BYTES },
        [0x1c] = { .header = 2, .body = ARRAY }, [0x1d] = { .header = 4, .body = ARRAY },
        [0x1e] = { .header = 2, .body = MAP }, [0x1f] = { .header = 4, .body = MAP },
    };
    return c >= 0xc0 && c <= 0xdf ? by_code[c - 0xc0] : shape_of_fix(c);
}

static const char *take_object(struct walk *w)
{
    if (w->p == w->end)
        return "the message is cut short";
    if (++w->objects > LIMIT_MESSAGE_OBJECTS)
        return "too many objects";
    struct shape s = shape_of(*w->p++);
    if (s.bad)
        return "a byte that msgpack does not use";
    uint64_t left = (uint64_t)(w->end - w->p), number = 0;
    if (s.header > left)
        return "the message is cut short";
    for (unsigned i = 0; i < s.header; i++)
        number = number << 8 | *w->p++;
    left -= s.header;
    uint64_t body = s.fixed + (s.body == BYTES ? number : 0);
    uint64_t children = s.children + (s.body == ARRAY ? number : s.body == MAP ? 2 * number : 0);
    if (body > left || children > left)
        return "a length or count is larger than the message";
    w->p += body;
    if (!children)
        return NULL;
    if (w->depth == LIMIT_MESSAGE_DEPTH)
        return "nested too deeply";
    w->owed[++w->depth] = children;
    return NULL;
}

bool msgpack_is_sane(const void *bytes, size_t n, const char **ret_why)
{
    const unsigned char *p = n ? bytes : (const unsigned char *)""; /* of no bytes, bytes may be NULL */
    struct walk w = { .p = p, .end = p + n };
    const char *why = NULL;
    w.owed[0] = 1;
    while (!why) {
        while (w.depth && !w.owed[w.depth])
            w.depth--;
        if (!w.owed[w.depth])
            break;
        w.owed[w.depth]--;
        why = take_object(&w);
    }
    if (!why && w.p != w.end)
        why = "bytes after the end of the message";
    if (why)
        *ret_why = why;
    return !why;
}
