/* store_measure.c - what was measured of handlers: a row for each tag that was asked for. */
#include "broker/store_internal.h"

int store_each_measure(struct store *s, void (*each)(void *ctx, const struct measure_row *m), void *ctx)
{
    sqlite3_stmt *q = sql(s, SQL_MEASURES);
    int r;
    while ((r = sql_row(s, q)) > 0) {
        struct str program = column_text(q, 1);
        struct measure_row m = {
            .handler = column_text(q, 0), .program = program.n ? program : STR_UNSET, .tag = (enum tag)column_int(q, 2),
            .pool = (enum pool_kind)column_int(q, 3), .runs = (uint64_t)column_int(q, 4), .last_ms = column_int(q, 5),
            .recent = sqlite3_column_double(q, 6), .wall_us = sqlite3_column_double(q, 7),
            .cpu_us = sqlite3_column_double(q, 8), .ready_us = sqlite3_column_double(q, 9), .sketches = column_blob(q, 10),
            .last_run = (uint64_t)column_int(q, 11),
        };
        each(ctx, &m);
    }
    return r;
}

int store_save_measure(struct store *s, const struct measure_row *m)
{
    int r = store_write(s);
    if (r < 0)
        return r;
    sqlite3_stmt *q = sql(s, SQL_MEASURE_PUT);
    bind_text(q, 1, m->handler);
    bind_text(q, 2, m->program.p ? m->program : str_of(""));
    bind_int(q, 3, m->tag);
    bind_int(q, 4, m->pool);
    bind_int(q, 5, (int64_t)m->runs);
    bind_int(q, 6, m->last_ms);
    sqlite3_bind_double(q, 7, m->recent);
    sqlite3_bind_double(q, 8, m->wall_us);
    sqlite3_bind_double(q, 9, m->cpu_us);
    sqlite3_bind_double(q, 10, m->ready_us);
    bind_blob(q, 11, m->sketches);
    bind_int(q, 12, (int64_t)m->last_run);
    r = sql_run(s, q);
    return r < 0 ? r : 0;
}

int store_forget_measures(struct store *s, int64_t before_ms)
{
    int r = store_write(s);
    if (r < 0)
        return r;
    bind_int(sql(s, SQL_MEASURES_FORGET), 1, before_ms);
    r = sql_run(s, sql(s, SQL_MEASURES_FORGET));
    return r < 0 ? r : 0;
}
