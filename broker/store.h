/* store.h - where jobs are kept: a batch interface that knows no SQL and no type of any database.
 *
 * The broker works in turns: verbs are called in any number, then store_commit makes all of them true at once (and only
 * then may anything leave the broker), or store_rollback makes none of them true. The transaction is opened by the first
 * verb that writes: an idle turn touches no disk. Every verb names jobs by (id, attempt), gets the time passed in, and is safe to
 * repeat: it changes only rows that are in the state it expects, and says which.
 *
 * Errors: -ENOSPC the disk is full: the turn is rolled back already, go on after store_rollback. -EIO, -EBADMSG
 * (corruption) and all else: end. store_error_text says more. One thread. All times: wall clock, ms since 1970, UTC.
 *
 * Implemented on SQLite by store.c (open, turns), store_schema.c (tables, migrations), store_job.c (submit, lease, attempts),
 * store_move.c (all other moves), store_class.c (classes, counters, queues), store_measure.c, store_peer.c (workers, client sessions),
 * store_child.c (children), store_account.c (limits of owners), store_checkpoint.c, store_progress.c,
 * store_upkeep.c (retention, disk), and for the reader store_read.c. */
#ifndef TERN_STORE_H
#define TERN_STORE_H

#include "proto/base/list.h"
#include "proto/message.h"

struct store;

struct store_options {
    const char *path;
    int64_t ballast_bytes; /* a file beside the database, freed when the disk is full; 0: none */
    const char *vfs;       /* NULL: the default; a test's own */
    void (*drop_cache)(const char *path); /* of that VFS: the file is read from the disk again; NULL: posix_fadvise */
    bool quiet;            /* no warnings about overlay and tmpfs */
};

/* Opens or creates, migrates, locks (a second broker on the same file gets -EBUSY). Counts the epoch up and commits that.
 * On failure *ret_error says what is wrong and what to do (owned by the caller); the file is untouched. */
int store_open(struct store **ret, const struct store_options *o, char **ret_error);
/* Rolls back what is not committed. NULL is fine. Returns NULL. */
struct store *store_close(struct store *s);
uint64_t store_epoch(const struct store *s);
const char *store_error_text(const struct store *s);

/* 0, also when nothing was written in this turn. */
int store_commit(struct store *s);
void store_rollback(struct store *s);

/* ---- classes: (queue, handler, tag, program, needs, suspect, isolated) ------------------------- */

struct class_row {
    uint32_t id;
    struct str queue, handler, program; /* program: unset but for commands */
    enum tag tag;                       /* TAG_AUTO.. or -1 when the submitter named none */
    bool tag_unset;
    bool suspect, isolated;
    struct str needs;                   /* unset: none */
    uint64_t jobs[N_STATES];            /* how many of them are in each state */
};

int store_each_class(struct store *s, void (*each)(void *ctx, const struct class_row *c), void *ctx);
/* A new one; *ret_id counts up from 1. */
int store_add_class(struct store *s, const struct class_row *c, uint32_t *ret_id);
/* The class c->id, which has no job, is another one from now on. */
int store_change_class(struct store *s, const struct class_row *c);

int store_each_paused(struct store *s, void (*each)(void *ctx, struct str queue), void *ctx);
int store_set_paused(struct store *s, struct str queue, bool paused);

/* ---- measures: (handler, program, tag asked for) ----------------------------------------------- */

struct measure_row {
    struct str handler, program; /* program: unset but for commands */
    enum tag tag;
    enum pool_kind pool;
    uint64_t runs, last_run;
    int64_t last_ms;
    double recent, wall_us, cpu_us, ready_us;
    struct str sketches;
};
/* Those that ran last come first. */
int store_each_measure(struct store *s, void (*each)(void *ctx, const struct measure_row *m), void *ctx);
int store_save_measure(struct store *s, const struct measure_row *m);
/* Deletes those that have not run since. */
int store_forget_measures(struct store *s, int64_t before_ms);

/* ---- the life of a job -------------------------------------------------------------------------- */

