/* output.h - a job's standard output and error, kept together in the order they were written.
 *
 * A row of chunks, each [1 byte: stream][4 bytes, big-endian: length][bytes]. A cut is a chunk of 8
 * bytes, big-endian: how many bytes were left out at this place. */
#ifndef TERN_OUTPUT_H
#define TERN_OUTPUT_H

#include "proto/base/buf.h"

enum output_stream { OUTPUT_STDOUT = 1, OUTPUT_STDERR = 2, OUTPUT_CUT = 3 };
#define OUTPUT_HEAD_BYTES 5u

/* -EMSGSIZE where b's ceiling would be passed; b is then unchanged. */
int output_add(struct buf *b, int stream, const void *bytes, size_t n);
int output_add_cut(struct buf *b, uint64_t n_cut);

/* Takes the next chunk off the front of *rest; the bytes are views. False at the end, and where the
 * rest is no chunk: rest->n is then not 0. */
bool output_next(struct str *rest, int *ret_stream, struct str *ret_bytes);
/* What a chunk of OUTPUT_CUT says. */
uint64_t output_cut_bytes(struct str bytes);

#endif
