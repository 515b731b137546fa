/* measure.c - runs are counted; `auto` follows. */
#include "broker/measure.h"

#include <stdio.h>

#define RUNS_NEEDED 5             /* until so many are known, `auto` is a process */
#define COMPUTES_SHARE 0.5        /* from this share of CPU time on, it computes */
#define SHARE_MARGIN 0.1          /* so much more, or less, once it was taken for something */
#define LONG_US (50 * 1000)       /* from this mean time on, it waits long */
#define IDLE_SHARE 0.1            /* if it computes no more than this: thousands of them run at once, on one thread or as processes */
#define MARGIN 1.25               /* of both, as a factor, once it was taken for something */
#define MOST_US 1e12
#define MOST_CORES 10000.0
#define SAVED_AT_A_TIME 100

/* ---- deciding --------------------------------------------------------------------------------------- */

struct measure_means tally_means(const struct tally *t)
{
    double busy_us = t->wall_us - t->ready_us, runs = t->recent > 0 ? t->recent : 1;
    return (struct measure_means){
        .runs = t->recent, .wall_us = t->wall_us / runs, .cpu_us = t->cpu_us / runs, .ready_us = t->ready_us / runs,
        .share = busy_us > 0 ? t->cpu_us / busy_us : 1, /* what takes no time waits for nothing */
    };
}

struct measure_means measure_means(const struct measure *m)
{
    struct tally sum = { 0 };
    for (size_t i = 0; i < N_TAGS; i++) {
        const struct tally *t = m->tallies[i];
        if (!t)
            continue;
        sum.recent += t->recent;
        sum.wall_us += t->wall_us;
        sum.cpu_us += t->cpu_us;
        sum.ready_us += t->ready_us;
    }
    return tally_means(&sum);
}

static bool is_above(double v, double border, double margin_up, double margin_down, bool known, bool before)
{
    return v >= (!known ? border : before ? margin_down : margin_up);
}

enum tag measure_decide(struct measure_means now, enum tag before)
{
    if (now.runs < RUNS_NEEDED)
        return TAG_AUTO;
    bool known = before != TAG_AUTO;
    if (is_above(now.share, COMPUTES_SHARE, COMPUTES_SHARE + SHARE_MARGIN, COMPUTES_SHARE - SHARE_MARGIN, known, before == TAG_CPU))
        return TAG_CPU;
    known = before == TAG_IO || before == TAG_SLOW_IO;
    bool slow = before == TAG_SLOW_IO;
    bool is_long = is_above(now.wall_us, LONG_US, LONG_US * MARGIN, LONG_US / MARGIN, known, slow);
    bool is_idle = !is_above(now.share, IDLE_SHARE, IDLE_SHARE * MARGIN, IDLE_SHARE / MARGIN, known, !slow);
    return is_long && is_idle ? TAG_SLOW_IO : TAG_IO;
}

/* ---- counting --------------------------------------------------------------------------------------- */

static struct tally *tally_for(struct measure *m, enum tag asked)
{
    if (!m->tallies[asked])
        m->tallies[asked] = xcalloc(1, sizeof *m->tallies[asked]);
    return m->tallies[asked];
}

/* What a worker says is not trusted: no number is out of the range that can be. */
static double within(int64_t v, double most)
{
    return v == UNSET || v < 0 ? 0 : (double)v > most ? most : (double)v;
}

static void count(struct tally *t, const struct run_measured *run)
{
    double wall = within(run->wall_us, MOST_US), cpu = within(run->cpu_us, MOST_CORES * wall), ready = within(run->ready_us, wall);
    if (t->recent >= 2 * SKETCH_STEP) {
        t->recent /= 2;
        t->wall_us /= 2;
        t->cpu_us /= 2;
        t->ready_us /= 2;
    }
    t->runs++;
    t->recent++;
    t->wall_us += wall;
    t->cpu_us += cpu;
    t->ready_us += ready;
    sketch_add(&t->wall, run->wall_us);
    if (run->cpu_us != UNSET)
        sketch_add(&t->share, wall - ready < 1 ? 1000 : (int64_t)(1000 * cpu / (wall - ready)));
    if (run->wait_us != UNSET)
        sketch_add(&t->wait, run->wait_us);
    if (run->memory_kb != UNSET)
        sketch_add(&t->memory, run->memory_kb);
    t->pool = run->pool;
    t->last_ms = run->ended_ms;
    t->changed = true;
}

void measure_run(struct measures *all, struct measure *m, const struct run_measured *run)
{
    if (run->wall_us == UNSET || run->wall_us < 0)
        return;
    count(tally_for(m, run->asked), run);
    m->tallies[run->asked]->last_run = ++m->runs;
    if (m != &all->shared)
        m->decided = measure_decide(measure_means(m), m->decided);
}

/* ---- finding ---------------------------------------------------------------------------------------- */

