/* link.c - the link's states, what it decides by itself, and its turn; what each message does stands in recv_*.c and send_*.c. */
#include "worker/link_state.h"

#include "proto/base/log.h"

/* ---- the outbox -------------------------------------------------------------------------------- */

struct letter {
    struct link link;
    struct buf bytes;
};

int link_send(struct worker_link *l, struct message *m)
{
    struct buf bytes;
    buf_init(&bytes, LIMIT_MESSAGE_BYTES);
    m->epoch = l->epoch;
    m->session = l->session;
    int r = message_encode(&bytes, m);
    if (r < 0) {
        buf_fini(&bytes);
        return r;
    }
    struct letter *letter = xcalloc(1, sizeof *letter);
    letter->bytes = bytes;
    list_add_tail(&l->out, &letter->link);
    return 0;
}

bool link_take_message(struct worker_link *l, struct buf *ret)
{
    struct link *first = list_pop(&l->out);
    if (!first)
        return false;
    struct letter *letter = list_entry(first, struct letter, link);
    *ret = letter->bytes;
    free(letter);
    return true;
}

static void empty_outbox(struct worker_link *l)
{
    struct buf bytes;
    while (link_take_message(l, &bytes))
        buf_fini(&bytes);
}

/* ---- sessions ---------------------------------------------------------------------------------- */

int64_t link_backoff(struct worker_link *l)
{
    int64_t half = l->backoff_ms / 2;
    l->backoff_ms = min_i64(l->backoff_ms * 2, LINK_BACKOFF_MAX_MS);
    return half + (int64_t)rng_below(l->o.rng, (uint64_t)half + 1);
}

/* What was sent and not recorded is to be sent again, before what was never sent. */
static void unsend(struct worker_link *l)
{
    for (struct link *i = l->sent.prev; i != &l->sent; i = l->sent.prev) {
        list_remove(i);
        list_add_tail(l->unsent.next, i);
        list_entry(i, struct holding, said)->sent_ms = NEVER;
    }
    l->window_bytes = 0;
}

void link_leave(struct worker_link *l, int64_t wait_ms, struct now now)
{
    empty_outbox(l);
    unsend(l);
    l->state = LINK_AWAY;
    l->epoch = l->session = 0;
    l->hello_at_ms = now.mono_ms + wait_ms;
}

void link_on_unsent(struct worker_link *l, struct now now)
{
    if (l->state == LINK_IN)
        log_warning("no connection to the broker any more; trying again until it is back, held=%zu", l->held.n);
    if (l->state != LINK_AWAY)
        link_leave(l, link_backoff(l), now);
}

static void reopen(struct worker_link *l, struct now now)
{
    l->reopen = true;
    l->heard_ms = now.mono_ms;
    link_leave(l, link_backoff(l), now);
}

bool link_take_reopen(struct worker_link *l)
{
    bool reopen = l->reopen;
    l->reopen = false;
    return reopen;
}

/* After a long standstill of our own (SIGSTOP, a suspended machine) what the broker said meanwhile is still to be
 * read: it is not taken for silent. */
static void forgive_standstill(struct worker_link *l, struct now now)
{
    if (now.mono_ms - l->ticked_ms > l->lost_after_ms / 2)
        l->heard_ms = now.mono_ms;
    l->ticked_ms = now.mono_ms;
}

static void judge_broker(struct worker_link *l, struct now now)
{
    int64_t silent_ms = now.mono_ms - l->heard_ms;
    if (l->state == LINK_GREETING && now.mono_ms >= l->welcome_by_ms) {
        l->welcome_wait_ms = min_i64(l->welcome_wait_ms * 2, l->lost_after_ms);
        reopen(l, now);
    } else if (silent_ms >= l->lost_after_ms) {
        if (l->state == LINK_IN)
            log_warning("the broker has been silent for %lld ms; connecting anew, held=%zu", (long long)silent_ms,
                        l->held.n);
        reopen(l, now);
    }
}

/* ---- held attempts ----------------------------------------------------------------------------- */

