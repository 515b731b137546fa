/* class.c - interned classes, and the look-ahead on what waits in each. */
#include "broker/class.h"

#include <stdio.h>

/* ---- interning -------------------------------------------------------------------------------- */

/* The parts of a key with a byte between them that none of them can hold. */
static char *key_text(const struct class_key *k)
{
    return xasprintf("%.*s\n%.*s\n%.*s\n%d\n%d%d%d\n%.*s", (int)k->queue.n, k->queue.p, (int)k->handler.n, k->handler.p,
                     (int)k->program.n, k->program.p ? k->program.p : "", (int)k->tag, k->tag_unset, k->suspect, k->isolated,
                     (int)k->needs.n, k->needs.n ? k->needs.p : "");
}

struct queue *classes_find_queue(const struct classes *c, struct str name)
{
    return strmap_find(&c->queues, name);
}

struct queue *classes_queue(struct classes *c, struct str name)
{
    struct queue *q = strmap_find(&c->queues, name);
    if (q)
        return q;
    q = xcalloc(1, sizeof *q);
    q->name = xstrndup(name);
    strmap_put(&c->queues, name, q);
    return q;
}

static void fill(struct classes *c, struct class *class, const struct class_key *k)
{
    class->queue = classes_queue(c, k->queue);
    class->queue->n_classes++;
    class->handler = xstrndup(k->handler);
    class->program = xstrndup(k->program);
    class->tag = k->tag;
    class->tag_unset = k->tag_unset;
    class->suspect = k->suspect;
    class->isolated = k->isolated;
    class->measure = measures_intern(&c->measures, k->handler, k->program);
    needs_init(&class->needs, k->needs, c->shared);
    cleanup(freep) char *key = key_text(k);
    strmap_put(&c->by_key, str_of(key), class);
}

static struct class *add(struct classes *c, uint32_t id, const struct class_key *k)
{
    struct class *class = xcalloc(1, sizeof *class);
    class->id = id;
    size_t before = c->cap;
    c->all = grow_array(c->all, &c->cap, id, sizeof(struct class *));
    memset(c->all + before, 0, (c->cap - before) * sizeof(struct class *));
    c->all[id - 1] = class;
    c->n = c->n > id ? c->n : id;
    fill(c, class, k);
    return class;
}

static void empty(struct class *class)
{
    free(class->handler);
    free(class->program);
    needs_fini(&class->needs);
    free(class->heads);
    free(class->eligible);
    *class = (struct class){ .id = class->id };
}

static void free_queue(struct queue *q)
{
    free(q->name);
    free(q);
}

static void load_class(void *ctx, const struct class_row *row)
{
    struct class_key k = { row->queue, row->handler, row->program, row->tag, row->tag_unset, row->suspect, row->isolated,
                           row->needs };
    struct class *class = add(ctx, row->id, &k);
    memcpy(class->jobs, row->jobs, sizeof class->jobs);
    class->more = class->jobs[STATE_QUEUED] > 0;
}

static void load_paused(void *ctx, struct str name)
{
    classes_queue(ctx, name)->paused = true;
}

int classes_load(struct classes *c, struct store *s, const struct amounts *shared)
{
    *c = (struct classes){ .shared = shared };
    int r = measures_load(&c->measures, s);
    if (r >= 0)
        r = store_each_class(s, load_class, c);
    return r < 0 ? r : store_each_paused(s, load_paused, c);
}

void classes_fini(struct classes *c)
{
    for (size_t i = 0; i < c->n; i++) {
        struct class *class = c->all[i];
        if (!class)
            continue;
        empty(class);
        free(class);
    }
    struct queue *q;
    for (size_t i = 0; (q = strmap_next(&c->queues, &i));)
        free_queue(q);
    free(c->all);
    measures_fini(&c->measures);
    strmap_fini(&c->queues);
    strmap_fini(&c->by_key);
    *c = (struct classes){ 0 };
}

