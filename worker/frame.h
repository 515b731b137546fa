/* frame.h - messages between the worker and its children: a stream socket, each message preceded by its length as four
 * bytes, big-endian. What a child sends is read as hostile: a handler may have scribbled over its memory. */
#ifndef TERN_FRAME_H
#define TERN_FRAME_H

#include <sys/types.h>

#include "proto/message.h"
#include "worker/ring.h"

#define FRAME_HEAD 4u

struct frames {
    int fd;             /* owned; -1: closed */
    struct buf in, out; /* owned */
    size_t in_at;       /* read up to here in `in` */
    size_t out_at;      /* sent up to here in `out` */
    uint64_t heard;     /* bytes of all that the peer has said */
    size_t heard_ahead; /* so many of them are still to arrive on the socket, and to be passed over */
};

/* Takes the descriptor. */
void frames_init(struct frames *f, int fd);
void frames_fini(struct frames *f);

/* Reads once, waiting if wait is set. Bytes read; -EAGAIN: none now; -ECONNRESET: the peer has closed. */
ssize_t frames_read(struct frames *f, bool wait);
/* Adds what stands in the ring and has not been heard yet. The bytes, 0, or -errno. */
ssize_t frames_hear(struct frames *f, const struct ring *ring);
/* What came after the last whole frame never was: frames_hear begins there. */
void frames_cut(struct frames *f);
/* The next whole message: 1, and it must be ended by message_fini before frames_read; 0: none yet; -EBADMSG: not one. */
int frames_next(struct frames *f, struct message *ret);
/* The same without looking into it: the bytes of a frame of at most `most`, a view that stands until frames_read. */
int frames_next_bytes(struct frames *f, size_t most, struct str *ret);
/* Of bytes that are frames: how many the one at `at` takes, with its head; 0: it is not whole. */
size_t frame_bytes(const struct buf *bytes, size_t at);
/* The one outcome of a RESULT, if it is one that a child may report; NULL otherwise. */
const struct outcome *frames_outcome(const struct message *m);
/* The same; and the run may be lost, where it was one of many in a process. */
const struct outcome *frames_outcome_of_many(const struct message *m);
/* Adds a message to what is to be sent. -EMSGSIZE: too large. */
int frames_put(struct frames *f, const struct message *m);
/* A record on its own, as runners speak them. */
int frames_put_record(struct frames *f, enum record_kind kind, const void *record);
/* All that stands to be sent in `from`, which is empty then. */
void frames_put_frames(struct frames *f, struct frames *from);
int frames_put_run(struct frames *f, const struct run_job *job);
int frames_put_stop(struct frames *f, uint64_t job, uint64_t attempt);
/* Sends what can be sent; 0 when nothing is left, -EAGAIN when something is, -errno. */
int frames_flush(struct frames *f, bool wait);
static inline bool frames_to_flush(const struct frames *f) { return f->out.n > f->out_at; }

#endif