struct new_job {
    const struct job_spec *spec; /* borrowed; queue, handler, program and tag are in the class already */
    uint32_t class;
    enum job_state state;        /* QUEUED or SCHEDULED */
    int64_t due_ms;              /* of SCHEDULED; else UNSET */
    int64_t expire_at_ms;        /* or UNSET */
    uint64_t parent;             /* or 0 */
};

/* Ids follow each other: first, first + 1, ... owner: "uid:1000" and the like, interned. */
int store_add_jobs(struct store *s, const struct new_job *jobs, size_t n, struct str owner, int64_t now_ms,
                   uint64_t *ret_first);

/* A job as the core needs it. */
struct job_row {
    uint64_t id;
    enum job_state state;
    uint32_t class;
    int64_t priority;
    uint64_t attempt, failures, crashes;
    bool cancel_asked;
    bool started;    /* RUNNING: its worker is known to have begun it */
    uint64_t worker; /* row of the worker that holds or held it, or 0 */
    enum pool_kind pool;
    int64_t submitted_ms, due_ms, expire_at_ms, started_ms;
    int64_t timeout_ms, retries, backoff_min_ms, backoff_max_ms, crash_limit, memory_bytes, kill_grace_ms;
    int64_t owner; /* store_owner */
    int64_t chosen; /* CHOSEN; of a job that was just leased: else 0 */
    uint64_t parent; /* or 0 */
};

/* Who chose a pool (enum chosen_by), and the tag that counted, in one number. */
#define CHOSEN(by, tag) ((int64_t)(by) * N_TAGS + (int64_t)(tag))

/* -ENOENT. */
int store_get(struct store *s, uint64_t id, struct job_row *ret);
/* The jobs of first..last in order of id, at most max of them; returns how many. */
int store_scan(struct store *s, uint64_t first, uint64_t last, struct job_row *ret, size_t max);
/* The same, of which little is wanted. */
struct glance {
    uint64_t id;
    enum job_state state;
    int64_t owner;
};
int store_scan_states(struct store *s, uint64_t first, uint64_t last, struct glance *ret, size_t max);
uint64_t store_last_id(struct store *s);
/* The number of an owner's text, 0 when no job was ever submitted by it. */
int64_t store_owner(struct store *s, struct str owner);

/* Heads of what waits: the first `max` QUEUED jobs of a class, best first. */
struct head {
    int64_t priority;
    uint64_t id;
};
int store_heads(struct store *s, uint32_t class, struct head *ret, size_t max);

/* QUEUED -> RUNNING, attempt + 1. */
struct lease_order {
    uint64_t id;         /* in */
    uint64_t worker;     /* in: row of the worker */
    enum pool_kind pool; /* in */
    int64_t chosen;      /* in: CHOSEN */
    bool leased;         /* out: false when the job was not QUEUED any more, or is left for later (then nothing else is set) */
    bool left;           /* out: the payloads before it are enough for one call */
    struct job_row job;  /* out: as it is now */
    struct str name, payload; /* out: views into `owned` */
    void *owned;         /* out: freed by the caller */
    struct str checkpoint; /* out: of an attempt before this one, or unset; a view into what */
    void *owned_checkpoint; /* out: is freed by the caller */
};
int store_lease(struct store *s, struct lease_order *orders, size_t n, int64_t now_ms);
/* Its worker has begun a running attempt, at started_ms. */
int store_started(struct store *s, uint64_t id, uint64_t attempt, int64_t started_ms);

/* How far running attempts are, for people. At the end of a turn: where it has written nothing else, this is committed by itself and
 * without a sync, as it may be lost. */
int store_put_progress(struct store *s, const struct attempt_progress *all, size_t n);

/* What a running attempt leaves to the next one, in place of what there was; it goes when the job ends. 1 or 0. */
int store_put_checkpoint(struct store *s, uint64_t id, uint64_t attempt, struct str body);

