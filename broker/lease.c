/* lease.c - leases begin with dispatch and end with a result, a hand-back or a loss; never by a guess at the job's length. */
#include "broker/lease.h"

#include <inttypes.h>

#include "broker/children.h"
#include "broker/job.h"
#include "broker/wait.h"
#include "proto/base/log.h"

struct lease *lease_add(struct broker *b, const struct job_row *job, struct worker *w, struct now now)
{
    struct lease *l = xcalloc(1, sizeof *l);
    l->job = *job;
    l->class = classes_get(&b->classes, job->class);
    l->worker = w;
    l->pool = job->pool;
    l->leased_mono_ms = now.mono_ms;
    list_add_tail(&w->leases, &l->link);
    list_init(&l->reports);
    idmap_put(&b->leases, job->id, l);
    w->pools[l->pool].leased++;
    l->class->n_leased++;
    needs_take(&l->class->needs, w);
    l->started = job->started;
    w->pools[l->pool].started += l->started;
    return l;
}

struct lease *lease_of_job(const struct broker *b, uint64_t job)
{
    return idmap_find(&b->leases, job);
}

struct lease *lease_find(const struct broker *b, const struct worker *w, uint64_t job, uint64_t attempt)
{
    struct lease *l = lease_of_job(b, job);
    return l && l->worker == w && l->job.attempt == attempt ? l : NULL;
}

static void drop(struct broker *b, struct lease *l)
{
    struct worker_pool *pool = &l->worker->pools[l->pool];
    pool->leased--;
    pool->started -= l->started;
    l->class->n_leased--;
    needs_give(&l->class->needs, l->worker);
    list_remove(&l->link);
    list_remove(&l->reports);
    idmap_remove(&b->leases, l->job.id);
    free(l);
    b->credit_changes++;
}

/* While it ran it did not expire. */
static void expires_again(struct broker *b, const struct lease *l)
{
    b->next_expiry_ms = min_i64(b->next_expiry_ms, or_default(l->job.expire_at_ms, NEVER));
}

void lease_free_all(struct broker *b)
{
    struct lease *l;
    for (size_t i = 0; (l = idmap_next(&b->leases, &i));)
        free(l);
    idmap_fini(&b->leases);
}

#define LATE_START_MS 100 /* a start so much later than its lease is stored: `tern show` tells it */
#define LONG_RUN_MS 500   /* and that of an attempt that has run so long */
#define STARTS_A_TURN 1000
#define DEAD_LOGGED_A_SECOND 20
#define PROGRESS_A_CALL 100
#define LOSSES_UNBEGUN 2 /* in a row: fewer than the crash limit, so that what ran beside them lives on */

static void store_start(struct broker *b, struct lease *l)
{
    l->job.started = true;
    broker_failed(b, store_started(b->store, l->job.id, l->job.attempt, l->job.started_ms));
}

void lease_set_running(struct lease *l)
{
    struct worker_pool *p = &l->worker->pools[l->pool];
    p->started += !l->started;
    p->late = false;
    p->late_ms = 0;
    l->started = true;
    l->taking_back = false;
}

void lease_set_started(struct broker *b, struct lease *l, struct now now)
{
    bool before = l->started;
    lease_set_running(l);
    if (before || now.mono_ms - l->leased_mono_ms < LATE_START_MS)
        return;
    l->job.started_ms = now.wall_ms;
    store_start(b, l);
}

bool lease_store_started(struct broker *b, struct now now)
{
    size_t left = STARTS_A_TURN;
    struct lease *l;
    for (size_t i = 0; left && !b->failed && (l = idmap_next(&b->leases, &i));) {
        if (!l->started || l->job.started || now.mono_ms - l->leased_mono_ms < LONG_RUN_MS)
            continue;
        store_start(b, l);
        left--;
    }
    return !left;
}

void lease_note_progress(struct broker *b, struct lease *l, int64_t percent)
{
    l->percent = percent;
    if (list_empty(&l->reports))
        list_add_tail(&b->reports, &l->reports);
}

void lease_store_progress(struct broker *b)
{
    struct attempt_progress all[PROGRESS_A_CALL];
    while (!b->failed && !list_empty(&b->reports)) {
        size_t n = 0;
        for (struct link *i; n < ELEMENTS(all) && (i = list_pop(&b->reports));) {
            const struct lease *l = list_entry(i, struct lease, reports);
            all[n++] = (struct attempt_progress){ l->job.id, l->job.attempt, l->percent };
        }
        broker_failed(b, store_put_progress(b->store, all, n));
    }
}

void lease_set_waiting(struct lease *l)
{
    l->worker->pools[l->pool].started -= l->started;
    l->started = l->taking_back = false;
}

