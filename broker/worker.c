/* worker.c - what a worker has declared. */
#include "broker/worker.h"

#include "broker/text.h"

void refs_add(struct refs *r, uint64_t job, uint64_t attempt)
{
    r->at = grow_array(r->at, &r->cap, r->n + 1, sizeof *r->at);
    r->at[r->n++] = (struct attempt_ref){ job, attempt };
}

struct worker *worker_new(uint64_t row, const unsigned char instance[16], struct str name)
{
    struct worker *w = xcalloc(1, sizeof *w);
    w->row = row;
    memcpy(w->instance, instance, sizeof w->instance);
    w->name = xstrndup(name);
    list_init(&w->leases);
    return w;
}

static void forget(struct worker *w)
{
    for (size_t i = 0; i < w->n_queues; i++)
        free(w->queues[i]);
    for (size_t i = 0; i < w->n_handlers; i++)
        free(w->handlers[i].name);
    for (size_t i = 0; i < w->n_notices; i++)
        free(w->notices[i]);
    free(w->notices);
    free(w->queues);
    free(w->handlers);
    free(w->name);
    free(w->host);
    free(w->software);
    labels_fini(&w->labels);
    amounts_fini(&w->amounts);
    free(w->isolation);
    strmap_fini(&w->handler_by_name);
}

void worker_free(struct worker *w)
{
    if (!w)
        return;
    forget(w);
    free(w->stops.at);
    free(w->recorded.at);
    free(w->ended.at);
    free(w->owner);
    free(w);
}

static void take_handlers(struct worker *w, const struct msg_hello *h, const struct grant *g)
{
    w->handlers = xcalloc(h->n_handlers, sizeof *w->handlers);
    w->n_handlers = 0;
    for (size_t i = 0; i < h->n_handlers; i++) {
        const struct handler_info *from = &h->handlers[i];
        if (!grant_allows_handler(g, from->name))
            continue;
        struct worker_handler *to = &w->handlers[w->n_handlers++];
        *to = (struct worker_handler){
            .name = xstrndup(from->name.p ? from->name : str_of("")),
            .forms = (unsigned)from->forms & (FORM_BLOCKING | FORM_ASYNC),
            .tag = from->tag >= TAG_AUTO && from->tag <= TAG_SLOW_IO ? (enum tag)from->tag : TAG_AUTO,
            .retries = max_i64(or_default(from->retries, 0), 0),
            .timeout_ms = from->timeout_ms,
            .thread_safe = from->thread_safe,
        };
        strmap_put(&w->handler_by_name, str_of(to->name), to);
    }
}

static void take_queue(struct worker *w, struct str name)
{
    w->queues = xrealloc(w->queues, (w->n_queues + 1) * sizeof *w->queues);
    w->queues[w->n_queues++] = xstrndup(name);
}

/* Those that it names; if it would serve all, those of its grant, if there are any. */
static void take_queues(struct worker *w, const struct msg_hello *h, const struct grant *g)
{
    w->queues = NULL;
    w->n_queues = 0;
    for (size_t i = 0; i < h->n_queues; i++)
        take_queue(w, h->queues[i]);
    for (const char *at = h->n_queues || !g->queues ? "" : g->queues; *at; at += *at == ',') {
        struct str one = { at, strcspn(at, ",") };
        take_queue(w, one);
        at += one.n;
    }
}

void worker_describe(struct worker *w, const struct msg_hello *h, const struct grant *g)
{
    forget(w);
    w->name = xstrndup(h->name);
    w->host = xstrndup(h->host.p ? text_cut(h->host, LIMIT_NAME_BYTES) : str_of(""));
    w->software = xstrndup(h->software.p ? text_cut(h->software, LIMIT_NAME_BYTES) : str_of(""));
    w->isolation = xstrndup(h->isolation.p ? text_cut(h->isolation, LIMIT_NAME_BYTES) : str_of(""));
    w->pid = h->pid;
    w->draining = h->draining;
    take_queues(w, h, g);
    w->n_notices = min_size(h->n_notices, LIMIT_NOTICES);
    w->notices = xcalloc(w->n_notices, sizeof *w->notices);
    for (size_t i = 0; i < w->n_notices; i++)
        w->notices[i] = xstrndup(h->notices[i].p ? text_cut(h->notices[i], LIMIT_TEXT_BYTES) : str_of(""));
    take_handlers(w, h, g);
    for (size_t i = 0; i < h->n_labels; i++)
        labels_add(&w->labels, h->labels[i]);
    for (size_t i = 0; i < h->n_amounts; i++)
        amounts_add(&w->amounts, h->amounts[i].name, min_i64((int64_t)(h->amounts[i].total & INT64_MAX), AMOUNT_MOST));
    for (int k = 0; k < N_POOLS; k++)
        w->pools[k].slots = 0;
    worker_set_load(w, h->pools, h->n_pools);
}

void worker_set_load(struct worker *w, const struct pool_load *pools, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (pools[i].pool >= N_POOLS)
            continue;
        struct worker_pool *p = &w->pools[pools[i].pool];
        p->slots = min_size(pools[i].slots, LIMIT_SLOTS);
        p->used = pools[i].used;
        p->stuck = pools[i].stuck;
        p->waiting = pools[i].waiting;
        p->blocked = pools[i].blocked;
        p->blocked_ms = pools[i].blocked_ms;
        p->parked = min_size(pools[i].parked, LIMIT_PARKED * p->slots);
    }
}

const struct worker_handler *worker_find_handler(const struct worker *w, const char *name)
{
    return strmap_find(&w->handler_by_name, str_of(name));
}

bool worker_serves_queue(const struct worker *w, const char *queue)
{
    if (!w->n_queues)
        return true;
    for (size_t i = 0; i < w->n_queues; i++)
        if (strcmp(w->queues[i], queue) == 0)
            return true;
    return false;
}
