/* store_backup.c - backup and restore, with connections of their own.
 *
 * SQLite's backup interface copies pages, at the speed of the disk. It would begin anew at each commit of the broker, but not inside a
 * transaction of the reader's own: what is read there is one moment. VACUUM INTO would make a smaller file, and build each index anew. */
#include "broker/store_backup.h"

#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "broker/store_internal.h"

#define PAGES_A_STEP 4096
#define EPOCHS_SKIPPED 1000000 /* no broker was started so often since the backup */
#define BUSY_MS 10000

/* ---- files ------------------------------------------------------------------------------------- */

static int fail_file(char **ret_error, const char *what, const char *path)
{
    int error = errno;
    *ret_error = xasprintf("cannot %s %s: %s", what, path, strerror(error));
    return -error;
}

static int fail_sql(char **ret_error, sqlite3 *db, const char *path)
{
    *ret_error = xasprintf("cannot copy %s: %s", path, db ? sqlite3_errmsg(db) : "out of memory");
    return -EIO;
}

static int sync_path(const char *path, int flags, char **ret_error)
{
    cleanup(closep) int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return fail_file(ret_error, "sync", path);
    return 0;
}

static int sync_directory_of(const char *path, char **ret_error)
{
    cleanup(freep) char *copy = xstrdup(path);
    return sync_path(dirname(copy), O_RDONLY | O_DIRECTORY, ret_error);
}

/* Written to the end, then under its name: whoever sees the name sees all of it. */
static int put_in_place(const char *temporary, const char *path, char **ret_error)
{
    int r = sync_path(temporary, O_RDONLY, ret_error);
    if (r < 0)
        return r;
    if (rename(temporary, path) < 0)
        return fail_file(ret_error, "write", path);
    return sync_directory_of(path, ret_error);
}

/* Empty, of a name that nobody has, for this user alone. */
static int make_temporary(const char *path, char **ret_temporary, char **ret_error)
{
    char *temporary = xasprintf("%s.XXXXXX", path);
    cleanup(closep) int fd = mkostemp(temporary, O_CLOEXEC); /* 0600 */
    if (fd >= 0) {
        *ret_temporary = temporary;
        return 0;
    }
    int r = fail_file(ret_error, "write", path);
    free(temporary);
    return r;
}

/* ---- copying ----------------------------------------------------------------------------------- */

static int copy_pages(sqlite3 *from, sqlite3 *to, backup_progress_fn *progress, void *ctx)
{
    sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
    int rc = b ? SQLITE_OK : sqlite3_errcode(to);
    while (b && rc == SQLITE_OK) {
        rc = sqlite3_backup_step(b, PAGES_A_STEP);
        if (progress)
            progress(ctx, sqlite3_backup_pagecount(b) - sqlite3_backup_remaining(b), sqlite3_backup_pagecount(b));
    }
    int end = sqlite3_backup_finish(b);
    return rc == SQLITE_DONE ? end : rc;
}

