/* limits_sqlite.c - what SQLite alone can do for a queue: one table, one index of what waits, payload and result in the row. */
#include "tests/bench/limits.h"

#include <sqlite3.h>

#include "proto/base/base.h"

#define LOG_PAGES 8000 /* the log is copied into the database past so many, as the broker does it */

/* The settings of broker/store_schema.c that cost or save time. */
static const char setup[] =
    "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = FAST;"
    "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384; PRAGMA mmap_size = 0; PRAGMA cell_size_check = ON;"
    "PRAGMA journal_size_limit = 67108864;"
    "CREATE TABLE job (id INTEGER PRIMARY KEY, state INTEGER NOT NULL, class INTEGER NOT NULL, priority INTEGER NOT NULL,"
    "  attempt INTEGER NOT NULL, owner INTEGER NOT NULL, submitted_at INTEGER NOT NULL, worker INTEGER, started_at INTEGER,"
    "  finished_at INTEGER, payload BLOB NOT NULL, result BLOB) STRICT;"
    "CREATE INDEX job_ready ON job (class, priority DESC) WHERE state = 2;";

enum { BEGIN, COMMIT, ADD, HEADS, CLAIM, FINISH, N_TEXTS };
static const char *const texts[] = {
    "BEGIN IMMEDIATE",
    "COMMIT",
    "INSERT INTO job (id, state, class, priority, attempt, owner, submitted_at, payload) VALUES (?1, 2, 1, 0, 0, 1, ?2, ?3)",
    "SELECT id, payload FROM job WHERE state = 2 AND class = 1 ORDER BY priority DESC, id LIMIT ?1",
    "UPDATE job SET state = 3, attempt = attempt + 1, worker = 1, started_at = ?2 WHERE id = ?1 AND state = 2",
    "UPDATE job SET state = 4, finished_at = ?2, result = ?3 WHERE id = ?1 AND state = 3 AND attempt = 1",
};

struct table {
    sqlite3 *db;              /* owned */
    sqlite3_stmt *q[N_TEXTS]; /* owned */
    int64_t last;             /* id */
    int64_t claimed[A_COMMIT];
    size_t n_claimed;
};

static void must(struct table *t, int rc)
{
    if (rc != SQLITE_OK && rc != SQLITE_DONE)
        limits_quit("SQLite", sqlite3_errmsg(t->db));
}

static void open_table(struct table *t, const char *path)
{
    *t = (struct table){ 0 };
    must(t, sqlite3_open_v2(path, &t->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL));
    must(t, sqlite3_exec(t->db, setup, NULL, NULL, NULL));
    must(t, sqlite3_wal_autocheckpoint(t->db, LOG_PAGES));
    for (int i = 0; i < N_TEXTS; i++)
        must(t, sqlite3_prepare_v3(t->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &t->q[i], NULL));
}

static void close_table(struct table *t)
{
    for (int i = 0; i < N_TEXTS; i++)
        sqlite3_finalize(t->q[i]);
    sqlite3_close(t->db);
}

static void step(struct table *t, int which)
{
    must(t, sqlite3_step(t->q[which]));
    sqlite3_reset(t->q[which]);
}

static void add(struct table *t)
{
    static const char payload[PAYLOAD_BYTES];
    sqlite3_stmt *q = t->q[ADD];
    sqlite3_bind_int64(q, 1, ++t->last);
    sqlite3_bind_int64(q, 2, mono_ns());
    sqlite3_bind_blob(q, 3, payload, sizeof payload, SQLITE_STATIC);
    step(t, ADD);
}

/* Each of these is one commit. */

static void add_many(struct table *t)
{
    step(t, BEGIN);
    for (int i = 0; i < A_COMMIT; i++)
        add(t);
    step(t, COMMIT);
}

static void find_heads(struct table *t)
{
    sqlite3_stmt *q = t->q[HEADS];
    char payload[PAYLOAD_BYTES];
    t->n_claimed = 0;
    sqlite3_bind_int64(q, 1, A_COMMIT);
    while (sqlite3_step(q) == SQLITE_ROW) {
        t->claimed[t->n_claimed++] = sqlite3_column_int64(q, 0);
        memcpy(payload, sqlite3_column_blob(q, 1), sizeof payload);
    }
    must(t, sqlite3_reset(q));
    if (t->n_claimed != A_COMMIT)
        limits_quit("SQLite", "not all that was inserted is there");
}

static void claim_many(struct table *t)
{
    step(t, BEGIN);
    find_heads(t);
    for (size_t i = 0; i < t->n_claimed; i++) {
        sqlite3_bind_int64(t->q[CLAIM], 1, t->claimed[i]);
        sqlite3_bind_int64(t->q[CLAIM], 2, mono_ns());
        step(t, CLAIM);
    }
    step(t, COMMIT);
}

static void finish_many(struct table *t)
{
    static const char result[PAYLOAD_BYTES];
    step(t, BEGIN);
    for (size_t i = 0; i < t->n_claimed; i++) {
        sqlite3_bind_int64(t->q[FINISH], 1, t->claimed[i]);
        sqlite3_bind_int64(t->q[FINISH], 2, mono_ns());
        sqlite3_bind_blob(t->q[FINISH], 3, result, sizeof result, SQLITE_STATIC);
        step(t, FINISH);
    }
    step(t, COMMIT);
}

void limit_commit(const char *path, size_t n, struct measured *ret)
{
    struct table t;
    open_table(&t, path);
    for (size_t i = 0; i < n; i++) {
        int64_t began = measured_begin(ret);
        add(&t);
        measured_end(ret, began);
    }
    close_table(&t);
}

void limit_insert(const char *path, size_t n, struct measured *ret)
{
    struct table t;
    open_table(&t, path);
    int64_t began = mono_ns();
    for (size_t i = 0; i < n / A_COMMIT; i++)
        add_many(&t);
    ret->ns = mono_ns() - began;
    close_table(&t);
}

void limit_finish(const char *path, size_t n, struct measured *ret)
{
    struct table t;
    open_table(&t, path);
    for (size_t i = 0; i < n / A_COMMIT; i++)
        add_many(&t);
    int64_t began = mono_ns();
    for (size_t i = 0; i < n / A_COMMIT; i++) {
        claim_many(&t);
        finish_many(&t);
    }
    ret->ns = mono_ns() - began;
    close_table(&t);
}

void limit_life(const char *path, size_t n, struct measured *ret)
{
    struct table t;
    open_table(&t, path);
    int64_t began = mono_ns();
    for (size_t i = 0; i < n / A_COMMIT; i++) {
        add_many(&t);
        claim_many(&t);
        finish_many(&t);
    }
    ret->ns = mono_ns() - began;
    close_table(&t);
}
