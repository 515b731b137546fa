/* class.h - jobs that are alike to dispatch: one (queue, handler, tag, program, needs, suspect, isolated) each, with a short
 * look-ahead on what waits. The jobs themselves are in the store. */
#ifndef TERN_CLASS_H
#define TERN_CLASS_H

#include "broker/measure.h"
#include "broker/needs.h"

struct queue {
    char *name;            /* owned */
    bool paused;
    size_t n_classes;      /* of it */
    uint64_t finished[60]; /* jobs finished in each of the last 60 seconds */
    int64_t finished_s;    /* the second (wall clock) of the newest of them */
};

struct worker;
struct eligible {
    struct worker *worker; /* borrowed */
    const struct worker_handler *handler; /* borrowed from the worker */
};

#define CLASS_HEADS 128

struct class {
    uint32_t id;
    struct queue *queue;  /* borrowed */
    char *handler;        /* owned */
    char *program;        /* owned; NULL but for commands */
    struct needs needs;
    enum tag tag;
    bool tag_unset;       /* the handler's own tag counts */
    bool suspect;         /* jobs under which a worker was lost */
    bool isolated;        /* jobs with a limit that only a process can keep: `auto` chooses no other pool for them */
    uint64_t jobs[N_STATES];
    uint64_t n_leased;    /* RUNNING now, by the leases */
    uint64_t asked_at;    /* the request for which it was last looked up */

    /* The look-ahead: the best of what waits, best first. Those that were cancelled meanwhile may still be in it. */
    struct head *heads;   /* owned; NULL or CLASS_HEADS of them */
    size_t first_head, n_heads;
    bool more;            /* what waits may go on in the store, behind the last head */

    struct measure *measure; /* borrowed: of the handler, over all its classes */
    double runs, mean_wall_us; /* of this class, a decaying mean, for prefetch; known anew after a start */

    /* Dispatch's memory, valid while the broker's counts of changes are the same. */
    struct eligible *eligible; /* owned */
    size_t n_eligible;
    uint64_t eligible_at;      /* the workers' change count for which `eligible` holds */
    uint64_t parked_at;        /* the credit change count at which no worker had room; 0: not parked */
};

struct classes {
    const struct amounts *shared; /* borrowed: the broker's amounts; NULL: it has none */
    struct strmap by_key;   /* of struct class, borrowed from `all` */
    struct strmap queues;   /* of struct queue, owned */
    struct class **all;     /* owned, by id - 1; places may be NULL */
    size_t n, cap;
    struct measures measures;
    struct class *last;     /* the one that was interned last: mostly the next one too */
    uint64_t request, none_spare_at; /* this one; that in which no class was without a job */
    size_t spare_from;      /* where the last of those was */
};

/* Reads classes, queues and counters. shared: borrowed, may be NULL. */
int classes_load(struct classes *c, struct store *s, const struct amounts *shared);
void classes_fini(struct classes *c);

struct class_key {
    struct str queue, handler, program;
    enum tag tag;
    bool tag_unset, suspect, isolated;
    struct str needs; /* as needs_read takes them; unset: none */
};
/* One message of jobs begins: the classes that are interned for it are not taken for others before it is through. */
void classes_begin_request(struct classes *c);
/* Finds or makes. Past LIMIT_CLASSES one that has no job (any more) becomes the new one; where there is none, a command's program is
 * left out of its class, and nothing new is needed; -E2BIG when even that does not help. */
int classes_intern(struct classes *c, struct store *s, const struct class_key *key, struct class **ret);
/* The same class, but for suspects. */
int classes_suspect_of(struct classes *c, struct store *s, struct class *of, struct class **ret);
struct class_key class_key(const struct class *c);
struct class *classes_get(const struct classes *c, uint32_t id);
struct queue *classes_find_queue(const struct classes *c, struct str name);
struct queue *classes_queue(struct classes *c, struct str name);

/* Something waits now: put into the look-ahead where it belongs. */
void class_add_waiting(struct class *c, int64_t priority, uint64_t id);
/* The best that waits, or NULL. Reads on from the store when the look-ahead is used up; *ret_r < 0: the store failed. */
const struct head *class_head(struct class *c, struct store *s, int *ret_r);
void class_pop_head(struct class *c);
/* What was popped waits after all: the look-ahead begins anew. */
void class_read_again(struct class *c);
/* Keeps the counts that the store keeps too. */
void class_move(struct class *from, enum job_state a, struct class *to, enum job_state b);
/* Takes a run into the mean, with a weight of 1/16 (of 1/n while there are fewer). */
void class_count_run(struct class *c, int64_t wall_us);
void queue_count_finished(struct queue *q, int64_t wall_ms);
uint64_t queue_finished_last_minute(const struct queue *q, int64_t wall_ms);

#endif