/* The target is synced as a whole when it is done. */
static int copy_database(const char *from_path, const char *to_path, backup_progress_fn *progress, void *ctx, char **ret_error)
{
    sqlite3 *from = NULL, *to = NULL;
    int rc = sqlite3_open_v2(from_path, &from, SQLITE_OPEN_READWRITE, NULL); /* a reader of the log writes its index */
    if (rc == SQLITE_OK) {
        sqlite3_busy_timeout(from, BUSY_MS);
        rc = sqlite3_exec(from, "BEGIN; SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
    }
    int r = rc == SQLITE_OK ? 0 : fail_sql(ret_error, from, from_path);
    if (r >= 0 && (rc = sqlite3_open_v2(to_path, &to, SQLITE_OPEN_READWRITE, NULL)) == SQLITE_OK)
        rc = sqlite3_exec(to, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF", NULL, NULL, NULL);
    if (r >= 0 && rc == SQLITE_OK)
        rc = copy_pages(from, to, progress, ctx);
    if (r >= 0 && rc != SQLITE_OK)
        r = fail_sql(ret_error, to, to_path);
    sqlite3_close(to);
    sqlite3_close(from);
    return r;
}

static int64_t number(sqlite3 *db, const char *text)
{
    sqlite3_stmt *q = NULL;
    sqlite3_prepare_v2(db, text, -1, &q, NULL);
    int64_t v = q && sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : -1;
    sqlite3_finalize(q);
    return v;
}

int store_backup(const char *database, const char *file, backup_progress_fn *progress, void *ctx, char **ret_error)
{
    cleanup(freep) char *temporary = NULL;
    if (access(database, R_OK) < 0)
        return fail_file(ret_error, "read the database", database);
    if (access(file, F_OK) == 0) {
        *ret_error = xasprintf("%s is there already: name another file, or take it away first", file);
        return -EEXIST;
    }
    int r = make_temporary(file, &temporary, ret_error);
    if (r >= 0)
        r = copy_database(database, temporary, progress, ctx, ret_error);
    if (r >= 0)
        r = put_in_place(temporary, file, ret_error);
    if (r < 0 && temporary)
        unlink(temporary);
    return r;
}

/* ---- checking ---------------------------------------------------------------------------------- */

static int refuse(char **ret_error, const char *path, const char *why)
{
    *ret_error = xasprintf("%s: %s; nothing was changed", path, why);
    return -EBADMSG;
}

static bool is_whole(sqlite3 *db)
{
    sqlite3_stmt *q = NULL;
    bool whole = sqlite3_prepare_v2(db, "PRAGMA integrity_check(1)", -1, &q, NULL) == SQLITE_OK && sqlite3_step(q) == SQLITE_ROW &&
                 str_is(column_text(q, 0), "ok");
    sqlite3_finalize(q);
    return whole;
}

static int check(sqlite3 *db, const char *path, char **ret_error)
{
    if (number(db, "PRAGMA application_id") != APPLICATION_ID)
        return refuse(ret_error, path, "it is no database of tern's");
    if (number(db, "PRAGMA user_version") > schema_newest())
        return refuse(ret_error, path, "it was written by a newer tern; install that release");
    return is_whole(db) ? 0 : refuse(ret_error, path, "it is damaged");
}

/* ---- restoring --------------------------------------------------------------------------------- */

#define META(key) "coalesce((SELECT value FROM meta WHERE key = '" key "'), 0)"
#define NEXT_ID "SELECT max(" META("next_id") ", coalesce((SELECT max(id) FROM job), 0) + 1)"

/* Of the database that is to be replaced, as far as it can be read. */
static void look_at_old(const char *path, int64_t *ret_next_id, int64_t *ret_epoch)
{
    sqlite3 *db = NULL;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK) {
        *ret_next_id = number(db, NEXT_ID);
        *ret_epoch = number(db, "SELECT " META("epoch"));
    }
    sqlite3_close(db);
}

/* Ids and epochs go on behind all that may have been given out since the backup. */
static int move_on(sqlite3 *db, const struct restore_options *o, struct restored *ret)
{
    int64_t old_next = 0, old_epoch = 0, next = number(db, NEXT_ID), epoch = number(db, "SELECT " META("epoch"));
    if (access(o->database, F_OK) == 0)
        look_at_old(o->database, &old_next, &old_epoch);
    ret->next_id = max_i64(next, old_next) + o->skip_ids;
    ret->epoch = max_i64(epoch, old_epoch) + EPOCHS_SKIPPED;
    ret->jobs = number(db, "SELECT count(*) FROM job");
    ret->running = number(db, "SELECT count(*) FROM job WHERE state = 3");
    cleanup(freep) char *text = xasprintf("INSERT OR REPLACE INTO meta (key, value) VALUES ('next_id', %" PRId64 "), "
                                          "('epoch', %" PRId64 ")", ret->next_id, ret->epoch);
    return sqlite3_exec(db, text, NULL, NULL, NULL);
}

/* Checks the copy, and makes of it what the broker can go on from. */
static int prepare(const char *copy, const struct restore_options *o, struct restored *ret, char **ret_error)
{
    sqlite3 *db = NULL;
    int rc = sqlite3_open_v2(copy, &db, SQLITE_OPEN_READWRITE, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL); /* one file; the broker makes a log again */
    int r = rc == SQLITE_OK || rc == SQLITE_NOTADB ? check(db, o->file, ret_error) : fail_sql(ret_error, db, o->file);
    if (r >= 0 && move_on(db, o, ret) != SQLITE_OK)
        r = fail_sql(ret_error, db, copy);
    sqlite3_close(db);
    return r;
}

/* That nothing is at: two restores may come in one second. */
static char *choose_aside(const char *database)
{
    long long now = time(NULL);
    char *name = xasprintf("%s.replaced-%lld", database, now);
    for (int n = 2; access(name, F_OK) == 0; n++) {
        free(name);
        name = xasprintf("%s.replaced-%lld.%d", database, now, n);
    }
    return name;
}

/* With what SQLite keeps beside it: it would be taken for the new one's, also where its database was taken away before. */
static int set_aside(const char *database, char **ret_name, char **ret_error)
{
    static const char *const parts[] = { "-wal", "-shm", "-journal", "" };
    cleanup(freep) char *name = choose_aside(database);
    bool any = false;
    for (size_t i = 0; i < ELEMENTS(parts); i++) {
        cleanup(freep) char *from = xasprintf("%s%s", database, parts[i]), *to = xasprintf("%s%s", name, parts[i]);
        if (rename(from, to) == 0)
            any = true;
        else if (errno != ENOENT)
            return fail_file(ret_error, "set aside", from);
    }
    if (!any)
        return 0;
    *ret_name = TAKE(name);
    return sync_directory_of(database, ret_error);
}

/* Plain bytes: a backup has no log beside it. The backup may be on another disk, which copy_file_range refuses. */
static int copy_file(const char *from, const char *to, char **ret_error)
{
    cleanup(closep) int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CLOEXEC);
    if (in < 0)
        return fail_file(ret_error, "read", from);
    if (out < 0)
        return fail_file(ret_error, "write", to);
    for (ssize_t n; (n = sendfile(out, in, NULL, 1u << 30)) != 0;)
        if (n < 0)
            return fail_file(ret_error, "copy", from);
    return 0;
}

