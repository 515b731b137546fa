/* share.c - divides slots: the needs of all, cut at a level at which they fit. */
#include "worker/share.h"

#include "proto/limits.h"

static size_t in_use(const struct share *s) { return s->runs + s->waits; }
static bool is_full(const struct share *s) { return s->present && in_use(s) >= s->offered; }
static size_t divide_up(size_t a, size_t b) { return b ? (a + b - 1) / b : a; }

/* What they need, as far as that is known: who wants more may need all. Nobody wants more: then whoever may. */
struct needs {
    const struct share *of;
    size_t n, slots;
    int64_t now_ms;
    bool anybody;
};

static bool wants_more(const struct needs *d, size_t i) { return d->of[i].present && d->of[i].wants_until_ms > d->now_ms; }

static size_t need_of(const struct needs *d, size_t i)
{
    const struct share *s = &d->of[i];
    return !s->present ? 0 : wants_more(d, i) || !d->anybody ? d->slots : in_use(s);
}

static size_t sum_below(const struct needs *d, size_t level)
{
    size_t sum = 0;
    for (size_t i = 0; i < d->n; i++)
        sum += min_size(need_of(d, i), level);
    return sum;
}

/* The lowest at which no slot is left, if there is one. */
static size_t find_level(const struct needs *d)
{
    size_t low = 1, high = d->slots;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (sum_below(d, middle) >= d->slots)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* What the division stands on; as all offers are made from the same state, it is found before the first is changed. */
struct plan {
    size_t slots, equal; /* equal: parts of all who have or may have some */
    size_t free, takers; /* slots in no use, and how many brokers are below what they may have */
};

static struct plan plan_of(const struct needs *d, const size_t *may)
{
    struct plan p = { .slots = d->slots };
    size_t sharers = 0, used = 0;
    for (size_t i = 0; i < d->n; i++) {
        sharers += d->of[i].present || in_use(&d->of[i]);
        used += in_use(&d->of[i]);
        p.takers += in_use(&d->of[i]) < may[i];
    }
    p.equal = divide_up(d->slots, sharers);
    p.free = used < d->slots ? d->slots - used : 0;
    return p;
}

/* At the least one that is not free: within its equal part, and where else it would seem to want more. */
static size_t least_for(const struct share *s, size_t may, const struct plan *p)
{
    if (!is_full(s) && !s->waits && s->runs <= may)
        return s->runs + 1;
    return p->equal ? min_size(s->runs + 1, p->equal) : 1;
}

static size_t offer_to(const struct share *s, size_t may, const struct plan *p)
{
    size_t used = in_use(s), least = least_for(s, may, p);
    size_t offer = used < may ? min_size(may, used + divide_up(p->free, p->takers)) : may;
    return !p->slots ? 0 : offer > least ? offer : least;
}

/* Who is full now wants more for a moment. */
static void look(struct share *of, struct needs *d, int64_t *ret_due_ms)
{
    *ret_due_ms = NEVER;
    for (size_t i = 0; i < d->n; i++) {
        if (is_full(&of[i]))
            of[i].wants_until_ms = d->now_ms + SHARE_MOMENT_MS;
        else if (wants_more(d, i))
            *ret_due_ms = min_i64(*ret_due_ms, of[i].wants_until_ms);
        d->anybody |= wants_more(d, i);
    }
}

static bool is_all_offered(const struct needs *d)
{
    size_t offered = 0;
    for (size_t i = 0; i < d->n; i++)
        offered += d->of[i].offered;
    return offered >= d->slots && offered < d->slots + d->n;
}

bool share_divide(struct share *of, size_t n, size_t slots, struct now now, int64_t *ret_due_ms)
{
    struct needs d = { of, n, slots, now.mono_ms, false };
    look(of, &d, ret_due_ms);
    if (!d.anybody && is_all_offered(&d))
        return false;
    size_t level = find_level(&d), may[LIMIT_BROKERS];
    bool changed = false;
    for (size_t i = 0; i < n; i++)
        may[i] = min_size(need_of(&d, i), level);
    struct plan p = plan_of(&d, may);
    for (size_t i = 0; i < n; i++) {
        size_t offer = offer_to(&of[i], may[i], &p);
        changed |= offer != of[i].offered;
        of[i].offered = offer;
    }
    return changed;
}
