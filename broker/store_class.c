/* store_class.c - classes, their counts, and queues. */
#include "broker/store_internal.h"

/* ---- counts: kept as rows, written once a turn as differences ------------------------------------- */

static void count(struct store *s, uint32_t class, int state, int64_t by)
{
    if (class > s->n_deltas) {
        size_t before = s->n_deltas, cap = s->n_deltas;
        s->deltas = grow_array(s->deltas, &cap, class, sizeof *s->deltas);
        s->n_deltas = cap;
        memset(s->deltas + before, 0, (cap - before) * sizeof *s->deltas);
    }
    int64_t *d = s->deltas[class - 1];
    bool clean = true;
    for (int i = 0; i < N_STATES; i++)
        clean = clean && d[i] == 0;
    if (clean) {
        s->dirty = grow_array(s->dirty, &s->cap_dirty, s->n_dirty + 1, sizeof *s->dirty);
        s->dirty[s->n_dirty++] = class;
    }
    d[state] += by;
    if (state >= STATE_DONE)
        s->n_finished = (uint64_t)((int64_t)s->n_finished + by);
}

/* from, to: a state, or -1 for "not there". */
void counter_move(struct store *s, uint32_t class_from, int from, uint32_t class_to, int to)
{
    if (from >= 0)
        count(s, class_from, from, -1);
    if (to >= 0)
        count(s, class_to, to, 1);
}

int counters_flush(struct store *s)
{
    int r = 0;
    for (size_t i = 0; i < s->n_dirty && r >= 0; i++) {
        int64_t *d = s->deltas[s->dirty[i] - 1];
        for (int state = 0; state < N_STATES && r >= 0; state++) {
            if (!d[state])
                continue;
            sqlite3_stmt *q = sql(s, SQL_COUNTER_ADD);
            bind_int(q, 1, s->dirty[i]);
            bind_int(q, 2, state);
            bind_int(q, 3, d[state]);
            d[state] = 0;
            r = sql_run(s, q);
        }
    }
    if (r >= 0)
        s->n_dirty = 0;
    return r < 0 ? r : 0;
}

void counters_drop(struct store *s)
{
    if (s->deltas)
        memset(s->deltas, 0, s->n_deltas * sizeof *s->deltas);
    s->n_dirty = 0;
}

/* ---- classes --------------------------------------------------------------------------------------- */

static int read_counts(struct store *s, struct class_row *c)
{
    sqlite3_stmt *q = sql(s, SQL_CLASS_COUNTS);
    bind_int(q, 1, c->id);
    int r;
    while ((r = sql_row(s, q)) > 0) {
        int64_t state = column_int(q, 0);
        if (state >= 0 && state < N_STATES)
            c->jobs[state] = (uint64_t)column_int(q, 1);
    }
    return r;
}

int store_each_class(struct store *s, void (*each)(void *ctx, const struct class_row *c), void *ctx)
{
    sqlite3_stmt *q = sql(s, SQL_CLASSES);
    int r;
    while ((r = sql_row(s, q)) > 0) {
        struct class_row c = {
            .id = (uint32_t)column_int(q, 0), .queue = column_text(q, 1), .handler = column_text(q, 2),
            .program = column_text(q, 3), .tag = (enum tag)column_int(q, 4), .tag_unset = column_int(q, 5) != 0,
            .suspect = column_int(q, 6) != 0, .isolated = column_int(q, 7) != 0, .needs = column_text(q, 8),
        };
        if (read_counts(s, &c) < 0) {
            sql_end(q);
            return s->failed;
        }
        each(ctx, &c);
    }
    return r;
}

static void bind_class(sqlite3_stmt *q, const struct class_row *c)
{
    bind_text(q, 1, c->queue);
    bind_text(q, 2, c->handler);
    bind_text(q, 3, c->program);
    bind_int(q, 4, c->tag);
    bind_int(q, 5, c->tag_unset);
    bind_int(q, 6, c->suspect);
    bind_int(q, 7, c->isolated);
    bind_text(q, 8, c->needs.n ? c->needs : STR_UNSET);
}

int store_add_class(struct store *s, const struct class_row *c, uint32_t *ret_id)
{
    int r = store_write(s);
    if (r < 0)
        return r;
    sqlite3_stmt *q = sql(s, SQL_CLASS_ADD);
    bind_class(q, c);
    int64_t id = sql_number(s, q, 0);
    if (s->failed)
        return s->failed;
    *ret_id = (uint32_t)id;
    return 0;
}

int store_change_class(struct store *s, const struct class_row *c)
{
    int r = store_write(s);
    if (r < 0)
        return r;
    sqlite3_stmt *q = sql(s, SQL_CLASS_CHANGE);
    bind_class(q, c);
    bind_int(q, 9, c->id);
    return sql_run(s, q);
}

/* ---- queues ---------------------------------------------------------------------------------------- */

int store_each_paused(struct store *s, void (*each)(void *ctx, struct str queue), void *ctx)
{
    sqlite3_stmt *q = sql(s, SQL_PAUSED);
    int r;
    while ((r = sql_row(s, q)) > 0)
        each(ctx, column_text(q, 0));
    return r;
}

int store_set_paused(struct store *s, struct str queue, bool paused)
{
    int r = store_write(s);
    if (r < 0)
        return r;
    sqlite3_stmt *q = sql(s, SQL_PAUSE);
    bind_text(q, 1, queue);
    bind_int(q, 2, paused);
    r = sql_run(s, q);
    return r < 0 ? r : 0;
}
