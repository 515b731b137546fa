/* libtern_request.c - one question to the broker, kept until it has its answer.
 *
 * A new session (the broker was started again, or forgot us) sends every open request once more, in
 * order. `busy` sends the same one again after a back-off. The bytes are kept as they were encoded:
 * a request may outlive what it was made of. */
#include "client/libtern.h"

#include <inttypes.h>

#define BUSY_FIRST_MS 50
#define BUSY_MOST_MS 1000

static int errno_of(uint64_t code)
{
    switch (code) {
    case CODE_USAGE:
        return -EINVAL;
    case CODE_NOT_FOUND:
        return -ENOENT;
    case CODE_REFUSED:
        return -EPERM;
    case CODE_BUSY:
        return -EBUSY;
    case CODE_NOT_ALLOWED:
        return -EACCES;
    default:
        return -EPROTO;
    }
}

static int encode(struct tern_client *c, struct request *r, struct message *m)
{
    m->epoch = c->epoch;
    m->session = c->session;
    r->encoded_in = c->generation;
    buf_clear(&r->bytes);
    return message_encode(&r->bytes, m);
}

/* Broken bytes would cost us the answer: the broker drops what is not of the protocol. Jobs are
 * checked one by one. */
static int check(struct tern_client *c, const struct request *r, enum message_type type)
{
    struct message m;
    const char *why = "";
    if (type == MSG_SUBMIT)
        return 0;
    int e = message_decode(&m, r->bytes.p, r->bytes.n, &why);
    if (e < 0)
        return client_fail(c, -EINVAL, "this cannot be asked: %s", why);
    message_fini(&m);
    return 0;
}

static void init(struct tern_client *c, struct request *r)
{
    *r = (struct request){ .req = c->next_req++ };
    list_init(&r->link);
    buf_init(&r->bytes, LIMIT_MESSAGE_BYTES);
}

static int give_bytes(struct tern_client *c, struct request *r, struct message *m)
{
    r->is_submit = m->type == MSG_SUBMIT;
    m->ok.req = r->req; /* every request begins with its number */
    int e = encode(c, r, m);
    if (e < 0)
        return client_fail(c, e, "the request is larger than a message may be (%u bytes)",
                           LIMIT_MESSAGE_BYTES);
    return check(c, r, m->type);
}

int request_open(struct tern_client *c, struct request *r, struct message *m)
{
    init(c, r);
    int e = give_bytes(c, r, m);
    if (e >= 0)
        list_add_tail(&c->open, &r->link);
    return e;
}

void request_hold(struct tern_client *c, struct request *r)
{
    init(c, r);
    r->held = true;
    list_add_tail(&c->open, &r->link);
}

int request_release(struct tern_client *c, struct request *r, struct message *m, uint64_t sent_in)
{
    r->held = false;
    r->sent_in = sent_in;
    return give_bytes(c, r, m);
}

void request_fini(struct request *r)
{
    list_remove(&r->link);
    buf_fini(&r->bytes);
    if (r->frame.owned) {
        message_fini(&r->answer);
        frame_fini(&r->frame);
    }
}

/* Our own bytes once more, with the session of now. */
static void encode_again(struct tern_client *c, struct request *r)
{
    struct message m;
    const char *why;
    cleanup(freep) char *before = xmalloc(r->bytes.n);
    memcpy(before, r->bytes.p, r->bytes.n);
    int e = message_decode(&m, before, r->bytes.n, &why);
    assert(e >= 0);
    e = encode(c, r, &m);
    assert(e >= 0);
    message_fini(&m);
}

static int send_one(struct tern_client *c, struct request *r, int64_t now_ms)
{
    session_asks(c, now_ms);
    if (r->encoded_in != c->generation)
        encode_again(c, r);
    int e = socket_send(c->socket, buf_str(&r->bytes));
    if (e >= 0)
        r->sent_in = c->generation;
    return e;
}

int64_t requests_send(struct tern_client *c, int64_t now_ms, int64_t until_ms)
{
    bool submit_waits = false;
    list_each (l, &c->open) {
        struct request *r = list_entry(l, struct request, link);
        if (r->held || r->sent_in == c->generation || (r->is_submit && submit_waits))
            continue;
        if (r->due_ms > now_ms) {
            until_ms = min_i64(until_ms, r->due_ms);
            submit_waits |= r->is_submit;
            continue;
        }
        /* No connection, or its queue is full: soon again, and those behind it wait for their turn.
         */
        if (send_one(c, r, now_ms) == -EAGAIN)
            return min_i64(until_ms, now_ms + 5);
    }
    return until_ms;
}

