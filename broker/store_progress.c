/* store_progress.c - how far running attempts are: the one thing here that may be lost, so it never costs a sync of its own. */
#include "broker/store_internal.h"

static int put_one(struct store *s, const struct attempt_progress *a)
{
    sqlite3_stmt *q = sql(s, SQL_PROGRESS);
    bind_int(q, 1, (int64_t)a->job);
    bind_int(q, 2, (int64_t)a->attempt);
    bind_int(q, 3, a->percent);
    return sql_run(s, q);
}

static int put_all(struct store *s, const struct attempt_progress *all, size_t n)
{
    int r = store_write(s);
    for (size_t i = 0; i < n && r >= 0; i++)
        r = put_one(s, &all[i]);
    return r < 0 ? r : 0;
}

int store_put_progress(struct store *s, const struct attempt_progress *all, size_t n)
{
    if (s->in_turn || s->failed || !n)
        return put_all(s, all, n);
    int r = sql_exec(s, STORE_UNSYNCED);
    if (r >= 0)
        r = put_all(s, all, n);
    if (r >= 0)
        r = store_commit(s);
    return r < 0 ? r : sql_exec(s, STORE_SYNCED); /* after an error: store_rollback */
}
