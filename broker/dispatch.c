/* dispatch.c - who runs what next. */
#include "broker/dispatch.h"

#include "broker/lease.h"
#include "broker/route.h"

#define LEASES_A_TURN 2000
#define LEASES_A_BATCH 500
#define PREFETCH_US 20000.0      /* what a pool is given ahead: what it finishes in this time */
#define PREFETCH_RUNS_NEEDED 8
#define SUSPECTS_AT_A_TIME 2
#define LOAD_LATE 1e9
#define RUN_BYTES_MAX (4u << 20) /* payloads in one RUN */
#define RUN_BYTES_A_TURN (8u << 20) /* with so much in the outbox, the rest is for the next turn */

/* ---- gates ------------------------------------------------------------------------------------ */

/* An amount is held from the lease on: nobody fetches ahead what others could run with. */
static size_t prefetch(const struct class *c, const struct worker *w, size_t slots)
{
    if (c->suspect || c->runs < PREFETCH_RUNS_NEEDED || c->mean_wall_us >= PREFETCH_US)
        return 0;
    if (c->needs.n && needs_hold(&c->needs, w))
        return 0;
    double ahead = (double)slots * PREFETCH_US / (c->mean_wall_us < 1 ? 1 : c->mean_wall_us);
    return ahead > LIMIT_PREFETCH ? LIMIT_PREFETCH : (size_t)ahead;
}

static bool suspects_are_out(const struct class *c, enum pool_kind pool)
{
    return c->suspect && pool != POOL_PROCESS && c->n_leased >= SUSPECTS_AT_A_TIME;
}

/* The gates that stand until a worker changes. */
static enum gate lasting_gate(const struct class *c, const struct worker *w, const struct worker_handler **ret)
{
    if (!w->peer)
        return GATE_OFFLINE;
    if (w->draining)
        return GATE_DRAINING;
    if (!worker_serves_queue(w, c->queue->name))
        return GATE_QUEUE;
    *ret = worker_find_handler(w, c->handler);
    if (!*ret)
        return GATE_HANDLER;
    return needs_unmet(&c->needs, w) ? GATE_NEEDS : GATE_OPEN;
}

/* The gates that open and close with every job. */
static enum gate passing_gate(const struct class *c, const struct worker *w, const struct worker_handler *h,
                              enum pool_kind *ret_pool)
{
    int pool = route(c, h, w->pools);
    if (pool < 0)
        return GATE_FORM;
    *ret_pool = (enum pool_kind)pool;
    const struct worker_pool *p = &w->pools[pool];
    if (!p->slots)
        return GATE_POOL_OFF;
    if (w->reads_late)
        return GATE_FULL;
    if (suspects_are_out(c, *ret_pool))
        return GATE_SUSPECT;
    if (needs_short(&c->needs, w))
        return GATE_AMOUNT;
    return p->leased < worker_pool_room(p) + prefetch(c, w, p->slots) ? GATE_OPEN : GATE_FULL;
}

enum gate dispatch_gate(const struct class *c, const struct worker *w, enum pool_kind *ret_pool)
{
    const struct worker_handler *h = NULL;
    enum gate gate = lasting_gate(c, w, &h);
    return gate == GATE_OPEN ? passing_gate(c, w, h, ret_pool) : gate;
}

/* ---- who could run a class -------------------------------------------------------------------- */

static void find_eligible(struct broker *b, struct class *c)
{
    if (c->eligible_at == b->worker_changes)
        return;
    c->eligible_at = b->worker_changes;
    c->eligible = xrealloc(c->eligible, (b->workers.n + 1) * sizeof *c->eligible);
    c->n_eligible = 0;
    struct worker *w;
    for (size_t i = 0; (w = strmap_next(&b->workers, &i));) {
        const struct worker_handler *h = NULL;
        if (lasting_gate(c, w, &h) == GATE_OPEN)
            c->eligible[c->n_eligible++] = (struct eligible){ w, h };
    }
}

/* The worker whose pool has the largest share of free slots (least loaded first); a late one when there is no other. */
static const struct eligible *choose_worker(const struct class *c, enum pool_kind *ret_pool)
{
    const struct eligible *best = NULL;
    double best_load = 0;
    for (size_t i = 0; i < c->n_eligible; i++) {
        struct worker *w = c->eligible[i].worker;
        enum pool_kind pool;
        if (passing_gate(c, w, c->eligible[i].handler, &pool) != GATE_OPEN)
            continue;
        const struct worker_pool *p = &w->pools[pool];
        double load = (double)p->leased / (double)worker_pool_room(p) + (p->late ? LOAD_LATE : 0);
        if (!best || load < best_load) {
            best = &c->eligible[i];
            best_load = load;
            *ret_pool = pool;
        }
    }
    return best;
}

