/* store_job.c - the life of a job, from its row to its attempts. Each statement says again which state it expects. */
#include "broker/store_internal.h"
#include "broker/text.h"

void read_job(sqlite3_stmt *q, struct job_row *ret)
{
    *ret = (struct job_row){
        .id = (uint64_t)column_int(q, 0), .state = (enum job_state)column_int(q, 1), .class = (uint32_t)column_int(q, 2),
        .priority = column_int(q, 3), .attempt = (uint64_t)column_int(q, 4), .failures = (uint64_t)column_int(q, 5),
        .crashes = (uint64_t)column_int(q, 6), .cancel_asked = column_int(q, 7) != 0,
        .worker = (uint64_t)or_default(column_int(q, 8), 0), .pool = (enum pool_kind)or_default(column_int(q, 9), 0),
        .submitted_ms = column_int(q, 10), .due_ms = column_int(q, 11), .expire_at_ms = column_int(q, 12),
        .started_ms = column_int(q, 13), .timeout_ms = column_int(q, 14), .retries = column_int(q, 15),
        .backoff_min_ms = column_int(q, 16), .backoff_max_ms = column_int(q, 17), .crash_limit = column_int(q, 18),
        .memory_bytes = column_int(q, 19), .kill_grace_ms = column_int(q, 20), .owner = column_int(q, 21),
        .started = column_int(q, 22) == 1, .parent = (uint64_t)or_default(column_int(q, 23), 0),
    };
}

/* ---- caches ---------------------------------------------------------------------------------------- */

int store_load_caches(struct store *s)
{
    strmap_fini(&s->owners);
    sqlite3_stmt *q = sql(s, SQL_META_GET);
    bind_text(q, 1, str_of("next_id"));
    s->next_id_saved = (uint64_t)sql_number(s, q, 1);
    uint64_t after_last = store_last_id(s) + 1;
    s->next_id = after_last > s->next_id_saved ? after_last : s->next_id_saved;
    s->n_finished = (uint64_t)sql_number(s, sql(s, SQL_FINISHED_COUNT), 0);
    return accounts_load(s);
}

int64_t store_owner(struct store *s, struct str owner)
{
    void *known = strmap_find(&s->owners, owner);
    if (known)
        return (int64_t)(intptr_t)known;
    sqlite3_stmt *q = sql(s, SQL_OWNER_FIND);
    bind_text(q, 1, owner);
    int64_t id = sql_number(s, q, 0);
    if (id > 0 && s->owners.n < LIMIT_PEERS)
        strmap_put(&s->owners, owner, (void *)(intptr_t)id);
    return id;
}

int store_owner_intern(struct store *s, struct str owner, int64_t *ret)
{
    *ret = store_owner(s, owner);
    if (*ret > 0)
        return 0;
    int r = store_write(s);
    if (r < 0)
        return r;
    sqlite3_stmt *q = sql(s, SQL_OWNER_ADD);
    bind_text(q, 1, owner);
    *ret = sql_number(s, q, 0);
    return s->failed;
}

/* ---- places (store_schema.c) ------------------------------------------------------------------------- */

#define SHELF_FINISHED 0
#define SHELF_SCHEDULED (-1)
#define SHELF_BLOCKED (-3)

struct place {
    int64_t shelf, rank; /* rank: UNSET: the least for the job's priority */
};

/* Of a job that does not run. */
static struct place place_of(enum job_state state, uint32_t class, int64_t due_ms, int64_t finished_ms)
{
    if (state_is_terminal(state))
        return (struct place){ SHELF_FINISHED, finished_ms };
    if (state == STATE_SCHEDULED)
        return (struct place){ SHELF_SCHEDULED, due_ms };
    return state == STATE_BLOCKED ? (struct place){ SHELF_BLOCKED, 0 } : (struct place){ class, UNSET };
}

/* ---- submit ---------------------------------------------------------------------------------------- */

static int add_payload(struct store *s, uint64_t id, struct str payload)
{
    if (!payload.n)
        return 0;
    sqlite3_stmt *q = sql(s, SQL_PAYLOAD_ADD);
    bind_int(q, 1, (int64_t)id);
    bind_blob(q, 2, payload);
    return sql_run(s, q);
}

