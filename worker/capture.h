/* capture.h - what is kept of a command's standard output and error: head and tail up to a limit, in the order written,
 * as the marked chunks of proto/output.h; what was cut in between is counted. */
#ifndef TERN_CAPTURE_H
#define TERN_CAPTURE_H

#include "proto/base/buf.h"

struct capture {
    struct buf head, tail; /* owned */
    size_t last;           /* where the last chunk starts, in what is being written */
    int last_stream;       /* 0: none yet */
    bool full;             /* the head is full: all else goes to the tail */
    uint64_t n_cut;
};

void capture_init(struct capture *c);
void capture_fini(struct capture *c);
void capture_add(struct capture *c, int stream, const char *bytes, size_t n);
/* All that is kept, at most LIMIT_RESULT_BYTES: a view that stands until the next capture_add. */
struct str capture_chunks(struct capture *c);

#endif
