/* old_workers.c - takes rows, looks for them, deletes them: a slice at a time. */
#include "broker/old_workers.h"

#include "broker/broker.h"

#define AGAIN_MS 200        /* between slices */
#define EVERY_MS 3600000    /* from one time to the next */
#define ROWS_TAKEN 1000
#define ATTEMPTS_LOOKED_AT 1000
#define ROWS_DELETED 200

void old_workers_fini(struct old_workers *o) { idmap_fini(&o->rows); }
void old_workers_keep(struct old_workers *o, uint64_t row) { idmap_remove(&o->rows, row); }

/* Those in memory may be named at any moment. */
static void keep_present(struct broker *b)
{
    struct worker *w;
    for (size_t i = 0; (w = strmap_next(&b->workers, &i));)
        old_workers_keep(&b->old_workers, w->row);
}

static void rest(struct old_workers *o, struct now now)
{
    o->doing = OLD_WORKERS_TAKING;
    o->after = 0;
    o->next_mono_ms = now.mono_ms + EVERY_MS;
}

static void take(struct broker *b, struct now now)
{
    struct old_workers *o = &b->old_workers;
    struct worker_seen seen[ROWS_TAKEN];
    int n = store_workers(b->store, o->after, seen, ELEMENTS(seen));
    if (broker_failed(b, n))
        return;
    for (int i = 0; i < n; i++)
        if (seen[i].first_ms < now.wall_ms - b->options.retention_ms)
            idmap_put(&o->rows, seen[i].row, (void *)(uintptr_t)seen[i].row);
    keep_present(b);
    if (n)
        o->after = seen[n - 1].row;
    if (o->rows.n)
        o->doing = OLD_WORKERS_LOOKING;
    else if (n < (int)ELEMENTS(seen))
        rest(o, now);
    o->at = (struct attempt_ref){ 0 };
}

static void look(struct broker *b)
{
    struct old_workers *o = &b->old_workers;
    uint64_t named[ATTEMPTS_LOOKED_AT];
    int n = store_attempt_workers(b->store, &o->at, named, ELEMENTS(named));
    if (broker_failed(b, n))
        return;
    for (int i = 0; i < n; i++)
        idmap_remove(&o->rows, named[i]);
    if (n < (int)ELEMENTS(named))
        o->doing = OLD_WORKERS_DELETING;
    else if (!o->rows.n)
        o->doing = OLD_WORKERS_TAKING;
}

static void delete(struct broker *b)
{
    struct old_workers *o = &b->old_workers;
    uint64_t rows[ROWS_DELETED];
    void *row;
    size_t n = 0;
    for (size_t i = 0; n < ELEMENTS(rows) && (row = idmap_next(&o->rows, &i));)
        rows[n++] = (uint64_t)(uintptr_t)row;
    for (size_t i = 0; i < n && !b->failed; i++) {
        idmap_remove(&o->rows, rows[i]);
        broker_failed(b, store_forget_worker(b->store, rows[i]));
    }
    if (!o->rows.n)
        o->doing = OLD_WORKERS_TAKING;
}

void old_workers_tick(struct broker *b, struct now now)
{
    struct old_workers *o = &b->old_workers;
    if (o->next_mono_ms > now.mono_ms)
        return;
    o->next_mono_ms = now.mono_ms + AGAIN_MS;
    if (o->doing == OLD_WORKERS_TAKING)
        take(b, now);
    else if (o->doing == OLD_WORKERS_LOOKING)
        look(b);
    else
        delete(b);
}