void job_moved(struct broker *b, uint64_t id, int64_t priority, struct class *from_class, enum job_state from,
               struct class *class, enum job_state to, struct now now)
{
    assert(job_may_move(from, to));
    class_move(from_class, from, class, to);
    if (to == STATE_QUEUED)
        class_add_waiting(class, priority, id);
    if (!state_is_terminal(to))
        return;
    b->counts.finished++;
    queue_count_finished(class->queue, now.wall_ms);
    wait_on_end(b, id);
}

/* Where threads and coroutines share a process, a loss may be a neighbour's fault: the job goes on under suspicion; but in its own
 * class where there is no room for one more. */
static struct class *class_after(struct broker *b, const struct lease *l, const struct outcome *o)
{
    struct class *class = l->class;
    bool lost = o->ending == ENDING_LOST && (l->started || o->reason == REASON_WORKER_LOST);
    bool suspect = lost && l->pool != POOL_PROCESS;
    int r = suspect && !class->suspect ? classes_suspect_of(&b->classes, b->store, l->class, &class) : 0;
    if (r < 0 && r != -E2BIG)
        broker_failed(b, r);
    return r < 0 ? l->class : class;
}

static int64_t declared_retries(const struct lease *l)
{
    const struct worker_handler *h = worker_find_handler(l->worker, l->class->handler);
    return h ? h->retries : 0;
}

static struct attempt_end end_of(const struct lease *l, const struct outcome *o, const struct verdict *v,
                                 const struct class *class, struct now now)
{
    int64_t finished = now.wall_ms - max_i64(or_default(o->ago_us, 0), 0) / 1000;
    int64_t started = o->wall_us == UNSET ? l->job.started_ms : finished - o->wall_us / 1000;
    return (struct attempt_end){
        .id = l->job.id, .attempt = l->job.attempt,
        .to = v->to, .due_ms = v->to == STATE_SCHEDULED ? now.wall_ms + v->wait_ms : UNSET,
        .failures = v->failures, .crashes = v->crashes,
        .from_class = l->class->id, .class = class->id,
        .worker = l->worker->row, .pool = l->pool,
        .started_ms = started, .finished_ms = finished, .owner = l->job.owner, .outcome = o,
    };
}

/* The tag that was asked for. After a start of the broker it is not known what a handler had declared: then none. */
static enum tag asked_tag(const struct lease *l)
{
    int64_t by = l->job.chosen / N_TAGS;
    if (by == CHOSEN_BY_JOB || by == CHOSEN_BY_HANDLER)
        return (enum tag)(l->job.chosen % N_TAGS);
    return l->class->tag_unset ? TAG_AUTO : l->class->tag;
}

/* Only of a first attempt: later ones wait for what had become of the others. */
static int64_t waited_us(const struct lease *l, const struct attempt_end *end)
{
    int64_t since_ms = max_i64(l->job.submitted_ms, or_default(l->job.due_ms, 0));
    return l->job.attempt == 1 ? max_i64(end->started_ms - since_ms, 0) * 1000 : UNSET;
}

static void measure(struct broker *b, const struct lease *l, const struct attempt_end *end)
{
    const struct outcome *o = end->outcome;
    class_count_run(l->class, o->wall_us);
    measure_run(&b->classes.measures, l->class->measure, &(struct run_measured){
        .asked = asked_tag(l), .pool = l->pool, .wall_us = o->wall_us, .cpu_us = o->cpu_us, .ready_us = o->ready_us,
        .wait_us = waited_us(l, end), .memory_kb = o->max_rss_kb, .ended_ms = end->finished_ms });
}

/* Many jobs may die of one cause: so many are named in a second, the others only counted. */
static void log_dead(struct broker *b, const struct lease *l, const struct outcome *o, struct now now)
{
    if (now.mono_ms - b->dead_logged.since_mono_ms >= 1000) {
        if (b->dead_logged.n > DEAD_LOGGED_A_SECOND)
            log_info("%zu more jobs died", b->dead_logged.n - DEAD_LOGGED_A_SECOND);
        b->dead_logged.since_mono_ms = now.mono_ms;
        b->dead_logged.n = 0;
    }
    if (++b->dead_logged.n > DEAD_LOGGED_A_SECOND)
        return;
    log_info("event=job-dead job=%" PRIu64 " attempt=%" PRIu64 " worker=%s handler=%s reason=%s", l->job.id, l->job.attempt,
             l->worker->name, l->class->handler, reason_name((int64_t)o->reason));
}