/* What few jobs have: a row only where there is any. */
static int add_spec(struct store *s, uint64_t id, const struct new_job *j)
{
    const struct job_spec *spec = j->spec;
    const int64_t values[] = {
        j->parent ? (int64_t)j->parent : UNSET, spec->timeout_ms, spec->retries, spec->backoff_min_ms, spec->backoff_max_ms,
        spec->crash_limit, spec->memory_bytes, spec->kill_grace_ms,
    };
    bool any = spec->name.p != NULL;
    for (size_t i = 0; i < ELEMENTS(values); i++)
        any |= values[i] != UNSET;
    if (!any)
        return 0;
    sqlite3_stmt *q = sql(s, SQL_SPEC_ADD);
    bind_int(q, 1, (int64_t)id);
    for (size_t i = 0; i < ELEMENTS(values); i++)
        bind_int(q, (int)i + 2, values[i]);
    bind_text(q, (int)ELEMENTS(values) + 2, spec->name);
    return sql_run(s, q);
}

int store_note_expiry(struct store *s, uint64_t id)
{
    bind_int(sql(s, SQL_EXPIRY_ADD), 1, (int64_t)id);
    return sql_run(s, sql(s, SQL_EXPIRY_ADD));
}

static int add_job(struct store *s, uint64_t id, const struct new_job *j, int64_t owner, int64_t now_ms)
{
    int64_t priority = or_default(j->spec->priority, 0);
    struct place at = place_of(j->state, j->class, j->due_ms, now_ms);
    const int64_t values[] = {
        (int64_t)id, j->state, j->class, priority, at.shelf, at.rank == UNSET ? -priority : at.rank, now_ms, j->due_ms,
        j->expire_at_ms, owner,
    };
    sqlite3_stmt *q = sql(s, SQL_JOB_ADD);
    for (size_t i = 0; i < ELEMENTS(values); i++)
        bind_int(q, (int)i + 1, values[i]);
    int r = sql_run(s, q);
    if (r >= 0)
        counter_move(s, 0, -1, j->class, (int)j->state);
    if (r >= 0)
        account_move(s, owner, id, 1);
    if (r >= 0)
        r = add_spec(s, id, j);
    if (r >= 0 && j->expire_at_ms != UNSET)
        r = store_note_expiry(s, id);
    return r < 0 ? r : add_payload(s, id, j->spec->payload);
}

int store_add_job(struct store *s, const struct new_job *j, int64_t owner, int64_t now_ms, uint64_t *ret_id)
{
    *ret_id = s->next_id++;
    return add_job(s, *ret_id, j, owner, now_ms);
}

int store_add_jobs(struct store *s, const struct new_job *jobs, size_t n, struct str owner, int64_t now_ms,
                   uint64_t *ret_first)
{
    int64_t owner_id;
    int r = store_write(s);
    if (r >= 0)
        r = store_owner_intern(s, owner, &owner_id);
    uint64_t first = s->next_id;
    for (size_t i = 0; i < n && r >= 0; i++)
        r = add_job(s, s->next_id++, &jobs[i], owner_id, now_ms);
    if (r >= 0)
        *ret_first = first;
    return r < 0 ? r : 0;
}

/* ---- reading --------------------------------------------------------------------------------------- */

int store_get(struct store *s, uint64_t id, struct job_row *ret)
{
    sqlite3_stmt *q = sql(s, SQL_JOB_GET);
    bind_int(q, 1, id > INT64_MAX ? 0 : (int64_t)id); /* there is no job 0 */
    int r = sql_row(s, q);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    read_job(q, ret);
    sql_end(q);
    return 0;
}

static void bind_scan(sqlite3_stmt *q, uint64_t first, uint64_t last)
{
    bind_int(q, 1, first > INT64_MAX ? INT64_MAX : (int64_t)first);
    bind_int(q, 2, last > INT64_MAX ? INT64_MAX : (int64_t)last);
}

int store_scan(struct store *s, uint64_t first, uint64_t last, struct job_row *ret, size_t max)
{
    sqlite3_stmt *q = sql(s, SQL_JOB_SCAN);
    bind_scan(q, first, last);
    bind_int(q, 3, (int64_t)max);
    int n = 0, r;
    while ((r = sql_row(s, q)) > 0)
        read_job(q, &ret[n++]);
    return r < 0 ? r : n;
}