struct pool_load link_load(struct worker_link *l, enum pool_kind pool)
{
    struct pool_load load = l->o.pools.load(l->o.pools.ctx, pool);
    load.pool = pool;
    if (!link_takes_jobs(l))
        load.slots = 0;
    return load;
}

size_t link_tell_loads(struct worker_link *l, struct pool_load ret[static N_POOLS])
{
    size_t n = 0;
    for (enum pool_kind pool = 0; pool < N_POOLS; pool++)
        if (l->o.pool_on[pool])
            l->told[pool] = ret[n++] = link_load(l, pool);
    return n;
}

static bool load_changed(struct worker_link *l)
{
    for (enum pool_kind pool = 0; pool < N_POOLS; pool++) {
        if (!l->o.pool_on[pool])
            continue;
        struct pool_load load = link_load(l, pool);
        if (load.slots != l->told[pool].slots || load.stuck != l->told[pool].stuck)
            return true;
    }
    return false;
}

void link_finish(struct worker_link *l, struct holding *h)
{
    const struct outcome *o = &h->run->outcome;
    h->finished = true;
    h->sent_ms = NEVER;
    h->result_bytes = o->result.n + o->output.n + o->error.n + 128;
    l->held.n_finished++;
    list_add_tail(&l->unsent, &h->said);
}

void link_forget(struct worker_link *l, struct holding *h)
{
    if (h->finished && h->sent_ms != NEVER)
        l->window_bytes -= h->result_bytes;
    holding_remove(&l->held, h);
}

void link_discard(struct worker_link *l, struct holding *h, struct run *r)
{
    h->run = r;
    h->finished = true;
    h->sent_ms = NEVER;
    l->held.n_finished++;
    link_forget(l, h);
}

bool link_take_waiting(struct worker_link *l, struct holding *h, struct run **ret)
{
    struct run *r = l->o.pools.take_waiting(l->o.pools.ctx, h->pool, h->job, h->attempt);
    if (r)
        *ret = r;
    return r != NULL;
}

void link_stop(struct worker_link *l, struct holding *h, enum reason reason, int64_t grace_ms, struct now now)
{
    l->o.pools.stop(l->o.pools.ctx, h->pool, h->job, h->attempt, reason, grace_ms, now);
}

void link_add_started(struct worker_link *l, uint64_t job, uint64_t attempt)
{
    struct refs *s = &l->started;
    s->at = grow_array(s->at, &s->cap, s->n + 1, sizeof *s->at);
    s->at[s->n++] = (struct attempt_ref){ job, attempt };
}

void link_add_given(struct worker_link *l, uint64_t job, uint64_t attempt, bool started, const char *text)
{
    struct givens *g = &l->given;
    g->at = grow_array(g->at, &g->cap, g->n + 1, sizeof *g->at);
    g->at[g->n++] = (struct given_back){ job, attempt, started, str_of(text) };
}

void link_give_back(struct worker_link *l, struct holding *h, struct run *r, const char *text)
{
    link_add_given(l, h->job, h->attempt, h->started, text);
    link_discard(l, h, r);
}

void link_on_started(struct worker_link *l, struct run *r)
{
    struct holding *h = holding_find(&l->held, r->job.job, r->job.attempt);
    assert(h);
    h->started = true;
    link_add_started(l, h->job, h->attempt);
}

void link_on_finished(struct worker_link *l, struct run *r)
{
    struct holding *h = holding_find(&l->held, r->job.job, r->job.attempt);
    assert(h && !h->finished);
    h->run = r; /* of an attempt that was given up while its handler goes on, this is a copy */
    if (h->dropped)
        link_discard(l, h, r);
    else if (r->outcome.ending == ENDING_LOST && r->outcome.reason == REASON_NONE)
        link_give_back(l, h, r, "worker drained");
    else
        link_finish(l, h);
}

/* ---- quiet and drain --------------------------------------------------------------------------- */