void lease_end(struct broker *b, struct lease *l, const struct outcome *o, struct now now)
{
    struct verdict v = retry_judge(&l->job, o, declared_retries(l), l->started, &b->rng);
    struct class *class = class_after(b, l, o);
    if (b->failed)
        return;
    struct attempt_end end = end_of(l, o, &v, class, now);
    if (broker_failed(b, store_end_attempts(b->store, &end, 1)))
        return;
    assert(end.recorded); /* the lease and the row are one truth */
    if (o->ending == ENDING_DONE || o->ending == ENDING_FAILED)
        measure(b, l, &end);
    if (v.to == STATE_SCHEDULED)
        b->next_due_ms = min_i64(b->next_due_ms, end.due_ms);
    b->counts.retried += v.to == STATE_SCHEDULED;
    log_debug("job=%" PRIu64 " attempt=%" PRIu64 " ended=%s state=%s", l->job.id, l->job.attempt,
              ending_name((int64_t)o->ending), state_name(v.to));
    if (v.to == STATE_DEAD)
        log_dead(b, l, o, now);
    struct class *from_class = l->class;
    struct job_row job = l->job;
    if (!state_is_terminal(v.to))
        expires_again(b, l);
    drop(b, l);
    job_moved(b, job.id, job.priority, from_class, STATE_RUNNING, class, v.to, now);
    if (state_is_terminal(v.to))
        children_on_end(b, &job, v.to, o);
}

/* A cancelled job that nobody runs any more is cancelled. */
static void end_cancelled(struct broker *b, struct lease *l, struct now now)
{
    struct outcome o;
    record_init(RECORD_outcome, &o);
    o.ending = ENDING_CANCELLED;
    o.reason = REASON_CANCELLED;
    lease_end(b, l, &o, now);
}

void lease_hand_back(struct broker *b, struct lease *l, const char *why, struct now now)
{
    if (l->job.cancel_asked) {
        end_cancelled(b, l, now);
        return;
    }
    int r = store_hand_back(b->store, l->job.id, l->job.attempt, why, str_of(l->worker->name), now.wall_ms);
    if (broker_failed(b, r))
        return;
    assert(r == 1);
    struct class *class = l->class;
    uint64_t id = l->job.id;
    int64_t priority = l->job.priority;
    expires_again(b, l);
    drop(b, l);
    job_moved(b, id, priority, class, STATE_RUNNING, class, STATE_QUEUED, now);
}

/* Would a suspect of its kind run in a process, where it can end nobody but itself? */
static bool a_process_could_tell(const struct lease *l)
{
    const struct worker_handler *h = worker_find_handler(l->worker, l->class->handler);
    return l->pool != POOL_PROCESS && l->worker->pools[POOL_PROCESS].slots && h && h->forms & FORM_BLOCKING;
}

/* One that ends its worker so soon that the worker cannot say that it began would do so for ever. It is told from those that waited
 * behind it in a process, so no loss counts for that. */
static bool may_be_to_blame(struct broker *b, const struct lease *l, const char *why)
{
    const int before = LOSSES_UNBEGUN - 1;
    if (l->class->suspect || l->job.cancel_asked || l->job.attempt <= (uint64_t)before || !a_process_could_tell(l))
        return false;
    int n = store_count_handed_back(b->store, l->job.id, l->job.attempt - (uint64_t)before, why);
    return !broker_failed(b, n) && n >= before;
}

/* Of suspects outside of processes only few are out at a time: the loss of one counts, told or not. */
static bool counts_untold(const struct lease *l) { return l->class->suspect && l->pool != POOL_PROCESS; }

static void lose(struct broker *b, struct lease *l, const char *why, struct now now)
{
    bool blamed = l->started || counts_untold(l) || may_be_to_blame(b, l, why);
    if (b->failed)
        return;
    if (!blamed) {
        lease_hand_back(b, l, why, now);
        return;
    }
    struct outcome o;
    record_init(RECORD_outcome, &o);
    o.ending = ENDING_LOST;
    o.reason = REASON_WORKER_LOST;
    o.pool = l->pool;
    o.error = str_of(why);
    b->counts.lost++;
    if (counts_untold(l)) {
        l->worker->pools[l->pool].started += !l->started;
        l->started = true;
    }
    lease_end(b, l, &o, now);
}

void lease_lose_worker(struct broker *b, struct worker *w, const char *why, struct now now)
{
    log_warning("event=worker-lost worker=%s: %s; its attempts go back to the queue", w->name, why);
    list_each_safe(link, &w->leases) {
        struct lease *l = list_entry(link, struct lease, link);
        lose(b, l, why, now);
        if (b->failed)
            return;
    }
}

static void send_refs(struct broker *b, const struct worker *w, enum message_type type, struct refs *r)
{
    for (size_t k = 0; w->peer && k < r->n; k += LIMIT_BATCH) {
        struct message m;
        message_init(&m, type);
        struct attempt_ref *at = r->at + k;
        size_t n = min_size(r->n - k, LIMIT_BATCH);
        if (type == MSG_STOP) {
            m.stop.attempts = at;
            m.stop.n_attempts = n;
        } else {
            m.recorded.attempts = at;
            m.recorded.n_attempts = n;
        }
        broker_send(b, w->peer, &m);
    }
    r->n = 0;
}

void lease_tell_workers(struct broker *b)
{
    struct worker *w;
    for (size_t i = 0; (w = strmap_next(&b->workers, &i));) {
        send_refs(b, w, MSG_RECORDED, &w->recorded);
        send_refs(b, w, MSG_STOP, &w->stops);
    }
}
