/* sim_client.c - a client that submits, asks for all kinds of things, and repeats what was not answered; written against
 * PROTOCOL.md. */
#include "tests/sim/record.h"
#include "tests/sim/world.h"

#define REPEAT_MS 250 /* without an answer */
#define PAUSE_MS 100  /* with one */
#define JOBS_A_SUBMIT 40
#define SUBMITS_REMEMBERED 8
#define WAIT_OF_SUBMIT (UINT64_C(1) << 62) /* with its number: the request of a wait that began with it */
#define PAUSED_QUEUE "other"

/* A submit that has its answer. */
struct submitted {
    uint64_t seq, first, count;
};

/* The one request beside the submit. */
struct request {
    bool open;
    enum message_type type;
    uint64_t req;
    struct range range; /* of jobs */
    bool pause;
};

struct sim_client {
    struct world *world;
    size_t node;
    struct rng rng;            /* what it asks for */
    unsigned char instance[16];
    uint64_t epoch, session;   /* 0: no session */
    uint64_t seq;              /* of the submit that is open, or was the last */
    bool open;
    size_t n_jobs;             /* in it */
    struct submitted done[SUBMITS_REMEMBERED];
    size_t n_done;
    struct request request;
    uint64_t n_requests;
    bool has_paused;
    int64_t next_ms;           /* when to say something again */
    bool stopped;
};

static void begin_life(struct sim_client *c)
{
    for (size_t i = 0; i < sizeof c->instance; i++)
        c->instance[i] = (unsigned char)rng_next(&c->rng);
    c->epoch = c->session = c->seq = 0;
    c->open = c->request.open = false;
    c->n_done = 0;
    c->next_ms = 0;
}

struct sim_client *sim_client_new(struct world *w, size_t node)
{
    struct sim_client *c = xcalloc(1, sizeof *c);
    c->world = w;
    c->node = node;
    rng_init(&c->rng, rng_next(&w->rng));
    begin_life(c);
    return c;
}

void sim_client_free(struct sim_client *c) { free(c); }

bool sim_client_is_through(const struct sim_client *c)
{
    return c->stopped && !c->open && !c->request.open && !c->has_paused;
}

/* And sees to it that nothing is paused: a PAUSE of its own may have come late. */
void sim_client_stop_submitting(struct sim_client *c) { c->stopped = c->has_paused = true; }

static void send_message(struct sim_client *c, struct message *m)
{
    struct buf b;
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    m->epoch = c->epoch;
    m->session = c->session;
    int r = message_encode(&b, m);
    world_check(c->world, 0, r >= 0, "the client's message is too large");
    world_trace_message(c->world, node_name(c->node), "broker", m);
    net_send_to_broker(c->world, c->node, buf_str(&b));
    buf_fini(&b);
}

static void say_hello(struct sim_client *c)
{
    struct message m;
    message_init(&m, MSG_HELLO);
    c->epoch = c->session = 0;
    m.hello.version = m.hello.min_version = 1;
    m.hello.role = str_of("client");
    m.hello.instance = (struct str){ (const char *)c->instance, sizeof c->instance };
    send_message(c, &m);
}

/* ---- submits ---------------------------------------------------------------------------------------- */

static struct job_spec spec_of(uint64_t seq, size_t i)
{
    struct job_spec s;
    record_init(RECORD_job_spec, &s);
    s.handler = str_of(seq % 4 ? "work" : "quick");
    s.queue = str_of(seq % 3 ? "default" : PAUSED_QUEUE);
    if (i % 3)
        s.tag = (int64_t)(1 + i % 3);
    s.priority = (int64_t)(seq + i) % 4;
    s.payload = seq % 3 == 1 ? str_of(i % 2 ? "p1" : "p2") : (struct str){ "0123456789", i % 10 }; /* p: a parent */
    if (i % 5 == 0)
        s.delay_ms = (int64_t)(i * 40);
    s.backoff_min_ms = 10;
    s.backoff_max_ms = 100;
    s.crash_limit = i % 7 ? 1000 : (int64_t)(1 + i % 3);
    if (i % 4 == 0)
        s.retries = (int64_t)(i % 3);
    if (i % 6 == 0)
        s.needs = str_of(seq % 2 ? "card=2,host=host" : "card,licence=2");
    if (i % 11 == 0)
        s.expire_ms = (int64_t)(1 + seq % 5) * 300;
    return s;
}

