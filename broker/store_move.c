/* store_move.c - the moves of a job that no attempt's end makes: handed back, cancelled, expired, due, retried, removed. */
#include "broker/store_internal.h"

#define PRIORITIES_LOOKED_AT 100
#define EVENTS_KEPT 1000 /* of a job: the newest */

int store_event(struct store *s, uint64_t id, uint64_t attempt, const char *event, struct str worker, struct str text,
                int64_t now_ms)
{
    int r = store_write(s);
    if (r < 0)
        return r;
    sqlite3_stmt *q = sql(s, SQL_EVENT_TRIM);
    bind_int(q, 1, (int64_t)id);
    bind_int(q, 2, EVENTS_KEPT - 1);
    if ((r = sql_run(s, q)) < 0)
        return r;
    q = sql(s, SQL_EVENT_ADD);
    bind_int(q, 1, (int64_t)id);
    bind_int(q, 2, attempt ? (int64_t)attempt : UNSET);
    bind_int(q, 3, now_ms);
    bind_text(q, 4, str_of(event));
    bind_text(q, 5, worker);
    bind_text(q, 6, text);
    r = sql_run(s, q);
    return r < 0 ? r : 0;
}

static int forget_expiry(struct store *s, uint64_t id, int64_t at_ms)
{
    bind_int(sql(s, SQL_EXPIRY_REMOVE), 1, at_ms);
    bind_int(sql(s, SQL_EXPIRY_REMOVE), 2, (int64_t)id);
    return sql_run(s, sql(s, SQL_EXPIRY_REMOVE));
}

/* The class and state that a job is in; -ENOENT. */
static int where(struct store *s, uint64_t id, struct job_row *ret)
{
    int r = store_write(s);
    return r < 0 ? r : store_get(s, id, ret);
}

int store_hand_back(struct store *s, uint64_t id, uint64_t attempt, const char *why, struct str worker, int64_t now_ms)
{
    struct job_row j;
    int r = where(s, id, &j);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    sqlite3_stmt *q = sql(s, SQL_HAND_BACK);
    bind_int(q, 1, (int64_t)id);
    bind_int(q, 2, (int64_t)attempt);
    r = sql_run(s, q);
    if (r <= 0)
        return r;
    counter_move(s, j.class, STATE_RUNNING, j.class, STATE_QUEUED);
    if ((r = store_note_expiry(s, id)) < 0)
        return r;
    r = j.started_ms == UNSET ? 0 : store_event(s, id, attempt, "running", worker, STR_UNSET, j.started_ms);
    if (r >= 0)
        r = store_event(s, id, attempt, "handed-back", worker, str_of(why), now_ms);
    return r < 0 ? r : 1;
}

int store_count_handed_back(struct store *s, uint64_t id, uint64_t from_attempt, const char *why)
{
    sqlite3_stmt *q = sql(s, SQL_HANDED_BACK);
    bind_int(q, 1, (int64_t)id);
    bind_int(q, 2, (int64_t)from_attempt);
    bind_text(q, 3, str_of(why));
    int n = (int)sql_number(s, q, 0);
    return s->failed ? s->failed : n;
}

int store_end_waiting(struct store *s, uint64_t id, enum job_state to, int64_t now_ms)
{
    struct job_row j;
    int r = where(s, id, &j);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    sqlite3_stmt *q = sql(s, SQL_END_WAITING);
    bind_int(q, 1, (int64_t)id);
    bind_int(q, 2, to);
    bind_int(q, 3, now_ms);
    r = sql_run(s, q);
    if (r <= 0)
        return r;
    counter_move(s, j.class, (int)j.state, j.class, (int)to);
    account_move(s, j.owner, id, -1);
    r = store_drop_checkpoint(s, id);
    return r < 0 ? r : 1;
}

int store_ask_cancel(struct store *s, uint64_t id, int64_t now_ms)
{
    struct job_row j;
    int r = where(s, id, &j);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    sqlite3_stmt *q = sql(s, SQL_ASK_CANCEL);
    bind_int(q, 1, (int64_t)id);
    int changed = sql_run(s, q);
    if (changed > 0)
        r = store_event(s, id, j.attempt, "cancel-asked", STR_UNSET, STR_UNSET, now_ms);
    return r < 0 ? r : changed;
}

/* A job that was cancelled or expired forgets when, once it is tried again: no attempt tells it. */
static int keep_end(struct store *s, const struct job_row *j)
{
    if (j->state != STATE_CANCELLED && j->state != STATE_EXPIRED)
        return 0;
    sqlite3_stmt *q = sql(s, SQL_EVENT_END);
    bind_int(q, 1, (int64_t)j->id);
    bind_text(q, 2, str_of(state_name(j->state)));
    int r = sql_run(s, q);
    return r < 0 ? r : 0;
}