/* A running attempt has ended: its row is written, and the job moves on. */
struct attempt_end {
    uint64_t id, attempt;
    enum job_state to;        /* DONE, DEAD, CANCELLED, EXPIRED, QUEUED, SCHEDULED */
    int64_t due_ms;           /* of SCHEDULED */
    uint64_t failures, crashes;
    uint32_t from_class, class; /* class: where it goes on; the same, but for suspects */
    uint64_t worker;
    enum pool_kind pool;
    int64_t started_ms, finished_ms;
    int64_t owner;            /* of job_row */
    const struct outcome *outcome; /* borrowed */
    bool recorded;            /* out: false when the job was not RUNNING this attempt any more: nothing was changed */
};
int store_end_attempts(struct store *s, struct attempt_end *ends, size_t n);
/* RUNNING this attempt -> QUEUED, uncounted: no attempt row; an event tells why. Returns 1, or 0 when it was not so. */
int store_hand_back(struct store *s, uint64_t id, uint64_t attempt, const char *why, struct str worker, int64_t now_ms);
/* Returns how many of its attempts, from this one on, were handed back for this reason. */
int store_count_handed_back(struct store *s, uint64_t id, uint64_t from_attempt, const char *why);

/* BLOCKED, SCHEDULED or QUEUED -> CANCELLED or EXPIRED. 1 or 0. */
int store_end_waiting(struct store *s, uint64_t id, enum job_state to, int64_t now_ms);
/* Marks a RUNNING job: asked to be cancelled. 1 or 0. */
int store_ask_cancel(struct store *s, uint64_t id, int64_t now_ms);
/* DEAD, CANCELLED or EXPIRED -> QUEUED; failures and crashes start again, expiry is taken off. 1 or 0. */
int store_retry(struct store *s, uint64_t id, uint32_t class, int64_t now_ms);
/* A terminal job, with all that hangs on it, is gone. 1 or 0. */
int store_remove(struct store *s, uint64_t id);
/* An extraordinary transition, for `tern history`. */
int store_event(struct store *s, uint64_t id, uint64_t attempt, const char *event, struct str worker, struct str text,
                int64_t now_ms);

/* SCHEDULED -> QUEUED for those that are due, at most max; returns how many. */
struct due_job {
    uint64_t id;
    uint32_t class;
    int64_t priority;
};
int store_promote_due(struct store *s, int64_t now_ms, struct due_job *ret, size_t max);
/* The ids of BLOCKED, SCHEDULED and QUEUED jobs whose expiry has passed, at most max; returns how many. */
int store_find_expired(struct store *s, int64_t now_ms, uint64_t *ret, size_t max);
/* When the next is due, or expires: ms since 1970, NEVER when none. */
int64_t store_next_due(struct store *s);
int64_t store_next_expiry(struct store *s);
/* When the job that waits longest in a class was submitted; UNSET when none. */
int64_t store_oldest(struct store *s, uint32_t class);

/* All that is RUNNING, at start. */
int store_each_lease(struct store *s, void (*each)(void *ctx, const struct job_row *j), void *ctx);

/* ---- children: jobs that a job has submitted, by its id and a key of its choice ------------------ */

/* The id of a job's child with this key, 0: there is none yet. 0 or -errno. */
int store_find_child(struct store *s, uint64_t parent, struct str key, uint64_t *ret_id);
/* The child of j->parent with this key: 1, made now; 0, made before, whatever j says. owner: of job_row. */
int store_add_child(struct store *s, const struct new_job *j, struct str key, bool detached, int64_t owner, int64_t now_ms,
                    uint64_t *ret_id);
/* How many a job has; or -errno. */
int64_t store_count_children(struct store *s, uint64_t parent);
struct child_row {
    uint64_t id;
    bool detached;
    char key[LIMIT_NAME_BYTES + 1];
};
/* Those whose keys come after this one, in order of their keys, at most max; returns how many. */
int store_children(struct store *s, uint64_t parent, const char *after, struct child_row *ret, size_t max);
/* Where a job stands, and how it ended if it has; -ENOENT. */
int store_get_end(struct store *s, uint64_t id, struct child_end *ret, uint64_t *ret_parent);

/* A job was cancelled: if it has children, this is noted until store_end_cascade. 1 or 0. */
int store_begin_cascade(struct store *s, uint64_t parent);
/* One that was noted; 0: none; or -errno. */
int64_t store_first_cascade(struct store *s);
int store_end_cascade(struct store *s, uint64_t parent);

/* ---- limits: how many jobs of an owner may be open, which is: not finished ----------------------- */

