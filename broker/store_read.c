/* store_read.c - answers to LIST, FETCH and HISTORY, from a read-only connection of its own. Pages by key, a bounded number of
 * rows a call; every statement is reset before an answer leaves, so that no reader pins the log. */
#include "broker/store_internal.h"

#include <inttypes.h>
#include <stdio.h>

#include "broker/store_view.h"
#include "proto/output.h"

#define ROWS_A_CALL 20000u
#define PAGE_BYTES (4u << 20)
#define ANSWER_US 2000000 /* the longest that one answer may take */
#define STEPS_BETWEEN_LOOKS 10000

/* X(name, sql) */
#define READS(X)                                                                                   \
    X(UP, "SELECT id, state, class, owner FROM job WHERE id >= ? AND id <= ? ORDER BY id LIMIT ?") \
    X(DOWN, "SELECT id, state, class, owner FROM job WHERE id >= ? AND id <= ? ORDER BY id DESC LIMIT ?")               \
    X(RUNNING_UP,                                                                                  \
      "SELECT id, state, class, owner FROM job WHERE shelf = -2 AND rank = 0 AND id >= ? AND id <= ? ORDER BY id LIMIT ?")           \
    X(RUNNING_DOWN,                                                                                \
      "SELECT id, state, class, owner FROM job WHERE shelf = -2 AND rank = 0 AND id >= ? AND id <= ? ORDER BY id DESC LIMIT ?")      \
    X(OWNER, "SELECT id FROM owner WHERE name = ?")                                                \
    X(QUEUE_CLASSES, "SELECT id FROM class WHERE queue = ?")                                       \
    X(CHILDREN, "SELECT job FROM child WHERE parent = ? LIMIT ?")                                  \
    X(JOB, "SELECT state, attempt, owner FROM job WHERE id = ?")                                   \
    X(LAST_ATTEMPT, "SELECT n, reason, exit_code, signal, error FROM attempt WHERE job = ? ORDER BY n DESC LIMIT 1")    \
    X(ATTEMPT, "SELECT n, reason, exit_code, signal, error FROM attempt WHERE job = ? AND n = ?")  \
    X(RESULT, "SELECT result FROM attempt WHERE job = ? AND n = ?")                                \
    X(OUTPUT, "SELECT body FROM output WHERE job = ? AND attempt = ?")                             \
    X(LAST, "SELECT max(id) FROM job")

enum read {
#define X(name, sql) READ_##name,
    READS(X)
#undef X
    N_READS
};

struct store_reader {
    sqlite3 *db;                     /* owned */
    sqlite3_stmt *reads[N_READS];    /* owned */
    struct view_reader *views;       /* owned */
    int64_t owner;                   /* of this request: only this owner's jobs; 0: all; -1: nobody's */
    int64_t deadline_us;             /* of this request, on the monotonic clock */
    int rc;                          /* of this request: the first statement that failed */
};

/* Resets, and keeps what the last step said: a row that could not be read is not one that is not there. */
static void end(struct store_reader *r, sqlite3_stmt *q)
{
    int rc = sqlite3_reset(q);
    if (!r->rc)
        r->rc = rc;
    sqlite3_clear_bindings(q);
}

static int is_late(void *reader) { return clock_mono_us() > ((struct store_reader *)reader)->deadline_us; }

const char *const store_read_sql[] = {
#define X(name, sql) sql,
    READS(X)
#undef X
    NULL,
};

