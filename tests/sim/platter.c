/* platter.c - keeps the changes of a file until a sync makes them safe, or a power cut decides for each sector alone. */
#include "tests/sim/platter.h"

/* A write, or where bytes is NULL a truncation to `at`. */
struct change {
    struct link link;
    size_t at, n;
    char *bytes; /* owned */
};

static void resize(struct bytes *b, size_t n)
{
    if (n > b->cap) {
        b->cap = n + n / 2 + 4096;
        b->p = xrealloc(b->p, b->cap);
    }
    if (n > b->n)
        memset(b->p + b->n, 0, n - b->n);
    b->n = n;
}

static void put(struct bytes *b, size_t at, const char *p, size_t n)
{
    if (at + n > b->n)
        resize(b, at + n);
    memcpy(b->p + at, p, n);
}

static void cut(struct bytes *b, size_t n)
{
    if (n < b->n)
        resize(b, n);
}

static void change_free(struct change *c)
{
    free(c->bytes);
    free(c);
}

static void add_change(struct platter *f, size_t at, const char *p, size_t n)
{
    struct change *c = xcalloc(1, sizeof *c);
    c->at = at;
    c->n = n;
    c->bytes = p ? memcpy(xmalloc(n), p, n) : NULL;
    list_add_tail(&f->changes, &c->link);
}

void platter_init(struct platter *f)
{
    *f = (struct platter){ 0 };
    list_init(&f->changes);
}

void platter_fini(struct platter *f)
{
    for (struct link *l; (l = list_pop(&f->changes));)
        change_free(list_entry(l, struct change, link));
    free(f->now.p);
    free(f->safe.p);
}

void platter_write(struct platter *f, size_t at, const char *p, size_t n)
{
    if (!n)
        return;
    put(&f->now, at, p, n);
    add_change(f, at, p, n);
}

void platter_truncate(struct platter *f, size_t n)
{
    if (n >= f->now.n)
        return;
    cut(&f->now, n);
    add_change(f, n, NULL, 0);
}

static void apply(struct bytes *b, const struct change *c)
{
    if (c->bytes)
        put(b, c->at, c->bytes, c->n);
    else
        cut(b, c->at);
}

void platter_sync(struct platter *f)
{
    for (struct link *l; (l = list_pop(&f->changes));) {
        apply(&f->safe, list_entry(l, struct change, link));
        change_free(list_entry(l, struct change, link));
    }
}

void platter_drop_cache(struct platter *f)
{
    resize(&f->now, 0);
    if (f->safe.n)
        put(&f->now, 0, f->safe.p, f->safe.n);
    list_each(l, &f->changes)
        apply(&f->now, list_entry(l, struct change, link));
}

/* One sector of a write, or the part of it that the write covers. */
static void keep_some_of_sector(struct bytes *b, size_t at, char *p, size_t n, struct rng *rng)
{
    switch (rng_below(rng, 8)) {
    case 0: /* torn */
        put(b, at, p, rng_below(rng, n));
        break;
    case 1: /* garbled */
        for (size_t i = rng_below(rng, n); i < n; i++)
            p[i] = (char)rng_next(rng);
        put(b, at, p, n);
        break;
    case 2:
    case 3:
    case 4:
        put(b, at, p, n);
        break;
    default: /* lost */
        break;
    }
}

static void keep_some_of_write(struct bytes *b, const struct change *c, struct rng *rng)
{
    if (c->at + c->n > b->n && rng_below(rng, 2))
        resize(b, c->at + c->n); /* the length is kept apart from the bytes */
    switch (rng_below(rng, 4)) {
    case 0: /* none of it */
        return;
    case 1: /* all of it */
        put(b, c->at, c->bytes, c->n);
        return;
    default:
        break;
    }
    for (size_t done = 0, n; done < c->n; done += n) {
        n = min_size(SECTOR_BYTES - (c->at + done) % SECTOR_BYTES, c->n - done);
        keep_some_of_sector(b, c->at + done, c->bytes + done, n, rng);
    }
}

void platter_sync_badly(struct platter *f, struct rng *rng)
{
    for (struct link *l; (l = list_pop(&f->changes));) {
        struct change *c = list_entry(l, struct change, link);
        if (c->bytes)
            keep_some_of_write(&f->safe, c, rng);
        else if (rng_below(rng, 2))
            cut(&f->safe, c->at);
        change_free(c);
    }
}

void platter_lose(struct platter *f, struct rng *rng)
{
    platter_sync_badly(f, rng);
    platter_drop_cache(f);
}