static bool has_key(const struct class *c, const struct class_key *k)
{
    return c->tag == k->tag && c->tag_unset == k->tag_unset && c->suspect == k->suspect && c->isolated == k->isolated &&
           str_is(k->queue, c->queue->name) && str_is(k->handler, c->handler) && str_equal(k->needs, str_of(c->needs.text)) &&
           (c->program ? k->program.p && str_is(k->program, c->program) : !k->program.p);
}

static struct class *find(struct classes *c, const struct class_key *key)
{
    if (c->last && has_key(c->last, key))
        return c->last;
    cleanup(freep) char *text = key_text(key);
    struct class *found = strmap_find(&c->by_key, str_of(text));
    c->last = found ? found : c->last;
    return found;
}

void classes_begin_request(struct classes *c) { c->request++; }

static bool is_spare(const struct classes *c, const struct class *of)
{
    uint64_t n = of ? of->n_leased : 1;
    for (int i = 0; i < N_STATES && !n; i++)
        n += of->jobs[i];
    return !n && of->asked_at != c->request;
}

/* One that has no job. Looks on where it found the last; a request that finds none looks once. */
static struct class *find_spare(struct classes *c)
{
    for (size_t i = 0; i < c->n && c->none_spare_at != c->request; i++) {
        c->spare_from = (c->spare_from + 1) % c->n;
        if (is_spare(c, c->all[c->spare_from]))
            return c->all[c->spare_from];
    }
    c->none_spare_at = c->request;
    return NULL;
}

static void take_out(struct classes *c, struct class *class)
{
    struct class_key old = class_key(class);
    cleanup(freep) char *text = key_text(&old);
    strmap_remove(&c->by_key, str_of(text));
    struct queue *q = class->queue;
    if (--q->n_classes == 0 && !q->paused) {
        strmap_remove(&c->queues, str_of(q->name));
        free_queue(q);
    }
    empty(class);
}

static struct class_row row_of(uint32_t id, const struct class_key *k)
{
    return (struct class_row){ .id = id, .queue = k->queue, .handler = k->handler, .program = k->program, .tag = k->tag,
                               .tag_unset = k->tag_unset, .suspect = k->suspect, .isolated = k->isolated, .needs = k->needs };
}

static int make(struct classes *c, struct store *s, const struct class_key *key, struct class **ret)
{
    struct class_row row = row_of(0, key);
    int r = store_add_class(s, &row, &row.id);
    if (r >= 0)
        *ret = add(c, row.id, key);
    return r;
}

static int make_of(struct classes *c, struct store *s, struct class *spare, const struct class_key *key, struct class **ret)
{
    struct class_row row = row_of(spare->id, key);
    int r = store_change_class(s, &row);
    if (r < 0)
        return r;
    take_out(c, spare);
    fill(c, spare, key);
    *ret = spare;
    return 0;
}

int classes_intern(struct classes *c, struct store *s, const struct class_key *key, struct class **ret)
{
    bool full = c->n >= (key->program.p || key->needs.n ? LIMIT_CLASSES : 2 * LIMIT_CLASSES);
    *ret = find(c, key);
    struct class *spare = *ret || !full ? NULL : find_spare(c);
    int r = 0;
    if (!*ret && spare)
        r = make_of(c, s, spare, key, ret);
    else if (!*ret && !full)
        r = make(c, s, key, ret);
    else if (!*ret && key->program.p) {
        struct class_key shared = *key;
        shared.program = STR_UNSET;
        return classes_intern(c, s, &shared, ret);
    } else if (!*ret)
        r = -E2BIG;
    if (r >= 0)
        (*ret)->asked_at = c->request;
    return r;
}

struct class_key class_key(const struct class *c)
{
    return (struct class_key){ str_of(c->queue->name), str_of(c->handler), str_of(c->program), c->tag,
                               c->tag_unset, c->suspect, c->isolated, str_of(c->needs.text) };
}

int classes_suspect_of(struct classes *c, struct store *s, struct class *of, struct class **ret)
{
    struct class_key k = class_key(of);
    k.suspect = true;
    return classes_intern(c, s, &k, ret);
}

struct class *classes_get(const struct classes *c, uint32_t id)
{
    assert(id >= 1 && id <= c->n && c->all[id - 1]);
    return c->all[id - 1];
}

