/* link_asks.c - what handlers ask of the broker: said in every session until it is answered. Which ends an attempt awaits is known
 * here alone; the broker tells of each as it comes. */
#include "worker/link_state.h"

#include "worker/asks.h"

#define ASK_BYTES_A_TURN (8u << 20)
#define ASK_BUSY_MS 250      /* then again */
#define FETCH_AGAIN_MS 10000 /* its answer may be lost without the session */

#define CHECKPOINT_WAIT_MS 30000 /* for a broker */

#define TOO_OLD "the broker is older than this worker, and knows no children and no checkpoints; install the same release"

struct ask {
    struct link of;      /* in its holding's asks */
    struct link link;    /* in the link's asks, asked or fetching */
    struct holding *h;   /* borrowed */
    enum message_type type;
    uint64_t req;        /* in the talk with the broker, */
    uint64_t own_req;    /* and with the handler */
    struct buf bytes;    /* owned: SPAWN, CHECKPOINT, as the handler said it */
    uint64_t child;      /* FETCH: this one's result */
    uint64_t what;
    struct child_end *ends; /* owned: AWAIT: by rising id; state STATE_RUNNING: not known */
    size_t n, n_ended, n_wanted;
    int64_t again_ms;    /* not before; or, once it was said, again by then */
    int64_t give_up_ms;  /* CHECKPOINT: by then, unless it is said; or NEVER */
};

/* ---- life ------------------------------------------------------------------------------------- */

/* It is no ask of its holding's any more, which may end before it is freed. */
static void let_go(struct worker_link *l, struct ask *a)
{
    list_remove(&a->of);
    if (a->h && a->type == MSG_AWAIT)
        holding_await(&l->held, a->h, -1);
    a->h = NULL;
}

static void ask_free(struct worker_link *l, struct ask *a)
{
    let_go(l, a);
    list_remove(&a->link);
    idmap_remove(&l->asks_by_req, a->req);
    buf_fini(&a->bytes);
    free(a->ends);
    free(a);
}

static void keep_ends(struct worker_link *l, struct ask *a, const struct msg_await *m)
{
    holding_await(&l->held, a->h, 1);
    for (size_t i = 0; i < m->n_ranges; i++)
        a->n += m->ranges[i].last - m->ranges[i].first + 1;
    a->ends = xcalloc(a->n, sizeof *a->ends);
    size_t n = 0;
    for (size_t i = 0; i < m->n_ranges; i++)
        for (uint64_t k = 0; k <= m->ranges[i].last - m->ranges[i].first; k++)
            a->ends[n++] = (struct child_end){ .id = m->ranges[i].first + k, .state = STATE_RUNNING };
    a->n_wanted = m->number;
}

static struct ask *ask_new(struct worker_link *l, struct holding *h, const struct message *m)
{
    struct ask *a = xcalloc(1, sizeof *a);
    a->h = h;
    a->type = m->type;
    a->req = ++l->ask_req;
    a->own_req = ask_req(m);
    buf_init(&a->bytes, LIMIT_MESSAGE_BYTES);
    a->give_up_ms = NEVER;
    if (m->type == MSG_SPAWN || m->type == MSG_CHECKPOINT)
        message_encode(&a->bytes, m);
    else if (m->type == MSG_AWAIT)
        keep_ends(l, a, &m->await);
    a->child = m->type == MSG_FETCH ? m->fetch.job : 0;
    a->what = m->type == MSG_FETCH ? m->fetch.what : 0;
    idmap_put(&l->asks_by_req, a->req, a);
    list_add_tail(&h->asks, &a->of);
    list_add_tail(&l->asks, &a->link);
    return a;
}

void link_drop_asks(struct worker_link *l, struct holding *h)
{
    list_each_safe(i, &h->asks)
        ask_free(l, list_entry(i, struct ask, of));
}

/* m is the answer but for its req; the ask is gone. */
static void answer(struct worker_link *l, struct ask *a, struct message *m, struct now now)
{
    const struct holding *h = a->h;
    *answer_req_at(m) = a->own_req;
    let_go(l, a); /* what follows may ask anew */
    l->o.pools.answer(l->o.pools.ctx, h->pool, h->job, h->attempt, m, now);
    ask_free(l, a);
}

static void refuse(struct worker_link *l, struct ask *a, enum error_code code, const char *text, struct now now)
{
    struct message m, nothing;
    message_init(&nothing, a->type);
    ask_refuse(&nothing, code, text, &m);
    answer(l, a, &m, now);
}

static void give_up(struct worker_link *l, struct holding *h, uint64_t own_req, struct now now)
{
    list_each_safe(i, &h->asks) {
        struct ask *a = list_entry(i, struct ask, of);
        if (a->own_req != own_req)
            continue;
        refuse(l, a, CODE_REFUSED, "nobody waits for it any more", now);
        return;
    }
}