int store_retry(struct store *s, uint64_t id, uint32_t class, int64_t now_ms)
{
    struct job_row j;
    int r = where(s, id, &j);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    if ((r = keep_end(s, &j)) < 0)
        return r;
    sqlite3_stmt *q = sql(s, SQL_RETRY);
    bind_int(q, 1, (int64_t)id);
    bind_int(q, 2, class);
    int changed = sql_run(s, q);
    if (changed <= 0)
        return changed;
    counter_move(s, j.class, (int)j.state, class, STATE_QUEUED);
    account_move(s, j.owner, id, 1);
    if ((r = store_forget_children(s, id)) < 0)
        return r;
    r = store_event(s, id, 0, "retried", STR_UNSET, str_of(state_name(j.state)), now_ms);
    return r < 0 ? r : 1;
}

int store_remove_range(struct store *s, const struct swept_job *jobs, size_t n)
{
    static const enum statement parts[] = { SQL_REMOVE,          SQL_REMOVE_SPEC,   SQL_REMOVE_PAYLOAD,
                                            SQL_REMOVE_ATTEMPTS, SQL_REMOVE_OUTPUT, SQL_REMOVE_EVENTS,
                                            SQL_REMOVE_CHILDREN };
    int r = store_write(s);
    s->highest_removed |= jobs[n - 1].id + 1 == s->next_id;
    for (size_t i = 0; i < ELEMENTS(parts) && r >= 0; i++) {
        bind_int(sql(s, parts[i]), 1, (int64_t)jobs[0].id);
        bind_int(sql(s, parts[i]), 2, (int64_t)jobs[n - 1].id);
        r = sql_run(s, sql(s, parts[i]));
        assert(i || r < 0 || (size_t)r == n); /* every job of the range is among them */
    }
    for (size_t i = 0; i < n && r >= 0; i++) {
        counter_move(s, jobs[i].class, (int)jobs[i].state, 0, -1);
        if (jobs[i].expire_at_ms != UNSET)
            r = forget_expiry(s, jobs[i].id, jobs[i].expire_at_ms);
    }
    return r < 0 ? r : 0;
}

int store_remove(struct store *s, uint64_t id)
{
    struct job_row j;
    int r = where(s, id, &j);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    if (!state_is_terminal(j.state))
        return 0;
    struct swept_job job = { .id = id, .class = j.class, .state = j.state, .expire_at_ms = j.expire_at_ms };
    r = store_remove_range(s, &job, 1);
    return r < 0 ? r : 1;
}

int store_promote_due(struct store *s, int64_t now_ms, struct due_job *ret, size_t max)
{
    sqlite3_stmt *q = sql(s, SQL_DUE);
    bind_int(q, 1, now_ms);
    bind_int(q, 2, (int64_t)max);
    int n = 0, r;
    while ((r = sql_row(s, q)) > 0)
        ret[n++] = (struct due_job){ (uint64_t)column_int(q, 0), (uint32_t)column_int(q, 1), column_int(q, 2) };
    if (r >= 0 && n)
        r = store_write(s);
    for (int i = 0; i < n && r >= 0; i++) {
        bind_int(sql(s, SQL_PROMOTE), 1, (int64_t)ret[i].id);
        r = sql_run(s, sql(s, SQL_PROMOTE));
        counter_move(s, ret[i].class, STATE_SCHEDULED, ret[i].class, STATE_QUEUED);
    }
    return r < 0 ? r : n;
}

int store_find_expired(struct store *s, int64_t now_ms, uint64_t *ret, size_t max)
{
    struct due {
        int64_t at;
        uint64_t job;
        bool waits;
    };
    cleanup(freep) struct due *due = xcalloc(max, sizeof *due);
    sqlite3_stmt *q = sql(s, SQL_EXPIRED);
    bind_int(q, 1, now_ms);
    bind_int(q, 2, (int64_t)max);
    int n = 0, found = 0, r;
    while ((r = sql_row(s, q)) > 0)
        due[n++] = (struct due){ column_int(q, 0), (uint64_t)column_int(q, 1), column_int(q, 2) != UNSET };
    if (r >= 0 && n)
        r = store_write(s);
    for (int i = 0; i < n && r >= 0; i++) {
        r = forget_expiry(s, due[i].job, due[i].at);
        if (due[i].waits)
            ret[found++] = due[i].job;
    }
    return r < 0 ? r : found;
}

int64_t store_next_due(struct store *s) { return sql_number(s, sql(s, SQL_NEXT_DUE), NEVER); }
int64_t store_next_expiry(struct store *s) { return sql_number(s, sql(s, SQL_NEXT_EXPIRY), NEVER); }

/* Within a priority the first is the oldest: one row for each, and no more of them than anybody uses. */
int64_t store_oldest(struct store *s, uint32_t class)
{
    sqlite3_stmt *q = sql(s, SQL_OLDEST);
    int64_t above = -INT64_MAX, oldest = UNSET;
    for (int i = 0; i < PRIORITIES_LOOKED_AT; i++) {
        bind_int(q, 1, class);
        bind_int(q, 2, above);
        if (sql_row(s, q) <= 0)
            break;
        int64_t submitted = column_int(q, 1);
        above = column_int(q, 0);
        sql_end(q);
        oldest = oldest == UNSET ? submitted : min_i64(oldest, submitted);
    }
    return oldest;
}
