/* child_state.h - the inside of a child, for its files alone: child.c (frames in, outcomes out), child_handler.c (a handler in
 * place), child_ask.c (which asks and waits), child_signals.c (and is told to stop). */
#ifndef TERN_CHILD_STATE_H
#define TERN_CHILD_STATE_H

#include "worker/commands.h"
#include "worker/frame.h"
#include "worker/usage.h"

struct tern_job;

#define CHILD_END_MS 5000 /* that what a job has left may take to be gone */

struct child {
    struct frames frames;
    struct commands commands;
    size_t capacity;
    struct ring *ring;        /* NULL in the launcher */
    struct buf aside;         /* frames that came while a handler waited for an answer, and are not that */
    struct link later;        /* owned runs, behind a command that runs */
    bool behind;              /* that command was one of them: the worker looks into the ring for what ended before it */
    uint64_t n_given, said;   /* runs, bytes: as the ring counts them */
    size_t n_unsent;          /* outcomes */
    int64_t unsent_since_us;  /* when the first of them began */
    struct usage used;        /* of the process, as its last job ended; cpu_us UNSET: it has done more than pass to the
                               * next since */
    int64_t base_kb; /* peak memory of this process since the kernel was last told to forget it */
    bool done;       /* something is left that cannot be ended: take no further job */
};

/* ---- child.c ---------------------------------------------------------------------------------- */

_Noreturn void child_leave(int status);
/* From here on it is said: it need not be sent at once. */
void child_say(struct child *c, const struct message *m);
void child_send_outcome(struct child *c, const struct outcome *o);
void child_flush(struct child *c, bool wait);
void child_refuse(struct child *c, const struct run_job *job, const char *why);
/* Short jobs' outcomes wait for each other: sends them when there are many, or the first has waited long. */
void child_send_in_time(struct child *c, int64_t began_us, int64_t ended_us);

/* ---- child_handler.c -------------------------------------------------------------------------- */

void child_run_handler(struct child *c, const struct run_job *job);

/* ---- child_ask.c ------------------------------------------------------------------------------ */

void child_ask_init(struct child *c);
/* What handlers call: tern_job's ask and report. */
int child_ask(struct tern_job *j, struct buf *request, struct buf *ret);
void child_report(struct tern_job *j);
/* What came while a handler waited for its answer comes now. */
void child_put_back(struct child *c);

/* ---- child_signals.c -------------------------------------------------------------------------- */

/* All as a new program has them, and those that this process lives by. From here on SIGTERM of the zygote, its parent, counts. */
void child_signals_reset(void);
/* Only the latter. */
void child_signals_set(void);
/* What runs in place is told to stop when this process is, also if it was already; NULL: nothing runs. */
void child_signals_run(struct tern_job *call);
bool child_is_told(void);

#endif
