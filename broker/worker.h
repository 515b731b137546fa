/* worker.h - a worker as the broker knows it: by its instance, through any number of connections and broker restarts. */
#ifndef TERN_BROKER_WORKER_H
#define TERN_BROKER_WORKER_H

#include "broker/class.h"
#include "broker/grant.h"
#include "proto/base/list.h"

struct peer;

struct worker_handler {
    char *name; /* owned */
    unsigned forms;
    enum tag tag;
    int64_t retries, timeout_ms;
    bool thread_safe;
};

struct worker_pool {
    size_t slots;           /* as the worker says */
    size_t leased;          /* attempts that are out, by the broker's own count */
    size_t started;         /* of them: reported as started */
    size_t used, stuck, waiting; /* as last told, for people */
    uint64_t blocked;       /* likewise */
    uint64_t blocked_ms;    /* likewise */
    size_t parked;          /* attempts that have started and hold no slot, as last told */
    bool late;              /* what it was handed was not begun in time: others come first, until something begins there, */
    int64_t late_until_ms;  /* or until then (monotonic), */
    int64_t late_ms;        /* which is later each time */
};

/* Attempts that may be out without any prefetch. */
static inline size_t worker_pool_room(const struct worker_pool *p) { return p->slots + min_size(p->parked, p->started); }

/* A growing list of attempts. */
struct refs {
    struct attempt_ref *at; /* owned */
    size_t n, cap;
};
void refs_add(struct refs *r, uint64_t job, uint64_t attempt);

/* Children that have ended, and whose parents' attempts await them. */
struct child_ends {
    struct child_told {
        uint64_t parent, attempt;
        struct child_end end;
    } *at; /* owned */
    size_t n, cap;
};

struct worker {
    uint64_t row;               /* in the store; 0: none yet, as it was never handed a job */
    unsigned char instance[16];
    char *name, *host, *software, *isolation; /* owned */
    char *owner;                /* owned: the identity it connected with; NULL: not known since the start */
    char key[KEY_DIGITS + 1];   /* the key it connected with; empty: none */
    uint64_t pid;
    struct peer *peer;          /* borrowed; NULL while it is not connected */
    char **queues;              /* owned; n_queues == 0: all */
    size_t n_queues;
    struct worker_handler *handlers; /* owned */
    size_t n_handlers;
    struct strmap handler_by_name;
    char **notices;             /* owned: what it says is wrong with it */
    size_t n_notices;
    struct worker_pool pools[N_POOLS];
    struct labels labels;
    struct amounts amounts;     /* its own */
    bool draining;
    bool reads_late;            /* it has enough to read (set by the loop): nothing more for now */
    uint64_t hello_count;       /* of its newest HELLO */
    int64_t heard_mono_ms;      /* when it was last heard of */
    int64_t connected_wall_ms;
    struct link leases;         /* of struct lease */
    struct refs stops;          /* to be told to stop, at the end of this turn */
    struct refs recorded;       /* outcomes of this turn that it may let go of */
    struct child_ends ended;    /* of this turn */
};

struct worker *worker_new(uint64_t row, const unsigned char instance[16], struct str name);
void worker_free(struct worker *w);
/* Takes over what HELLO says: name, host, queues, pools, handlers, labels, amounts (of which nothing is held yet). It serves no more
 * than its grant allows. */
void worker_describe(struct worker *w, const struct msg_hello *h, const struct grant *g);
void worker_set_load(struct worker *w, const struct pool_load *pools, size_t n);
const struct worker_handler *worker_find_handler(const struct worker *w, const char *name);
bool worker_serves_queue(const struct worker *w, const char *queue);

#endif
