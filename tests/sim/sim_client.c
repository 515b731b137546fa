/* sim_client.c - a client that submits, repeats what was not answered, and cancels a few; written against PROTOCOL.md. */
#include <stdio.h>

#include "tests/sim/record.h"
#include "tests/sim/world.h"

#define REPEAT_MS 250

struct sim_client {
    struct world *world;
    size_t node;
    unsigned char instance[16];
    uint64_t epoch, session;   /* 0: no session */
    uint64_t seq;              /* of the submit that is open, or was the last */
    bool open;
    size_t n_jobs;             /* in it */
    uint64_t first_id;         /* what it was answered, once */
    int64_t next_ms;           /* when to say something again */
    bool stopped;
};

struct sim_client *sim_client_new(struct world *w, size_t node)
{
    struct sim_client *c = xcalloc(1, sizeof *c);
    c->world = w;
    c->node = node;
    for (size_t i = 0; i < sizeof c->instance; i++)
        c->instance[i] = (unsigned char)rng_next(&w->rng);
    return c;
}

void sim_client_free(struct sim_client *c) { free(c); }
bool sim_client_is_through(const struct sim_client *c) { return c->stopped && !c->open; }
void sim_client_stop_submitting(struct sim_client *c) { c->stopped = true; }

static void send_message(struct sim_client *c, struct message *m)
{
    struct buf b;
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    m->epoch = c->epoch;
    m->session = c->session;
    int r = message_encode(&b, m);
    world_check(c->world, r >= 0, "the client's message is too large");
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

static struct job_spec spec_of(uint64_t seq, size_t i)
{
    struct job_spec s;
    record_init(RECORD_job_spec, &s);
    s.handler = str_of("work");
    s.queue = str_of(seq % 3 ? "default" : "other");
    if (i % 3)
        s.tag = (int64_t)(1 + i % 3);
    s.priority = (int64_t)(seq + i) % 4;
    s.payload = (struct str){ "0123456789", i % 10 };
    if (i % 5 == 0)
        s.delay_ms = (int64_t)(i * 40);
    s.backoff_min_ms = 10;
    s.backoff_max_ms = 100;
    s.crash_limit = 1000; /* so that only a handler's own fate makes a job dead */
    if (i % 4 == 0)
        s.retries = (int64_t)(i % 3);
    return s;
}

/* The same jobs each time: the submit is repeated to the letter. */
static void send_submit(struct sim_client *c)
{
    struct job_spec specs[64];
    for (size_t i = 0; i < c->n_jobs; i++)
        specs[i] = spec_of(c->seq, i);
    struct message m;
    message_init(&m, MSG_SUBMIT);
    m.submit.req = m.submit.seq = c->seq;
    m.submit.jobs = specs;
    m.submit.n_jobs = c->n_jobs;
    send_message(c, &m);
}

static void send_cancel(struct sim_client *c, uint64_t job)
{
    struct range range = { job, job };
    struct message m;
    message_init(&m, MSG_CANCEL);
    m.cancel.req = 1000000 + job;
    m.cancel.ranges = &range;
    m.cancel.n_ranges = 1;
    record_cancel_asked(c->world, job);
    send_message(c, &m);
}

static void on_submitted(struct sim_client *c, const struct msg_submitted *m)
{
    if (m->seq == c->seq && !c->open)
        world_check(c->world, m->first_id == c->first_id, "P4: submit %lu was given two sets of ids", (unsigned long)m->seq);
    if (m->seq != c->seq || !c->open)
        return;
    world_check(c->world, m->count == c->n_jobs, "P4: %lu ids for %zu jobs", (unsigned long)m->count, c->n_jobs);
    c->open = false;
    c->first_id = m->first_id;
    record_acknowledged(c->world, m->first_id, m->count);
    if (world_chance(c->world, 4))
        send_cancel(c, m->first_id + rng_below(&c->world->rng, m->count));
    if (world_chance(c->world, 6))
        send_submit(c); /* a needless repetition: must give the same ids */
}

static void on_message(struct sim_client *c, const struct message *m)
{
    switch (m->type) {
    case MSG_WELCOME:
        c->epoch = m->epoch;
        c->session = m->session;
        c->next_ms = 0;
        break;
    case MSG_HELLO_AGAIN:
        say_hello(c);
        break;
    case MSG_SUBMITTED:
        on_submitted(c, &m->submitted);
        break;
    case MSG_ERROR:
        world_check(c->world, m->error.code == CODE_REFUSED || m->error.code == CODE_NOT_FOUND || m->error.code == CODE_BUSY,
                    "the client was answered: %.*s", (int)m->error.text.n, m->error.text.p);
        break;
    default:
        break;
    }
}

static void recv_all(struct world *w, struct sim_client *c)
{
    for (struct letter *l; (l = net_recv_at_node(w, c->node));) {
        struct message m;
        const char *why;
        int r = message_decode(&m, l->bytes, l->n, &why);
        world_check(w, r >= 0, "the broker sent a bad message: %s", why);
        on_message(c, &m);
        message_fini(&m);
        letter_free(l);
    }
}

void sim_client_turn(struct world *w, struct sim_client *c)
{
    recv_all(w, c);
    if (w->now.mono_ms < c->next_ms)
        return;
    c->next_ms = w->now.mono_ms + REPEAT_MS;
    if (!c->session) {
        say_hello(c);
    } else if (c->open) {
        send_submit(c);
    } else if (!c->stopped && record_count(w) + 64 < JOBS_MAX) {
        c->seq++;
        c->n_jobs = 1 + rng_below(&w->rng, 40);
        c->open = true;
        send_submit(c);
    }
}