static void give_back_waiting(struct worker_link *l, const char *text)
{
    for (enum pool_kind pool = 0; pool < N_POOLS; pool++) {
        struct run *r;
        while (l->o.pool_on[pool] && (r = l->o.pools.take_any_waiting(l->o.pools.ctx, pool))) {
            struct holding *h = holding_find(&l->held, r->job.job, r->job.attempt);
            assert(h);
            link_give_back(l, h, r, text);
        }
    }
}

void link_quiet(struct worker_link *l, struct now now)
{
    (void)now;
    l->quiet = true;
    give_back_waiting(l, "worker is quiet");
}

void link_resume(struct worker_link *l, struct now now)
{
    (void)now;
    l->quiet = false;
}

void link_set_queues(struct worker_link *l, const struct str *queues, size_t n, struct now now)
{
    l->o.queues = queues;
    l->o.n_queues = n;
    if (l->state != LINK_AWAY)
        link_leave(l, 0, now);
}

void link_drain(struct worker_link *l, int64_t deadline_ms, struct now now)
{
    (void)now;
    l->draining = true;
    l->drain_at_ms = min_i64(l->drain_at_ms, deadline_ms);
    give_back_waiting(l, "worker drained");
}

/* grace_ms: at most. */
static void stop_all(struct worker_link *l, int64_t grace_ms, struct now now)
{
    l->stopped_all = true;
    list_each_safe(i, &l->held.all) {
        struct holding *h = list_entry(i, struct holding, all);
        if (!h->finished)
            link_stop(l, h, REASON_NONE, min_i64(grace_ms, h->kill_grace_ms), now);
    }
}

void link_drain_at_once(struct worker_link *l, struct now now)
{
    link_drain(l, now.mono_ms, now);
    stop_all(l, 0, now);
}

static void log_lost(struct worker_link *l)
{
    list_each(i, &l->held.all) {
        struct holding *h = list_entry(i, struct holding, all);
        log_warning("job=%llu attempt=%llu its result (%s) was not recorded and is lost with this worker; it will run again",
                    (unsigned long long)h->job, (unsigned long long)h->attempt,
                    ending_name((int64_t)h->run->outcome.ending));
    }
}

/* Once all has ended, and the broker knows of it or will not say so: leaves. */
static void end_when_drained(struct worker_link *l, struct now now)
{
    if (!l->draining || l->held.n > l->held.n_finished)
        return;
    if (l->ended_ms == NEVER)
        l->ended_ms = now.mono_ms;
    bool all_known = !l->held.n && !l->given.n && !l->sure_req;
    if (!all_known && now.mono_ms - l->ended_ms < LINK_LAST_WAIT_MS)
        return;
    log_lost(l);
    if (l->state == LINK_IN)
        link_send_bye(l);
    l->over = true;
}

/* ---- the turn ---------------------------------------------------------------------------------- */

struct receiver {
    link_recv_fn *recv;
    bool any_session;
};

static const struct receiver receivers[MESSAGE_TYPES] = {
    [MSG_WELCOME] = { link_recv_welcome, true },
    [MSG_HELLO_AGAIN] = { link_recv_hello_again, true },
    [MSG_ERROR] = { link_recv_error, true },
    [MSG_BYE] = { link_recv_bye, false },
    [MSG_BEAT] = { link_recv_beat, false },
    [MSG_DRAIN] = { link_recv_drain, false },
    [MSG_RUN] = { link_recv_run, false },
    [MSG_RECORDED] = { link_recv_recorded, false },
    [MSG_TAKE_BACK] = { link_recv_take_back, false },
    [MSG_STOP] = { link_recv_stop, false },
};

void link_recv(struct worker_link *l, const struct message *m, struct now now)
{
    const struct receiver *to = &receivers[m->type % MESSAGE_TYPES];
    bool current = l->state == LINK_IN && m->epoch == l->epoch && m->session == l->session;
    if (!to->recv || (!to->any_session && !current)) {
        log_debug("dropped %s of epoch %llu session %llu", message_name(m->type), (unsigned long long)m->epoch,
                  (unsigned long long)m->session);
        return;
    }
    l->heard_ms = now.mono_ms;
    to->recv(l, m, now);
}

