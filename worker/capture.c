/* capture.c - head and tail of a command's output. The tail may grow to twice its size before its front is dropped, so
 * that a flood costs one move of its bytes, not one a read. */
#include "worker/capture.h"

#include "proto/limits.h"
#include "proto/output.h"

#define HALF_BYTES ((LIMIT_RESULT_BYTES - 64u) / 2)
#define CHUNK_BYTES 4096u /* of the tail: the front is dropped in whole chunks */

void capture_init(struct capture *c)
{
    *c = (struct capture){ 0 };
    buf_init(&c->head, HALF_BYTES);
    buf_init(&c->tail, 2 * HALF_BYTES + 2 * CHUNK_BYTES);
}

void capture_fini(struct capture *c)
{
    buf_fini(&c->head);
    buf_fini(&c->tail);
}

static size_t chunk_bytes(const char *head)
{
    const unsigned char *u = (const void *)head;
    return (size_t)u[1] << 24 | (size_t)u[2] << 16 | (size_t)u[3] << 8 | u[4];
}

/* Makes the last chunk longer, if it is of the same stream: many small writes make one chunk. */
static bool extend(struct capture *c, struct buf *b, int stream, const char *bytes, size_t n)
{
    if (c->last_stream != stream || b->n == 0)
        return false;
    size_t length = chunk_bytes(b->p + c->last) + n;
    if (length > CHUNK_BYTES || buf_add(b, bytes, n) < 0)
        return false;
    for (size_t i = 0; i < 4; i++)
        b->p[c->last + 1 + i] = (char)(unsigned char)(length >> (24 - 8 * i));
    return true;
}

static bool keep(struct capture *c, struct buf *b, int stream, const char *bytes, size_t n)
{
    if (extend(c, b, stream, bytes, n))
        return true;
    size_t start = b->n;
    if (output_add(b, stream, bytes, n) < 0)
        return false;
    c->last = start;
    c->last_stream = stream;
    return true;
}

/* Drops whole chunks off the tail's front until no more than its half of the limit is left. */
static void trim(struct capture *c)
{
    size_t at = 0;
    while (c->tail.n - at > HALF_BYTES) {
        size_t n = chunk_bytes(c->tail.p + at);
        c->n_cut += n;
        at += OUTPUT_HEAD_BYTES + n;
    }
    buf_consume(&c->tail, at);
    c->last -= min_size(at, c->last);
    if (!c->tail.n)
        c->last_stream = 0;
}

static void add_piece(struct capture *c, int stream, const char *bytes, size_t n)
{
    if (!c->full && keep(c, &c->head, stream, bytes, n))
        return;
    if (!c->full) {
        c->full = true;
        c->last_stream = 0;
    }
    if (c->tail.n > 2 * HALF_BYTES)
        trim(c);
    bool kept = keep(c, &c->tail, stream, bytes, n);
    assert(kept);
}

void capture_add(struct capture *c, int stream, const char *bytes, size_t n)
{
    for (size_t piece; n; bytes += piece, n -= piece) {
        piece = min_size(n, CHUNK_BYTES);
        add_piece(c, stream, bytes, piece);
    }
}

struct str capture_chunks(struct capture *c)
{
    if (!c->full)
        return buf_str(&c->head);
    trim(c);
    c->head.max = LIMIT_RESULT_BYTES;
    if (c->n_cut)
        output_add_cut(&c->head, c->n_cut);
    buf_add(&c->head, c->tail.p, c->tail.n);
    buf_clear(&c->tail);
    return buf_str(&c->head);
}