void link_on_asked(struct worker_link *l, struct attempt_ref ref, const struct message *m, struct now now)
{
    struct holding *h = holding_find(&l->held, ref.job, ref.attempt);
    if (!h || h->finished || h->dropped)
        return;
    if (m->type == MSG_PROGRESS) {
        link_note_progress(l, h, m->progress.attempts[0].percent);
        return;
    }
    if (m->type == MSG_UNWAIT) {
        give_up(l, h, m->unwait.req, now);
        return;
    }
    if (l->state != LINK_IN || l->may_ask) {
        struct ask *a = ask_new(l, h, m);
        if (m->type == MSG_CHECKPOINT)
            a->give_up_ms = now.mono_ms + CHECKPOINT_WAIT_MS;
        return;
    }
    struct message refusal;
    ask_refuse(m, CODE_REFUSED, TOO_OLD, &refusal);
    l->o.pools.answer(l->o.pools.ctx, h->pool, h->job, h->attempt, &refusal, now);
}

/* ---- saying ----------------------------------------------------------------------------------- */

/* As the handler said it, but for the numbers. -EMSGSIZE */
static int say_again(struct worker_link *l, const struct ask *a)
{
    struct message m;
    const char *why;
    int r = message_decode(&m, a->bytes.p, a->bytes.n, &why);
    assert(r >= 0); /* it was encoded here */
    *ask_req_at(&m) = a->req;
    *ask_job_at(&m) = a->h->job;
    r = link_send(l, &m);
    message_fini(&m);
    return r;
}

static void send_await(struct worker_link *l, const struct ask *a, struct range *ranges, size_t n)
{
    struct message m;
    if (!n)
        return;
    message_init(&m, MSG_AWAIT);
    m.await.req = a->req;
    m.await.job = a->h->job;
    m.await.attempt = a->h->attempt;
    m.await.ranges = ranges;
    m.await.n_ranges = n;
    link_send(l, &m);
}

/* Those whose ends are not known, so many in a message as fit. */
static void say_await(struct worker_link *l, const struct ask *a)
{
    struct range ranges[LIMIT_SPAWN];
    size_t n = 0, jobs = 0;
    for (size_t i = 0; i < a->n; i++) {
        if (a->ends[i].state != STATE_RUNNING)
            continue;
        if (jobs++ == LIMIT_SPAWN) {
            send_await(l, a, ranges, n);
            n = 0;
            jobs = 1;
        }
        if (n && ranges[n - 1].last + 1 == a->ends[i].id)
            ranges[n - 1].last++;
        else
            ranges[n++] = (struct range){ a->ends[i].id, a->ends[i].id };
    }
    send_await(l, a, ranges, n);
}

static void say_fetch(struct worker_link *l, const struct ask *a)
{
    struct message m;
    message_init(&m, MSG_FETCH);
    m.fetch.req = a->req;
    m.fetch.job = a->child;
    m.fetch.what = a->what;
    m.fetch.parent = a->h->job;
    m.fetch.parent_attempt = a->h->attempt;
    link_send(l, &m);
}

static void say(struct worker_link *l, struct ask *a, struct now now)
{
    if ((a->type == MSG_SPAWN || a->type == MSG_CHECKPOINT) && say_again(l, a) < 0) {
        refuse(l, a, CODE_USAGE, "these children are larger than a message may be", now);
        return;
    }
    if (a->type == MSG_AWAIT)
        say_await(l, a);
    else if (a->type == MSG_FETCH)
        say_fetch(l, a);
    a->again_ms = now.mono_ms + FETCH_AGAIN_MS;
    list_remove(&a->link);
    list_add_tail(a->type == MSG_FETCH ? &l->fetching : &l->asked, &a->link);
}

/* A session that begins with a broker that knows of none of it. */
static void refuse_all(struct worker_link *l, struct now now)
{
    while (!list_empty(&l->asks))
        refuse(l, list_entry(l->asks.next, struct ask, link), CODE_REFUSED, TOO_OLD, now);
}

void link_say_asks(struct worker_link *l, struct now now)
{
    size_t bytes = 0;
    if (!l->may_ask)
        refuse_all(l, now);
    list_each_safe(i, &l->asks) {
        struct ask *a = list_entry(i, struct ask, link);
        if (bytes > ASK_BYTES_A_TURN)
            return;
        if (a->again_ms > now.mono_ms)
            continue;
        bytes += a->bytes.n + a->n * 8 + 64;
        say(l, a, now);
    }
}

static void unsay(struct worker_link *l, struct link *said)
{
    for (struct link *i; (i = list_pop(said));) {
        list_entry(i, struct ask, link)->again_ms = 0;
        list_add_tail(&l->asks, i);
    }
}

void link_unsay_asks(struct worker_link *l)
{
    unsay(l, &l->asked);
    unsay(l, &l->fetching);
}

