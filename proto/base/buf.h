/* buf.h - a growing byte buffer with a ceiling, after curl's dynbuf: the most it may hold is fixed at init. */
#ifndef TERN_BUF_H
#define TERN_BUF_H

#include "proto/base/base.h"

struct buf {
    char *p;    /* owned */
    size_t n;   /* bytes used */
    size_t cap;
    size_t max; /* the ceiling, in bytes */
};

/* No allocation happens before the first byte is added. */
void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b);
static inline void buf_clear(struct buf *b) { b->n = 0; }

/* -EMSGSIZE when the ceiling would be passed; the buffer is then unchanged. */
int buf_add(struct buf *b, const void *p, size_t n);
int buf_addf(struct buf *b, const char *format, ...) printf_like(2, 3);
/* Room for n bytes at b->p + b->n, to be counted by the caller into b->n. */
int buf_reserve(struct buf *b, size_t n);
/* Takes n bytes off the front. */
void buf_consume(struct buf *b, size_t n);
static inline struct str buf_str(const struct buf *b) { return (struct str){ b->p ? b->p : "", b->n }; }

#endif
