/* process.h - a process of the process pool: a child or a keeper, what it has been given, and what it says. For pool_process.c,
 * which says how it lives, and the process*.c alone. */
#ifndef TERN_PROCESS_H
#define TERN_PROCESS_H

#include "worker/frame.h"
#include "worker/pool_kind.h"
#include "worker/zygote.h"

#define STORM_CHILDREN 3 /* that end within STORM_MS before they are ready: no more are made for a while */
#define STORM_MS 10000

struct process {
    struct link link;
    struct pool *pool;  /* borrowed */
    struct slot *slot;  /* borrowed; NULL once it is to take no further job */
    uint64_t number;    /* the zygote's */
    struct frames frames;
    struct ring *ring;  /* owned; NULL: of a keeper */
    size_t runner;      /* of a keeper; else 0 */
    char *words;        /* owned: why its runner ends, as a keeper says; it takes no more then */
    bool watched_to_write, ready, garbled, ended;
    bool in_doubt;      /* garbled, perhaps not by the run that it ended with */
    bool told;          /* to stop: it takes no further job */
    bool outdated;      /* it has handlers that have changed since: likewise */
    size_t n_jobs;
    uint64_t n_given, n_passed; /* places, also of what was taken back; those up to its last outcome */
    struct link ahead;  /* owned runs, in order */
    size_t n_ahead;
    int64_t job_us;     /* about what its jobs take, as it says; UNSET: not known */
    int64_t moved_ms, look_at_ms;
    struct link to_look, to_feed, to_send; /* in the lists of these names */
};

/* The inside of a process pool. */
struct processes {
    int epoll;               /* owned */
    struct process **of;     /* owned array, by slot and runner; NULL: none */
    struct link all;         /* owned processes */
    struct link to_look;     /* those that have runs ahead, by look_at_ms */
    struct link to_feed;     /* those that may get more */
    struct link to_send;     /* those that were given some in this turn */
    size_t n_to_feed;
    int64_t died_at_ms[STORM_CHILDREN]; /* the last ones that ended before they were ready */
    int64_t backoff_ms, backoff_until_ms;
};

static inline struct processes *processes_of(const struct pool *p) { return p->state; }

/* The process that a slot has for handlers of a runner; runner 0: for all else. */
static inline struct process **process_at(const struct pool *p, const struct slot *slot, size_t runner)
{
    return &processes_of(p)->of[pool_slot_index(p, slot) * (p->n_gates + 1) + runner];
}

/* The one that works on what the slot runs. */
static inline struct process *process_of(const struct pool *p, const struct slot *slot)
{
    return *process_at(p, slot, slot->run->runner);
}

static inline bool process_is_working(const struct process *c)
{
    return c->slot && c->slot->state != SLOT_IDLE && c->slot->run->runner == c->runner;
}

/* ---- process.c: a process and its slot -------------------------------------------------------- */

/* Makes the one that is to work on what the slot runs. 0, or -errno. */
int process_attach(struct pool *p, struct slot *slot, struct process **ret);
/* Gives it a run: sent with what else is given to it in this turn. -errno: it cannot be said in a frame. */
int process_put(struct process *c, struct run *r);
/* Sends what it was given. Should the process have died: its end is read too. */
void process_flush(struct process *c);
/* From here on it takes no job; when it has ended it is freed. */
void process_detach(struct process *c);
/* The same, and it is to end. */
void process_retire(struct process *c);
void process_free(struct process *c);

/* ---- process_ahead.c: what is ahead ----------------------------------------------------------- */

/* May it get more, by what it has done so far? Then it is fed at the end of this turn. */
void process_note_hunger(struct process *c);
void process_feed(struct process *c, struct now now);
void process_feed_no_more(struct process *c);
/* Takes back what was given ahead and has not begun; or all: it is gone. */
void process_recall(struct process *c, bool all);
/* It is looked at again before long, if it has runs ahead. */
void process_look_later(struct process *c, struct now now);

/* ---- process_hear.c: what it says ------------------------------------------------------------- */

/* What has come. */
void process_hear(struct process *c, struct now now);
/* Reads, and hears. */
void process_read(struct process *c, struct now now);
/* Hears what it has said and not sent yet; takes back from it what is ahead when it has not moved for long. */
void process_look(struct process *c, struct now now);
/* One frame. False: it is no such thing as a process may say now. */
bool process_on_frame(struct process *c, const struct message *m, struct now now);

/* ---- process_end.c: how it ended -------------------------------------------------------------- */

void process_on_ended(void *ctx, const struct child_ended *e, struct now now);

#endif
