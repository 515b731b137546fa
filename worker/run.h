/* run.h - one attempt as the worker holds it: from RUN, until the broker has recorded its outcome. */
#ifndef TERN_RUN_H
#define TERN_RUN_H

#include "proto/base/clock.h"
#include "proto/base/list.h"
#include "proto/message.h"

struct part;
struct slot;

/* AHEAD: it waits behind another one, in a process or in the queue of the threads, and may have begun there. */
enum run_state { RUN_WAITING, RUN_AHEAD, RUN_RUNNING, RUN_FINISHED };

struct run {
    struct link link;       /* in a pool's queue, a process's (AHEAD), or the link's list of finished ones */
    struct run_job job;     /* as told; its texts and bytes point into `bytes` */
    void *bytes;            /* owned */
    struct part *part;      /* borrowed: of whose job on the loop this is a part (part.h); NULL: it is a job */
    enum run_state state;
    struct slot *slot;      /* borrowed: what it runs on; NULL otherwise */
    size_t runner;          /* whose handler it is (runners.h), 0: of none */
    bool parked;            /* while WAITING: its runner takes nothing now */
    uint64_t place;         /* in the ring of a process */
    unsigned n_unbegun;     /* how often a process ended that should have begun it next */
    bool stop_asked;        /* while AHEAD: it is stopped as soon as it is known to run */
    enum reason stop_reason;
    int64_t stop_grace_ms;
    int64_t received_ms;    /* monotonic */
    int64_t expire_at_ms;   /* monotonic; NEVER */
    struct outcome outcome; /* once finished; its texts and bytes are owned by `outcome_bytes` */
    void *outcome_bytes;    /* owned */
    int64_t finished_us;    /* monotonic */
    bool sent;              /* the outcome has been sent in this session */
};

static inline struct attempt_ref run_ref(const struct run *r) { return (struct attempt_ref){ r->job.job, r->job.attempt }; }

/* Copies the view. */
struct run *run_new(const struct run_job *job, struct now now);
void run_free(struct run *r);
/* Copies the outcome in (its job, attempt and pool are filled in from the run); state becomes RUN_FINISHED. */
void run_finish(struct run *r, const struct outcome *o, int64_t now_us);

static inline bool run_is_limited(const struct run_job *job) { return job->memory_bytes != UNSET && job->memory_bytes > 0; }

/* Why it was killed for memory: owned by the caller. */
char *run_text_of_memory(const struct run_job *job, int64_t peak_bytes);

#endif