struct open_limit {
    struct str owner;
    int64_t most;
};
/* These owners have limits from now on, and nobody else; one that is named twice has the least. Whoever has jobs, and had no limit
 * before, is counted by store_count_open. */
int store_limit_open(struct store *s, const struct open_limit *limits, size_t n);
/* Counts on, over at most so many jobs. 1: there are more; 0; -errno. */
int store_count_open(struct store *s, size_t max);

/* How many open jobs an owner has, in step with the turn. Kept for those with a limit alone. */
struct account {
    int64_t owner, most, open; /* owner: of store_owner; most: 0: no limit (any more) */
    bool known;                /* open is true; else it is being counted */
    struct link link;          /* in changed_accounts of the store */
};
/* NULL: no limit. */
const struct account *store_account(const struct store *s, int64_t owner);

/* ---- workers ------------------------------------------------------------------------------------ */

/* The row of a worker's start: found by its 16-byte instance, or made. */
int store_worker(struct store *s, struct str instance, struct str name, struct str host, struct str owner, int64_t now_ms,
                 uint64_t *ret_worker);
/* The instance of a row, 16 bytes into ret; -ENOENT. Its name and its owner (NULL: not known), owned by the caller, in *ret_name
 * and *ret_owner when not NULL. */
int store_worker_instance(struct store *s, uint64_t worker, unsigned char ret[16], char **ret_name, char **ret_owner);
/* The rows behind this one, in order, at most max; returns how many. */
struct worker_seen {
    uint64_t row;
    int64_t first_ms;
};
int store_workers(struct store *s, uint64_t after, struct worker_seen *ret, size_t max);
/* Who ran the attempts behind *at, in order of job and attempt, at most max; 0: nobody knows. *at goes along. Returns how many. */
int store_attempt_workers(struct store *s, struct attempt_ref *at, uint64_t *ret, size_t max);
/* Whom no attempt and no lease names. */
int store_forget_worker(struct store *s, uint64_t worker);

/* ---- client sessions (idempotent submits) ------------------------------------------------------- */

struct submit_row {
    uint64_t seq, first_id, count;
};
/* 0 and the row; -ENOENT when this seq is not among the last 16; *ret_last: the highest seq, 0 for an unknown session. */
int store_find_submit(struct store *s, struct str owner, struct str instance, uint64_t seq, struct submit_row *ret,
                      uint64_t *ret_last);
int store_put_submit(struct store *s, struct str owner, struct str instance, const struct submit_row *row,
                     int64_t now_ms);
int store_forget_client(struct store *s, struct str owner, struct str instance);

/* ---- upkeep ------------------------------------------------------------------------------------- */

/* Deletes at most max finished jobs: those that finished before before_ms, and the oldest past keep; and client sessions
 * not used for a day. Returns how many jobs, and in ret what they were. */
struct swept_job {
    uint64_t id;
    uint32_t class;
    enum job_state state;
    int64_t expire_at_ms; /* or UNSET */
};
int store_sweep(struct store *s, int64_t before_ms, uint64_t keep, int64_t now_ms, struct swept_job *ret, size_t max);
/* At idle, outside a turn: gives freed pages back and copies the log into the database, in small pieces. Returns 1 when
 * there is more to do. */
int store_tidy(struct store *s);
/* Percent of the file system that is used, as df counts; negative errno. */
int store_disk_used(const struct store *s);
/* Makes the ballast file again after it was freed, when there is room. */
void store_restore_ballast(struct store *s);

/* ---- reading aside ------------------------------------------------------------------------------ */

/* A read-only connection of its own, for another thread; sees what was committed. */
struct store_reader;
int store_reader_open(struct store_reader **ret, const char *path, char **ret_error);
struct store_reader *store_reader_close(struct store_reader *r);
/* Answers a LIST, FETCH or HISTORY: appends the encoded answer (JOBS, FETCHED, EVENTS or ERROR) to out. owner: only
 * jobs of this owner are seen; unset: all. Other jobs are as if they did not exist (ERROR 3). */
int store_reader_answer(struct store_reader *r, const struct message *request, struct str owner, struct buf *out);

#endif