/* The same jobs each time: the submit is repeated to the letter. */
static void send_submit(struct sim_client *c, uint64_t seq, size_t n)
{
    struct job_spec specs[JOBS_A_SUBMIT];
    for (size_t i = 0; i < n; i++)
        specs[i] = spec_of(seq, i);
    struct message m;
    message_init(&m, MSG_SUBMIT);
    m.submit.req = m.submit.seq = seq;
    m.submit.jobs = specs;
    m.submit.n_jobs = n;
    m.submit.wait = n == 1 ? WAIT_OF_SUBMIT | seq : 0;
    send_message(c, &m);
}

static void check_same_ids(struct sim_client *c, const struct msg_submitted *m)
{
    for (size_t i = 0; i < c->n_done && i < SUBMITS_REMEMBERED; i++)
        if (c->done[i].seq == m->seq)
            world_check(c->world, m->first_id, m->first_id == c->done[i].first && m->count == c->done[i].count,
                        "P4: submit %lu was given two sets of ids", (unsigned long)m->seq);
}

static void on_submitted(struct sim_client *c, const struct msg_submitted *m)
{
    if (m->seq != c->seq || !c->open) {
        check_same_ids(c, m);
        return;
    }
    world_check(c->world, m->first_id, m->count == c->n_jobs, "P4: %lu ids for %zu jobs", (unsigned long)m->count, c->n_jobs);
    c->open = false;
    c->next_ms = min_i64(c->next_ms, c->world->now.mono_ms + PAUSE_MS);
    c->done[c->n_done++ % SUBMITS_REMEMBERED] = (struct submitted){ m->seq, m->first_id, m->count };
    for (uint64_t i = 0; i < m->count; i++)
        record_acknowledged(c->world, m->first_id + i, spec_of(m->seq, i).expire_ms != UNSET);
}

/* ---- requests --------------------------------------------------------------------------------------- */

static void send_unwait(struct sim_client *c)
{
    struct message m;
    message_init(&m, MSG_UNWAIT);
    m.unwait.req = c->request.req;
    send_message(c, &m);
}

static void send_request(struct sim_client *c)
{
    struct request *r = &c->request;
    struct message m;
    message_init(&m, r->type);
    switch (r->type) {
    case MSG_PAUSE:
        m.pause.req = r->req;
        m.pause.queue = str_of(PAUSED_QUEUE);
        m.pause.paused = r->pause;
        break;
    case MSG_WAIT:
        send_unwait(c); /* an earlier one, whose answer may be lost */
        m.wait.req = r->req;
        m.wait.ranges = &r->range;
        m.wait.n_ranges = 1;
        break;
    default: /* CANCEL, RETRY and REMOVE are alike */
        m.cancel.req = r->req;
        m.cancel.ranges = &r->range;
        m.cancel.n_ranges = 1;
    }
    send_message(c, &m);
}

static void ask(struct sim_client *c, enum message_type type, struct range range)
{
    c->request = (struct request){ .open = true, .type = type, .range = range,
                                   .req = record_req(++c->n_requests, type, range.first) };
    struct noted *n = record_job(c->world, range.first);
    n->cancel_asked |= type == MSG_CANCEL;
    n->remove_asked |= type == MSG_REMOVE;
    if (type == MSG_RETRY) {
        n->retry_asked = true;
        n->cancelled = false;
    }
    send_request(c);
}

static void ask_pause(struct sim_client *c, bool pause)
{
    c->request = (struct request){ .open = true, .type = MSG_PAUSE, .pause = pause,
                                   .req = record_req(++c->n_requests, MSG_PAUSE, 0) };
    c->has_paused = true;
    send_request(c);
}

/* About one of its jobs, or all of one submit. */
static void ask_something(struct sim_client *c)
{
    const struct submitted *s = &c->done[rng_below(&c->rng, c->n_done < SUBMITS_REMEMBERED ? c->n_done : SUBMITS_REMEMBERED)];
    uint64_t job = s->first + rng_below(&c->rng, s->count);
    struct range one = { job, job }, all = { s->first, s->first + s->count - 1 };
    switch (rng_below(&c->rng, 8)) {
    case 0: case 1: case 2:
        ask(c, MSG_CANCEL, one);
        break;
    case 3:
        ask(c, MSG_RETRY, one);
        break;
    case 4:
        ask(c, MSG_REMOVE, one);
        break;
    case 5:
        ask(c, MSG_WAIT, rng_below(&c->rng, 2) ? one : all);
        break;
    case 6:
        ask_pause(c, true);
        break;
    default:
        send_submit(c, s->seq, s->count); /* a needless repetition: must give the same ids */
    }
}