int store_scan_states(struct store *s, uint64_t first, uint64_t last, struct glance *ret, size_t max)
{
    sqlite3_stmt *q = sql(s, SQL_STATE_SCAN);
    bind_scan(q, first, last);
    bind_int(q, 3, (int64_t)max);
    int n = 0, r;
    while ((r = sql_row(s, q)) > 0)
        ret[n++] = (struct glance){ (uint64_t)column_int(q, 0), (enum job_state)column_int(q, 1), column_int(q, 2) };
    return r < 0 ? r : n;
}

uint64_t store_last_id(struct store *s) { return (uint64_t)sql_number(s, sql(s, SQL_JOB_LAST), 0); }

int store_heads(struct store *s, uint32_t class, struct head *ret, size_t max)
{
    sqlite3_stmt *q = sql(s, SQL_HEADS);
    bind_int(q, 1, class);
    bind_int(q, 2, (int64_t)max);
    int n = 0, r;
    while ((r = sql_row(s, q)) > 0)
        ret[n++] = (struct head){ column_int(q, 0), (uint64_t)column_int(q, 1) };
    return r < 0 ? r : n;
}

int store_each_lease(struct store *s, void (*each)(void *ctx, const struct job_row *j), void *ctx)
{
    sqlite3_stmt *q = sql(s, SQL_LEASES);
    int r;
    while ((r = sql_row(s, q)) > 0) {
        struct job_row j;
        read_job(q, &j);
        each(ctx, &j);
    }
    return r;
}

/* ---- attempts -------------------------------------------------------------------------------------- */

/* Copies name and payload, for the RUN that follows. */
static void keep_texts(struct lease_order *o, struct str name, struct str payload)
{
    char *p = xmalloc(name.n + payload.n);
    if (name.n)
        memcpy(p, name.p, name.n);
    if (payload.n)
        memcpy(p + name.n, payload.p, payload.n);
    o->owned = p;
    o->name = name.p ? (struct str){ p, name.n } : STR_UNSET;
    o->payload = (struct str){ p + name.n, payload.n };
}

static void take_order(struct lease_order *o, sqlite3_stmt *q, int64_t now_ms)
{
    read_job(q, &o->job);
    keep_texts(o, column_text(q, 24), column_blob(q, 25));
    o->leased = true;
    o->job.state = STATE_RUNNING;
    o->job.attempt++;
    o->job.worker = o->worker;
    o->job.pool = o->pool;
    o->job.chosen = o->chosen;
    o->job.started_ms = now_ms;
    o->job.started = false;
}

#define LEASE_BYTES (8u << 20) /* of the payloads that one call of store_lease copies; the last may reach beyond */

/* Reads orders whose ids follow each other. */
static int read_orders(struct store *s, struct lease_order *orders, size_t n, size_t *bytes, int64_t now_ms)
{
    sqlite3_stmt *q = sql(s, SQL_LEASE_SCAN);
    bind_scan(q, orders[0].id, orders[n - 1].id);
    int r = 0;
    while (*bytes <= LEASE_BYTES && (r = sql_row(s, q)) > 0) {
        struct lease_order *o = &orders[(uint64_t)column_int(q, 0) - orders[0].id];
        take_order(o, q, now_ms);
        *bytes += o->payload.n;
    }
    if (r > 0)
        sql_end(q);
    return r < 0 ? r : 0;
}

/* A SELECT and an UPDATE: together half the cost of one UPDATE with RETURNING, which fills a table of its own. */
static int lease_one(struct store *s, struct lease_order *o)
{
    sqlite3_stmt *q = sql(s, SQL_LEASE);
    bind_int(q, 1, (int64_t)o->id);
    bind_int(q, 2, (int64_t)o->job.attempt);
    bind_int(q, 3, (int64_t)o->worker);
    bind_int(q, 4, o->pool);
    bind_int(q, 5, o->job.started_ms);
    bind_int(q, 6, o->chosen);
    int r = sql_run(s, q);
    o->leased = r == 1; /* not when it stands among the orders twice */
    if (o->leased)
        counter_move(s, o->job.class, STATE_QUEUED, o->job.class, STATE_RUNNING);
    return r;
}

static size_t following(const struct lease_order *orders, size_t n)
{
    size_t i = 1;
    while (i < n && orders[i].id == orders[i - 1].id + 1)
        i++;
    return i;
}

/* Those behind the last whose payload was read, when there was no room for more. */
static void mark_left(struct lease_order *orders, size_t n, bool full)
{
    for (size_t i = n; i-- > 0;) {
        full = full && !orders[i].leased;
        orders[i].left = full;
    }
}

