/* libtern_query.c - looking at a job's history, at queues, workers and counters. */
#include "client/libtern.h"

int tern_client_history(struct tern_client *c, uint64_t job, tern_event_fn *fn, void *context)
{
    int r = client_begin(c);
    if (r < 0)
        return r;
    struct message m;
    message_init(&m, MSG_HISTORY);
    m.history.job = job;
    struct request ask;
    r = request_call(c, &ask, &m, MSG_EVENTS, INT64_MAX);
    bool more = r >= 0;
    for (size_t i = 0; more && i < ask.answer.events.n_events; i++) {
        const struct event *e = &ask.answer.events.events[i];
        struct texts t = { 0 };
        struct tern_event view = { e->at_ms, texts_add(&t, e->event), e->attempt,
                                   texts_add(&t, e->worker), texts_add(&t, e->text) };
        more = fn(context, &view) == 0;
        texts_fini(&t);
    }
    request_fini(&ask);
    return r;
}

int tern_client_why(struct tern_client *c, uint64_t job, tern_reason_fn *fn, void *context)
{
    int r = client_begin(c);
    if (r < 0)
        return r;
    struct message m;
    message_init(&m, MSG_WHY);
    m.why.job = job;
    struct request ask;
    r = request_call(c, &ask, &m, MSG_BECAUSE, INT64_MAX);
    bool more = r >= 0;
    for (size_t i = 0; more && i < ask.answer.because.n_reasons; i++) {
        const struct why_reason *w = &ask.answer.because.reasons[i];
        struct texts t = { 0 };
        struct tern_reason view = { state_name((int64_t)ask.answer.because.state),
                                    texts_add(&t, w->code), texts_add(&t, w->text) };
        more = fn(context, &view) == 0;
        texts_fini(&t);
    }
    request_fini(&ask);
    return r;
}

static int tell_queue(const struct queue_view *q, tern_queue_fn *fn, void *context)
{
    struct texts t = { 0 };
    struct tern_count counts[N_STATES];
    for (size_t i = 0; i < N_STATES; i++)
        counts[i] = (struct tern_count){ state_name((int64_t)i), 0 };
    for (size_t i = 0; i < q->n_counts; i++)
        if (q->counts[i].state < N_STATES)
            counts[q->counts[i].state].jobs = q->counts[i].jobs;
    struct tern_queue_view view = {
        texts_add(&t, q->name), q->paused, counts, N_STATES, q->oldest_ms, q->finished_last_minute
    };
    int enough = fn(context, &view);
    texts_fini(&t);
    return enough;
}

int tern_client_queues(struct tern_client *c, tern_queue_fn *fn, void *context)
{
    int r = client_begin(c);
    if (r < 0)
        return r;
    struct message m;
    message_init(&m, MSG_QUEUES);
    struct request ask;
    r = request_call(c, &ask, &m, MSG_QUEUE_LIST, INT64_MAX);
    bool more = r >= 0;
    for (size_t i = 0; more && i < ask.answer.queue_list.n_queues; i++)
        more = tell_queue(&ask.answer.queue_list.queues[i], fn, context) == 0;
    request_fini(&ask);
    return r;
}

static int tell_worker(const struct worker_view *w, tern_worker_fn *fn, void *context)
{
    struct texts t = { 0 };
    struct tern_pool_view *pools = texts_alloc(&t, w->n_pools, sizeof *pools);
    for (size_t i = 0; i < w->n_pools; i++)
        pools[i] =
            (struct tern_pool_view){ pool_name((int64_t)w->pools[i].pool), w->pools[i].slots,
                                     w->pools[i].used, w->pools[i].stuck, w->pools[i].waiting,
                                     w->pools[i].blocked, w->pools[i].parked, w->pools[i].blocked_ms };
    struct tern_amount *amounts = texts_alloc(&t, w->n_amounts, sizeof *amounts);
    for (size_t i = 0; i < w->n_amounts; i++)
        amounts[i] = (struct tern_amount){ texts_add(&t, w->amounts[i].name), w->amounts[i].total,
                                           w->amounts[i].held };
    struct tern_worker_view view = {
        .name = texts_add(&t, w->name),
        .instance = texts_add(&t, w->instance),
        .host = texts_add(&t, w->host),
        .software = texts_add(&t, w->software),
        .owner = texts_add(&t, w->owner),
        .pid = w->pid,
        .draining = w->draining,
        .pools = pools,
        .n_pools = w->n_pools,
        .queues = texts_add_all(&t, w->queues, w->n_queues),
        .handlers = texts_add_all(&t, w->handlers, w->n_handlers),
        .heard_ago_ms = w->heard_ago_ms,
        .connected_ms = w->connected_ms,
        .notices = texts_add_all(&t, w->notices, w->n_notices),
        .labels = texts_add_all(&t, w->labels, w->n_labels),
        .amounts = amounts,
        .n_amounts = w->n_amounts,
        .isolation = w->isolation.n ? texts_add(&t, w->isolation) : NULL,
    };
    int enough = fn(context, &view);
    texts_fini(&t);
    return enough;
}

int tern_client_workers(struct tern_client *c, tern_worker_fn *fn, void *context)
{
    int r = client_begin(c);
    if (r < 0)
        return r;
    struct message m;
    message_init(&m, MSG_WORKERS);
    struct request ask;
    r = request_call(c, &ask, &m, MSG_WORKER_LIST, INT64_MAX);
    bool more = r >= 0;
    for (size_t i = 0; more && i < ask.answer.worker_list.n_workers; i++)
        more = tell_worker(&ask.answer.worker_list.workers[i], fn, context) == 0;
    request_fini(&ask);
    return r;
}

int tern_client_stats(struct tern_client *c, tern_stat_fn *fn, void *context)
{
    int r = client_begin(c);
    if (r < 0)
        return r;
    struct message m;
    message_init(&m, MSG_STATS);
    struct request ask;
    r = request_call(c, &ask, &m, MSG_STAT_LIST, INT64_MAX);
    bool more = r >= 0;
    for (size_t i = 0; more && i < ask.answer.stat_list.n_stats; i++) {
        cleanup(freep) char *name = xstrndup(ask.answer.stat_list.stats[i].name);
        more = fn(context, name ? name : "", ask.answer.stat_list.stats[i].value) == 0;
    }
    request_fini(&ask);
    return r;
}
