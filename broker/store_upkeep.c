/* store_upkeep.c - retention in small slices, the log, the space, the ballast. */
#include "broker/store_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define CLIENT_KEPT_MS (24ll * 3600 * 1000)
#define CLIENTS_A_SWEEP 20

/* 1 when there was one. */
static int forget_old_client(struct store *s, int64_t now_ms)
{
    bind_int(sql(s, SQL_CLIENT_OLD), 1, now_ms - CLIENT_KEPT_MS);
    int r = sql_row(s, sql(s, SQL_CLIENT_OLD));
    if (r <= 0)
        return r;
    cleanup(freep) char *owner = xstrndup(column_text(sql(s, SQL_CLIENT_OLD), 0));
    struct str seen = column_blob(sql(s, SQL_CLIENT_OLD), 1);
    char instance[64];
    size_t n = min_size(seen.n, sizeof instance);
    memcpy(instance, seen.p, n);
    sql_end(sql(s, SQL_CLIENT_OLD));
    r = store_forget_client(s, str_of(owner), (struct str){ instance, n });
    return r < 0 ? r : 1;
}

static int sweep_clients(struct store *s, int64_t now_ms)
{
    int r = 1;
    for (int i = 0; i < CLIENTS_A_SWEEP && r > 0; i++)
        r = forget_old_client(s, now_ms);
    return r;
}

static int by_id(const void *a, const void *b)
{
    uint64_t x = ((const struct swept_job *)a)->id, y = ((const struct swept_job *)b)->id;
    return (x > y) - (x < y);
}

/* Jobs whose ids follow each other go with one statement a table. */
static int remove_all(struct store *s, struct swept_job *jobs, size_t n)
{
    int r = 0;
    qsort(jobs, n, sizeof *jobs, by_id);
    for (size_t i = 0, k; i < n && r >= 0; i = k) {
        for (k = i + 1; k < n && jobs[k].id == jobs[k - 1].id + 1;)
            k++;
        r = store_remove_range(s, jobs + i, k - i);
    }
    return r;
}

int store_sweep(struct store *s, int64_t before_ms, uint64_t keep, int64_t now_ms, struct swept_job *ret, size_t max)
{
    int r = sweep_clients(s, now_ms);
    bool too_many = s->n_finished > keep;
    if (too_many)
        max = min_size(max, s->n_finished - keep);
    sqlite3_stmt *q = sql(s, SQL_FINISHED_OLDEST);
    bind_int(q, 1, too_many ? INT64_MAX : before_ms);
    bind_int(q, 2, (int64_t)max);
    size_t n = 0;
    while (r >= 0 && (r = sql_row(s, q)) > 0)
        ret[n++] = (struct swept_job){ (uint64_t)column_int(q, 0), (uint32_t)column_int(q, 1), (enum job_state)column_int(q, 2),
                                       column_int(q, 3) };
    if (r >= 0 && n)
        r = remove_all(s, ret, n);
    return r < 0 ? r : (int)n;
}

static int64_t free_pages(struct store *s)
{
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(s->db, "PRAGMA freelist_count", -1, &q, NULL) != SQLITE_OK)
        return 0;
    int64_t n = sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
    sqlite3_finalize(q);
    return n;
}

#define VACUUM_PAGES 200
#define VACUUM_PAGES_LEAST 20
#define VACUUM_STEPS 2000000 /* for a page in use at the end of the file SQLite walks its list of free pages: 2.7 ns each */

static int vacuum_some(struct store *s, int64_t free)
{
    char text[64];
    int64_t n = max_i64(min_i64(VACUUM_STEPS / max_i64(free, 1), VACUUM_PAGES), VACUUM_PAGES_LEAST);
    snprintf(text, sizeof text, "PRAGMA incremental_vacuum(%d)", (int)n);
    return sqlite3_exec(s->db, text, NULL, NULL, NULL);
}

int store_tidy(struct store *s)
{
    if (s->in_turn || s->failed)
        return 0;
    int64_t free = free_pages(s);
    bool vacuum = free >= s->tidy_pages, more = false;
    if (vacuum) {
        int rc = vacuum_some(s, free);
        more = rc == SQLITE_OK && free_pages(s) >= s->tidy_pages;
        if (rc != SQLITE_OK && rc != SQLITE_FULL && rc != SQLITE_BUSY)
            store_error(s, rc); /* the next turn will end with it */
    }
    /* the file becomes shorter only when the log is copied into it */
    if (s->wal_pages - s->wal_pages_tried > s->tidy_pages || (vacuum && !more))
        store_checkpoint(s);
    return more && !s->failed;
}

int store_disk_used(const struct store *s)
{
    struct statvfs v;
    if (statvfs(s->path, &v) < 0)
        return -errno;
    uint64_t used = v.f_blocks - v.f_bfree, all = used + v.f_bavail;
    return all ? (int)((used * 100 + all - 1) / all) : 0;
}

void store_restore_ballast(struct store *s)
{
    if (!s->ballast_freed || !s->ballast_bytes)
        return;
    struct statvfs v;
    if (statvfs(s->path, &v) < 0 || (int64_t)(v.f_bavail * v.f_frsize) < 4 * s->ballast_bytes)
        return;
    cleanup(freep) char *path = xasprintf("%s.ballast", s->path);
    cleanup(closep) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    if (posix_fallocate(fd, 0, s->ballast_bytes) == 0)
        s->ballast_freed = false;
    else
        unlink(path);
}
