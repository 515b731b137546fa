/* recv_query.c - questions. What is on disk is answered by the reader, aside; what is in memory (queues, workers, figures)
 * is answered here. */
#include "broker/recv.h"

#include <stdio.h>

#include "broker/ranges.h"

void recv_query(struct broker *b, struct peer *p, const struct message *m, struct now now)
{
    (void)now;
    /* whose job a worker may FETCH, recv_fetch has judged: a child is its parent's owner's */
    bool own = (!p->admin && !p->worker) || (m->type == MSG_LIST && m->list.own);
    if (m->type == MSG_LIST && (m->list.queue.n > LIMIT_NAME_BYTES || m->list.n_ranges > LIMIT_RANGES)) {
        broker_send_error(b, p, m->list.req, CODE_USAGE, "LIST: the queue's name or the list of ranges is too long");
        return;
    }
    int r = -EBUSY;
    if (b->options.ask_reader)
        r = b->options.ask_reader(b->options.ctx, p, store_epoch(b->store), m, own ? str_of(p->owner) : STR_UNSET);
    if (r >= 0)
        return;
    b->counts.busy++;
    /* req is the first field of every query */
    broker_send_error(b, p, m->list.req, CODE_BUSY, "busy: too many queries at a time");
}

/* ---- QUEUES ------------------------------------------------------------------------------------ */

static void count_queue(struct broker *b, const struct queue *q, struct queue_view *v, struct state_count *counts)
{
    for (uint64_t s = 0; s < N_STATES; s++)
        counts[s] = (struct state_count){ s, 0 };
    for (size_t i = 0; i < b->classes.n; i++) {
        struct class *c = b->classes.all[i];
        if (!c || c->queue != q)
            continue;
        for (int s = 0; s < N_STATES; s++)
            counts[s].jobs += c->jobs[s];
        int64_t oldest = c->jobs[STATE_QUEUED] ? store_oldest(b->store, c->id) : UNSET;
        if (oldest != UNSET && (v->oldest_ms == UNSET || oldest < v->oldest_ms))
            v->oldest_ms = oldest;
    }
    v->counts = counts;
    v->n_counts = N_STATES;
}

void recv_queues(struct broker *b, struct peer *p, const struct message *m, struct now now)
{
    size_t most = min_size(b->classes.queues.n, LIMIT_PAGE), n = 0;
    cleanup(freep) struct queue_view *views = xcalloc(most, sizeof *views);
    cleanup(freep) struct state_count *counts = xcalloc(most * N_STATES, sizeof *counts);
    struct queue *q;
    for (size_t i = 0; n < most && (q = strmap_next(&b->classes.queues, &i)); n++) {
        struct queue_view *v = &views[n];
        record_init(RECORD_queue_view, v);
        v->name = str_of(q->name);
        v->paused = q->paused;
        v->finished_last_minute = queue_finished_last_minute(q, now.wall_ms);
        count_queue(b, q, v, counts + n * N_STATES);
    }
    struct message answer;
    message_init(&answer, MSG_QUEUE_LIST);
    answer.queue_list.req = m->queues.req;
    answer.queue_list.queues = views;
    answer.queue_list.n_queues = n;
    broker_send(b, p, &answer);
}

/* ---- WORKERS ----------------------------------------------------------------------------------- */

struct worker_texts {
    char instance[33];
    struct pool_load pools[N_POOLS];
    struct str *queues, *handlers, *notices, *labels; /* owned; the labels' texts too */
    size_t n_labels;
    struct amount *amounts;                           /* owned */
};

static struct str label_text(const struct label *l)
{
    return str_of(l->value ? xasprintf("%s=%s", l->name, l->value) : xstrdup(l->name));
}

static void view_labels(const struct worker *w, struct worker_view *v, struct worker_texts *t)
{
    t->labels = xcalloc(w->labels.n, sizeof *t->labels);
    t->n_labels = w->labels.n;
    for (size_t i = 0; i < w->labels.n; i++)
        t->labels[i] = label_text(&w->labels.at[i]);
    t->amounts = xcalloc(w->amounts.n, sizeof *t->amounts);
    for (size_t i = 0; i < w->amounts.n; i++)
        t->amounts[i] = (struct amount){ str_of(w->amounts.at[i].name), (uint64_t)w->amounts.at[i].total,
                                         (uint64_t)w->amounts.at[i].held };
    v->labels = t->labels;
    v->n_labels = w->labels.n;
    v->amounts = t->amounts;
    v->n_amounts = w->amounts.n;
}

static void texts_fini(struct worker_texts *t)
{
    for (size_t i = 0; i < t->n_labels; i++)
        free((char *)t->labels[i].p);
    free(t->notices);
    free(t->labels);
    free(t->amounts);
    free(t->queues);
    free(t->handlers);
}

static void view_worker(const struct worker *w, struct worker_view *v, struct worker_texts *t, struct now now)
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < 16; i++) {
        t->instance[2 * i] = hex[w->instance[i] >> 4];
        t->instance[2 * i + 1] = hex[w->instance[i] & 15];
    }
    for (uint64_t k = 0; k < N_POOLS; k++)
        t->pools[k] = (struct pool_load){ k, w->pools[k].slots, w->pools[k].started, w->pools[k].stuck,
                                          w->pools[k].leased - w->pools[k].started, w->pools[k].parked,
                                          w->pools[k].blocked, w->pools[k].blocked_ms };
    t->queues = xcalloc(w->n_queues, sizeof *t->queues);
    for (size_t i = 0; i < w->n_queues; i++)
        t->queues[i] = str_of(w->queues[i]);
    t->handlers = xcalloc(w->n_handlers, sizeof *t->handlers);
    for (size_t i = 0; i < w->n_handlers; i++)
        t->handlers[i] = str_of(w->handlers[i].name);
    t->notices = xcalloc(w->n_notices, sizeof *t->notices);
    for (size_t i = 0; i < w->n_notices; i++)
        t->notices[i] = str_of(w->notices[i]);
    *v = (struct worker_view){
        .notices = t->notices, .n_notices = w->n_notices,
        .name = str_of(w->name), .instance = str_of(t->instance), .host = str_of(w->host), .pid = w->pid,
        .software = str_of(w->software), .owner = str_of(w->owner), .draining = w->draining, .isolation = str_of(w->isolation),
        .pools = t->pools, .n_pools = N_POOLS, .queues = t->queues, .n_queues = w->n_queues,
        .handlers = t->handlers, .n_handlers = w->n_handlers,
        .heard_ago_ms = now.mono_ms - w->heard_mono_ms, .connected_ms = w->connected_wall_ms,
    };
    view_labels(w, v, t);
}

