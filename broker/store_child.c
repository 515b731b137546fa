/* store_child.c - children: which jobs a job has submitted, and which of them are to be cancelled with it. */
#include "broker/store_internal.h"

/* ---- parent and key --------------------------------------------------------------------------------- */

int store_find_child(struct store *s, uint64_t parent, struct str key, uint64_t *ret_id)
{
    sqlite3_stmt *q = sql(s, SQL_CHILD_FIND);
    bind_int(q, 1, (int64_t)parent);
    bind_text(q, 2, key);
    *ret_id = (uint64_t)sql_number(s, q, 0);
    return s->failed;
}

static int note_child(struct store *s, uint64_t parent, struct str key, uint64_t id, bool detached)
{
    sqlite3_stmt *q = sql(s, SQL_CHILD_ADD);
    bind_int(q, 1, (int64_t)parent);
    bind_text(q, 2, key);
    bind_int(q, 3, (int64_t)id);
    bind_int(q, 4, detached);
    return sql_run(s, q);
}

int store_add_child(struct store *s, const struct new_job *j, struct str key, bool detached, int64_t owner, int64_t now_ms,
                    uint64_t *ret_id)
{
    int r = store_find_child(s, j->parent, key, ret_id);
    if (r < 0 || *ret_id)
        return r;
    r = store_write(s);
    if (r >= 0)
        r = store_add_job(s, j, owner, now_ms, ret_id);
    if (r >= 0)
        r = note_child(s, j->parent, key, *ret_id, detached);
    return r < 0 ? r : 1;
}

int64_t store_count_children(struct store *s, uint64_t parent)
{
    sqlite3_stmt *q = sql(s, SQL_CHILD_COUNT);
    bind_int(q, 1, (int64_t)parent);
    int64_t n = sql_number(s, q, 0);
    return s->failed ? s->failed : n;
}

int store_children(struct store *s, uint64_t parent, const char *after, struct child_row *ret, size_t max)
{
    sqlite3_stmt *q = sql(s, SQL_CHILDREN);
    bind_int(q, 1, (int64_t)parent);
    bind_text(q, 2, str_of(after));
    bind_int(q, 3, (int64_t)max);
    int n = 0, r;
    while ((r = sql_row(s, q)) > 0) {
        struct str key = column_text(q, 0);
        struct child_row *c = &ret[n++];
        *c = (struct child_row){ .id = (uint64_t)column_int(q, 1), .detached = column_int(q, 2) == 1 };
        memcpy(c->key, key.p, min_size(key.n, sizeof c->key - 1));
    }
    return r < 0 ? r : n;
}

int store_forget_children(struct store *s, uint64_t parent)
{
    bind_int(sql(s, SQL_CHILDREN_FORGET), 1, (int64_t)parent);
    return sql_run(s, sql(s, SQL_CHILDREN_FORGET));
}

/* ---- how one ended ---------------------------------------------------------------------------------- */

/* A job that was cancelled or has expired while it waited may have an attempt that failed before. */
static enum reason reason_of(enum job_state state, int64_t of_attempt)
{
    if (state == STATE_CANCELLED || state == STATE_EXPIRED)
        return state == STATE_CANCELLED ? REASON_CANCELLED : REASON_EXPIRED;
    return (enum reason)or_default(of_attempt, REASON_NONE);
}

int store_get_end(struct store *s, uint64_t id, struct child_end *ret, uint64_t *ret_parent)
{
    sqlite3_stmt *q = sql(s, SQL_CHILD_END);
    bind_int(q, 1, id > INT64_MAX ? 0 : (int64_t)id); /* there is no job 0 */
    int r = sql_row(s, q);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    enum job_state state = (enum job_state)column_int(q, 1);
    *ret_parent = (uint64_t)or_default(column_int(q, 0), 0);
    *ret = (struct child_end){ id, state, reason_of(state, column_int(q, 2)), column_int(q, 3), column_int(q, 4) };
    sql_end(q);
    return 0;
}

/* ---- cascades ---------------------------------------------------------------------------------------- */

int store_begin_cascade(struct store *s, uint64_t parent)
{
    int r = store_write(s);
    if (r < 0)
        return r;
    bind_int(sql(s, SQL_CASCADE_ADD), 1, (int64_t)parent);
    return sql_run(s, sql(s, SQL_CASCADE_ADD));
}

int64_t store_first_cascade(struct store *s)
{
    int64_t parent = sql_number(s, sql(s, SQL_CASCADE_FIRST), 0);
    return s->failed ? s->failed : parent;
}

int store_end_cascade(struct store *s, uint64_t parent)
{
    int r = store_write(s);
    if (r < 0)
        return r;
    bind_int(sql(s, SQL_CASCADE_REMOVE), 1, (int64_t)parent);
    return sql_run(s, sql(s, SQL_CASCADE_REMOVE));
}