static void repeat_results(struct worker_link *l, struct now now)
{
    while (!list_empty(&l->sent)) {
        struct holding *h = list_entry(l->sent.next, struct holding, said);
        if (now.mono_ms - h->sent_ms < LINK_REPEAT_MS)
            return;
        l->window_bytes -= h->result_bytes;
        h->sent_ms = NEVER;
        list_remove(&h->said);
        list_add_tail(&l->unsent, &h->said);
    }
}

void link_tick(struct worker_link *l, struct now now)
{
    if (l->over)
        return;
    forgive_standstill(l, now);
    judge_broker(l, now);
    repeat_results(l, now);
    if (l->draining && !l->stopped_all && now.mono_ms >= l->drain_at_ms)
        stop_all(l, INT64_MAX, now);
}

static void say(struct worker_link *l, struct now now)
{
    link_send_started(l);
    link_send_results(l, now);
    link_send_given(l);
    if (l->say_beat || now.mono_ms >= l->beat_at_ms || load_changed(l))
        link_send_beat(l, now);
}

static int64_t when(const struct worker_link *l)
{
    int64_t due = l->heard_ms + l->lost_after_ms;
    if (l->state == LINK_AWAY)
        due = min_i64(due, l->hello_at_ms);
    if (l->state == LINK_GREETING)
        due = min_i64(due, l->welcome_by_ms);
    if (l->state == LINK_IN)
        due = min_i64(due, l->beat_at_ms);
    if (!list_empty(&l->sent))
        due = min_i64(due, list_entry(l->sent.next, struct holding, said)->sent_ms + LINK_REPEAT_MS);
    if (l->draining && !l->stopped_all)
        due = min_i64(due, l->drain_at_ms);
    if (l->ended_ms != NEVER)
        due = min_i64(due, l->ended_ms + LINK_LAST_WAIT_MS);
    return due;
}

int64_t link_flush(struct worker_link *l, struct now now)
{
    if (l->over)
        return NEVER;
    if (l->state == LINK_AWAY && now.mono_ms >= l->hello_at_ms)
        link_send_hello(l, now);
    if (l->state == LINK_IN)
        say(l, now);
    end_when_drained(l, now);
    return when(l);
}

/* ---- life -------------------------------------------------------------------------------------- */

bool link_is_over(const struct worker_link *l, int *ret_status)
{
    if (l->over)
        *ret_status = l->status;
    return l->over;
}

struct link_view link_view(const struct worker_link *l)
{
    return (struct link_view){
        .connected = l->state == LINK_IN,
        .quiet = l->quiet,
        .draining = l->draining,
        .epoch = l->epoch,
        .session = l->session,
        .held = l->held.n,
        .unfinished = l->held.n - l->held.n_finished,
        .unrecorded = l->held.n_finished,
    };
}

struct worker_link *link_new(const struct link_options *o, struct now now)
{
    struct worker_link *l = xcalloc(1, sizeof *l);
    l->o = *o;
    for (size_t i = 0; i < o->n_handlers; i++)
        strmap_put(&l->handlers, o->handlers[i].name, (void *)&o->handlers[i]);
    l->heartbeat_ms = LINK_HEARTBEAT_MS;
    l->lost_after_ms = LINK_LOST_AFTER_MS;
    l->heard_ms = l->ticked_ms = l->hello_at_ms = now.mono_ms;
    l->welcome_wait_ms = LINK_WELCOME_WAIT_MS;
    l->backoff_ms = LINK_BACKOFF_MIN_MS;
    l->drain_at_ms = l->ended_ms = NEVER;
    holding_init(&l->held);
    list_init(&l->unsent);
    list_init(&l->sent);
    list_init(&l->out);
    return l;
}

struct worker_link *link_free(struct worker_link *l)
{
    if (!l)
        return NULL;
    empty_outbox(l);
    holding_fini(&l->held);
    strmap_fini(&l->handlers);
    free(l->started.at);
    free(l->given.at);
    free(l);
    return NULL;
}
