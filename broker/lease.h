/* lease.h - the broker's notes of which worker holds which attempt, and what becomes of the job when that ends. */
#ifndef TERN_LEASE_H
#define TERN_LEASE_H

#include "broker/broker.h"

struct lease {
    struct link link;       /* in worker->leases, oldest first */
    struct job_row job;     /* as stored: RUNNING, this attempt */
    struct class *class;    /* borrowed */
    struct worker *worker;  /* borrowed */
    enum pool_kind pool;
    bool started;           /* the worker has said so; job.started: and the store knows */
    bool taking_back;       /* TAKE_BACK was sent, GIVEN or STARTED has not come yet */
    bool listed;            /* by the HELLO that is being read */
    int64_t leased_mono_ms;
    bool awaits;            /* its worker is told, in this session, when a child of it has ended */
    bool counted;           /* n_children is known */
    uint64_t n_children;
    struct link reports;    /* in broker->reports: how far it is is to be stored */
    int64_t percent;
};

/* Notes a lease that the store has. */
struct lease *lease_add(struct broker *b, const struct job_row *job, struct worker *w, struct now now);
/* NULL, unless this worker holds this attempt. */
struct lease *lease_find(const struct broker *b, const struct worker *w, uint64_t job, uint64_t attempt);
struct lease *lease_of_job(const struct broker *b, uint64_t job);
/* Its worker has begun it, just now. */
void lease_set_started(struct broker *b, struct lease *l, struct now now);
/* The same, nobody knows when; and: it has not. */
void lease_set_running(struct lease *l);
void lease_set_waiting(struct lease *l);
/* Stores which attempts have started, of those that run for long: the crash limit counts them after a restart of the broker too.
 * True when there is more to do. */
bool lease_store_started(struct broker *b, struct now now);
/* How far it is, for people; stored at the end of the turn. */
void lease_note_progress(struct broker *b, struct lease *l, int64_t percent);
void lease_store_progress(struct broker *b);
/* The attempt has ended: recorded, the job moves on, the lease is gone. */
void lease_end(struct broker *b, struct lease *l, const struct outcome *o, struct now now);
/* The attempt did not count: the job is queued again, now. */
void lease_hand_back(struct broker *b, struct lease *l, const char *why, struct now now);
/* The worker will not be heard of again. */
void lease_lose_worker(struct broker *b, struct worker *w, const char *why, struct now now);
/* Tells each worker what was recorded of its outcomes in this turn, and what was cancelled: few messages, however many. */
void lease_tell_workers(struct broker *b);
void lease_free_all(struct broker *b);
/* A job has reached a state, out of `from`: counts, the look-ahead, whoever waits for it. Every move of a job in the core
 * ends here. */
void job_moved(struct broker *b, uint64_t id, int64_t priority, struct class *from_class, enum job_state from,
               struct class *class, enum job_state to, struct now now);

#endif
