/* store_checkpoint.c - what a job that has not ended wants its next attempt to know. Few jobs have one: a store that has never
 * had any asks its table nothing. */
#include "broker/store_internal.h"

int store_load_checkpoints(struct store *s)
{
    s->has_checkpoints = sql_number(s, sql(s, SQL_CHECKPOINT_ANY), 0) > 0;
    return s->failed;
}

int store_put_checkpoint(struct store *s, uint64_t id, uint64_t attempt, struct str body)
{
    int r = store_write(s);
    if (r < 0)
        return r;
    s->has_checkpoints = true; /* also where the turn is rolled back: then it is asked in vain */
    sqlite3_stmt *q = sql(s, SQL_CHECKPOINT_PUT);
    bind_int(q, 1, (int64_t)id);
    bind_int(q, 2, (int64_t)attempt);
    bind_blob(q, 3, body);
    return sql_run(s, q);
}

int store_read_checkpoint(struct store *s, struct lease_order *o)
{
    if (!s->has_checkpoints || o->job.attempt < 2)
        return 0;
    sqlite3_stmt *q = sql(s, SQL_CHECKPOINT_GET);
    bind_int(q, 1, (int64_t)o->id);
    int r = sql_row(s, q);
    if (r <= 0)
        return r;
    struct str body = column_blob(q, 0);
    o->owned_checkpoint = xmalloc(body.n + 1);
    if (body.n)
        memcpy(o->owned_checkpoint, body.p, body.n);
    o->checkpoint = (struct str){ o->owned_checkpoint, body.n };
    sql_end(q);
    return 0;
}

int store_drop_checkpoint(struct store *s, uint64_t id)
{
    if (!s->has_checkpoints)
        return 0;
    bind_int(sql(s, SQL_CHECKPOINT_DROP), 1, (int64_t)id);
    return sql_run(s, sql(s, SQL_CHECKPOINT_DROP));
}
