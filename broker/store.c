/* store.c - one connection, opened once; turns; errors. */
#include "broker/store_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define X(name, hot, sql) sql,
const char *const store_sql[N_STATEMENTS] = { STATEMENTS(X) };
#undef X
#define X(name, hot, sql) hot,
const bool store_sql_is_hot[N_STATEMENTS] = { STATEMENTS(X) };
#undef X

#define WAL_PAGES_BACKSTOP 8000 /* the log is copied into the database inside a commit only past each so many */
#define FULL_BELOW_BYTES (1u << 20)
#define TIDY_PAGES 1000

/* ---- errors ------------------------------------------------------------------------------------- */

/* SQLite says SQLITE_FULL only where a write was cut short: where the log's index cannot grow, or a quota is used up, it
 * calls the same an I/O error, and often forgets the cause. A sync that failed is never meant: what it left on the disk
 * is unknown. */
static bool is_full(const struct store *s)
{
    int code = sqlite3_extended_errcode(s->db), error = sqlite3_system_errno(s->db);
    if (code != SQLITE_IOERR_WRITE && code != SQLITE_IOERR_SHMSIZE)
        return false;
    struct statvfs v;
    bool no_room = statvfs(s->path, &v) == 0 && v.f_bavail * v.f_frsize < FULL_BELOW_BYTES;
    return no_room || error == ENOSPC || error == EDQUOT;
}

static int errno_of(const struct store *s, int rc)
{
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EBADMSG;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_CANTOPEN:
        return -ENOENT;
    case SQLITE_BUSY:
        return -EBUSY;
    case SQLITE_IOERR:
        return is_full(s) ? -ENOSPC : -EIO;
    default:
        return -EIO;
    }
}

static void free_ballast(struct store *s)
{
    if (s->ballast_freed || !s->ballast_bytes)
        return;
    cleanup(freep) char *path = xasprintf("%s.ballast", s->path);
    s->ballast_freed = true;
    unlink(path);
}

int store_error(struct store *s, int rc)
{
    int r = errno_of(s, rc);
    if (r >= 0)
        return 0;
    snprintf(s->error, sizeof s->error, "%s (SQLite error %d)", sqlite3_errmsg(s->db), sqlite3_extended_errcode(s->db));
    if (!s->failed)
        s->failed = r;
    if (r == -ENOSPC)
        free_ballast(s);
    return r;
}

const char *store_error_text(const struct store *s) { return s->error[0] ? s->error : "no error"; }
uint64_t store_epoch(const struct store *s) { return s->epoch; }

/* ---- statements ---------------------------------------------------------------------------------- */

void sql_end(sqlite3_stmt *q)
{
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
}

/* After an error SQLite may have rolled back all of the turn: what came then would be committed by itself. */
static bool is_over(struct store *s, sqlite3_stmt *q)
{
    if (s->failed)
        sql_end(q);
    return s->failed;
}

int sql_run(struct store *s, sqlite3_stmt *q)
{
    if (is_over(s, q))
        return s->failed;
    int rc = sqlite3_step(q);
    while (rc == SQLITE_ROW)
        rc = sqlite3_step(q);
    int r = store_error(s, rc);
    sql_end(q);
    return r < 0 ? r : sqlite3_changes(s->db);
}

int sql_row(struct store *s, sqlite3_stmt *q)
{
    if (is_over(s, q))
        return s->failed;
    int rc = sqlite3_step(q);
    if (rc == SQLITE_ROW)
        return 1;
    int r = store_error(s, rc);
    sql_end(q);
    return r;
}

int64_t sql_number(struct store *s, sqlite3_stmt *q, int64_t when_none)
{
    int r = sql_row(s, q);
    if (r <= 0)
        return when_none;
    int64_t v = sqlite3_column_type(q, 0) == SQLITE_NULL ? when_none : sqlite3_column_int64(q, 0);
    sql_end(q);
    return v;
}

int sql_exec(struct store *s, const char *text) { return store_error(s, sqlite3_exec(s->db, text, NULL, NULL, NULL)); }

