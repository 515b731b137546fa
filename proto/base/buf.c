/* buf.c - a growing byte buffer with a ceiling. */
#include "proto/base/buf.h"

#include <stdarg.h>
#include <stdio.h>

void buf_init(struct buf *b, size_t max) { *b = (struct buf){ .max = max }; }

void buf_fini(struct buf *b)
{
    free(b->p);
    *b = (struct buf){ .max = b->max };
}

int buf_reserve(struct buf *b, size_t n)
{
    if (n > b->max - b->n)
        return -EMSGSIZE;
    b->p = grow_array(b->p, &b->cap, b->n + n, 1);
    return 0;
}

int buf_add(struct buf *b, const void *p, size_t n)
{
    int r = buf_reserve(b, n);
    if (r < 0)
        return r;
    if (n)
        memcpy(b->p + b->n, p, n);
    b->n += n;
    return 0;
}

int buf_addf(struct buf *b, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    char *s = NULL;
    int n = vasprintf(&s, format, ap);
    va_end(ap);
    assert(n >= 0);
    int r = buf_add(b, s, (size_t)n);
    free(s);
    return r;
}

void buf_consume(struct buf *b, size_t n)
{
    assert(n <= b->n);
    b->n -= n;
    if (b->n && n)
        memmove(b->p, b->p + n, b->n);
}
