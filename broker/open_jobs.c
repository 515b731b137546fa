/* open_jobs.c - limits of open jobs: from the keys to the store, and back as a refusal. */
#include "broker/open_jobs.h"

#include <inttypes.h>

#define COUNTED_A_TURN 2000 /* jobs: a millisecond or two */
#define PARTS 8             /* of a limit: one of them is submitted while others run */

/* Their owners' texts are the caller's. */
static size_t collect(const struct grants *all, struct open_limit *ret)
{
    const struct grant *g;
    size_t n = 0;
    for (size_t i = 0; all && (g = strmap_next(&all->by_key, &i));)
        if (g->open_jobs)
            ret[n++] = (struct open_limit){ str_of(xasprintf("key:%s", g->name)), g->open_jobs };
    return n;
}

void open_jobs_limit(struct broker *b)
{
    if (b->open_limits_told || !b->grants)
        return;
    struct open_limit *limits = xcalloc(b->grants->by_key.n, sizeof *limits);
    size_t n = collect(b->grants, limits);
    b->open_limits = n > 0;
    b->open_limits_told = !broker_failed(b, store_limit_open(b->store, limits, n));
    for (size_t i = 0; i < n; i++)
        free((char *)(uintptr_t)limits[i].owner.p);
    free(limits);
}

const struct account *open_jobs_account(struct broker *b, int64_t owner)
{
    open_jobs_limit(b);
    return b->open_limits && !b->failed ? store_account(b->store, owner) : NULL;
}

const struct account *open_jobs_account_of(struct broker *b, const struct peer *p)
{
    open_jobs_limit(b);
    return b->open_limits && p->key[0] ? open_jobs_account(b, store_owner(b->store, str_of(p->owner))) : NULL;
}

bool open_jobs_fit(const struct account *a, size_t n) { return !a || (a->known && a->open + (int64_t)n <= a->most); }

char *open_jobs_text(const struct account *a, const char *who, size_t n)
{
    if (open_jobs_never_fit(a, n))
        return xasprintf("%zu jobs at once are too many: %s may have %" PRId64 " open jobs (open-jobs of its key); submit fewer at once", n,
                         who, a->most);
    if (!a->known)
        return xasprintf("the open jobs of %s are being counted, for a limit that is new; this takes moments", who);
    return xasprintf("%s may have %" PRId64 " open jobs (open-jobs of its key) and has %" PRId64
                     "; wait until some have finished, or cancel some", who, a->most, a->open);
}

uint64_t open_jobs_at_once(const struct account *a) { return a ? (uint64_t)max_i64(a->most / PARTS, 1) : 0; }

bool open_jobs_tick(struct broker *b)
{
    int r = store_count_open(b->store, COUNTED_A_TURN);
    return !broker_failed(b, r) && r > 0;
}
