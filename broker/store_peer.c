/* store_peer.c - what is kept of workers and of client sessions. */
#include "broker/store_internal.h"

#define SUBMITS_KEPT 16
#define USED_EVERY_MS 60000

int store_worker(struct store *s, struct str instance, struct str name, struct str host, struct str owner, int64_t now_ms,
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
        bind_text(q, 5, owner);
        id = sql_number(s, q, 0);
    }
    if (r < 0 || s->failed)
        return r < 0 ? r : s->failed;
    *ret_worker = (uint64_t)id;
    return 0;
}

int store_worker_instance(struct store *s, uint64_t worker, unsigned char ret[16], char **ret_name, char **ret_owner)
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
    if (ret_owner)
        *ret_owner = xstrndup(column_text(q, 2));
    sql_end(q);
    return 0;
}

int store_workers(struct store *s, uint64_t after, struct worker_seen *ret, size_t max)
{
    sqlite3_stmt *q = sql(s, SQL_WORKERS);
    bind_int(q, 1, (int64_t)after);
    bind_int(q, 2, (int64_t)max);
    int n = 0, r;
    while ((r = sql_row(s, q)) > 0)
        ret[n++] = (struct worker_seen){ (uint64_t)column_int(q, 0), column_int(q, 1) };
    return r < 0 ? r : n;
}

int store_attempt_workers(struct store *s, struct attempt_ref *at, uint64_t *ret, size_t max)
{
    sqlite3_stmt *q = sql(s, SQL_ATTEMPT_WORKERS);
    bind_int(q, 1, (int64_t)at->job);
    bind_int(q, 2, (int64_t)at->attempt);
    bind_int(q, 3, (int64_t)max);
    int n = 0, r;
    while ((r = sql_row(s, q)) > 0) {
        *at = (struct attempt_ref){ (uint64_t)column_int(q, 0), (uint64_t)column_int(q, 1) };
        ret[n++] = (uint64_t)or_default(column_int(q, 2), 0);
    }
    return r < 0 ? r : n;
}

int store_forget_worker(struct store *s, uint64_t worker)
{
    int r = store_write(s);
    if (r < 0)
        return r;
    bind_int(sql(s, SQL_WORKER_REMOVE), 1, (int64_t)worker);
    r = sql_run(s, sql(s, SQL_WORKER_REMOVE));
    return r < 0 ? r : 0;
}

/* The newest first: a new number needs no more than that one. */
int store_find_submit(struct store *s, struct str owner, struct str instance, uint64_t seq, struct submit_row *ret,
                      uint64_t *ret_last)
{
    *ret_last = 0;
    sqlite3_stmt *q = sql(s, SQL_SUBMITS);
    bind_text(q, 1, owner);
    bind_blob(q, 2, instance);
    int r = s->failed;
    while (r >= 0 && (r = sql_row(s, q)) > 0) {
        *ret = (struct submit_row){ (uint64_t)column_int(q, 0), (uint64_t)column_int(q, 1), (uint64_t)column_int(q, 2) };
        *ret_last = *ret_last ? *ret_last : ret->seq;
        if (ret->seq <= seq)
            break;
    }
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    sql_end(q);
    return ret->seq == seq ? 0 : -ENOENT;
}

/* When a client was here last is written no more than once in USED_EVERY_MS: it is forgotten only after a day. */
static int note_used(struct store *s, struct str owner, struct str instance, int64_t now_ms)
{
    sqlite3_stmt *q = sql(s, SQL_CLIENT_USED);
    bind_text(q, 1, owner);
    bind_blob(q, 2, instance);
    int64_t used_ms = sql_number(s, q, UNSET);
    if (used_ms != UNSET && used_ms <= now_ms && now_ms - used_ms < USED_EVERY_MS)
        return 0;
    q = sql(s, SQL_CLIENT_PUT);
    bind_text(q, 1, owner);
    bind_blob(q, 2, instance);
    bind_int(q, 3, now_ms);
    return sql_run(s, q);
}

static int trim_submits(struct store *s, struct str owner, struct str instance, uint64_t seq)
{
    sqlite3_stmt *q = sql(s, SQL_SUBMIT_TRIM);
    bind_text(q, 1, owner);
    bind_blob(q, 2, instance);
    bind_int(q, 3, (int64_t)seq - SUBMITS_KEPT);
    return sql_run(s, q);
}

int store_put_submit(struct store *s, struct str owner, struct str instance, const struct submit_row *row, int64_t now_ms)
{
    int r = store_write(s);
    if (r >= 0)
        r = note_used(s, owner, instance, now_ms);
    if (r < 0)
        return r;
    sqlite3_stmt *q = sql(s, SQL_SUBMIT_ADD);
    bind_text(q, 1, owner);
    bind_blob(q, 2, instance);
    bind_int(q, 3, (int64_t)row->seq);
    bind_int(q, 4, (int64_t)row->first_id);
    bind_int(q, 5, (int64_t)row->count);
    r = sql_run(s, q);
    if (r >= 0 && row->seq > SUBMITS_KEPT)
        r = trim_submits(s, owner, instance, row->seq);
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
