/* ring.h - the memory that the worker shares with one child of the process pool. Two things stand in it:
 *
 * The places. Each run that the child is given has one, counted from 0. The worker GIVES it, and then either the child
 * BEGINS it or the worker TAKES it back: whoever is first, and only one of them. The child passes over what was taken.
 *
 *    (free) --give--> GIVEN --begin (child)--> BEGUN
 *                       `-----take (worker)--> TAKEN
 *
 * What the child has said: its bytes stand here from the moment it says them, before it sends them on its socket. So
 * several outcomes can leave in one send, and none is lost with the child, nor kept back by a long run: the worker can
 * hear them here. Each side counts the bytes from the first one on; what was heard here is passed over when it arrives.
 * What finds no room is sent at once.
 *
 * The worker reads what a handler may have scribbled: a wrong place only ever costs what the child was given, a wrong
 * count yields at most RING_BYTES of rubbish. The child looks after each run whether it is whole, so that the one that
 * scribbled is the one to blame. Its size cannot be changed. */
#ifndef TERN_RING_H
#define TERN_RING_H

#include <sys/types.h>

#include "proto/base/buf.h"

#define RING_PLACES 64u
#define RING_BYTES (64u << 10)

struct ring;

/* The worker's side: makes one, and hands it to the child at the other end of the socket. */
int ring_open(struct ring **ret, int socket);
/* The child's side: waits for it. */
int ring_accept(struct ring **ret, int socket);
void ring_close(struct ring *r);

/* ---- places; at most RING_PLACES from the first that has not ended ---------------------------- */

void ring_give(struct ring *r, uint64_t place);
/* Of the worker; false: it has begun. */
bool ring_take(struct ring *r, uint64_t place);
/* Of the child. 1; 0: it was taken back; -EBADMSG: neither. */
int ring_begin(struct ring *r, uint64_t place);
/* Is it given and has not begun? */
bool ring_is_given(const struct ring *r, uint64_t place);

/* Of the child, after a run: is this what it can be, when so many bytes were said? */
bool ring_is_whole(const struct ring *r, uint64_t place, uint64_t said);

/* ---- what the child has said ------------------------------------------------------------------ */

/* Of the child: n bytes more, after the first `at`. False: there is no room, since the worker has not heard enough. */
bool ring_say(struct ring *r, uint64_t at, const char *p, size_t n);
/* Of the child: all up to `at` has been sent; what had no room too. */
void ring_said(struct ring *r, uint64_t at);
/* Of the worker: adds what was said after the first `at`, where it stands here; else it has been sent, or was never said
 * to its end. The bytes added, or -errno of buf_add. */
ssize_t ring_hear(const struct ring *r, uint64_t at, struct buf *to);
/* Of the worker: it has heard all up to `at`, here or on the socket. */
void ring_heard(struct ring *r, uint64_t at);

#endif
