/* loop_blocked.h - a handler that has the loop's thread for too long holds up all others there: it is named and counted.
 *
 * Seen from outside, by the link's thread, so that one is named even while it never gives the thread back. Nobody polls:
 * the loop asks to be looked at when it begins to run a handler, at most once in the time that is too long. */
#ifndef TERN_LOOP_BLOCKED_H
#define TERN_LOOP_BLOCKED_H

#include "proto/base/clock.h"

struct looper;
struct loop_task;

/* A handler that has the thread for longer is named in the log. */
#define LOOP_BLOCKED_MS 100

/* Who has the thread: written by the loop's, read by the link's, only through __atomic builtins. */
struct loop_busy {
    size_t slot;
    int64_t since_us;        /* 0: nobody */
    uint64_t n_blocked;      /* how often one had it for too long, and gave it back, */
    uint64_t blocked_us;     /* and how long in all */
    int64_t looked_until_us; /* the loop's own: before then the link's thread looks anyway */
    int64_t said_us;         /* the loop's own */
};

/* On the loop's thread, around each run of a handler. When it began. */
int64_t loop_blocked_begin(struct looper *l, const struct loop_task *t);
void loop_blocked_end(struct looper *l, const struct loop_task *t, int64_t began_us);

/* What the link's thread remembers. */
struct loop_look {
    int64_t at_ms;    /* when to look; NEVER */
    int64_t named_us; /* since when the last one had the thread that was named */
    int64_t said_ms;
};

/* On the link's thread: the loop has asked. */
void loop_blocked_asked(struct loop_look *k, struct now now);
/* Which slot has the thread for too long, and is not named yet: true. Says nothing more often than once a second. */
bool loop_blocked_look(struct loop_look *k, const struct loop_busy *b, struct now now, size_t *ret_slot, int64_t *ret_ms);
/* How often and how long the loop was blocked, this moment included. */
void loop_blocked_tell(const struct loop_busy *b, uint64_t *ret_n, uint64_t *ret_ms);

#endif
