/* store_view.c - from rows to what is shown. The ordinary transitions of a job are told from its columns and its attempts. */
#include "broker/store_internal.h"

#include <inttypes.h>
#include <stdio.h>

#include "broker/store_view.h"

#define COMMAND_WORDS_MAX 64u
#define COMMAND_BYTES_MAX 4096u
#define READING_WEIGHT 4u /* so many bytes that are read, but not shown, weigh as much on a page as one that is shown */

/* X(name, sql) */
#define VIEWS(X)                                                                                   \
    X(JOB,                                                                                         \
      "SELECT j.id, j.state, c.queue, c.handler, o.name, s.name, c.tag, c.tag_unset, j.pool, j.priority, j.attempt, "  \
      "s.retries, j.failures, j.crashes, w.name, j.submitted_at, j.due_at, j.started_at, j.finished_at, s.timeout_ms, " \
      "a.exit_code, a.signal, a.reason, a.wall_us, a.cpu_us, a.max_rss_kb, a.error, s.parent, s.crash_limit, "         \
      "j.expire_at, s.memory_bytes, j.cancel, c.needs, j.chosen, j.progress "                             \
      "FROM job j JOIN class c ON c.id = j.class JOIN owner o ON o.id = j.owner LEFT JOIN worker w ON w.id = j.worker " \
      "LEFT JOIN spec s ON s.job = j.id LEFT JOIN attempt a ON a.job = j.id AND a.n = j.attempt WHERE j.id = ?")                    \
    X(PAYLOAD, "SELECT body FROM payload WHERE job = ?")                                           \
    X(HANDLER, "SELECT c.handler FROM job j JOIN class c ON c.id = j.class WHERE j.id = ?")        \
    X(ATTEMPTS,                                                                                    \
      "SELECT a.n, w.name, a.pool, a.started_at, a.finished_at, a.ending, a.reason, a.exit_code, a.signal, a.error, "  \
      "a.state, a.due_at FROM attempt a LEFT JOIN worker w ON w.id = a.worker WHERE a.job = ? ORDER BY a.n")           \
    X(EVENTS, "SELECT at, event, attempt, worker, text FROM event WHERE job = ? ORDER BY id")      \
    X(LIFE,                                                                                        \
      "SELECT j.state, j.submitted_at, j.due_at, j.started_at, j.finished_at, j.attempt, w.name, j.owner, o.name, j.pool " \
      "FROM job j JOIN owner o ON o.id = j.owner LEFT JOIN worker w ON w.id = j.worker WHERE j.id = ?")

enum view {
#define X(name, sql) VIEW_##name,
    VIEWS(X)
#undef X
    N_VIEWS
};

const char *const store_view_sql[] = {
#define X(name, sql) sql,
    VIEWS(X)
#undef X
    NULL,
};

struct view_reader {
    sqlite3_stmt *q[N_VIEWS]; /* owned */
    int rc;                   /* the first that failed since view_take_error */
};

int view_take_error(struct view_reader *v)
{
    int rc = v->rc;
    v->rc = SQLITE_OK;
    return rc;
}

/* Resets, and keeps what the last step said: a row that could not be read is not one that is not there. */
static void end(struct view_reader *v, sqlite3_stmt *q)
{
    int rc = sqlite3_reset(q);
    if (!v->rc)
        v->rc = rc;
    sqlite3_clear_bindings(q);
}

int view_reader_open(struct view_reader **ret, sqlite3 *db)
{
    struct view_reader *v = xcalloc(1, sizeof *v);
    int rc = SQLITE_OK;
    for (int i = 0; i < N_VIEWS && rc == SQLITE_OK; i++)
        rc = sqlite3_prepare_v3(db, store_view_sql[i], -1, SQLITE_PREPARE_PERSISTENT, &v->q[i], NULL);
    *ret = v;
    return rc;
}

void view_reader_close(struct view_reader *v)
{
    for (int i = 0; v && i < N_VIEWS; i++)
        sqlite3_finalize(v->q[i]);
    free(v);
}

/* ---- a job ---------------------------------------------------------------------------------------- */

void view_texts_free(struct view_texts *t)
{
    free(t->text);
    free(t->command);
}

/* Texts are copied into one block, which must not move: so they are measured first. */
struct copier {
    char *at;
};

static struct str copy(struct copier *c, struct str s)
{
    if (!s.p)
        return STR_UNSET;
    memcpy(c->at, s.p, s.n);
    c->at += s.n;
    return (struct str){ c->at - s.n, s.n };
}

static const int text_columns[] = { 2, 3, 4, 5, 14, 26, 32 };