/* ---- the heap of classes, the one with the best head on top ----------------------------------- */

struct heap {
    struct class **at; /* owned */
    size_t n;
};

static bool head_before(const struct class *a, const struct class *b)
{
    const struct head *x = &a->heads[a->first_head], *y = &b->heads[b->first_head];
    return x->priority != y->priority ? x->priority > y->priority : x->id < y->id;
}

static void sift_down(struct heap *h, size_t i)
{
    for (;;) {
        size_t best = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < h->n; child++)
            if (head_before(h->at[child], h->at[best]))
                best = child;
        if (best == i)
            return;
        struct class *c = h->at[i];
        h->at[i] = h->at[best];
        h->at[best] = c;
        i = best;
    }
}

static bool is_candidate(struct broker *b, struct class *c)
{
    if (!c || !c->jobs[STATE_QUEUED] || c->queue->paused)
        return false;
    find_eligible(b, c);
    return c->n_eligible && c->parked_at != b->credit_changes + 1;
}

static void park(struct broker *b, struct class *c) { c->parked_at = b->credit_changes + 1; }

static void heap_init(struct broker *b, struct heap *h)
{
    h->at = xcalloc(b->classes.n, sizeof(struct class *));
    h->n = 0;
    for (size_t i = 0; i < b->classes.n; i++) {
        struct class *c = b->classes.all[i];
        enum pool_kind pool;
        int r = 0;
        if (!is_candidate(b, c))
            continue;
        if (!choose_worker(c, &pool))
            park(b, c);
        else if (class_head(c, b->store, &r))
            h->at[h->n++] = c;
        if (broker_failed(b, r))
            return;
    }
    for (size_t i = h->n / 2; i-- > 0;)
        sift_down(h, i);
}

static void drop_top(struct heap *h)
{
    h->at[0] = h->at[--h->n];
    sift_down(h, 0);
}

/* A top whose look-ahead is used up reads on, or goes. */
static void refill_top(struct broker *b, struct heap *h)
{
    int r;
    if (!class_head(h->at[0], b->store, &r))
        drop_top(h);
    else
        sift_down(h, 0);
    broker_failed(b, r);
}

/* ---- leasing ---------------------------------------------------------------------------------- */

struct batch {
    struct lease_order orders[LEASES_A_BATCH];
    struct worker *workers[LEASES_A_BATCH];
    struct class *classes[LEASES_A_BATCH];
    size_t n;
};

/* Takes heads off the heap into the batch, until it is full or the look-ahead of the class on top is used up: what the batch
 * holds is still QUEUED in the store, and would be read again. Room is counted down at once, so that no worker is chosen
 * beyond it. */
static void fill(struct broker *b, struct heap *h, struct batch *batch)
{
    while (h->n && h->at[0]->n_heads && batch->n < LEASES_A_BATCH) {
        struct class *c = h->at[0];
        enum pool_kind pool;
        const struct eligible *e = choose_worker(c, &pool);
        if (!e) {
            park(b, c);
            drop_top(h);
            continue;
        }
        struct worker *w = e->worker;
        size_t i = batch->n++;
        batch->orders[i] = (struct lease_order){ .id = c->heads[c->first_head].id, .pool = pool,
                                                 .chosen = CHOSEN(route_chosen_by(c, e->handler), route_tag(c, e->handler)) };
        batch->workers[i] = w;
        batch->classes[i] = c;
        w->pools[pool].leased++;
        c->n_leased++;
        needs_take(&c->needs, w);
        class_pop_head(c);
        if (c->n_heads)
            sift_down(h, 0);
    }
}

/* Notes one lease; NULL when it is not to be run: gone meanwhile, or expired. */
static struct lease *note(struct broker *b, struct batch *batch, size_t i, struct now now)
{
    struct lease_order *o = &batch->orders[i];
    batch->workers[i]->pools[o->pool].leased--; /* lease_add counts it */
    batch->classes[i]->n_leased--;
    needs_give(&batch->classes[i]->needs, batch->workers[i]);
    if (o->left)
        class_read_again(batch->classes[i]);
    if (!o->leased) {
        b->credit_changes++; /* the room that was counted down is there again */
        return NULL;
    }
    class_move(batch->classes[i], STATE_QUEUED, batch->classes[i], STATE_RUNNING);
    struct lease *l = lease_add(b, &o->job, batch->workers[i], now);
    if (o->job.expire_at_ms == UNSET || o->job.expire_at_ms > now.wall_ms)
        return l;
    struct outcome expired;
    record_init(RECORD_outcome, &expired);
    expired.ending = ENDING_EXPIRED;
    expired.reason = REASON_EXPIRED;
    lease_end(b, l, &expired, now);
    return NULL;
}