int store_lease(struct store *s, struct lease_order *orders, size_t n, int64_t now_ms)
{
    int r = store_write(s);
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        orders[i].leased = false;
        orders[i].checkpoint = STR_UNSET;
        orders[i].owned_checkpoint = NULL;
    }
    for (size_t i = 0, k; i < n && r >= 0 && bytes <= LEASE_BYTES; i += k) {
        k = following(orders + i, n - i);
        r = read_orders(s, orders + i, k, &bytes, now_ms);
    }
    mark_left(orders, n, bytes > LEASE_BYTES);
    for (size_t i = 0; i < n && r >= 0; i++)
        if (orders[i].leased && (r = lease_one(s, &orders[i])) >= 0 && orders[i].leased)
            r = store_read_checkpoint(s, &orders[i]);
    return r < 0 ? r : 0;
}

int store_started(struct store *s, uint64_t id, uint64_t attempt, int64_t started_ms)
{
    int r = store_write(s);
    if (r < 0)
        return r;
    sqlite3_stmt *q = sql(s, SQL_STARTED);
    bind_int(q, 1, (int64_t)id);
    bind_int(q, 2, (int64_t)attempt);
    bind_int(q, 3, started_ms);
    r = sql_run(s, q);
    return r < 0 ? r : 0;
}

static int move_on(struct store *s, const struct attempt_end *e)
{
    sqlite3_stmt *q = sql(s, SQL_ATTEMPT_END);
    struct place at = place_of(e->to, e->class, e->due_ms, e->finished_ms);
    bool terminal = state_is_terminal(e->to);
    const int64_t values[] = {
        (int64_t)e->id, (int64_t)e->attempt, e->to, at.shelf, at.rank, e->due_ms, (int64_t)e->failures, (int64_t)e->crashes,
        e->class, terminal ? e->finished_ms : UNSET, terminal ? e->started_ms : UNSET,
    };
    for (size_t i = 0; i < ELEMENTS(values); i++)
        bind_int(q, (int)i + 1, values[i]);
    int r = sql_run(s, q);
    if (r > 0 && !terminal && store_note_expiry(s, e->id) < 0)
        return s->failed;
    return r;
}

static int add_attempt(struct store *s, const struct attempt_end *e)
{
    const struct outcome *o = e->outcome;
    const int64_t values[] = {
        (int64_t)e->id, (int64_t)e->attempt, (int64_t)e->worker, e->pool, e->started_ms, e->finished_ms,
        (int64_t)o->ending, (int64_t)o->reason, o->exit_code, o->signal, o->wall_us, o->cpu_us, o->max_rss_kb,
    };
    sqlite3_stmt *q = sql(s, SQL_ATTEMPT_ADD);
    for (size_t i = 0; i < ELEMENTS(values); i++)
        bind_int(q, (int)i + 1, values[i]);
    bind_text(q, 14, text_cut(o->error, LIMIT_TEXT_BYTES));
    bind_int(q, 15, e->to);
    bind_int(q, 16, e->to == STATE_SCHEDULED ? e->due_ms : UNSET);
    bind_blob(q, 17, o->result.n ? o->result : STR_UNSET);
    return sql_run(s, q);
}

static int add_output(struct store *s, const struct attempt_end *e)
{
    sqlite3_stmt *q = sql(s, SQL_OUTPUT_ADD);
    bind_int(q, 1, (int64_t)e->id);
    bind_int(q, 2, (int64_t)e->attempt);
    bind_blob(q, 3, e->outcome->output);
    return sql_run(s, q);
}

static int end_attempt(struct store *s, struct attempt_end *e)
{
    int r = move_on(s, e);
    e->recorded = r == 1;
    if (r <= 0)
        return r;
    counter_move(s, e->from_class, STATE_RUNNING, e->class, (int)e->to);
    if (state_is_terminal(e->to))
        account_move(s, e->owner, e->id, -1);
    r = add_attempt(s, e);
    if (r >= 0 && state_is_terminal(e->to))
        r = store_drop_checkpoint(s, e->id);
    return r < 0 || !e->outcome->output.n ? r : add_output(s, e);
}

int store_end_attempts(struct store *s, struct attempt_end *ends, size_t n)
{
    int r = store_write(s);
    for (size_t i = 0; i < n && r >= 0; i++)
        r = end_attempt(s, &ends[i]);
    return r < 0 ? r : 0;
}
