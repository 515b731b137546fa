/* nodes.c - a client and two workers that know the protocol and believe what they are told. */
#include <inttypes.h>
#include <stdio.h>

#include "tests/sweep/sweep.h"

#define BEAT_EVERY_MS 500

static void say(struct sweep *s, struct node *n, struct message *m)
{
    struct buf b;
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    m->epoch = n->epoch;
    m->session = n->session;
    sweep_check(s, message_encode(&b, m) >= 0, "a message of the load is too large");
    sweep_trace(s, "  -> %s", message_name(m->type));
    broker_recv(s->broker, n->routing_id, OWN_UID, buf_str(&b), s->now);
    buf_fini(&b);
    n->said_ms = s->now.mono_ms;
    s->spoke = s->spoke || m->type != MSG_BEAT;
}

static void say_beat(struct sweep *s, struct node *n)
{
    struct message m;
    message_init(&m, MSG_BEAT);
    if (s->now.mono_ms - n->said_ms >= BEAT_EVERY_MS)
        say(s, n, &m);
}

static struct message hello_of(struct node *n, const char *role)
{
    struct message m;
    message_init(&m, MSG_HELLO);
    n->epoch = n->session = 0;
    n->greeting = true;
    m.hello.version = m.hello.min_version = 1;
    m.hello.role = str_of(role);
    m.hello.instance = (struct str){ (const char *)n->instance, sizeof n->instance };
    return m;
}

/* ---- the client --------------------------------------------------------------------------------- */

static void client_speak(struct sweep *s, struct client *c)
{
    if (!c->node.session && !c->node.greeting) {
        struct message m = hello_of(&c->node, "client");
        say(s, &c->node, &m);
    } else if (c->node.session && c->request && !c->asked) {
        c->asked = true;
        c->n_asked++;
        say(s, &c->node, c->request);
    } else if (c->node.session) {
        say_beat(s, &c->node);
    }
}

static void client_answer(struct sweep *s, struct client *c, const struct message *m)
{
    if (m->type == MSG_ERROR && m->error.code == CODE_BUSY) {
        c->asked = false;
        return;
    }
    if (m->type == MSG_SUBMITTED)
        note_submitted(s, &m->submitted);
    c->answered = true;
    c->answer = m->type;
    c->code = m->type == MSG_ERROR ? m->error.code : 0;
    c->changed = m->type == MSG_CHANGED ? m->changed.changed : 0;
    c->refused = m->type == MSG_CHANGED ? m->changed.n_refusals : 0;
}

static void client_recv(struct sweep *s, struct client *c, const struct message *m)
{
    switch (m->type) {
    case MSG_WELCOME:
        sweep_check(s, m->welcome.last_seq >= s->last_seq, "P4: the broker remembers submits up to %" PRIu64 ", %" PRIu64
                    " was acknowledged", m->welcome.last_seq, s->last_seq);
        break;
    case MSG_SUBMITTED:
    case MSG_CHANGED:
    case MSG_WAITED:
    case MSG_OK:
    case MSG_ERROR:
        client_answer(s, c, m);
        break;
    default:
        break;
    }
}

/* ---- the workers -------------------------------------------------------------------------------- */

static struct work *find_work(struct fake_worker *w, uint64_t job, uint64_t attempt)
{
    for (size_t i = 0; i < w->n_work; i++)
        if (w->work[i].job == job && w->work[i].attempt == attempt)
            return &w->work[i];
    return NULL;
}

static void let_go(struct fake_worker *w, struct work *h) { *h = w->work[--w->n_work]; }

static void worker_hello(struct sweep *s, struct fake_worker *w)
{
    static struct handler_info handler = { .name = { "work", 4 }, .forms = FORM_BLOCKING, .tag = TAG_CPU, .retries = 2,
                                           .timeout_ms = UNSET };
    struct pool_load pool = { .pool = POOL_PROCESS, .slots = 8 };
    struct held held[WORK_MAX];
    struct message m = hello_of(&w->node, "worker");
    for (size_t i = 0; i < w->n_work; i++)
        held[i] = (struct held){ w->work[i].job, w->work[i].attempt, w->work[i].finished ? HELD_FINISHED : HELD_RUNNING,
                                 POOL_PROCESS };
    m.hello.name = str_of(w->name);
    m.hello.handlers = &handler;
    m.hello.n_handlers = 1;
    m.hello.pools = &pool;
    m.hello.n_pools = 1;
    m.hello.held = held;
    m.hello.n_held = w->n_work;
    m.hello.count = ++w->hellos;
    say(s, &w->node, &m);
}