static int check_target(const struct restore_options *o, char **ret_error)
{
    if (access(o->database, F_OK) < 0 || o->replace)
        return 0;
    *ret_error = xasprintf("there is a database %s: with --replace it is set aside, or name another --db", o->database);
    return -EEXIST;
}

/* What is in the log would be missing. */
static int check_source(const struct restore_options *o, char **ret_error)
{
    struct stat st;
    cleanup(freep) char *log = xasprintf("%s-wal", o->file);
    if (stat(log, &st) < 0 || st.st_size == 0)
        return 0;
    *ret_error = xasprintf("%s is no backup: what was written to it last is in %s. Make a backup of it: tern-broker backup "
                           "--db %s FILE", o->file, log, o->file);
    return -EINVAL;
}

/* Root restores for the broker's user, to whom the directory belongs. */
static int give_to_owner(const char *database, const char *temporary, int lock, char **ret_error)
{
    struct stat st;
    cleanup(freep) char *copy = xstrdup(database);
    if (geteuid() != 0)
        return 0;
    if (stat(dirname(copy), &st) < 0 || chown(temporary, st.st_uid, st.st_gid) < 0 || fchown(lock, st.st_uid, st.st_gid) < 0)
        return fail_file(ret_error, "give to the broker's user", database);
    return 0;
}

static int restore(const struct restore_options *o, struct restored *ret, char **ret_error)
{
    cleanup(freep) char *temporary = NULL;
    cleanup(closep) int lock = -1;
    *ret = (struct restored){ 0 };
    int r = store_lock(o->database, &lock, ret_error);
    if (r >= 0)
        r = check_target(o, ret_error);
    if (r >= 0)
        r = check_source(o, ret_error);
    if (r >= 0)
        r = make_temporary(o->database, &temporary, ret_error);
    if (r >= 0)
        r = copy_file(o->file, temporary, ret_error);
    if (r >= 0)
        r = prepare(temporary, o, ret, ret_error);
    if (r >= 0)
        r = give_to_owner(o->database, temporary, lock, ret_error);
    if (r >= 0)
        r = set_aside(o->database, &ret->set_aside, ret_error);
    if (r >= 0)
        r = put_in_place(temporary, o->database, ret_error);
    if (r < 0 && temporary)
        unlink(temporary);
    return r;
}

/* Two names of one file are one lock, as for the broker; and the file is put where its log is. */
int store_restore(const struct restore_options *o, struct restored *ret, char **ret_error)
{
    cleanup(freep) char *path = realpath(o->database, NULL);
    struct restore_options at = *o;
    at.database = path ? path : o->database;
    return restore(&at, ret, ret_error);
}
