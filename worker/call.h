/* call.h - one call of a handler: what the functions of handler.h act on, the same in a thread, a
 * child and a coroutine. */
#ifndef TERN_CALL_H
#define TERN_CALL_H

#include "proto/base/clock.h"
#include "proto/message.h"
#include "worker/handler.h"
#include "worker/job_progress.h"

struct tern_job {
    const struct run_job *job;   /* borrowed */
    int64_t deadline_ms;         /* monotonic; NEVER */
    int stop;                    /* set by another thread or a signal handler: only through __atomic builtins */
    bool past_limit;             /* the handler was told that its time is over; likewise */
    bool on_loop;                /* it may await */
    /* Asks the broker, and waits for the answer (asks.h): takes request, fills in ret_answer. -ECANCELED: it should stop. Of
     * the pool; NULL: nobody can be asked. */
    int (*ask)(struct tern_job *j, struct buf *request, struct buf *ret_answer);
    /* Tells how far it is now. Of the pool; NULL: nobody wants to know. */
    void (*report)(struct tern_job *j);
    struct job_progress progress;
    uint64_t n_asks, n_spawned;
    int ask_errno;               /* why one was in vain, */
    char *ask_error;             /* owned: and in words */
    struct buf result;           /* owned */
    bool result_set;
    struct buf output;           /* owned: marked chunks, proto/output.h */
    char *error;                 /* owned */
    bool for_good;
    struct call_measure {
        int64_t wall_us, cpu_us, ready_us, max_rss_kb; /* UNSET where not measured */
    } measured;
};

void call_init(struct tern_job *j, const struct run_job *job, struct now now);
/* For a call that begins later than it was made: its time limit counts from now on. */
void call_begin(struct tern_job *j, struct now now);
void call_fini(struct tern_job *j);
/* From any thread, or a signal handler. */
static inline void call_tell_stop(struct tern_job *j) { __atomic_store_n(&j->stop, 1, __ATOMIC_RELEASE); }
/* Says in *ret how it ended, given what the handler returned and j->measured; texts and bytes are
 * views into j. */
void call_outcome(const struct tern_job *j, int r, struct outcome *ret);

/* From any thread, once it has reported. */
void call_progress(const struct tern_job *j, struct attempt_progress *ret);

#endif