/* A thousand workers may declare more names than a message holds: past this, workers are listed without theirs. */
#define NAMES_BYTES (8u << 20)
#define NAME_COST 16 /* of one name, beside its bytes: this bounds their number too */

static size_t names_cost(const struct worker_view *v)
{
    size_t n = 0;
    for (size_t i = 0; i < v->n_queues; i++)
        n += v->queues[i].n + NAME_COST;
    for (size_t i = 0; i < v->n_handlers; i++)
        n += v->handlers[i].n + NAME_COST;
    for (size_t i = 0; i < v->n_notices; i++)
        n += v->notices[i].n + NAME_COST;
    for (size_t i = 0; i < v->n_labels; i++)
        n += v->labels[i].n + NAME_COST;
    for (size_t i = 0; i < v->n_amounts; i++)
        n += v->amounts[i].name.n + 2 * NAME_COST;
    return n;
}

static size_t bound_names(struct worker_view *v, size_t before)
{
    size_t after = before + names_cost(v);
    if (after <= NAMES_BYTES)
        return after;
    v->n_queues = v->n_handlers = v->n_notices = v->n_labels = v->n_amounts = 0;
    return before;
}

void recv_workers(struct broker *b, struct peer *p, const struct message *m, struct now now)
{
    size_t most = min_size(b->workers.n, LIMIT_PAGE), n = 0, names = 0;
    cleanup(freep) struct worker_view *views = xcalloc(most, sizeof *views);
    cleanup(freep) struct worker_texts *texts = xcalloc(most, sizeof *texts);
    struct worker *w;
    for (size_t i = 0; n < most && (w = strmap_next(&b->workers, &i));)
        if (w->peer) {
            view_worker(w, &views[n], &texts[n], now);
            names = bound_names(&views[n], names);
            n++;
        }
    struct message answer;
    message_init(&answer, MSG_WORKER_LIST);
    answer.worker_list.req = m->workers.req;
    answer.worker_list.workers = views;
    answer.worker_list.n_workers = n;
    broker_send(b, p, &answer);
    for (size_t i = 0; i < n; i++)
        texts_fini(&texts[i]);
}

/* ---- STATS ------------------------------------------------------------------------------------- */

static int64_t jobs_in(const struct broker *b, int state)
{
    uint64_t n = 0;
    for (size_t i = 0; i < b->classes.n; i++)
        n += b->classes.all[i] ? b->classes.all[i]->jobs[state] : 0;
    return (int64_t)n;
}

void recv_stats(struct broker *b, struct peer *p, const struct message *m, struct now now)
{
    struct stat_value stats[N_STATES + 16 + 2 * LIMIT_AMOUNTS];
    char names[2 * LIMIT_AMOUNTS][LIMIT_NAME_BYTES + 32];
    size_t n = 0;
    for (int s = 0; s < N_STATES; s++)
        stats[n++] = (struct stat_value){ str_of(state_name(s)), jobs_in(b, s) };
    const struct stat_value more[] = {
        { str_of("workers"), (int64_t)b->workers.n },
        { str_of("peers"), (int64_t)b->peers.by_routing_id.n },
        { str_of("submitted"), (int64_t)b->counts.submitted },
        { str_of("finished"), (int64_t)b->counts.finished },
        { str_of("retried"), (int64_t)b->counts.retried },
        { str_of("lost"), (int64_t)b->counts.lost },
        { str_of("busy"), (int64_t)b->counts.busy },
        { str_of("bad_messages"), (int64_t)b->counts.bad_messages },
        { str_of("refused_results"), (int64_t)b->counts.refused_results },
        { str_of("dropped_replies"), (int64_t)b->counts.dropped_replies },
        { str_of("turns"), (int64_t)b->counts.turns },
        { str_of("epoch"), (int64_t)store_epoch(b->store) },
        { str_of("uptime_ms"), now.wall_ms - b->started_wall_ms },
        { str_of("disk_used_percent"), store_disk_used(b->store) },
    };
    for (size_t i = 0; i < ELEMENTS(more); i++)
        stats[n++] = more[i];
    for (size_t i = 0; i < b->options.shared.n; i++) {
        const struct amount_held *a = &b->options.shared.at[i];
        snprintf(names[2 * i], sizeof names[0], "resource_%s_total", a->name);
        snprintf(names[2 * i + 1], sizeof names[0], "resource_%s_held", a->name);
        stats[n++] = (struct stat_value){ str_of(names[2 * i]), a->total };
        stats[n++] = (struct stat_value){ str_of(names[2 * i + 1]), a->held };
    }
    struct message answer;
    message_init(&answer, MSG_STAT_LIST);
    answer.stat_list.req = m->stats.req;
    answer.stat_list.stats = stats;
    answer.stat_list.n_stats = n;
    broker_send(b, p, &answer);
}