static void read_view(sqlite3_stmt *q, struct job_view *j, struct view_texts *t)
{
    size_t n = COMMAND_BYTES_MAX;
    for (size_t i = 0; i < ELEMENTS(text_columns); i++)
        n += column_text(q, text_columns[i]).n;
    t->text = xmalloc(n);
    t->bytes = n - COMMAND_BYTES_MAX;
    struct copier c = { t->text + COMMAND_BYTES_MAX };
    bool running = column_int(q, 1) == STATE_RUNNING, ended = state_is_terminal(column_int(q, 1));
    record_init(RECORD_job_view, j);
    j->id = (uint64_t)column_int(q, 0);
    j->state = (uint64_t)column_int(q, 1);
    j->queue = copy(&c, column_text(q, 2));
    j->handler = copy(&c, column_text(q, 3));
    j->owner = copy(&c, column_text(q, 4));
    j->name = copy(&c, column_text(q, 5));
    bool handlers_own = column_int(q, 7) != 0; /* of a command that is `auto` */
    j->tag = !handlers_own ? column_int(q, 6) : str_is(j->handler, "exec") ? TAG_AUTO : UNSET;
    j->pool = column_int(q, 8);
    j->priority = column_int(q, 9);
    j->attempt = (uint64_t)column_int(q, 10);
    j->retries = column_int(q, 11);
    j->failures = (uint64_t)column_int(q, 12);
    j->crashes = (uint64_t)column_int(q, 13);
    j->worker = copy(&c, column_text(q, 14));
    j->submitted_ms = column_int(q, 15);
    j->due_ms = column_int(q, 16);
    j->started_ms = running || ended ? column_int(q, 17) : UNSET;
    j->finished_ms = column_int(q, 18);
    j->timeout_ms = column_int(q, 19);
    j->exit_code = column_int(q, 20);
    j->signal = column_int(q, 21);
    j->reason = column_int(q, 22);
    j->wall_us = column_int(q, 23);
    j->cpu_us = column_int(q, 24);
    j->max_rss_kb = column_int(q, 25);
    j->progress = running ? column_int(q, 34) : UNSET;
    j->error = copy(&c, column_text(q, 26));
    j->parent = (uint64_t)or_default(column_int(q, 27), 0);
    j->crash_limit = column_int(q, 28);
    j->expire_at_ms = column_int(q, 29);
    j->memory_bytes = column_int(q, 30);
    j->cancel_asked = (uint64_t)column_int(q, 31);
    j->needs = copy(&c, column_text(q, 32));
    int64_t chosen = j->pool == UNSET ? UNSET : column_int(q, 33);
    j->pool_by = chosen == UNSET ? UNSET : chosen / N_TAGS;
    j->pool_tag = chosen == UNSET ? UNSET : chosen % N_TAGS;
    if (j->state == STATE_CANCELLED && j->reason == UNSET)
        j->reason = REASON_CANCELLED;
    if (j->state == STATE_EXPIRED && j->reason == UNSET)
        j->reason = REASON_EXPIRED;
}

/* The first words of a command; the rest of a long one is left out. */
static void read_command(struct view_reader *v, struct job_view *j, struct view_texts *t)
{
    sqlite3_stmt *q = v->q[VIEW_PAYLOAD];
    bind_int(q, 1, (int64_t)j->id);
    struct command command;
    void *arena = NULL;
    if (sqlite3_step(q) == SQLITE_ROW) {
        struct str body = column_blob(q, 0);
        record_init(RECORD_command, &command);
        if (record_decode(RECORD_command, &command, body.p, body.n, &arena) == 0) {
            struct copier c = { t->text };
            size_t n = min_size(command.n_argv, COMMAND_WORDS_MAX);
            t->command = xcalloc(n, sizeof *t->command);
            j->command = t->command;
            for (size_t i = 0; i < n && (size_t)(c.at - t->text) + command.argv[i].n <= COMMAND_BYTES_MAX; i++)
                t->command[j->n_command++] = copy(&c, command.argv[i]);
            t->bytes += (size_t)(c.at - t->text) + 8 * n;
        }
        t->bytes += body.n / READING_WEIGHT;
        record_free_arena(arena);
    }
    end(v, q);
}

bool view_job(struct view_reader *v, uint64_t id, struct job_view *ret, struct view_texts *ret_texts)
{
    sqlite3_stmt *q = v->q[VIEW_JOB];
    bind_int(q, 1, (int64_t)id);
    bool found = sqlite3_step(q) == SQLITE_ROW;
    *ret_texts = (struct view_texts){ 0 };
    if (found)
        read_view(q, ret, ret_texts);
    end(v, q);
    if (found && str_is(ret->handler, "exec"))
        read_command(v, ret, ret_texts);
    return found;
}

bool view_is_command(struct view_reader *v, uint64_t id)
{
    sqlite3_stmt *q = v->q[VIEW_HANDLER];
    bind_int(q, 1, (int64_t)id);
    bool yes = sqlite3_step(q) == SQLITE_ROW && str_is(column_text(q, 0), "exec");
    end(v, q);
    return yes;
}

/* ---- history -------------------------------------------------------------------------------------- */

static void free_text(struct str s) { free((char *)(uintptr_t)s.p); }

void history_fini(struct history *h)
{
    for (size_t i = 0; i < h->n; i++) {
        free_text(h->events[i].event);
        free_text(h->events[i].worker);
        free_text(h->events[i].text);
    }
    free(h->events);
    *h = (struct history){ 0 };
}