void bind_int(sqlite3_stmt *q, int at, int64_t v)
{
    if (v != UNSET) /* else it is NULL: sql_end has cleared it */
        sqlite3_bind_int64(q, at, v);
}

void bind_text(sqlite3_stmt *q, int at, struct str v)
{
    if (!v.p)
        sqlite3_bind_null(q, at);
    else
        sqlite3_bind_text(q, at, v.p, (int)v.n, SQLITE_STATIC);
}

void bind_blob(sqlite3_stmt *q, int at, struct str v)
{
    if (!v.p)
        sqlite3_bind_null(q, at);
    else
        sqlite3_bind_blob(q, at, v.n ? v.p : "", (int)v.n, SQLITE_STATIC);
}

int64_t column_int(sqlite3_stmt *q, int at)
{
    return sqlite3_column_type(q, at) == SQLITE_NULL ? UNSET : sqlite3_column_int64(q, at);
}

struct str column_text(sqlite3_stmt *q, int at)
{
    const char *p = (const char *)sqlite3_column_text(q, at);
    return (struct str){ p, p ? (size_t)sqlite3_column_bytes(q, at) : 0 };
}

struct str column_blob(sqlite3_stmt *q, int at)
{
    if (sqlite3_column_type(q, at) == SQLITE_NULL)
        return STR_UNSET;
    const char *p = sqlite3_column_blob(q, at);
    return (struct str){ p ? p : "", (size_t)sqlite3_column_bytes(q, at) };
}

/* ---- turns --------------------------------------------------------------------------------------- */

int store_write(struct store *s)
{
    if (s->failed)
        return s->failed;
    if (s->in_turn)
        return 0;
    int r = sql_run(s, sql(s, SQL_BEGIN));
    s->in_turn = r >= 0;
    return r < 0 ? r : 0;
}

/* Ids are never given out twice. While the job with the highest is there, it says how far they go. */
static int save_next_id(struct store *s)
{
    if (s->next_id == s->next_id_saved || !s->highest_removed)
        return 0;
    sqlite3_stmt *q = sql(s, SQL_META_PUT);
    bind_text(q, 1, str_of("next_id"));
    bind_int(q, 2, (int64_t)s->next_id);
    int r = sql_run(s, q);
    return r < 0 ? r : 0;
}

int store_checkpoint(struct store *s)
{
    s->wal_pages_tried = s->wal_pages;
    int rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    int r = errno_of(s, rc);
    return r == -EBUSY || r == -ENOSPC ? 0 : store_error(s, rc);
}

int store_commit(struct store *s)
{
    if (s->failed)
        return s->failed;
    if (!s->in_turn)
        return 0;
    int r = counters_flush(s);
    if (r >= 0)
        r = accounts_flush(s);
    if (r >= 0)
        r = save_next_id(s);
    if (r >= 0)
        r = sql_run(s, sql(s, SQL_COMMIT));
    if (r < 0)
        return r;
    s->in_turn = false;
    if (s->highest_removed)
        s->next_id_saved = s->next_id;
    s->highest_removed = false;
    return s->wal_pages - s->wal_pages_tried > WAL_PAGES_BACKSTOP ? store_checkpoint(s) : 0;
}

void store_rollback(struct store *s)
{
    if (!sqlite3_get_autocommit(s->db))
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    sqlite3_exec(s->db, STORE_SYNCED, NULL, NULL, NULL);
    s->in_turn = s->highest_removed = false;
    s->failed = 0;
    counters_drop(s);
    store_load_caches(s);
}

/* ---- open and close ------------------------------------------------------------------------------ */

