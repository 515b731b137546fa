/* zygote_state.h - the zygote as the worker knows it, for zygote_link.c (which talks with it) and zygote_lost.c (which looks after
 * what it leaves behind when it dies) alone. */
#ifndef TERN_ZYGOTE_STATE_H
#define TERN_ZYGOTE_STATE_H

#include "proto/base/map.h"
#include "worker/tree.h"
#include "worker/zygote.h"

#define ZYGOTE_LOOK_MS 5 /* between two looks at what is lost */

struct zchild {
    uint64_t number;
    pid_t pid; /* 0: not known yet */
    bool lost;
    int64_t lost_at_ms;
    int data;           /* owned; -1: sent. Its end of the data socket, until there is a zygote to ask */
    struct child_role role;
    zygote_on_ended *on_ended; /* NULL: abandoned */
    void *ctx;                 /* borrowed */
};

struct zygote {
    char *const *args; /* borrowed */
    pid_t pid, old_pid; /* 0: none */
    int control;        /* owned; -1: none */
    int epoll, timer;   /* owned */
    int64_t nofile_soft, started_ms;
    bool pinged;        /* and has not answered yet */
    uint64_t last_child;
    struct idmap children; /* owned struct zchild by number */
    size_t n_lost;
    struct tree tree; /* scratch */
};

static inline int64_t zygote_now_ms(void) { return clock_mono_us() / 1000; }

/* ---- zygote_link.c ---------------------------------------------------------------------------- */

void zygote_set_timer(struct zygote *z, int64_t ms);
/* Tells of its end whoever asked for it, and frees it. */
void zygote_tell_ended(struct zygote *z, struct zchild *c, const struct child_ended *e, struct now now);

/* ---- zygote_lost.c ---------------------------------------------------------------------------- */

/* There is no zygote for it, or none that will ever hear of it. */
void zygote_lose(struct zygote *z, struct zchild *c);
void zygote_look_after_lost(struct zygote *z, struct now now);

#endif