struct measure *measures_intern(struct measures *m, struct str handler, struct str program)
{
    cleanup(freep) char *key = xasprintf("%.*s\n%.*s", (int)handler.n, handler.p, (int)program.n, program.p ? program.p : "");
    struct measure *found = strmap_find(&m->by_key, str_of(key));
    if (found)
        return found;
    if (m->n >= LIMIT_MEASURES)
        return &m->shared;
    found = xcalloc(1, sizeof *found);
    found->handler = xstrndup(handler);
    found->program = program.n ? xstrndup(program) : NULL;
    m->all = grow_array(m->all, &m->cap, m->n + 1, sizeof(struct measure *));
    m->all[m->n++] = found;
    strmap_put(&m->by_key, str_of(key), found);
    return found;
}

static void free_tallies(struct measure *m)
{
    for (size_t i = 0; i < N_TAGS; i++)
        free(m->tallies[i]);
}

void measures_fini(struct measures *m)
{
    for (size_t i = 0; i < m->n; i++) {
        free_tallies(m->all[i]);
        free(m->all[i]->handler);
        free(m->all[i]->program);
        free(m->all[i]);
    }
    free_tallies(&m->shared);
    free(m->all);
    strmap_fini(&m->by_key);
    *m = (struct measures){ 0 };
}

/* ---- keeping ---------------------------------------------------------------------------------------- */

enum sketch_name { OF_WALL, OF_SHARE, OF_WAIT, OF_MEMORY };

static int load_sketches(struct tally *t, struct str bytes)
{
    int r = sketch_load(&t->wall, OF_WALL, bytes);
    if (r >= 0)
        r = sketch_load(&t->share, OF_SHARE, bytes);
    if (r >= 0)
        r = sketch_load(&t->wait, OF_WAIT, bytes);
    return r < 0 ? r : sketch_load(&t->memory, OF_MEMORY, bytes);
}

static bool makes_sense(const struct measure_row *row)
{
    bool known = row->tag >= TAG_AUTO && (unsigned)row->tag < N_TAGS && (unsigned)row->pool < N_POOLS;
    bool counts = row->runs > 0 && row->last_run >= row->runs && row->recent > 0 && row->recent <= 2 * SKETCH_STEP;
    return known && counts && row->wall_us >= 0 && row->cpu_us >= 0 && row->ready_us >= 0 && row->ready_us <= row->wall_us;
}

static void load_row(void *ctx, const struct measure_row *row)
{
    struct measures *all = ctx;
    struct tally t = { .runs = row->runs, .pool = row->pool, .last_ms = row->last_ms, .last_run = row->last_run,
                       .recent = row->recent, .wall_us = row->wall_us,
                       .cpu_us = row->cpu_us, .ready_us = row->ready_us };
    if (!makes_sense(row) || load_sketches(&t, row->sketches) < 0)
        return;
    struct measure *m = measures_intern(all, row->handler, row->program);
    if (m == &all->shared)
        return;
    *tally_for(m, row->tag) = t;
    m->runs += t.runs;
    m->decided = measure_decide(measure_means(m), TAG_AUTO);
}

int measures_load(struct measures *m, struct store *s)
{
    *m = (struct measures){ 0 };
    return store_each_measure(s, load_row, m);
}

static int save_tally(struct store *s, const struct measure *m, enum tag tag, struct buf *bytes)
{
    const struct tally *t = m->tallies[tag];
    buf_clear(bytes);
    sketch_save(&t->wall, OF_WALL, bytes);
    sketch_save(&t->share, OF_SHARE, bytes);
    sketch_save(&t->wait, OF_WAIT, bytes);
    sketch_save(&t->memory, OF_MEMORY, bytes);
    return store_save_measure(s, &(struct measure_row){
        .handler = str_of(m->handler), .program = str_of(m->program), .tag = tag, .pool = t->pool, .runs = t->runs,
        .last_ms = t->last_ms, .last_run = t->last_run, .recent = t->recent, .wall_us = t->wall_us, .cpu_us = t->cpu_us,
        .ready_us = t->ready_us, .sketches = buf_str(bytes) });
}

/* How many rows it took. */
static int save_one(struct measure *m, struct store *s, struct buf *bytes)
{
    int n = 0;
    for (int tag = 0; tag < N_TAGS; tag++) {
        if (!m->tallies[tag] || !m->tallies[tag]->changed)
            continue;
        int r = save_tally(s, m, (enum tag)tag, bytes);
        if (r < 0)
            return r;
        m->tallies[tag]->changed = false;
        n++;
    }
    return n;
}

int measures_save(struct measures *m, struct store *s)
{
    struct buf bytes;
    buf_init(&bytes, 4 * 4 * SKETCH_BUCKETS);
    int r = 0, n = 0;
    while (m->next_saved < m->n && r >= 0 && n < SAVED_AT_A_TIME) {
        r = save_one(m->all[m->next_saved++], s, &bytes);
        n += r;
    }
    bool more = m->next_saved < m->n;
    m->next_saved = more ? m->next_saved : 0;
    buf_fini(&bytes);
    return r < 0 ? r : more;
}