/* text: taken over. */
static void add(struct history *h, int64_t at_ms, const char *event, int64_t attempt, struct str worker, char *text)
{
    if (at_ms == UNSET || h->n == LIMIT_LIST) {
        free(text);
        return;
    }
    h->events = grow_array(h->events, &h->cap, h->n + 1, sizeof *h->events);
    h->events[h->n++] = (struct event){ at_ms, str_of(xstrdup(event)), attempt, { xstrndup(worker), worker.n }, str_of(text) };
}

/* A stable insertion sort: what happened in the same millisecond keeps its order. */
static void sort(struct history *h)
{
    for (size_t i = 1; i < h->n; i++)
        for (size_t k = i; k > 0 && h->events[k - 1].at_ms > h->events[k].at_ms; k--) {
            struct event e = h->events[k];
            h->events[k] = h->events[k - 1];
            h->events[k - 1] = e;
        }
}

static void add_begin(struct history *h, sqlite3_stmt *q)
{
    int64_t state = column_int(q, 0), due = column_int(q, 2);
    cleanup(freep) char *owner = xstrndup(column_text(q, 8));
    add(h, column_int(q, 1), "submitted", UNSET, STR_UNSET, xasprintf("by %s", owner));
    if (state == STATE_SCHEDULED)
        add(h, due, "due", UNSET, STR_UNSET, NULL);
    else if (or_default(column_int(q, 4), INT64_MAX) >= due)
        add(h, due, "queued", UNSET, STR_UNSET, NULL);
}

static void add_present(struct history *h, sqlite3_stmt *q)
{
    int64_t state = column_int(q, 0);
    if (state == STATE_RUNNING)
        add(h, column_int(q, 3), "running", column_int(q, 5), column_text(q, 6),
            xasprintf("in the %s pool", pool_name(column_int(q, 9))));
    sort(h);
    if (state == STATE_CANCELLED || state == STATE_EXPIRED)
        add(h, column_int(q, 4), state_name(state), UNSET, STR_UNSET, NULL);
}

static char *ending_text(sqlite3_stmt *q)
{
    int64_t reason = column_int(q, 6), code = column_int(q, 7), signal = column_int(q, 8);
    cleanup(freep) char *error = xstrndup(column_text(q, 9));
    cleanup(freep) char *how = reason == REASON_EXIT     ? xasprintf("exit code %" PRId64, or_default(code, 0))
                               : reason == REASON_SIGNAL ? xasprintf("signal %" PRId64, or_default(signal, 0))
                                                         : xstrdup(reason == REASON_NONE ? "" : reason_name(reason));
    if (!error)
        return xstrdup(how);
    return xasprintf("%s%s%s", how, *how ? ": " : "", error);
}

static void add_attempt(struct history *h, sqlite3_stmt *q)
{
    int64_t n = column_int(q, 0), finished = column_int(q, 4), to = column_int(q, 10);
    add(h, column_int(q, 3), "running", n, column_text(q, 1), xasprintf("in the %s pool", pool_name(column_int(q, 2))));
    add(h, finished, ending_name(column_int(q, 5)), n, column_text(q, 1), ending_text(q));
    if (to == STATE_SCHEDULED)
        add(h, finished, "scheduled", UNSET, STR_UNSET,
            xasprintf("tried again %" PRId64 " ms later", max_i64(column_int(q, 11) - finished, 0)));
    else if (to != STATE_DONE && to != STATE_CANCELLED && to != STATE_EXPIRED)
        add(h, finished, state_name(to), UNSET, STR_UNSET, NULL);
}

static void add_events(struct view_reader *v, uint64_t id, struct history *h)
{
    sqlite3_stmt *q = v->q[VIEW_ATTEMPTS];
    bind_int(q, 1, (int64_t)id);
    while (sqlite3_step(q) == SQLITE_ROW)
        add_attempt(h, q);
    end(v, q);
    q = v->q[VIEW_EVENTS];
    bind_int(q, 1, (int64_t)id);
    while (sqlite3_step(q) == SQLITE_ROW) {
        cleanup(freep) char *event = xstrndup(column_text(q, 1));
        add(h, column_int(q, 0), event, column_int(q, 2), column_text(q, 3), xstrndup(column_text(q, 4)));
    }
    end(v, q);
}

int view_history(struct view_reader *v, uint64_t id, int64_t owner, struct history *ret)
{
    struct history h = { 0 };
    sqlite3_stmt *q = v->q[VIEW_LIFE];
    bind_int(q, 1, id > INT64_MAX ? 0 : (int64_t)id);
    bool found = sqlite3_step(q) == SQLITE_ROW && (!owner || owner == column_int(q, 7));
    if (found) {
        add_begin(&h, q);
        add_events(v, id, &h);
        add_present(&h, q);
        *ret = h;
    }
    end(v, q);
    return found ? 0 : -ENOENT;
}