/* ---- the look-ahead --------------------------------------------------------------------------- */

/* Does a come before b? Higher priority first, then the older. */
static bool before(int64_t priority, uint64_t id, const struct head *b)
{
    return priority != b->priority ? priority > b->priority : id < b->id;
}

static struct head *last_head(struct class *c) { return &c->heads[c->first_head + c->n_heads - 1]; }

static void make_room(struct class *c)
{
    if (!c->heads)
        c->heads = xmalloc(CLASS_HEADS * sizeof *c->heads);
    if (c->first_head) {
        memmove(c->heads, c->heads + c->first_head, c->n_heads * sizeof *c->heads);
        c->first_head = 0;
    }
    if (c->n_heads == CLASS_HEADS) {
        c->n_heads--; /* the last one is in the store */
        c->more = true;
    }
}

void class_add_waiting(struct class *c, int64_t priority, uint64_t id)
{
    bool last = c->n_heads == 0 || !before(priority, id, last_head(c));
    if (last && (c->more || c->n_heads == CLASS_HEADS)) {
        c->more = true;
        return;
    }
    make_room(c);
    size_t i = c->n_heads;
    while (i > 0 && before(priority, id, &c->heads[i - 1]))
        i--;
    memmove(c->heads + i + 1, c->heads + i, (c->n_heads - i) * sizeof *c->heads);
    c->heads[i] = (struct head){ priority, id };
    c->n_heads++;
}

static void drop_heads(struct class *c)
{
    free(c->heads);
    c->heads = NULL;
    c->first_head = c->n_heads = 0;
}

void class_read_again(struct class *c)
{
    drop_heads(c);
    c->more = true;
}

const struct head *class_head(struct class *c, struct store *s, int *ret_r)
{
    *ret_r = 0;
    if (c->n_heads)
        return &c->heads[c->first_head];
    if (!c->more) {
        drop_heads(c);
        return NULL;
    }
    if (!c->heads)
        c->heads = xmalloc(CLASS_HEADS * sizeof *c->heads);
    int n = store_heads(s, c->id, c->heads, CLASS_HEADS);
    if (n < 0) {
        *ret_r = n;
        return NULL;
    }
    c->first_head = 0;
    c->n_heads = (size_t)n;
    c->more = n == CLASS_HEADS;
    return n ? c->heads : NULL;
}

void class_pop_head(struct class *c)
{
    assert(c->n_heads);
    c->first_head++;
    c->n_heads--;
    if (!c->n_heads)
        c->first_head = 0;
}

/* ---- counts and means ------------------------------------------------------------------------- */

void class_move(struct class *from, enum job_state a, struct class *to, enum job_state b)
{
    assert(from->jobs[a] > 0);
    from->jobs[a]--;
    to->jobs[b]++;
}

void class_count_run(struct class *c, int64_t wall_us)
{
    if (wall_us == UNSET || wall_us < 0)
        return;
    c->runs++;
    double weight = c->runs < 16 ? 1 / c->runs : 1 / 16.0;
    c->mean_wall_us += ((double)wall_us - c->mean_wall_us) * weight;
}

static void forget_old_seconds(struct queue *q, int64_t second)
{
    if (second - q->finished_s >= 60 || second < q->finished_s)
        memset(q->finished, 0, sizeof q->finished);
    else
        for (int64_t s = q->finished_s + 1; s <= second; s++)
            q->finished[s % 60] = 0;
    q->finished_s = second;
}

void queue_count_finished(struct queue *q, int64_t wall_ms)
{
    if (wall_ms / 1000 != q->finished_s)
        forget_old_seconds(q, wall_ms / 1000);
    q->finished[q->finished_s % 60]++;
}

uint64_t queue_finished_last_minute(const struct queue *q, int64_t wall_ms)
{
    uint64_t n = 0;
    for (int64_t s = wall_ms / 1000; s > wall_ms / 1000 - 60; s--)
        if (s <= q->finished_s && s > q->finished_s - 60)
            n += q->finished[s % 60];
    return n;
}
