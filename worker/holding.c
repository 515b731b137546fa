/* holding.c - the table of held attempts: a map by job, each with a short chain of attempts, and a
 * list of all. */
#include "worker/holding.h"

#define DEFAULT_KILL_GRACE_MS 5000

void holding_init(struct holding_table *t)
{
    *t = (struct holding_table){ 0 };
    list_init(&t->all);
}

void holding_fini(struct holding_table *t)
{
    list_each_safe(i, &t->all)
        holding_remove(t, list_entry(i, struct holding, all));
    idmap_fini(&t->by_job);
}

struct holding *holding_find(const struct holding_table *t, uint64_t job, uint64_t attempt)
{
    struct holding *h = idmap_find(&t->by_job, job);
    while (h && h->attempt != attempt)
        h = h->next;
    return h;
}

struct holding *holding_add(struct holding_table *t, struct run *r)
{
    struct holding *h = xcalloc(1, sizeof *h);
    h->job = r->job.job;
    h->attempt = r->job.attempt;
    h->pool = r->job.pool < N_POOLS ? (enum pool_kind)r->job.pool : POOL_PROCESS; /* of one that is refused */
    h->kill_grace_ms = or_default(r->job.kill_grace_ms, DEFAULT_KILL_GRACE_MS);
    h->run = r;
    h->next = idmap_find(&t->by_job, h->job);
    idmap_put(&t->by_job, h->job, h);
    list_add_tail(&t->all, &h->all);
    list_init(&h->said);
    list_init(&h->asks);
    list_init(&h->reports);
    h->percent = UNSET;
    t->n++;
    t->of[h->pool].held++;
    return h;
}

void holding_start(struct holding_table *t, struct holding *h)
{
    t->of[h->pool].started += !h->started;
    h->started = true;
}

void holding_await(struct holding_table *t, struct holding *h, int by)
{
    bool was = h->n_awaits;
    h->n_awaits += (size_t)by;
    t->of[h->pool].parked += (size_t)(h->n_awaits > 0) - (size_t)was;
}

static void uncount(struct holding_table *t, const struct holding *h)
{
    t->of[h->pool].held--;
    t->of[h->pool].started -= h->started;
}

void holding_finish(struct holding_table *t, struct holding *h)
{
    h->finished = true;
    t->n_finished++;
    uncount(t, h);
}

static void unchain(struct holding_table *t, struct holding *h)
{
    struct holding *first = idmap_find(&t->by_job, h->job);
    if (first == h && h->next) {
        idmap_put(&t->by_job, h->job, h->next);
        return;
    }
    if (first == h) {
        idmap_remove(&t->by_job, h->job);
        return;
    }
    while (first->next != h)
        first = first->next;
    first->next = h->next;
}

void holding_remove(struct holding_table *t, struct holding *h)
{
    unchain(t, h);
    list_remove(&h->all);
    list_remove(&h->said);
    list_remove(&h->reports);
    t->n--;
    t->n_finished -= h->finished;
    if (h->finished)
        run_free(h->run);
    else
        uncount(t, h);
    free(h);
}
