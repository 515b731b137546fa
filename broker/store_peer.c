/* store_peer.c - what is kept of workers and of client sessions. */
#include "broker/store_internal.h"

#define SUBMITS_KEPT 16

int store_worker(struct store *s, struct str instance, struct str name, struct str host, int64_t now_ms,
                 uint64_t *ret_worker)
{
    sqlite3_stmt *q = sql(s, SQL_WORKER_FIND);
    bind_blob(q, 1, instance);
    int64_t id = sql_number(s, q, 0);
    int r = s->failed ? s->failed : id ? 0 : store_write(s);
    if (r >= 0 && !id) {
        q = sql(s, SQL_WORKER_ADD);
        bind_blob(q, 1, instance);
        bind_text(q, 2, name);
        bind_text(q, 3, host);
        bind_int(q, 4, now_ms);
        id = sql_number(s, q, 0);
    }
    if (r < 0 || s->failed)
        return r < 0 ? r : s->failed;
    *ret_worker = (uint64_t)id;
    return 0;
}

int store_worker_instance(struct store *s, uint64_t worker, unsigned char ret[16], char **ret_name)
{
    sqlite3_stmt *q = sql(s, SQL_WORKER_GET);
    bind_int(q, 1, (int64_t)worker);
    int r = sql_row(s, q);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    struct str instance = column_blob(q, 0);
    memset(ret, 0, 16);
    memcpy(ret, instance.p, min_size(instance.n, 16));
    if (ret_name)
        *ret_name = xstrndup(column_text(q, 1));
    sql_end(q);
    return 0;
}

int store_find_submit(struct store *s, struct str owner, struct str instance, uint64_t seq, struct submit_row *ret,
                      uint64_t *ret_last)
{
    sqlite3_stmt *q = sql(s, SQL_SUBMIT_LAST);
    bind_text(q, 1, owner);
    bind_blob(q, 2, instance);
    *ret_last = (uint64_t)sql_number(s, q, 0);
    q = sql(s, SQL_SUBMIT_FIND);
    bind_text(q, 1, owner);
    bind_blob(q, 2, instance);
    bind_int(q, 3, seq > INT64_MAX ? 0 : (int64_t)seq); /* there is no submit 0 */
    int r = s->failed ? s->failed : sql_row(s, q);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    *ret = (struct submit_row){ seq, (uint64_t)column_int(q, 0), (uint64_t)column_int(q, 1) };
    sql_end(q);
    return 0;
}

int store_put_submit(struct store *s, struct str owner, struct str instance, const struct submit_row *row, int64_t now_ms)
{
    int r = store_write(s);
    if (r < 0)
        return r;
    sqlite3_stmt *q = sql(s, SQL_CLIENT_PUT);
    bind_text(q, 1, owner);
    bind_blob(q, 2, instance);
    bind_int(q, 3, (int64_t)row->seq);
    bind_int(q, 4, now_ms);
    r = sql_run(s, q);
    q = sql(s, SQL_SUBMIT_ADD);
    bind_text(q, 1, owner);
    bind_blob(q, 2, instance);
    bind_int(q, 3, (int64_t)row->seq);
    bind_int(q, 4, (int64_t)row->first_id);
    bind_int(q, 5, (int64_t)row->count);
    if (r >= 0)
        r = sql_run(s, q);
    q = sql(s, SQL_SUBMIT_TRIM);
    bind_text(q, 1, owner);
    bind_blob(q, 2, instance);
    bind_int(q, 3, (int64_t)row->seq - SUBMITS_KEPT);
    if (r >= 0 && row->seq > SUBMITS_KEPT)
        r = sql_run(s, q);
    return r < 0 ? r : 0;
}

int store_forget_client(struct store *s, struct str owner, struct str instance)
{
    static const enum statement parts[] = { SQL_CLIENT_REMOVE, SQL_SUBMITS_REMOVE };
    int r = store_write(s);
    for (size_t i = 0; i < ELEMENTS(parts) && r >= 0; i++) {
        bind_text(sql(s, parts[i]), 1, owner);
        bind_blob(sql(s, parts[i]), 2, instance);
        r = sql_run(s, sql(s, parts[i]));
    }
    return r < 0 ? r : 0;
}
