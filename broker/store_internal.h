/* store_internal.h - what the store_*.c share: the connection, the statements, the turn. SQLite is known to them alone.
 *
 * Every statement is a constant, prepared once at open, and reset after each use: a statement left open would pin the log.
 * HOT: runs in the turn; the tests ask EXPLAIN QUERY PLAN for each and fail on a scan or a sort. */
#ifndef TERN_STORE_INTERNAL_H
#define TERN_STORE_INTERNAL_H

#include <sqlite3.h>

#include "broker/store.h"
#include "proto/base/clock.h"
#include "proto/base/map.h"

#define APPLICATION_ID 0x7465726e /* "tern" */

#define JOB_COLUMNS                                                                                \
    "id, state, class, priority, attempt, failures, crashes, cancel, worker, pool, submitted_at, due_at, expire_at, "  \
    "started_at, timeout_ms, retries, backoff_min_ms, backoff_max_ms, crash_limit, memory_bytes, kill_grace_ms, owner, "  \
    "started, parent"
#define JOB_TABLES "job LEFT JOIN spec ON spec.job = id"

#define HOT true
#define COLD false

/* X(name, hot, sql) */
#define STATEMENTS(X)                                                                              \
    X(BEGIN, COLD, "BEGIN IMMEDIATE")                                                              \
    X(COMMIT, COLD, "COMMIT")                                                                      \
    X(META_GET, HOT, "SELECT value FROM meta WHERE key = ?")                                       \
    X(META_PUT, HOT, "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value") \
    X(CLASSES, COLD,                                                                               \
      "SELECT id, queue, handler, program, tag, tag_unset, suspect, isolated, needs FROM class ORDER BY id") \
    X(CLASS_COUNTS, HOT, "SELECT state, n FROM counter WHERE class = ?")                           \
    X(CLASS_ADD, COLD,                                                                             \
      "INSERT INTO class (id, queue, handler, program, tag, tag_unset, suspect, isolated, needs) "                      \
      "VALUES ((SELECT coalesce(max(id), 0) + 1 FROM class), ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id")                     \
    X(CLASS_CHANGE, COLD,                                                                          \
      "UPDATE class SET queue = ?, handler = ?, program = ?, tag = ?, tag_unset = ?, suspect = ?, isolated = ?, needs = ? " \
      "WHERE id = ?")                                                                              \
    X(MEASURES, COLD,                                                                              \
      "SELECT handler, program, tag, pool, runs, last_at, recent, wall_us, cpu_us, ready_us, sketches, last_run "       \
      "FROM measure ORDER BY last_at DESC")                                                        \
    X(MEASURE_PUT, HOT,                                                                            \
      "INSERT OR REPLACE INTO measure (handler, program, tag, pool, runs, last_at, recent, wall_us, cpu_us, ready_us, " \
      "sketches, last_run) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")                           \
    X(MEASURES_FORGET, COLD, "DELETE FROM measure WHERE last_at < ?")                             \
    X(COUNTER_ADD, HOT,                                                                            \
      "INSERT INTO counter (class, state, n) VALUES (?, ?, ?) ON CONFLICT (class, state) DO UPDATE SET n = n + excluded.n") \
    X(FINISHED_COUNT, COLD, "SELECT coalesce(sum(n), 0) FROM counter WHERE state >= 4")            \
    X(PAUSED, COLD, "SELECT name FROM queue WHERE paused = 1")                                     \
    X(PAUSE, HOT, "INSERT INTO queue (name, paused) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET paused = excluded.paused") \
    X(OWNER_FIND, HOT, "SELECT id FROM owner WHERE name = ?")                                      \
    X(OWNER_ADD, HOT, "INSERT INTO owner (name) VALUES (?) RETURNING id")                          \
    X(ACCOUNTS, COLD, "SELECT owner, open FROM account")                                           \
    X(ACCOUNT_PUT, HOT, "INSERT OR REPLACE INTO account (owner, open) VALUES (?, ?)")                \
    X(ACCOUNT_DROP, HOT, "DELETE FROM account WHERE owner = ?")                                    \
    X(JOB_ADD, HOT,                                                                                \
      "INSERT INTO job (id, state, class, priority, shelf, rank, submitted_at, due_at, expire_at, owner) "             \
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")                                                     \
    X(SPEC_ADD, HOT,                                                                               \
      "INSERT INTO spec (job, parent, timeout_ms, retries, backoff_min_ms, backoff_max_ms, crash_limit, memory_bytes, " \
      "kill_grace_ms, name) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")                                \
    X(EXPIRY_ADD, HOT, "INSERT OR IGNORE INTO expiry (at, job) SELECT expire_at, id FROM job WHERE id = ? AND expire_at IS NOT NULL") \
    X(EXPIRY_REMOVE, HOT, "DELETE FROM expiry WHERE at = ? AND job = ?")                           \
    X(PAYLOAD_ADD, HOT, "INSERT INTO payload (job, body) VALUES (?, ?)")                           \
    X(JOB_GET, HOT, "SELECT " JOB_COLUMNS " FROM " JOB_TABLES " WHERE id = ?")                     \
    X(JOB_SCAN, HOT, "SELECT " JOB_COLUMNS " FROM " JOB_TABLES " WHERE id >= ? AND id <= ? ORDER BY id LIMIT ?")       \
    X(STATE_SCAN, HOT, "SELECT id, state, owner FROM job WHERE id >= ? AND id <= ? ORDER BY id LIMIT ?")                \
    X(JOB_LAST, HOT, "SELECT max(id) FROM job")                                                    \
    X(HEADS, HOT,                                                                                  \
      "SELECT -rank, id FROM job WHERE shelf = ? ORDER BY rank, id LIMIT ?")                       \
    X(LEASE_SCAN, HOT,                                                                             \
      "SELECT " JOB_COLUMNS ", name, body FROM " JOB_TABLES " LEFT JOIN payload ON payload.job = id "            \
      "WHERE id >= ? AND id <= ? AND state = 2 ORDER BY id") \
    X(LEASE, HOT,                                                                                  \
      "UPDATE job SET state = 3, shelf = -2, rank = 0, attempt = ?2, worker = ?3, pool = ?4, started_at = ?5, started = 0, " \
      "chosen = ?6, progress = NULL "                                                              \
      "WHERE id = ?1 AND state = 2")                                                               \
    X(STARTED, HOT, "UPDATE job SET started_at = ?3, started = 1 WHERE id = ?1 AND state = 3 AND attempt = ?2")           \
    X(PROGRESS, HOT, "UPDATE job SET progress = ?3 WHERE id = ?1 AND state = 3 AND attempt = ?2")                         \
    X(ATTEMPT_END, HOT,                                                                            \
      "UPDATE job SET state = ?3, shelf = ?4, rank = coalesce(?5, -priority), due_at = coalesce(?6, due_at), "          \
      "failures = ?7, crashes = ?8, "                                                                                   \
      "class = ?9, finished_at = ?10, started_at = ?11, cancel = 0 WHERE id = ?1 AND state = 3 AND attempt = ?2")       \
    X(ATTEMPT_ADD, HOT,                                                                            \
      "INSERT INTO attempt (job, n, worker, pool, started_at, finished_at, ending, reason, exit_code, signal, wall_us, " \
      "cpu_us, max_rss_kb, error, state, due_at, result) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")  \
    X(OUTPUT_ADD, HOT, "INSERT INTO output (job, attempt, body) VALUES (?, ?, ?)")                 \
    X(HAND_BACK, HOT,                                                                              \
      "UPDATE job SET state = 2, shelf = class, rank = -priority, worker = NULL, pool = NULL, started_at = NULL "      \
      "WHERE id = ?1 AND state = 3 AND attempt = ?2")                                              \
    X(HANDED_BACK, COLD,                                                                           \
      "SELECT count(*) FROM event WHERE job = ?1 AND attempt >= ?2 AND event = 'handed-back' AND text = ?3")           \
    X(END_WAITING, HOT,                                                                            \
      "UPDATE job SET state = ?2, shelf = 0, rank = ?3, finished_at = ?3 WHERE id = ?1 AND state < 3")                 \
    X(ASK_CANCEL, HOT, "UPDATE job SET cancel = 1 WHERE id = ? AND state = 3")                     \
    X(RETRY, HOT,                                                                                  \
      "UPDATE job SET state = 2, shelf = ?2, rank = -priority, class = ?2, failures = 0, crashes = 0, cancel = 0, "    \
      "expire_at = NULL, due_at = NULL, finished_at = NULL, worker = NULL, pool = NULL, started_at = NULL "            \
      "WHERE id = ?1 AND state > 4")                                                               \
    X(REMOVE, HOT, "DELETE FROM job WHERE id >= ? AND id <= ?")                                    \
    X(REMOVE_SPEC, HOT, "DELETE FROM spec WHERE job >= ? AND job <= ?")                            \
    X(REMOVE_PAYLOAD, HOT, "DELETE FROM payload WHERE job >= ? AND job <= ?")                      \
    X(REMOVE_ATTEMPTS, HOT, "DELETE FROM attempt WHERE job >= ? AND job <= ?")                     \
    X(REMOVE_OUTPUT, HOT, "DELETE FROM output WHERE job >= ? AND job <= ?")                        \
    X(REMOVE_EVENTS, HOT, "DELETE FROM event WHERE job >= ? AND job <= ?")                         \
    X(REMOVE_CHILDREN, HOT, "DELETE FROM child WHERE parent >= ? AND parent <= ?")                 \
    X(CHECKPOINT_ANY, COLD, "SELECT EXISTS (SELECT 1 FROM checkpoint)")                            \
    X(CHECKPOINT_PUT, HOT,                                                                         \
      "INSERT OR REPLACE INTO checkpoint (job, body) SELECT id, ?3 FROM job WHERE id = ?1 AND state = 3 AND attempt = ?2") \
    X(CHECKPOINT_GET, HOT, "SELECT body FROM checkpoint WHERE job = ?")                            \
    X(CHECKPOINT_DROP, HOT, "DELETE FROM checkpoint WHERE job = ?")                                \
    X(CHILD_FIND, HOT, "SELECT job FROM child WHERE parent = ? AND key = ?")                       \
    X(CHILD_ADD, HOT, "INSERT INTO child (parent, key, job, detached) VALUES (?, ?, ?, ?)")        \
    X(CHILD_COUNT, HOT, "SELECT count(*) FROM child WHERE parent = ?")                             \
    X(CHILDREN, HOT, "SELECT key, job, detached FROM child WHERE parent = ? AND key > ? ORDER BY key LIMIT ?")         \
    X(CHILDREN_FORGET, HOT,                                                                        \
      "DELETE FROM child WHERE parent = ? AND NOT EXISTS (SELECT 1 FROM job WHERE id = child.job AND state <= 4)")     \
    X(CHILD_END, HOT,                                                                              \
      "SELECT parent, job.state, reason, exit_code, signal FROM " JOB_TABLES " LEFT JOIN attempt ON attempt.job = id " \
      "AND n = attempt WHERE id = ?")                                                              \
    X(CASCADE_ADD, HOT,                                                                            \
      "INSERT OR IGNORE INTO cascade (parent) SELECT ?1 WHERE EXISTS (SELECT 1 FROM child WHERE parent = ?1)")         \
    X(CASCADE_FIRST, HOT, "SELECT min(parent) FROM cascade")                    \
    X(CASCADE_REMOVE, HOT, "DELETE FROM cascade WHERE parent = ?")                                 \
    X(EVENT_TRIM, HOT,                                                                             \
      "DELETE FROM event WHERE id = (SELECT id FROM event WHERE job = ? ORDER BY id DESC LIMIT 1 OFFSET ?)")           \
    X(EVENT_END, HOT,                                                                              \
      "INSERT INTO event (job, at, event) SELECT id, finished_at, ?2 FROM job WHERE id = ?1 AND finished_at IS NOT NULL") \
    X(EVENT_ADD, HOT, "INSERT INTO event (job, attempt, at, event, worker, text) VALUES (?, ?, ?, ?, ?, ?)")           \
    X(DUE, HOT, "SELECT id, class, priority FROM job WHERE shelf = -1 AND rank <= ? ORDER BY rank LIMIT ?")             \
    X(PROMOTE, HOT, "UPDATE job SET state = 2, shelf = class, rank = -priority WHERE id = ? AND state = 1")            \
    X(NEXT_DUE, HOT, "SELECT rank FROM job WHERE shelf = -1 ORDER BY rank LIMIT 1")                \
    X(EXPIRED, HOT,                                                                                \
      "SELECT at, job, id FROM expiry LEFT JOIN job ON id = job AND expire_at = at AND state < 3 WHERE at <= ? "       \
      "ORDER BY at LIMIT ?")                                                                       \
    X(NEXT_EXPIRY, HOT, "SELECT at FROM expiry ORDER BY at LIMIT 1")                               \
    X(OLDEST, HOT,                                                                                 \
      "SELECT rank, submitted_at FROM job WHERE shelf = ? AND rank > ? ORDER BY rank, id LIMIT 1") \
    X(LEASES, COLD, "SELECT " JOB_COLUMNS " FROM " JOB_TABLES " WHERE shelf = -2 AND rank = 0 ORDER BY id")                 \
    X(WORKER_FIND, HOT, "SELECT id FROM worker WHERE instance = ?")                                \
    X(WORKER_ADD, HOT, "INSERT INTO worker (instance, name, host, first_seen, owner) VALUES (?, ?, ?, ?, ?) RETURNING id") \
    X(WORKERS, HOT, "SELECT id, first_seen FROM worker WHERE id > ? ORDER BY id LIMIT ?")          \
    X(WORKER_REMOVE, HOT, "DELETE FROM worker WHERE id = ?")                                       \
    X(ATTEMPT_WORKERS, HOT, "SELECT job, n, worker FROM attempt WHERE (job, n) > (?, ?) ORDER BY job, n LIMIT ?")      \
    X(WORKER_GET, HOT, "SELECT instance, name, owner FROM worker WHERE id = ?")                    \
    X(SUBMITS, HOT, "SELECT seq, first_id, count FROM submit WHERE owner = ? AND instance = ? ORDER BY seq DESC")      \
    X(SUBMIT_ADD, HOT, "INSERT OR REPLACE INTO submit (owner, instance, seq, first_id, count) VALUES (?, ?, ?, ?, ?)") \
    X(SUBMIT_TRIM, HOT, "DELETE FROM submit WHERE owner = ? AND instance = ? AND seq <= ?")        \
    X(CLIENT_USED, HOT, "SELECT last_used FROM client WHERE owner = ? AND instance = ?")           \
    X(CLIENT_PUT, HOT,                                                                             \
      "INSERT INTO client (owner, instance, last_used) VALUES (?, ?, ?) ON CONFLICT (owner, instance) "                \
      "DO UPDATE SET last_used = excluded.last_used")                                              \
    X(CLIENT_REMOVE, HOT, "DELETE FROM client WHERE owner = ? AND instance = ?")                   \
    X(SUBMITS_REMOVE, HOT, "DELETE FROM submit WHERE owner = ? AND instance = ?")                  \
    X(CLIENT_OLD, HOT, "SELECT owner, instance FROM client WHERE last_used < ? LIMIT 1")          \
    X(FINISHED_OLDEST, HOT,                                                                        \
      "SELECT id, class, state, expire_at FROM job WHERE shelf = 0 AND rank < ? ORDER BY rank LIMIT ?")

enum statement {
#define X(name, hot, sql) SQL_##name,
    STATEMENTS(X)
#undef X
    N_STATEMENTS
};

struct store {
    sqlite3 *db;            /* owned */
    sqlite3_stmt *statements[N_STATEMENTS]; /* owned */
    char *path;             /* owned */
    int lock_fd;
    uint64_t epoch;
    bool in_turn;           /* a transaction is open */
    int failed;             /* the first error of this turn: nothing more is written until store_rollback */
    char error[512];
    uint64_t next_id, next_id_saved; /* above all ids that were given out; saved when the job with the highest goes */
    bool highest_removed;   /* in this turn */
    uint64_t n_finished;
    struct strmap owners;   /* name -> number, as a pointer */
    struct idmap accounts;  /* by owner; of struct account, owned */
    struct link changed_accounts; /* those that differ from their rows */
    size_t n_uncounted;     /* of them all: those that are being counted */
    uint64_t count_next;    /* the first job that these have not been counted up to */
    int64_t (*deltas)[N_STATES]; /* owned: of this turn, by class - 1 */
    uint32_t *dirty;        /* owned: classes with deltas */
    size_t n_dirty, cap_dirty, n_deltas;
    int wal_pages;          /* in the log, as of the last commit */
    int wal_pages_tried;    /* when it was last copied into the database; 0 once it has begun anew */
    int tidy_pages;         /* from so many on store_tidy copies the log, and gives freed pages back */
    int64_t ballast_bytes;
    bool ballast_freed;
    bool has_checkpoints;   /* there may be one */
};

extern const char *const store_sql[N_STATEMENTS];
extern const bool store_sql_is_hot[N_STATEMENTS];
extern const char *const store_read_sql[]; /* of store_read.c; NULL at the end */

/* store.c: until *ret_fd is closed nobody else serves the database. -EBUSY: somebody does. */
int store_lock(const char *database, int *ret_fd, char **ret_error);
/* store_schema.c */
int schema_prepare_file(struct store *s, const struct store_options *o, char **ret_error);
/* Says what is wrong with the file, and what to do. Returns r. */
int schema_refuse(struct store *s, int r, char **ret_error);
int schema_newest(void);
int schema_migrate(struct store *s, char **ret_error);

/* Between transactions: whether a commit waits until the disk has it. What is committed without waiting is on the disk with the next
 * one that does, or is lost as a whole. */
#define STORE_SYNCED "PRAGMA synchronous = FULL"
#define STORE_UNSYNCED "PRAGMA synchronous = NORMAL"

/* store.c: the only ways to run a statement. -errno; the error's text is kept. */
int store_error(struct store *s, int rc);
/* Opens the turn's transaction if it is not open yet. */
int store_write(struct store *s);
/* The statement, ready to be bound. */
static inline sqlite3_stmt *sql(struct store *s, enum statement id) { return s->statements[id]; }
/* Runs to the end, and resets. Returns the number of rows changed. */
int sql_run(struct store *s, sqlite3_stmt *q);
/* 1: a row, to be read and then reset by sql_end; 0: none, and it is reset. */
int sql_row(struct store *s, sqlite3_stmt *q);
void sql_end(sqlite3_stmt *q);
/* One number out of a query of one row; when_none if there is no row, or it is NULL. */
int64_t sql_number(struct store *s, sqlite3_stmt *q, int64_t when_none);
/* Copies of the log into the database what no reader holds. A disk that is full can wait; a failed sync cannot. */
int store_checkpoint(struct store *s);
/* Runs constant SQL that is not prepared. */
int sql_exec(struct store *s, const char *text);

void bind_int(sqlite3_stmt *q, int at, int64_t v); /* UNSET is NULL */
void bind_text(sqlite3_stmt *q, int at, struct str v);
void bind_blob(sqlite3_stmt *q, int at, struct str v);
int64_t column_int(sqlite3_stmt *q, int at); /* NULL is UNSET */
struct str column_text(sqlite3_stmt *q, int at);
struct str column_blob(sqlite3_stmt *q, int at);

/* store_class.c: counted now, written at the commit. */
void counter_move(struct store *s, uint32_t class_from, int from, uint32_t class_to, int to);
int counters_flush(struct store *s);
void counters_drop(struct store *s);
/* store_account.c: a job of this owner has come to be open, or is not any more; at the commit; as the database has them. */
void account_move(struct store *s, int64_t owner, uint64_t id, int by);
int accounts_flush(struct store *s);
int accounts_load(struct store *s);
void accounts_drop(struct store *s);
/* store_move.c: terminal jobs whose ids follow each other are gone, with all that hangs on them. */
int store_remove_range(struct store *s, const struct swept_job *jobs, size_t n);
/* store_job.c */
void read_job(sqlite3_stmt *q, struct job_row *ret);
/* A job that expires waits again: it is looked at when its time has come. */
int store_note_expiry(struct store *s, uint64_t id);
int store_owner_intern(struct store *s, struct str owner, int64_t *ret);
/* Under the next id; its number of the owner stands for his text. */
int store_add_job(struct store *s, const struct new_job *j, int64_t owner, int64_t now_ms, uint64_t *ret_id);
/* store_child.c: of a job that is tried again from its beginning, what did not come to a good end. */
int store_forget_children(struct store *s, uint64_t parent);
/* store_checkpoint.c: at the start; into an order that was leased; of a job that has ended. */
int store_load_checkpoints(struct store *s);
int store_read_checkpoint(struct store *s, struct lease_order *o);
int store_drop_checkpoint(struct store *s, uint64_t id);
int store_load_caches(struct store *s);

#endif