int store_reader_open(struct store_reader **ret, const char *path, char **ret_error)
{
    struct store_reader *r = xcalloc(1, sizeof *r);
    int rc = sqlite3_open_v2(path, &r->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    sqlite3_busy_timeout(r->db, 5000);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(r->db, "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0", NULL,
                          NULL, NULL);
    sqlite3_progress_handler(r->db, STEPS_BETWEEN_LOOKS, is_late, r);
    r->deadline_us = INT64_MAX;
    for (int i = 0; i < N_READS && rc == SQLITE_OK; i++)
        rc = sqlite3_prepare_v3(r->db, store_read_sql[i], -1, SQLITE_PREPARE_PERSISTENT, &r->reads[i], NULL);
    if (rc == SQLITE_OK)
        rc = view_reader_open(&r->views, r->db);
    if (rc != SQLITE_OK) {
        *ret_error = xasprintf("cannot read the database %s: %s", path, sqlite3_errmsg(r->db));
        store_reader_close(r);
        return -EIO;
    }
    *ret = r;
    return 0;
}

struct store_reader *store_reader_close(struct store_reader *r)
{
    if (!r)
        return NULL;
    for (int i = 0; i < N_READS; i++)
        sqlite3_finalize(r->reads[i]);
    view_reader_close(r->views);
    sqlite3_close(r->db);
    free(r);
    return NULL;
}

/* ---- answers -------------------------------------------------------------------------------------- */

static int put(struct buf *out, struct message *m, const struct message *request)
{
    m->epoch = request->epoch;
    m->session = request->session;
    return message_encode(out, m);
}

static int put_error(struct buf *out, const struct message *request, enum error_code code, const char *text)
{
    struct message m;
    message_init(&m, MSG_ERROR);
    m.error.req = request->list.req; /* the first field of every query */
    m.error.code = code;
    m.error.text = str_of(text);
    return put(out, &m, request);
}

static int64_t find_owner(struct store_reader *r, struct str owner)
{
    if (!owner.p)
        return 0;
    sqlite3_stmt *q = r->reads[READ_OWNER];
    bind_text(q, 1, owner);
    int64_t id = sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : -1;
    end(r, q);
    return id;
}

static bool may_see(const struct store_reader *r, int64_t owner) { return !r->owner || r->owner == owner; }

/* ---- LIST ----------------------------------------------------------------------------------------- */

struct page {
    const struct msg_list *ask;
    struct idmap classes;    /* of the queue that was asked for */
    size_t limit, rows_left, bytes;
    struct job_view *views;  /* owned */
    size_t n;
    struct view_texts *texts; /* owned: what the views point into */
    uint64_t next;           /* where the next page starts; 0: nowhere */
};

static void find_classes(struct store_reader *r, struct page *p)
{
    sqlite3_stmt *q = r->reads[READ_QUEUE_CLASSES];
    if (!p->ask->queue.p)
        return;
    bind_text(q, 1, p->ask->queue);
    while (sqlite3_step(q) == SQLITE_ROW)
        idmap_put(&p->classes, (uint64_t)sqlite3_column_int64(q, 0), p);
    end(r, q);
}

static bool is_wanted(const struct store_reader *r, const struct page *p, sqlite3_stmt *q)
{
    if (p->ask->states && !(p->ask->states & (1u << sqlite3_column_int(q, 1))))
        return false;
    if (p->ask->queue.p && !idmap_find(&p->classes, (uint64_t)sqlite3_column_int64(q, 2)))
        return false;
    return may_see(r, sqlite3_column_int64(q, 3));
}

/* Takes from one range what is wanted; false when the page is full. */
static bool take_range(struct store_reader *r, struct page *p, uint64_t first, uint64_t last)
{
    bool down = p->ask->newest_first, running = p->ask->states == 1u << STATE_RUNNING;
    sqlite3_stmt *q = r->reads[running ? (down ? READ_RUNNING_DOWN : READ_RUNNING_UP) : down ? READ_DOWN : READ_UP];
    bind_int(q, 1, first > INT64_MAX ? INT64_MAX : (int64_t)first);
    bind_int(q, 2, last > INT64_MAX ? INT64_MAX : (int64_t)last);
    bind_int(q, 3, (int64_t)p->rows_left + 1);
    bool room = true;
    while (room && sqlite3_step(q) == SQLITE_ROW) {
        uint64_t id = (uint64_t)sqlite3_column_int64(q, 0);
        room = p->rows_left > 0 && p->n < p->limit && p->bytes < PAGE_BYTES;
        if (!room)
            p->next = id;
        else if (is_wanted(r, p, q) && view_job(r->views, id, &p->views[p->n], &p->texts[p->n]))
            p->bytes += p->texts[p->n++].bytes + 200;
        p->rows_left -= room;
    }
    end(r, q);
    return room;
}

static int compare_ranges(const void *a, const void *b)
{
    uint64_t x = ((const struct range *)a)->first, y = ((const struct range *)b)->first;
    return (x > y) - (x < y);
}

/* A copy in order of id, where none overlaps another: else `from` would not tell where a page ended. */
static struct range *sort_ranges(const struct range *ranges, size_t n)
{
    struct range *sorted = xcalloc(n, sizeof *sorted);
    memcpy(sorted, ranges, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare_ranges);
    uint64_t seen = 0; /* all up to here is in a range before */
    for (size_t i = 0; i < n; i++) {
        sorted[i].first = sorted[i].first > seen ? sorted[i].first : seen + 1;
        seen = sorted[i].last > seen ? min_size(sorted[i].last, INT64_MAX) : seen;
    }
    return sorted;
}

static bool is_within(const struct range *ranges, size_t n, uint64_t id)
{
    for (size_t i = 0; i < n; i++)
        if (id >= ranges[i].first && id <= ranges[i].last)
            return true;
    return false;
}

/* Those of the parent's children that are within the ranges, each a range of its own. */
static struct range *find_children(struct store_reader *r, uint64_t parent, const struct range *ranges, size_t n, size_t *ret_n)
{
    cleanup(freep) struct range *children = xcalloc(LIMIT_CHILDREN, sizeof *children);
    sqlite3_stmt *q = r->reads[READ_CHILDREN];
    bind_int(q, 1, (int64_t)parent);
    bind_int(q, 2, LIMIT_CHILDREN);
    *ret_n = 0;
    while (sqlite3_step(q) == SQLITE_ROW) {
        uint64_t id = (uint64_t)sqlite3_column_int64(q, 0);
        if (is_within(ranges, n, id))
            children[(*ret_n)++] = (struct range){ id, id };
    }
    end(r, q);
    return sort_ranges(children, *ret_n);
}

/* Ranges in the order of the page; `from` says where the last page ended. */
static void take_ranges(struct store_reader *r, struct page *p)
{
    static const struct range all = { 1, INT64_MAX };
    const struct msg_list *ask = p->ask;
    const struct range *asked = ask->n_ranges ? ask->ranges : &all;
    size_t n = ask->n_ranges ? ask->n_ranges : 1;
    cleanup(freep) struct range *ranges = ask->parent ? find_children(r, ask->parent, asked, n, &n) : sort_ranges(asked, n);
    uint64_t from = ask->from;
    for (size_t i = 0; i < n; i++) {
        const struct range *range = &ranges[ask->newest_first ? n - 1 - i : i];
        uint64_t first = range->first, last = range->last;
        if (from && ask->newest_first)
            last = last < from ? last : from;
        else if (from)
            first = first > from ? first : from;
        if (first <= last && !take_range(r, p, first, last))
            return;
    }
}

static int answer_list(struct store_reader *r, const struct message *request, struct buf *out)
{
    const struct msg_list *ask = &request->list;
    size_t limit = min_size(ask->limit ? ask->limit : LIMIT_PAGE, LIMIT_PAGE);
    struct page p = { .ask = ask, .limit = limit, .rows_left = ROWS_A_CALL };
    p.views = xcalloc(limit, sizeof *p.views);
    p.texts = xcalloc(limit, sizeof *p.texts);
    find_classes(r, &p);
    take_ranges(r, &p);
    struct message m;
    message_init(&m, MSG_JOBS);
    m.jobs.req = ask->req;
    m.jobs.jobs = p.views;
    m.jobs.n_jobs = p.n;
    m.jobs.next = p.next;
    bool none = ask->n_ranges && !p.n && !p.next && !ask->from && !ask->states && !ask->queue.p && !ask->parent;
    int result = none ? put_error(out, request, CODE_NOT_FOUND, "no such job") : put(out, &m, request);
    for (size_t i = 0; i < p.n; i++)
        view_texts_free(&p.texts[i]);
    idmap_fini(&p.classes);
    free(p.views);
    free(p.texts);
    return result;
}

/* ---- FETCH ---------------------------------------------------------------------------------------- */

/* What an attempt has left, copied; unset when there is none. */
static struct str read_left(struct store_reader *r, enum read which, uint64_t job, uint64_t attempt)
{
    sqlite3_stmt *q = r->reads[which];
    bind_int(q, 1, (int64_t)job);
    bind_int(q, 2, (int64_t)attempt);
    struct str copy = STR_UNSET;
    if (sqlite3_step(q) == SQLITE_ROW) {
        struct str body = column_blob(q, 0);
        copy = (struct str){ body.p ? xstrndup(body) : NULL, body.n };
    }
    end(r, q);
    return copy;
}

/* The result of a command is its standard output. */
static struct str stdout_of(struct str chunks)
{
    struct buf b;
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    struct str rest = chunks, bytes;
    int stream;
    while (chunks.p && output_next(&rest, &stream, &bytes))
        if (stream == 1)
            buf_add(&b, bytes.p, bytes.n);
    return (struct str){ b.p, b.n };
}

static struct str read_data(struct store_reader *r, uint64_t job, uint64_t attempt, uint64_t what)
{
    if (what == WHAT_OUTPUT)
        return read_left(r, READ_OUTPUT, job, attempt);
    struct str result = read_left(r, READ_RESULT, job, attempt);
    if (result.p)
        return result;
    struct str chunks = read_left(r, READ_OUTPUT, job, attempt);
    result = view_is_command(r->views, job) ? stdout_of(chunks) : STR_UNSET;
    free((char *)(uintptr_t)chunks.p);
    return result;
}

static int answer_fetch(struct store_reader *r, const struct message *request, struct buf *out)
{
    const struct msg_fetch *ask = &request->fetch;
    struct message m;
    message_init(&m, MSG_FETCHED);
    m.fetched.req = ask->req;
    sqlite3_stmt *q = r->reads[READ_JOB];
    bind_int(q, 1, ask->job > INT64_MAX ? 0 : (int64_t)ask->job);
    bool found = sqlite3_step(q) == SQLITE_ROW && may_see(r, sqlite3_column_int64(q, 2));
    m.fetched.state = found ? (uint64_t)sqlite3_column_int64(q, 0) : 0;
    end(r, q);
    if (!found)
        return put_error(out, request, CODE_NOT_FOUND, "no such job");
    q = r->reads[ask->attempt == UNSET ? READ_LAST_ATTEMPT : READ_ATTEMPT];
    bind_int(q, 1, (int64_t)ask->job);
    if (ask->attempt != UNSET)
        bind_int(q, 2, ask->attempt);
    bool tried = sqlite3_step(q) == SQLITE_ROW;
    cleanup(freep) char *error = tried ? xstrndup(column_text(q, 4)) : NULL;
    if (tried) {
        m.fetched.attempt = (uint64_t)sqlite3_column_int64(q, 0);
        m.fetched.reason = column_int(q, 1);
        m.fetched.exit_code = column_int(q, 2);
        m.fetched.signal = column_int(q, 3);
        m.fetched.error = str_of(error);
    }
    end(r, q);
    if (!tried && ask->attempt != UNSET)
        return put_error(out, request, CODE_NOT_FOUND, "no such attempt, or it has not ended yet");
    if (tried)
        m.fetched.data = read_data(r, ask->job, m.fetched.attempt, ask->what);
    int result = put(out, &m, request);
    free((char *)(uintptr_t)m.fetched.data.p);
    return result;
}

/* ---- HISTORY -------------------------------------------------------------------------------------- */

static int answer_history(struct store_reader *r, const struct message *request, struct buf *out)
{
    struct history h;
    int n = view_history(r->views, request->history.job, r->owner, &h);
    if (n < 0)
        return put_error(out, request, CODE_NOT_FOUND, "no such job");
    struct message m;
    message_init(&m, MSG_EVENTS);
    m.events.req = request->history.req;
    m.events.events = h.events;
    m.events.n_events = h.n;
    int result = put(out, &m, request);
    history_fini(&h);
    return result;
}

static int put_failure(struct buf *out, const struct message *request, int rc)
{
    if (rc == SQLITE_INTERRUPT)
        return put_error(out, request, CODE_BUSY, "busy: the answer takes too long; ask for less at a time");
    cleanup(freep) char *text = xasprintf("the broker cannot read its database: %s", sqlite3_errstr(rc));
    return put_error(out, request, CODE_REFUSED, text);
}

/* An answer that does not fit, or that could not be read, is an error of its own, never silence. */
int store_reader_answer(struct store_reader *r, const struct message *request, struct str owner, struct buf *out)
{
    size_t before = out->n;
    r->rc = SQLITE_OK;
    r->deadline_us = clock_mono_us() + ANSWER_US;
    sqlite3_exec(r->db, "BEGIN", NULL, NULL, NULL); /* one view of the database for the whole answer */
    r->owner = find_owner(r, owner);
    int result = request->type == MSG_LIST      ? answer_list(r, request, out)
                 : request->type == MSG_FETCH   ? answer_fetch(r, request, out)
                 : request->type == MSG_HISTORY ? answer_history(r, request, out)
                                                : -EINVAL;
    r->deadline_us = INT64_MAX;
    sqlite3_exec(r->db, "COMMIT", NULL, NULL, NULL);
    int view_rc = view_take_error(r->views), rc = r->rc ? r->rc : view_rc;
    if (result >= 0 && !rc)
        return 0;
    out->n = before;
    if (rc)
        return put_failure(out, request, rc);
    return put_error(out, request, CODE_REFUSED, "the answer is larger than a message may be");
}
