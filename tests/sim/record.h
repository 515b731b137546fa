/* record.h - the independent record: what clients asked and were told, and what handlers did. */
#ifndef TERN_SIM_RECORD_H
#define TERN_SIM_RECORD_H

#include "tests/sim/world.h"

/* What a handler does is decided by (seed, job, attempt) alone. */
enum fate { FATE_DONE, FATE_FAILS, FATE_FAILS_FOR_GOOD };
enum fate fate_of(uint64_t seed, uint64_t job, uint64_t attempt);

/* A checkpoint: of this attempt the n-th. {0}: none. */
struct mark {
    uint64_t attempt, n;
};

/* What is known of a job beside the database. */
struct noted {
    bool acknowledged;
    bool cancel_asked, retry_asked, remove_asked; /* perhaps without effect */
    bool cancelled;      /* a client was told that it was asked to stop, or is stopped */
    bool may_expire;
    bool ran;            /* an attempt of it was started */
    bool promised;       /* somebody was told of it; the rest is how the store had it then */
    bool terminal;
    enum job_state state;
    uint64_t attempt, failures;
    uint64_t ended_attempt;   /* the last with which it is known to have ended, once */
    uint64_t last_handed_out; /* attempt */
    struct mark kept;         /* the last checkpoint that was acknowledged */
};

struct noted_attempt {
    uint64_t job, attempt;
    const void *worker;  /* that runs it now; NULL when it has ended or its worker is gone */
    bool handed_out, started, ended_by_itself;
    struct mark handed;  /* the checkpoint that came with it */
    uint64_t n_left;     /* checkpoints that it has said */
};

struct record *record_new(void);
void record_free(struct record *r);
/* Never NULL; valid until the next call. */
struct noted *record_job(struct world *w, uint64_t id);
/* May it be missing from the database? It was removed, or has ended in a world that deletes finished jobs. */
bool record_may_be_gone(const struct world *w, const struct noted *n);
/* The highest id that was noted. */
uint64_t record_last(const struct world *w);
struct noted_attempt *record_attempt(const struct world *w, uint64_t job, uint64_t attempt);

/* The broker lets m leave: what it says must stay true. */
void record_promised(struct world *w, const struct message *m);
/* How many jobs' promises have left. */
uint64_t record_promises(const struct world *w);
/* A client has read that it has this job. */
void record_acknowledged(struct world *w, uint64_t id, bool may_expire);
uint64_t record_n_acknowledged(const struct world *w);
uint64_t record_n_attempts(const struct world *w);

/* A parent was told that this is the child that it knows by this number. */
void record_spawned(struct world *w, uint64_t parent, size_t number, uint64_t child);

void record_started(struct world *w, const void *worker, uint64_t job, uint64_t attempt);
void record_ended(struct world *w, const void *worker, uint64_t job, uint64_t attempt, bool by_itself);
void record_worker_ended(struct world *w, const void *worker);

/* A request of a client's that is about one job carries it in its number, so that the answer can be told apart. */
#define RECORD_REQ_JOBS 1000000u
static inline uint64_t record_req(uint64_t n, enum message_type type, uint64_t job)
{
    return (n * MESSAGE_TYPES + type) * RECORD_REQ_JOBS + job;
}

#endif