static void tell_started(struct sweep *s, struct fake_worker *w)
{
    struct attempt_ref refs[WORK_MAX];
    struct message m;
    message_init(&m, MSG_STARTED);
    m.started.attempts = refs;
    for (size_t i = 0; i < w->n_work; i++)
        if (!w->work[i].told_started) {
            w->work[i].told_started = true;
            refs[m.started.n_attempts++] = (struct attempt_ref){ w->work[i].job, w->work[i].attempt };
        }
    if (m.started.n_attempts)
        say(s, &w->node, &m);
}

static enum ending ending_of(const struct sweep *s, const struct work *h)
{
    bool fails = (plans[h->plan].fate == FATE_FAILS_ONCE && h->attempt == 1) ||
                 (plans[h->plan].fate == FATE_DIES && !s->notes[h->plan].retry_asked);
    return h->stop ? ENDING_CANCELLED : fails ? ENDING_FAILED : ENDING_DONE;
}

/* It ends in the turn after its start, but for what waits to be stopped, and what its worker leaves behind. */
static void finish(struct sweep *s, const struct fake_worker *w, struct work *h)
{
    enum fate fate = plans[h->plan].fate;
    bool goes_on = (fate == FATE_STOPPED && !h->stop) || (fate == FATE_LOSES_WORKER && w == &s->workers[0]);
    if (h->finished || !h->told_started || goes_on)
        return;
    h->finished = true;
    h->ending = ending_of(s, h);
}

static struct outcome outcome_of(const struct work *h, char *result)
{
    struct outcome o;
    record_init(RECORD_outcome, &o);
    o.job = h->job;
    o.attempt = h->attempt;
    o.ending = h->ending;
    o.reason = h->ending == ENDING_FAILED ? REASON_EXIT : h->ending == ENDING_CANCELLED ? REASON_CANCELLED : REASON_NONE;
    o.for_good = plans[h->plan].fate == FATE_DIES;
    o.wall_us = 1000;
    plan_fill(h->plan, h->attempt, result, plans[h->plan].result_bytes);
    o.result = (struct str){ result, plans[h->plan].result_bytes };
    return o;
}

static void tell_results(struct sweep *s, struct fake_worker *w)
{
    for (size_t i = 0; i < w->n_work; i++) {
        struct work *h = &w->work[i];
        finish(s, w, h);
        if (!h->finished || h->told_result)
            continue;
        cleanup(freep) char *result = xmalloc(plans[h->plan].result_bytes + 1);
        struct outcome o = outcome_of(h, result);
        struct message m;
        message_init(&m, MSG_RESULT);
        m.result.outcomes = &o;
        m.result.n_outcomes = 1;
        h->told_result = true;
        say(s, &w->node, &m);
    }
}

static void worker_speak(struct sweep *s, struct fake_worker *w)
{
    if (!w->here)
        return;
    if (!w->node.session && !w->node.greeting)
        worker_hello(s, w);
    if (!w->node.session)
        return;
    tell_results(s, w);
    tell_started(s, w);
    say_beat(s, &w->node);
}

static void worker_take(struct sweep *s, struct fake_worker *w, const struct msg_run *m)
{
    for (size_t i = 0; i < m->n_jobs; i++) {
        const struct run_job *j = &m->jobs[i];
        size_t plan = plan_of(j->payload);
        sweep_check(s, plan < N_PLANS, "P1: job %" PRIu64 " came with another payload than was submitted", j->job);
        sweep_check(s, w->n_work < WORK_MAX, "P6: too much work for one worker");
        note_run(s, plan, j->job, j->attempt);
        w->work[w->n_work++] = (struct work){ .job = j->job, .attempt = j->attempt, .plan = plan };
    }
}

/* What a worker holds is its own as long as it is not lost: gone is only what was recorded. */
static void worker_drop_gone(struct sweep *s, struct fake_worker *w, const struct msg_welcome *m)
{
    for (size_t i = 0; i < m->n_gone; i++) {
        struct work *h = find_work(w, m->gone[i].job, m->gone[i].attempt);
        sweep_check(s, h && (h->finished || w->lost), "P5: attempt %" PRIu64 " of job %" PRIu64 " was taken from a worker that lives",
                    m->gone[i].attempt, m->gone[i].job);
        if (!w->lost)
            check_recorded(s, h->plan, h->job, h->attempt, h->ending);
        let_go(w, h);
    }
    w->lost = false;
    for (size_t i = 0; i < w->n_work; i++)
        w->work[i].told_result = false;
}

