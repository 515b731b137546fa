/* store_schema.c - the file and its tables. A database that is corrupt, newer, read-only or on a network is refused
 * before anything is written to it. */
#include "broker/store_internal.h"

#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "proto/base/log.h"

#define SCHEMA_VERSION ((int)ELEMENTS(schema_steps))
#define LOOKASIDE_BYTES 1200 /* each statement allocates its cursors: from memory of the connection */
#define LOOKASIDE_SLOTS 200
#define CHECK_UP_TO_BYTES (64 << 20)
#define ROW_BYTES_MAX (32 << 20) /* no message is half as large */

/* States are literals in the indexes (words.h): 0 blocked, 1 scheduled, 2 queued, 3 running, from 4 on terminal. Every index
 * ends with the id, unnamed. The row of job is small and often written; payloads, attempts, output and events stand apart. */
static const char schema_1[] =
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE class (id INTEGER PRIMARY KEY, queue TEXT NOT NULL, handler TEXT NOT NULL, program TEXT,"
    "  tag INTEGER NOT NULL, tag_unset INTEGER NOT NULL, suspect INTEGER NOT NULL, runs REAL NOT NULL,"
    "  mean_wall_us REAL NOT NULL, mean_cpu_us REAL NOT NULL) STRICT;"
    "CREATE TABLE counter (class INTEGER NOT NULL, state INTEGER NOT NULL, n INTEGER NOT NULL,"
    "  PRIMARY KEY (class, state)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE queue (name TEXT PRIMARY KEY, paused INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE owner (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;"
    "CREATE TABLE worker (id INTEGER PRIMARY KEY, instance BLOB NOT NULL UNIQUE, name TEXT NOT NULL, host TEXT,"
    "  first_seen INTEGER NOT NULL) STRICT;"
    "CREATE TABLE job (id INTEGER PRIMARY KEY, state INTEGER NOT NULL, class INTEGER NOT NULL, priority INTEGER NOT NULL,"
    "  attempt INTEGER NOT NULL DEFAULT 0, failures INTEGER NOT NULL DEFAULT 0, crashes INTEGER NOT NULL DEFAULT 0,"
    "  cancel INTEGER NOT NULL DEFAULT 0, worker INTEGER, pool INTEGER, submitted_at INTEGER NOT NULL, due_at INTEGER,"
    "  expire_at INTEGER, started_at INTEGER, finished_at INTEGER, owner INTEGER NOT NULL, parent INTEGER,"
    "  timeout_ms INTEGER, retries INTEGER, backoff_min_ms INTEGER, backoff_max_ms INTEGER, crash_limit INTEGER,"
    "  memory_bytes INTEGER, kill_grace_ms INTEGER, name TEXT) STRICT;"
    "CREATE INDEX job_ready ON job (class, priority DESC) WHERE state = 2;"
    "CREATE INDEX job_due ON job (due_at) WHERE state = 1;"
    "CREATE INDEX job_expiry ON job (expire_at) WHERE expire_at IS NOT NULL AND state < 3;"
    "CREATE INDEX job_running ON job (state) WHERE state = 3;"
    "CREATE INDEX job_finished ON job (finished_at) WHERE state >= 4;"
    "CREATE TABLE payload (job INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;"
    "CREATE TABLE attempt (job INTEGER NOT NULL, n INTEGER NOT NULL, worker INTEGER, pool INTEGER, started_at INTEGER,"
    "  finished_at INTEGER NOT NULL, ending INTEGER NOT NULL, reason INTEGER NOT NULL, exit_code INTEGER, signal INTEGER,"
    "  wall_us INTEGER, cpu_us INTEGER, max_rss_kb INTEGER, error TEXT, state INTEGER NOT NULL, due_at INTEGER,"
    "  PRIMARY KEY (job, n)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE output (job INTEGER NOT NULL, attempt INTEGER NOT NULL, kind INTEGER NOT NULL, body BLOB NOT NULL,"
    "  PRIMARY KEY (job, attempt, kind)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE event (id INTEGER PRIMARY KEY, job INTEGER NOT NULL, attempt INTEGER, at INTEGER NOT NULL,"
    "  event TEXT NOT NULL, worker TEXT, text TEXT) STRICT;"
    "CREATE INDEX event_job ON event (job);"
    "CREATE TABLE client (owner TEXT NOT NULL, instance BLOB NOT NULL, last_seq INTEGER NOT NULL,"
    "  last_used INTEGER NOT NULL, PRIMARY KEY (owner, instance)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX client_used ON client (last_used);"
    "CREATE TABLE submit (owner TEXT NOT NULL, instance BLOB NOT NULL, seq INTEGER NOT NULL, first_id INTEGER NOT NULL,"
    "  count INTEGER NOT NULL, PRIMARY KEY (owner, instance, seq)) STRICT, WITHOUT ROWID;";

/* started: of a running attempt, whether its worker is known to have begun it. */
static const char schema_2[] = "ALTER TABLE job ADD COLUMN started INTEGER NOT NULL DEFAULT 0;";

/* A job's row is written at each of its moves, so it holds what moves with it, and stands in one index, on its shelf:
 *
 *   queued     the number of its class, ranked by -priority     running    -2, 0
 *   scheduled  -1, by due_at                                    terminal   0, by finished_at
 *   blocked    -3, 0
 *
 * What few jobs have is in spec, what expires also in expiry: until then, even when the job has ended before. */
static const char schema_3[] =
    "CREATE TABLE spec (job INTEGER PRIMARY KEY, parent INTEGER, timeout_ms INTEGER, retries INTEGER, backoff_min_ms INTEGER,"
    "  backoff_max_ms INTEGER, crash_limit INTEGER, memory_bytes INTEGER, kill_grace_ms INTEGER, name TEXT) STRICT;"
    "INSERT INTO spec SELECT id, parent, timeout_ms, retries, backoff_min_ms, backoff_max_ms, crash_limit, memory_bytes,"
    "  kill_grace_ms, name FROM job WHERE coalesce(parent, timeout_ms, retries, backoff_min_ms, backoff_max_ms, crash_limit,"
    "  memory_bytes, kill_grace_ms, name) IS NOT NULL;"
    "CREATE TABLE expiry (at INTEGER NOT NULL, job INTEGER NOT NULL, PRIMARY KEY (at, job)) STRICT, WITHOUT ROWID;"
    "INSERT INTO expiry SELECT expire_at, id FROM job WHERE expire_at IS NOT NULL AND state < 4;"
    "CREATE TABLE job_3 (id INTEGER PRIMARY KEY, state INTEGER NOT NULL, class INTEGER NOT NULL, owner INTEGER NOT NULL,"
    "  priority INTEGER NOT NULL, shelf INTEGER NOT NULL, rank INTEGER NOT NULL, attempt INTEGER NOT NULL DEFAULT 0,"
    " failures INTEGER NOT NULL DEFAULT 0,"
    "  crashes INTEGER NOT NULL DEFAULT 0, cancel INTEGER NOT NULL DEFAULT 0, worker INTEGER, pool INTEGER,"
    "  submitted_at INTEGER NOT NULL, due_at INTEGER, expire_at INTEGER, started_at INTEGER, finished_at INTEGER,"
    "  started INTEGER NOT NULL DEFAULT 0) STRICT;"
    "INSERT INTO job_3 SELECT id, state, class, owner, priority,"
    "  CASE state WHEN 0 THEN -3 WHEN 1 THEN -1 WHEN 2 THEN class WHEN 3 THEN -2 ELSE 0 END,"
    "  CASE state WHEN 0 THEN 0 WHEN 1 THEN due_at WHEN 2 THEN -priority WHEN 3 THEN 0 ELSE finished_at END,"
    "  attempt, failures, crashes, cancel, worker, pool, submitted_at, due_at, expire_at, started_at, finished_at, started"
    "  FROM job;"
    "DROP TABLE job;"
    "ALTER TABLE job_3 RENAME TO job;"
    "CREATE INDEX job_shelf ON job (shelf, rank);"
    "ALTER TABLE attempt ADD COLUMN result BLOB;"
    "UPDATE attempt SET result = body FROM output o WHERE o.job = attempt.job AND o.attempt = n AND kind = 0;"
    "ALTER TABLE client DROP COLUMN last_seq;"
    "CREATE TABLE output_3 (job INTEGER NOT NULL, attempt INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (job, attempt)) STRICT,"
    "  WITHOUT ROWID;"
    "INSERT INTO output_3 SELECT job, attempt, body FROM output WHERE kind = 1;"
    "DROP TABLE output;"
    "ALTER TABLE output_3 RENAME TO output;";

/* chosen: of the pool of the last attempt, who chose it, and the tag that counted (words.h). isolated: see class.h.
 * child: what a job knows those by that it has submitted. cascade: jobs that were cancelled, and whose children are yet to be.
 * owner: who may come back as this worker after a restart of the broker. progress: percent, of the attempt that runs.
 * account: how many jobs of an owner with a limit are not finished. */
static const char schema_4[] =
    "CREATE TABLE measure (handler TEXT NOT NULL, program TEXT NOT NULL, tag INTEGER NOT NULL, pool INTEGER NOT NULL,"
    "  runs INTEGER NOT NULL, last_run INTEGER NOT NULL, last_at INTEGER NOT NULL, recent REAL NOT NULL, wall_us REAL NOT NULL,"
    " cpu_us REAL NOT NULL,"
    "  ready_us REAL NOT NULL, sketches BLOB NOT NULL, PRIMARY KEY (handler, program, tag)) STRICT, WITHOUT ROWID;"
    "ALTER TABLE class DROP COLUMN runs;"
    "ALTER TABLE class DROP COLUMN mean_wall_us;"
    "ALTER TABLE class DROP COLUMN mean_cpu_us;"
    "ALTER TABLE class ADD COLUMN isolated INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE job ADD COLUMN chosen INTEGER;"
    "CREATE TABLE child (parent INTEGER NOT NULL, key TEXT NOT NULL, job INTEGER NOT NULL, detached INTEGER NOT NULL,"
    "  PRIMARY KEY (parent, key)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE cascade (parent INTEGER PRIMARY KEY) STRICT;"
    "ALTER TABLE class ADD COLUMN needs TEXT;"
    "CREATE TABLE checkpoint (job INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;"
    "ALTER TABLE worker ADD COLUMN owner TEXT;"
    "ALTER TABLE job ADD COLUMN progress INTEGER;"
    "CREATE TABLE account (owner INTEGER PRIMARY KEY, open INTEGER NOT NULL) STRICT;";

/* Each brings a database of the version before it to the next one, the first an empty file to version 1. */
static const char *const schema_steps[] = { schema_1, schema_2, schema_3, schema_4 };

/* ---- the file system ------------------------------------------------------------------------------ */

static const struct {
    unsigned long magic;
    const char *name;
    bool refused;
} file_systems[] = {
    { 0x6969, "NFS", true },       { 0xff534d42, "CIFS", true },  { 0xfe534d42, "SMB", true }, { 0x517b, "SMB", true },
    { 0x65735546, "FUSE", true },  { 0x01021997, "9p", true },    { 0x5346414f, "AFS", true }, { 0x00c36400, "Ceph", true },
    { 0x0bd00bd0, "Lustre", true }, { 0x47504653, "GPFS", true }, { 0x7461636f, "OCFS2", true },
    { 0x01161970, "GFS2", true },  { 0x786f4256, "vboxsf", true }, { 0x73757245, "Coda", true },
    { 0x794c7630, "overlayfs", false }, { 0x01021994, "tmpfs", false }, { 0x858458f6, "ramfs", false },
};

static int check_file_system(const struct store *s, const struct store_options *o, char **ret_error)
{
    cleanup(freep) char *copy = xstrdup(s->path);
    struct statfs f;
    if (statfs(dirname(copy), &f) < 0)
        return 0; /* opening it will say why */
    for (size_t i = 0; i < ELEMENTS(file_systems); i++) {
        if ((unsigned long)f.f_type != file_systems[i].magic)
            continue;
        if (file_systems[i].refused) {
            *ret_error = xasprintf("the database %s is on a network file system (%s), where its locks and syncs cannot be "
                                   "trusted; choose a --db on a local disk", s->path, file_systems[i].name);
            return -ENOTSUP;
        }
        if (!o->quiet)
            log_warning("the database %s is on %s: it may not survive a restart of this machine", s->path,
                        file_systems[i].name);
    }
    return 0;
}

/* What a broker before this one wrote to the log and could not sync is still in memory, where it looks like any other page, and no
 * later sync writes it: whatever came to stand behind it in the log would be lost with it. So the log is read from the disk
 * again. Pages that are still to be written stay. */
static void drop_cached_log(const struct store *s, const struct store_options *o)
{
    cleanup(freep) char *path = xasprintf("%s-wal", s->path);
    if (o->drop_cache) {
        o->drop_cache(path);
        return;
    }
    cleanup(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

/* ---- opening -------------------------------------------------------------------------------------- */

int schema_refuse(struct store *s, int r, char **ret_error)
{
    const char *what = r == -EBADMSG ? "it is no database, or corrupt; restore a backup, or move it away to begin with an empty one"
                       : r == -EROFS ? "it is read-only: check its owner, its mode and the file system's mount options"
                       : r == -ENOSPC ? "free space there"
                       : r == -ENOENT ? "it cannot be opened: the directory must exist and be writable for the broker's user"
                                      : "";
    *ret_error = xasprintf("cannot use the database %s: %s%s%s", s->path, store_error_text(s), *what ? "; " : "", what);
    return r;
}

int schema_newest(void) { return SCHEMA_VERSION; }

static int64_t pragma_number(struct store *s, const char *text)
{
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(s->db, text, -1, &q, NULL);
    int64_t v = -1;
    if (rc == SQLITE_OK)
        v = sql_number(s, q, -1);
    else
        store_error(s, rc);
    sqlite3_finalize(q);
    return v;
}

static int check_sanity(struct store *s)
{
    struct stat st;
    if (stat(s->path, &st) < 0 || st.st_size == 0 || st.st_size > CHECK_UP_TO_BYTES)
        return s->failed;
    sqlite3_stmt *q = NULL;
    int r = store_error(s, sqlite3_prepare_v2(s->db, "PRAGMA quick_check(1)", -1, &q, NULL));
    if (r >= 0)
        r = sql_row(s, q);
    if (r > 0 && !str_is(column_text(q, 0), "ok")) {
        snprintf(s->error, sizeof s->error, "%.400s", (const char *)sqlite3_column_text(q, 0));
        r = -EBADMSG;
    }
    sqlite3_finalize(q);
    return r < 0 ? r : 0;
}

static int check_version(struct store *s, char **ret_error)
{
    int64_t version = pragma_number(s, "PRAGMA user_version");
    int64_t application = pragma_number(s, "PRAGMA application_id");
    int64_t tables = pragma_number(s, "SELECT count(*) FROM sqlite_schema");
    if (s->failed)
        return schema_refuse(s, s->failed, ret_error);
    if ((tables > 0 || version) && application != APPLICATION_ID) {
        *ret_error = xasprintf("%s is a database, but not one of tern's; choose another --db", s->path);
        return -EPROTO;
    }
    if (version > SCHEMA_VERSION) {
        *ret_error = xasprintf("the database %s was written by a newer tern (schema %lld, this one knows %d); install that "
                               "release, or choose another --db", s->path, (long long)version, SCHEMA_VERSION);
        return -EPROTO;
    }
    return 0;
}

static const char *const settings[] = {
    "PRAGMA auto_vacuum = INCREMENTAL", /* before WAL and the first table, or it is silently ignored */
    "PRAGMA journal_mode = WAL",  STORE_SYNCED,                      "PRAGMA secure_delete = FAST",
    "PRAGMA temp_store = MEMORY", "PRAGMA cache_size = -16384",     "PRAGMA mmap_size = 0",
    "PRAGMA trusted_schema = OFF", "PRAGMA cell_size_check = ON",   "PRAGMA journal_size_limit = 67108864",
    "PRAGMA foreign_keys = OFF",
};

static void leave_log_at_close(struct store *s, int leave)
{
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, leave, NULL);
}

int schema_prepare_file(struct store *s, const struct store_options *o, char **ret_error)
{
    int r = check_file_system(s, o, ret_error);
    if (r < 0)
        return r;
    struct stat st;
    bool nobodys = stat(s->path, &st) == 0 && !(st.st_mode & (S_IWUSR | S_IWGRP | S_IWOTH)); /* root may, but was told not to */
    if (nobodys || (access(s->path, F_OK) == 0 && access(s->path, W_OK) < 0)) {
        *ret_error = xasprintf("cannot use the database %s: it is read-only for this user; check its owner and mode", s->path);
        return -EROFS;
    }
    drop_cached_log(s, o);
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* which locks at each allocation; refused where SQLite is in use already: fine */
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    mode_t before = umask(0077);
    r = store_error(s, sqlite3_open_v2(s->path, &s->db, flags, o->vfs));
    umask(before);
    if (r < 0)
        return schema_refuse(s, r, ret_error);
    sqlite3_busy_timeout(s->db, 5000);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_LOOKASIDE, NULL, LOOKASIDE_BYTES, LOOKASIDE_SLOTS);
    leave_log_at_close(s, 1); /* of a database that is refused, not even the log is copied */
    r = check_version(s, ret_error);
    if (r < 0)
        return r;
    if ((r = check_sanity(s)) < 0)
        return schema_refuse(s, r, ret_error);
    leave_log_at_close(s, 0);
    for (size_t i = 0; i < ELEMENTS(settings) && r >= 0; i++)
        r = sql_exec(s, settings[i]);
    sqlite3_wal_autocheckpoint(s->db, 0);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_limit(s->db, SQLITE_LIMIT_LENGTH, ROW_BYTES_MAX);
    return r < 0 ? schema_refuse(s, r, ret_error) : 0;
}

/* One transaction a step: a broker that dies on the way goes on from the last whole one. */
static int migrate_to(struct store *s, int64_t version)
{
    cleanup(freep) char *text = xasprintf("BEGIN IMMEDIATE; %s PRAGMA application_id = %d; PRAGMA user_version = %lld; COMMIT",
                                          schema_steps[version - 1], APPLICATION_ID, (long long)version);
    return sql_exec(s, text);
}

int schema_migrate(struct store *s, char **ret_error)
{
    int64_t version = pragma_number(s, "PRAGMA user_version");
    for (int64_t v = version + 1; version >= 0 && v <= SCHEMA_VERSION && !s->failed; v++)
        migrate_to(s, v);
    return s->failed ? schema_refuse(s, s->failed, ret_error) : 0;
}