/* Whoever wants to leave a checkpoint has better things to do than to wait for a broker for ever. */
static void give_up_late(struct worker_link *l, struct now now)
{
    list_each_safe(i, &l->asks) {
        struct ask *a = list_entry(i, struct ask, link);
        if (a->give_up_ms <= now.mono_ms)
            refuse(l, a, CODE_BUSY, "no broker has answered in time: it is not known to be kept", now);
    }
}

void link_repeat_asks(struct worker_link *l, struct now now)
{
    give_up_late(l, now);
    while (!list_empty(&l->fetching)) {
        struct ask *a = list_entry(l->fetching.next, struct ask, link);
        if (a->again_ms > now.mono_ms)
            return;
        list_remove(&a->link);
        list_add_tail(&l->asks, &a->link);
    }
}

static int64_t when_of(const struct ask *a, bool in) { return in ? min_i64(a->again_ms, a->give_up_ms) : a->give_up_ms; }

int64_t link_asks_when(const struct worker_link *l)
{
    int64_t when = list_empty(&l->fetching) ? NEVER : list_entry(l->fetching.next, const struct ask, link)->again_ms;
    list_each(i, &l->asks)
        when = min_i64(when, when_of(list_entry(i, const struct ask, link), l->state == LINK_IN));
    return when;
}

/* ---- answers ---------------------------------------------------------------------------------- */

/* The broker has too much to do: the same again, a little later. */
static void say_later(struct worker_link *l, struct ask *a, struct now now)
{
    a->again_ms = now.mono_ms + ASK_BUSY_MS / 2 + (int64_t)rng_below(l->o.rng, ASK_BUSY_MS);
    list_remove(&a->link);
    list_add_tail(&l->asks, &a->link);
}

static struct ask *find(struct worker_link *l, uint64_t req, enum message_type type)
{
    struct ask *a = idmap_find(&l->asks_by_req, req);
    return a && a->type == type ? a : NULL;
}

void link_recv_spawned(struct worker_link *l, const struct message *m, struct now now)
{
    struct ask *a = find(l, m->spawned.req, MSG_SPAWN);
    struct message copy = *m;
    if (a && m->spawned.code == CODE_BUSY)
        say_later(l, a, now);
    else if (a)
        answer(l, a, &copy, now);
}

void link_recv_checkpointed(struct worker_link *l, const struct message *m, struct now now)
{
    struct ask *a = find(l, m->checkpointed.req, MSG_CHECKPOINT);
    struct message copy = *m;
    if (a && m->checkpointed.code == CODE_BUSY && now.mono_ms < a->give_up_ms)
        say_later(l, a, now);
    else if (a)
        answer(l, a, &copy, now);
}

void link_recv_fetched(struct worker_link *l, const struct message *m, struct now now)
{
    struct ask *a = find(l, m->fetched.req, MSG_FETCH);
    struct message copy = *m;
    if (a)
        answer(l, a, &copy, now);
}

bool link_ask_failed(struct worker_link *l, const struct msg_error *e, struct now now)
{
    struct ask *a = e->req ? find(l, e->req, MSG_FETCH) : NULL;
    if (!a)
        return false;
    if (e->code == CODE_BUSY) {
        say_later(l, a, now);
        return true;
    }
    struct message m;
    message_init(&m, MSG_FETCHED);
    m.fetched.error = e->text;
    answer(l, a, &m, now);
    return true;
}

static int by_id(const void *a, const void *b)
{
    const struct child_end *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static void note_ends(struct ask *a, const struct msg_awaited *m)
{
    for (size_t i = 0; a->n && i < m->n_ended; i++) {
        struct child_end *e = bsearch(&m->ended[i], a->ends, a->n, sizeof *a->ends, by_id);
        if (!e || e->state != STATE_RUNNING)
            continue;
        *e = m->ended[i];
        a->n_ended++;
    }
}

static void answer_await(struct worker_link *l, struct ask *a, struct now now)
{
    cleanup(freep) struct child_end *ended = xcalloc(a->n, sizeof *ended);
    struct message m;
    message_init(&m, MSG_AWAITED);
    m.awaited.job = a->h->job;
    m.awaited.attempt = a->h->attempt;
    m.awaited.ended = ended;
    for (size_t i = 0; i < a->n; i++)
        if (a->ends[i].state != STATE_RUNNING)
            ended[m.awaited.n_ended++] = a->ends[i];
    answer(l, a, &m, now);
}

void link_recv_awaited(struct worker_link *l, const struct message *m, struct now now)
{
    struct ask *refused = m->awaited.code ? find(l, m->awaited.req, MSG_AWAIT) : NULL;
    struct holding *h = holding_find(&l->held, m->awaited.job, m->awaited.attempt);
    struct message copy = *m;
    if (refused)
        answer(l, refused, &copy, now);
    if (!h || m->awaited.code)
        return;
    list_each_safe(i, &h->asks) {
        struct ask *a = list_entry(i, struct ask, of);
        if (a->type != MSG_AWAIT)
            continue;
        note_ends(a, &m->awaited);
        if (a->n_ended >= a->n_wanted)
            answer_await(l, a, now);
    }
}