void requests_hurry(struct tern_client *c)
{
    list_each (l, &c->open)
        list_entry(l, struct request, link)->due_ms = 0;
}

static struct request *find(struct tern_client *c, uint64_t req)
{
    list_each (l, &c->open) {
        struct request *r = list_entry(l, struct request, link);
        if (r->req == req)
            return r;
    }
    return NULL;
}

static void finish(struct request *r, int result)
{
    r->done = true;
    r->result = result;
    list_remove(&r->link);
}

/* Later again, or enough of it. */
static bool try_again(struct tern_client *c, struct request *r)
{
    int64_t now = client_mono_ms();
    if (!r->busy_ms)
        r->busy_ms = now;
    if (now - r->busy_ms >= c->broker_timeout_ms)
        return false;
    int64_t most = min_i64(BUSY_MOST_MS, (int64_t)BUSY_FIRST_MS << min_i64(r->busy_times, 8));
    r->busy_times++;
    r->due_ms = now + most / 2 + (int64_t)rng_below(&c->rng, (uint64_t)most / 2 + 1);
    r->sent_in = 0;
    return true;
}

/* A submit is through: there may be room for the next one, and none behind it has waited in vain. */
static void submits_go_on(struct tern_client *c)
{
    struct request *next = NULL;
    list_each (l, &c->open) {
        struct request *r = list_entry(l, struct request, link);
        next = next || !r->is_submit ? next : r;
        r->busy_ms = r->is_submit ? 0 : r->busy_ms;
    }
    if (next) {
        next->due_ms = 0;
        next->busy_times = 0;
    }
}

bool requests_answer(struct tern_client *c, struct message *m, struct frame *f)
{
    struct request *r = find(c, m->ok.req);
    if (!r)
        return false;
    if (m->type == MSG_ERROR && m->error.code == CODE_BUSY && try_again(c, r))
        return false;
    finish(r, m->type == MSG_ERROR ? errno_of(m->error.code) : 0);
    if (m->type == MSG_SUBMITTED)
        submits_go_on(c);
    r->answer = *m;
    r->frame = *f;
    return true;
}

/* The job that was asked for, when it was one alone; else 0. */
static uint64_t job_of(const struct message *m)
{
    const struct range *range = NULL;
    switch (m->type) {
    case MSG_FETCH:
        return m->fetch.job;
    case MSG_HISTORY:
        return m->history.job;
    case MSG_LIST:
        range = m->list.n_ranges == 1 ? m->list.ranges : NULL;
        break;
    case MSG_WAIT:
        range = m->wait.n_ranges == 1 ? m->wait.ranges : NULL;
        break;
    case MSG_CANCEL:
    case MSG_RETRY:
    case MSG_REMOVE: /* the three have the same fields */
        range = m->cancel.n_ranges == 1 ? m->cancel.ranges : NULL;
        break;
    default:
        break;
    }
    return range && range->first == range->last ? range->first : 0;
}

static int result_of(struct tern_client *c, const struct request *r, const struct message *asked,
                     enum message_type want)
{
    if (r->result == -ENOENT && job_of(asked) && str_is(r->answer.error.text, "no such job"))
        return client_fail(c, r->result, "no such job: %" PRIu64, job_of(asked));
    if (r->result < 0)
        return client_fail(c, r->result, "%.*s", (int)r->answer.error.text.n,
                           r->answer.error.text.p ? r->answer.error.text.p : "");
    if (r->answer.type != want)
        return client_fail(c, -EPROTO, "the broker answered with %s instead of %s",
                           message_name(r->answer.type), message_name(want));
    return 0;
}

int request_await(struct tern_client *c, struct request *r, const struct message *m, enum message_type want,
                  int64_t until_ms)
{
    int e = 0;
    while (e >= 0 && !r->done) {
        e = session_turn(c, until_ms, c->interrupt_fd);
        if (e >= 0 && !r->done && client_mono_ms() >= until_ms)
            e = client_fail(c, -ETIMEDOUT, "timed out");
    }
    return e < 0 ? e : result_of(c, r, m, want);
}

int request_call(struct tern_client *c, struct request *r, struct message *m, enum message_type want, int64_t until_ms)
{
    int e = request_open(c, r, m);
    return e < 0 ? e : request_await(c, r, m, want, until_ms);
}