int store_lock(const char *database, int *ret_fd, char **ret_error)
{
    cleanup(freep) char *path = xasprintf("%s.lock", database);
    cleanup(closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        int error = errno;
        *ret_error = xasprintf("cannot write %s: %s; the directory must exist and belong to the broker's user", path,
                               strerror(error));
        return -error;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        char pid[24] = "";
        ssize_t n = pread(fd, pid, sizeof pid - 1, 0);
        *ret_error = xasprintf("another broker (pid %.*s) serves the database %s; stop it first, or choose another --db",
                               n > 0 ? (int)strcspn(pid, "\n") : 1, n > 0 ? pid : "?", database);
        return -EBUSY;
    }
    char pid[24];
    int n = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    bool told = ftruncate(fd, 0) == 0 && pwrite(fd, pid, (size_t)n, 0) == n;
    (void)told; /* the lock holds all the same; only its text is missing */
    *ret_fd = fd;
    fd = -1;
    return 0;
}

static int on_wal(void *store, sqlite3 *db, const char *name, int pages)
{
    (void)db;
    (void)name;
    struct store *s = store;
    if (pages < s->wal_pages)
        s->wal_pages_tried = 0;
    s->wal_pages = pages;
    return SQLITE_OK;
}

static int prepare_all(struct store *s)
{
    for (int i = 0; i < N_STATEMENTS; i++) {
        int rc = sqlite3_prepare_v3(s->db, store_sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->statements[i], NULL);
        if (rc != SQLITE_OK)
            return store_error(s, rc);
    }
    return 0;
}

static int count_epoch(struct store *s)
{
    sqlite3_stmt *q = sql(s, SQL_META_GET);
    bind_text(q, 1, str_of("epoch"));
    s->epoch = (uint64_t)sql_number(s, q, 0) + 1;
    int r = store_write(s);
    q = sql(s, SQL_META_PUT);
    bind_text(q, 1, str_of("epoch"));
    bind_int(q, 2, (int64_t)s->epoch);
    if (r >= 0)
        r = sql_run(s, q);
    return r < 0 ? r : store_commit(s);
}

static int begin_life(struct store *s, char **ret_error)
{
    int r = prepare_all(s);
    if (r >= 0)
        r = store_load_caches(s);
    if (r >= 0)
        r = store_load_checkpoints(s);
    if (r >= 0)
        r = count_epoch(s);
    if (r < 0)
        schema_refuse(s, r, ret_error);
    return r;
}

static int open_database(struct store *s, const struct store_options *o, char **ret_error)
{
    s->failed = 0;
    int r = schema_prepare_file(s, o, ret_error);
    if (r >= 0)
        r = schema_migrate(s, ret_error);
    return r < 0 ? r : begin_life(s, ret_error);
}

static void close_database(struct store *s)
{
    for (int i = 0; i < N_STATEMENTS; i++) {
        sqlite3_finalize(s->statements[i]);
        s->statements[i] = NULL;
    }
    sqlite3_close(s->db);
    s->db = NULL;
    s->in_turn = false;
}

int store_open(struct store **ret, const struct store_options *o, char **ret_error)
{
    struct store *s = xcalloc(1, sizeof *s);
    s->path = realpath(o->path, NULL); /* two names of one file are one lock */
    if (!s->path)
        s->path = xstrdup(o->path);
    s->lock_fd = -1;
    list_init(&s->changed_accounts);
    s->ballast_bytes = o->ballast_bytes;
    s->tidy_pages = TIDY_PAGES;
    int r = store_lock(s->path, &s->lock_fd, ret_error);
    if (r >= 0)
        r = open_database(s, o, ret_error);
    if (r == -ENOSPC && s->ballast_freed) { /* which made room: a full disk is no reason not to start */
        close_database(s);
        free(*ret_error);
        *ret_error = NULL;
        r = open_database(s, o, ret_error);
    }
    if (r < 0) {
        store_close(s);
        return r;
    }
    sqlite3_wal_hook(s->db, on_wal, s);
    s->ballast_freed = true;
    store_restore_ballast(s);
    *ret = s;
    return 0;
}

struct store *store_close(struct store *s)
{
    if (!s)
        return NULL;
    close_database(s);
    counters_drop(s);
    accounts_drop(s);
    strmap_fini(&s->owners);
    free(s->deltas);
    free(s->dirty);
    free(s->path);
    closep(&s->lock_fd);
    free(s);
    return NULL;
}