static void check_waited(struct sim_client *c)
{
    struct job_row j;
    for (uint64_t id = c->request.range.first; c->world->broker && id <= c->request.range.last; id++)
        if (!record_job(c->world, id)->retry_asked && store_get(c->world->broker->store, id, &j) >= 0)
            world_check(c->world, id, state_is_terminal(j.state), "P2: a wait has ended, and job %lu is %s", (unsigned long)id,
                        state_name(j.state));
}

/* Of a wait that began with a submit: what it tells is what is stored. */
static void check_told(struct sim_client *c, const struct msg_waited *m)
{
    struct job_row j;
    for (size_t i = 0; c->world->broker && i < c->n_done && i < SUBMITS_REMEMBERED; i++) {
        uint64_t id = c->done[i].first;
        if (m->req != (WAIT_OF_SUBMIT | c->done[i].seq) || record_job(c->world, id)->retry_asked ||
            store_get(c->world->broker->store, id, &j) < 0)
            continue;
        world_check(c->world, id, state_is_terminal(j.state), "P2: a wait has ended, and job %lu is %s", (unsigned long)id,
                    state_name(j.state));
        world_check(c->world, id, !m->attempt || (j.state == STATE_DONE && j.attempt == m->attempt),
                    "P2: job %lu was told to be done by attempt %lu, and is %s", (unsigned long)id, (unsigned long)m->attempt,
                    state_name(j.state));
    }
}

static void on_answer(struct sim_client *c, uint64_t req, enum message_type type)
{
    if (!c->request.open || req != c->request.req)
        return;
    c->request.open = false;
    if (type == MSG_WAITED)
        check_waited(c);
    if (c->request.type == MSG_PAUSE)
        c->has_paused = c->request.pause; /* refused or not: a repetition of it may be granted */
}

static void on_error(struct sim_client *c, const struct msg_error *m)
{
    if (m->code == CODE_BUSY)
        return;
    world_check(c->world, 0, m->code == CODE_REFUSED || m->code == CODE_NOT_FOUND, "the client was answered: %.*s", (int)m->text.n,
                m->text.p);
    on_answer(c, m->req, MSG_ERROR);
}

/* ---- its life --------------------------------------------------------------------------------------- */

static void on_message(struct sim_client *c, const struct message *m)
{
    bool current = m->epoch == c->epoch && m->session == c->session;
    if (m->type == MSG_WELCOME) {
        c->epoch = m->epoch;
        c->session = m->session;
        c->next_ms = 0;
    } else if (m->type == MSG_HELLO_AGAIN) {
        say_hello(c);
    } else if (!current) {
        return;
    } else if (m->type == MSG_SUBMITTED) {
        on_submitted(c, &m->submitted);
    } else if (m->type == MSG_WAITED && m->waited.req & WAIT_OF_SUBMIT) {
        check_told(c, &m->waited);
    } else if (m->type == MSG_ERROR) {
        on_error(c, &m->error);
    } else {
        on_answer(c, m->ok.req, m->type); /* req is the first field of every answer */
    }
}

static void recv_all(struct world *w, struct sim_client *c)
{
    for (struct letter *l; (l = net_recv_at_node(w, c->node)); letter_free(l)) {
        struct message m;
        const char *why;
        int r = message_decode(&m, l->bytes, l->n, &why);
        world_check(w, 0, r >= 0, "the broker sent a bad message: %s", why);
        world_trace_message(w, "broker", node_name(c->node), &m);
        on_message(c, &m);
        message_fini(&m);
    }
}

static bool dies(struct world *w, struct sim_client *c)
{
    if (!fault_draw(&w->faults, FAULT_CLIENT_DIES, 1000))
        return false;
    world_trace(w, "%s dies, and starts", node_name(c->node));
    net_cut(w, c->node, 0);
    begin_life(c);
    return true;
}

static void speak(struct world *w, struct sim_client *c)
{
    if (!c->session) {
        say_hello(c);
        return;
    }
    if (c->open)
        send_submit(c, c->seq, c->n_jobs);
    if (c->request.open)
        send_request(c);
    else if (c->has_paused)
        ask_pause(c, false);
    else if (c->n_done && !c->stopped)
        ask_something(c);
    if (c->open || c->stopped || record_last(w) + JOBS_A_SUBMIT > JOBS_MAX)
        return;
    c->n_jobs = 1 + rng_below(&c->rng, JOBS_A_SUBMIT);
    c->open = true;
    send_submit(c, ++c->seq, c->n_jobs);
}

void sim_client_turn(struct world *w, struct sim_client *c)
{
    if (dies(w, c))
        return;
    recv_all(w, c);
    if (w->now.mono_ms < c->next_ms)
        return;
    c->next_ms = w->now.mono_ms + REPEAT_MS;
    speak(w, c);
}