static int64_t time_limit(const struct job_row *j, const struct worker_handler *h)
{
    int64_t limit = j->timeout_ms != UNSET ? j->timeout_ms : h ? h->timeout_ms : UNSET;
    return limit > 0 ? limit : UNSET;
}

static struct run_job run_of(const struct lease *l, const struct lease_order *o, struct now now)
{
    const struct worker_handler *h = worker_find_handler(l->worker, l->class->handler);
    return (struct run_job){
        .job = o->id, .attempt = o->job.attempt, .queue = str_of(l->class->queue->name),
        .handler = str_of(l->class->handler), .pool = o->pool, .timeout_ms = time_limit(&o->job, h),
        .memory_bytes = o->job.memory_bytes, .kill_grace_ms = o->job.kill_grace_ms,
        .expire_in_ms = o->job.expire_at_ms == UNSET ? UNSET : o->job.expire_at_ms - now.wall_ms,
        .name = o->name, .payload = o->payload, .checkpoint = o->checkpoint,
    };
}

static void send_run(struct broker *b, struct worker *w, struct run_job *jobs, size_t n)
{
    if (!n)
        return;
    struct message m;
    message_init(&m, MSG_RUN);
    m.run.jobs = jobs;
    m.run.n_jobs = n;
    broker_send(b, w->peer, &m);
}

/* All of the batch that goes to one worker, in as few messages as fit. */
static void send_runs(struct broker *b, struct batch *batch, struct lease **leases, struct worker *w, struct now now)
{
    struct run_job jobs[LEASES_A_BATCH];
    size_t n = 0, bytes = 0;
    for (size_t i = 0; i < batch->n; i++) {
        if (batch->workers[i] != w || !leases[i])
            continue;
        size_t own = batch->orders[i].payload.n + batch->orders[i].checkpoint.n;
        if (n && bytes + own > RUN_BYTES_MAX) {
            send_run(b, w, jobs, n);
            n = bytes = 0;
        }
        jobs[n++] = run_of(leases[i], &batch->orders[i], now);
        bytes += own;
        batch->workers[i] = NULL; /* it has been sent */
    }
    send_run(b, w, jobs, n);
}

/* Its first job: from now on there is something to be told of it. A row that it had before is its own again. */
static void make_row(struct broker *b, struct worker *w, struct now now)
{
    struct str instance = { (const char *)w->instance, sizeof w->instance };
    int r = store_worker(b->store, instance, str_of(w->name), str_of(w->host), str_of(w->owner), now.wall_ms, &w->row);
    if (!broker_failed(b, r))
        old_workers_keep(&b->old_workers, w->row);
}

static void name_workers(struct broker *b, struct batch *batch, struct now now)
{
    for (size_t i = 0; i < batch->n && !b->failed; i++) {
        if (!batch->workers[i]->row)
            make_row(b, batch->workers[i], now);
        batch->orders[i].worker = batch->workers[i]->row;
    }
}

/* False when that was all that fits into one turn. */
static bool lease_batch(struct broker *b, struct batch *batch, struct now now)
{
    struct lease *leases[LEASES_A_BATCH] = { NULL };
    name_workers(b, batch, now);
    if (b->failed || broker_failed(b, store_lease(b->store, batch->orders, batch->n, now.wall_ms)))
        batch->n = 0;
    for (size_t i = 0; i < batch->n && !b->failed; i++)
        leases[i] = note(b, batch, i, now);
    for (size_t i = 0; i < batch->n && !b->failed; i++)
        if (batch->workers[i] && leases[i])
            send_runs(b, batch, leases, batch->workers[i], now);
    for (size_t i = 0; i < batch->n; i++) {
        free(batch->orders[i].owned);
        free(batch->orders[i].owned_checkpoint);
    }
    return !batch->n || !batch->orders[batch->n - 1].left;
}

void dispatch(struct broker *b, struct now now)
{
    struct heap h;
    heap_init(b, &h);
    struct batch *batch = h.n ? xmalloc(sizeof *batch) : NULL;
    size_t leased = 0;
    bool fits = true;
    while (h.n && fits && leased < LEASES_A_TURN && b->outbox.bytes < RUN_BYTES_A_TURN && !b->failed) {
        batch->n = 0;
        fill(b, &h, batch);
        leased += batch->n;
        fits = lease_batch(b, batch, now);
        if (h.n && fits && !h.at[0]->n_heads && !b->failed)
            refill_top(b, &h);
    }
    b->dispatch_on = h.n > 0 || !fits;
    free(batch);
    free(h.at);
}
