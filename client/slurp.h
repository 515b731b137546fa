/* slurp.h - input of a person's choosing: a whole file, or line by line, never more than a bound.
 */
#ifndef TERN_SLURP_H
#define TERN_SLURP_H

#include "proto/base/buf.h"

/* Appends all of the file, `-` for standard input. Past out's ceiling -EMSGSIZE. A text in
 * *ret_error, owned by the caller. */
int slurp(const char *path, struct buf *out, char **ret_error);

#define LINE_BYTES_MAX (2u << 20)

/* Lines from a descriptor. */
struct lines {
    int fd; /* borrowed */
    struct buf b;
    size_t taken; /* of b: the line that was handed out */
    bool ended;
    uint64_t number; /* of the line that was handed out, from 1 */
};

void lines_init(struct lines *l, int fd);
void lines_fini(struct lines *l);
/* 1: a line, a view until the next call, without its newline; 0: the end. -EAGAIN: no whole line is
 * there yet, call lines_fill. -EMSGSIZE: longer than LINE_BYTES_MAX. */
int lines_next(struct lines *l, struct str *ret);
/* Reads once; blocks like read(2). 0, or negative. */
int lines_fill(struct lines *l);

#endif
