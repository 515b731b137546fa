/* output.c - chunks of standard output and error. The reader trusts nothing: the bytes come from a
 * worker. */
#include "proto/output.h"

static void put_big_endian(unsigned char *out, size_t n, uint64_t v)
{
    for (size_t i = n; i-- > 0; v >>= 8)
        out[i] = (unsigned char)v;
}

static uint64_t get_big_endian(const char *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v << 8 | (unsigned char)p[i];
    return v;
}

int output_add(struct buf *b, int stream, const void *bytes, size_t n)
{
    unsigned char head[OUTPUT_HEAD_BYTES] = { (unsigned char)stream };
    if (n > UINT32_MAX)
        return -EMSGSIZE;
    put_big_endian(head + 1, 4, n);
    int r = buf_reserve(b, sizeof head + n);
    if (r < 0)
        return r;
    r = buf_add(b, head, sizeof head);
    return r < 0 ? r : buf_add(b, bytes, n);
}

int output_add_cut(struct buf *b, uint64_t n_cut)
{
    unsigned char bytes[8];
    put_big_endian(bytes, sizeof bytes, n_cut);
    return output_add(b, OUTPUT_CUT, bytes, sizeof bytes);
}

bool output_next(struct str *rest, int *ret_stream, struct str *ret_bytes)
{
    if (rest->n < OUTPUT_HEAD_BYTES)
        return false;
    int stream = (unsigned char)rest->p[0];
    uint64_t n = get_big_endian(rest->p + 1, 4);
    bool known =
        stream == OUTPUT_STDOUT || stream == OUTPUT_STDERR || (stream == OUTPUT_CUT && n == 8);
    if (!known || n > rest->n - OUTPUT_HEAD_BYTES)
        return false;
    *ret_stream = stream;
    *ret_bytes = (struct str){ rest->p + OUTPUT_HEAD_BYTES, (size_t)n };
    rest->p += OUTPUT_HEAD_BYTES + n;
    rest->n -= OUTPUT_HEAD_BYTES + (size_t)n;
    return true;
}

uint64_t output_cut_bytes(struct str bytes)
{
    return bytes.n == 8 ? get_big_endian(bytes.p, 8) : 0;
}