static void worker_forget_recorded(struct sweep *s, struct fake_worker *w, const struct msg_recorded *m)
{
    for (size_t i = 0; i < m->n_attempts; i++) {
        struct work *h = find_work(w, m->attempts[i].job, m->attempts[i].attempt);
        if (!h)
            continue;
        sweep_check(s, h->finished, "job %" PRIu64 " was recorded before it ended", h->job);
        note_recorded(s, h);
        let_go(w, h);
    }
}

static void worker_recv(struct sweep *s, struct fake_worker *w, const struct message *m)
{
    switch (m->type) {
    case MSG_WELCOME:
        worker_drop_gone(s, w, &m->welcome);
        break;
    case MSG_RUN:
        worker_take(s, w, &m->run);
        break;
    case MSG_RECORDED:
        worker_forget_recorded(s, w, &m->recorded);
        break;
    case MSG_STOP:
        for (size_t i = 0; i < m->stop.n_attempts; i++) {
            struct work *h = find_work(w, m->stop.attempts[i].job, m->stop.attempts[i].attempt);
            if (h)
                h->stop = true;
        }
        break;
    case MSG_TAKE_BACK: /* all has started */
        for (size_t i = 0; i < w->n_work; i++)
            w->work[i].told_started = w->work[i].finished;
        break;
    case MSG_ERROR:
        sweep_fail(s, "%s was answered: %.*s", w->name, (int)m->error.text.n, m->error.text.p);
    default:
        break;
    }
}

/* ---- both --------------------------------------------------------------------------------------- */

static void cut(struct sweep *s, struct node *n)
{
    uint32_t id = ++s->last_routing_id;
    memcpy(n->routing_id + 1, &id, sizeof id);
    n->epoch = n->session = 0;
    n->greeting = false;
}

void nodes_cut(struct sweep *s)
{
    cut(s, &s->client.node);
    s->client.asked = false;
    for (size_t i = 0; i < N_WORKERS; i++)
        cut(s, &s->workers[i].node);
}

void nodes_init(struct sweep *s)
{
    static const char *const names[N_WORKERS] = { "one", "two" };
    memset(s->client.node.instance, 'c', sizeof s->client.node.instance);
    for (size_t i = 0; i < N_WORKERS; i++) {
        s->workers[i].name = names[i];
        memset(s->workers[i].node.instance, '1' + (int)i, sizeof s->workers[i].node.instance);
    }
    nodes_cut(s);
}

void nodes_speak(struct sweep *s)
{
    s->spoke = false;
    client_speak(s, &s->client);
    for (size_t i = 0; i < N_WORKERS; i++)
        worker_speak(s, &s->workers[i]);
}

/* Sessions are the same for both kinds. False for what is meant for a connection that is no more. */
static bool session_recv(struct sweep *s, struct node *n, const struct letter *l, const struct message *m)
{
    if (memcmp(n->routing_id, l->routing_id, ROUTING_ID_BYTES) != 0)
        return false;
    sweep_trace(s, "  <- %s", message_name(m->type));
    s->epoch = m->epoch > s->epoch ? m->epoch : s->epoch;
    if (m->type == MSG_WELCOME) {
        n->epoch = m->epoch;
        n->session = m->session;
        n->greeting = false;
    } else if (m->type == MSG_HELLO_AGAIN) {
        n->session = 0;
        n->greeting = false;
    }
    return true;
}

static void deliver(struct sweep *s, const struct letter *l)
{
    struct message m;
    const char *why;
    int r = message_decode(&m, l->bytes.p, l->bytes.n, &why);
    sweep_check(s, r >= 0, "the broker sent a bad message: %s", why);
    if (session_recv(s, &s->client.node, l, &m)) {
        s->client.asked = s->client.asked && s->client.node.session;
        client_recv(s, &s->client, &m);
    }
    for (size_t i = 0; i < N_WORKERS; i++)
        if (s->workers[i].here && session_recv(s, &s->workers[i].node, l, &m))
            worker_recv(s, &s->workers[i], &m);
    message_fini(&m);
}

void nodes_listen(struct sweep *s)
{
    for (struct link *link; (link = list_pop(&s->letters));) {
        struct letter *l = list_entry(link, struct letter, link);
        deliver(s, l);
        buf_fini(&l->bytes);
        free(l);
    }
}
