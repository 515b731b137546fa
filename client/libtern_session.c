/* libtern_session.c - the connection to the broker: HELLO and WELCOME, beats while anything is
 * waited for, lost and found again.
 *
 *     CLOSED --open--> HELLO --WELCOME--> WELCOME
 *        ^               |  ^                |  |
 *        |   no answer   |  `- HELLO_AGAIN --'  |
 *        `---------------+---- nothing heard ---'
 *
 * Before the first answer, silence_ms of silence end the call; after it, broker_timeout_ms without a
 * sign of life since something was asked. Beats are asked at least twice in that time. */
#include "client/libtern.h"

#include <poll.h>
#include <unistd.h>

#include "config.h"

#define HELLO_AGAIN_MS 2000
#define SEND_AGAIN_MS 50
#define AWAY_LEAST_MS 50
#define BACKOFF_FIRST_MS 50
#define BACKOFF_MOST_MS 1000
#define MESSAGES_A_TURN 1000

int session_send(struct tern_client *c, struct message *m)
{
    m->epoch = c->epoch;
    m->session = c->session;
    struct buf b;
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    int r = message_encode(&b, m);
    if (r >= 0)
        r = socket_send(c->socket, buf_str(&b));
    buf_fini(&b);
    return r;
}

void session_asks(struct tern_client *c, int64_t now_ms)
{
    if (!c->asked_ms)
        c->asked_ms = now_ms;
}

int session_open(struct tern_client *c)
{
    char *error = NULL;
    int64_t now = client_mono_ms();
    int r = socket_connect_keyed(&c->socket, c->address, client_uses_keys(c) ? &c->own : NULL, &c->broker_key, &error);
    if (r < 0) {
        client_fail(c, r, "%s", error);
        free(error);
        return r == -EINVAL || r == -EACCES ? r : -EHOSTUNREACH;
    }
    c->state = SESSION_HELLO;
    c->opened_ms = c->due_ms = now;
    c->epoch = c->session = 0;
    if (!c->heard_ms)
        c->heard_ms = c->turn_ms = now;
    return 0;
}

void session_close(struct tern_client *c)
{
    c->socket = socket_close(c->socket);
    c->state = SESSION_CLOSED;
    if (!c->greeted)
        c->heard_ms = 0;
}

static int send_hello(struct tern_client *c)
{
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    struct message m;
    message_init(&m, MSG_HELLO);
    m.hello.version = PROTOCOL_VERSION;
    m.hello.min_version = PROTOCOL_VERSION;
    m.hello.role = str_of("client");
    m.hello.software = str_of("libtern " PACKAGE_VERSION);
    m.hello.instance = (struct str){ c->instance, sizeof c->instance };
    m.hello.host = str_of(host);
    m.hello.pid = (uint64_t)getpid();
    c->epoch = c->session = 0;
    return session_send(c, &m);
}

/* Half to all of it, so that a thousand clients do not come back at the same moment. */
static int64_t with_jitter(struct tern_client *c, int64_t ms)
{
    return ms / 2 + (int64_t)rng_below(&c->rng, (uint64_t)ms / 2 + 1);
}

static void reopen_later(struct tern_client *c, int64_t now)
{
    session_close(c);
    session_asks(c, now);
    c->backoff_ms = min_i64(BACKOFF_MOST_MS, max_i64(BACKOFF_FIRST_MS, c->backoff_ms * 2));
    c->due_ms = now + with_jitter(c, c->backoff_ms);
}

/* When the broker's silence, or its `busy`, ends the call. Who was asked nothing is not silent. */
static int64_t patience_ends_ms(const struct tern_client *c)
{
    if (c->busy)
        return c->busy_ms + c->broker_timeout_ms;
    if (!c->greeted)
        return c->opened_ms + c->silence_ms;
    return c->asked_ms ? c->asked_ms + c->broker_timeout_ms : INT64_MAX;
}

static int no_broker(struct tern_client *c, int64_t now)
{
    if (now < patience_ends_ms(c))
        return 0;
    if (c->busy)
        return client_fail(c, -EBUSY, "%s", c->busy);
    if (!c->greeted)
        return client_fail(c, -EHOSTUNREACH,
                           "no broker answers at %s: something listens there, but was silent for "
                           "%lld ms; is it a tern "
                           "broker?",
                           c->address, (long long)c->silence_ms);
    return client_fail(c, -EHOSTUNREACH,
                       "the broker at %s was lost and did not come back within %lld ms%s",
                       c->address, (long long)c->broker_timeout_ms,
                       c->n_submits
                           ? "; the submit that it did not answer may have been accepted"
                           : "");
}

static void tick_hello(struct tern_client *c, int64_t now)
{
    if (c->greeted && now - c->opened_ms >= c->lost_after_ms &&
        now - c->heard_ms >= c->lost_after_ms) {
        reopen_later(c, now);
        return;
    }
    if (now < c->due_ms)
        return;
    session_asks(c, now);
    /* A connection takes a moment to be made: soon again, then less often. */
    if (send_hello(c) == -EAGAIN)
        c->due_ms = now + min_i64(SEND_AGAIN_MS, 1 + (now - c->opened_ms) / 8);
    else
        c->due_ms = now + HELLO_AGAIN_MS;
}

/* A request that the broker has taken need not have its answer yet: beats tell whether it lives. */
static int64_t beat_every_ms(const struct tern_client *c)
{
    return min_i64(c->heartbeat_ms, max_i64(c->broker_timeout_ms / 2, 1));
}

static void tick_welcome(struct tern_client *c, int64_t now)
{
    if (now - c->heard_ms >= c->lost_after_ms) {
        reopen_later(c, now);
        return;
    }
    if (now < c->beat_due_ms)
        return;
    struct message m;
    message_init(&m, MSG_BEAT);
    m.beat.req = c->next_req++;
    session_asks(c, now);
    c->beat_due_ms = now + (session_send(c, &m) == -EAGAIN ? SEND_AGAIN_MS : beat_every_ms(c));
}

static int tick_closed(struct tern_client *c, int64_t now)
{
    if (now < c->due_ms)
        return 0;
    int r = session_open(c);
    if (r == -EINVAL || r == -EACCES)
        return r;
    if (r < 0)
        reopen_later(c, now);
    return 0;
}

/* We ourselves were away (between calls, or stopped) for so long: then the broker's silence says
 * nothing. */
static void was_away(struct tern_client *c, int64_t ms, int64_t now)
{
    if (!c->greeted || ms < max_i64(AWAY_LEAST_MS, min_i64(c->heartbeat_ms * 2, c->broker_timeout_ms / 2)))
        return;
    c->heard_ms = now;
    c->asked_ms = c->asked_ms ? now : 0;
}

/* Does what is due; *until_ms becomes earlier where something will be. */
static int tick(struct tern_client *c, int64_t now, int64_t *until_ms)
{
    was_away(c, now - c->turn_ms, now);
    int r = c->refused ? c->refused : no_broker(c, now);
    if (r >= 0 && c->state == SESSION_CLOSED)
        r = tick_closed(c, now);
    if (r < 0)
        return r;
    if (c->state == SESSION_HELLO)
        tick_hello(c, now);
    else if (c->state == SESSION_WELCOME)
        tick_welcome(c, now);
    if (c->state == SESSION_WELCOME)
        *until_ms = requests_send(c, now, *until_ms);
    *until_ms = min_i64(*until_ms, c->state == SESSION_WELCOME ? c->beat_due_ms : c->due_ms);
    *until_ms = min_i64(*until_ms, patience_ends_ms(c));
    return 0;
}

static void take_welcome(struct tern_client *c, const struct message *m, int64_t now)
{
    const struct msg_welcome *w = &m->welcome;
    c->state = SESSION_WELCOME;
    c->greeted = true;
    c->epoch = m->epoch;
    c->session = m->session;
    c->generation++;
    c->backoff_ms = 0;
    free(TAKE(c->busy));
    requests_hurry(c);
    c->heartbeat_ms = w->heartbeat_ms ? (int64_t)w->heartbeat_ms : c->heartbeat_ms;
    c->lost_after_ms = w->lost_after_ms ? (int64_t)w->lost_after_ms : c->lost_after_ms;
    c->max_payload_bytes = w->max_payload_bytes ? w->max_payload_bytes : LIMIT_PAYLOAD_BYTES;
    c->max_message_bytes = w->max_message_bytes ? w->max_message_bytes : LIMIT_MESSAGE_BYTES;
    c->submit_jobs = w->submit_jobs;
    c->beat_due_ms = now + beat_every_ms(c);
    free(c->software);
    c->software = xstrndup(w->software);
    c->knows_needs = false;
    for (size_t i = 0; i < w->n_capabilities; i++)
        c->knows_needs |= str_is(w->capabilities[i], CAPABILITY_NEEDS);
}

/* `busy` is no refusal: HELLO again, later. Other errors instead of WELCOME end every call. */
static void take_refusal(struct tern_client *c, const struct msg_error *e, int64_t now)
{
    if (e->code == CODE_BUSY) {
        if (!c->busy)
            c->busy_ms = now;
        free(c->busy);
        c->busy = xstrndup(e->text);
        c->backoff_ms = min_i64(BACKOFF_MOST_MS, max_i64(BACKOFF_FIRST_MS, c->backoff_ms * 2));
        c->due_ms = now + with_jitter(c, c->backoff_ms);
        return;
    }
    c->refused = e->code == CODE_NOT_ALLOWED ? -EACCES : -EPROTO;
    client_fail(c, c->refused, "the broker at %s refused this client: %.*s", c->address,
                (int)e->text.n, e->text.p ? e->text.p : "");
}

/* True: m and f have found a new owner. */
static bool take(struct tern_client *c, struct message *m, struct frame *f, int64_t now)
{
    switch (m->type) {
    case MSG_WELCOME:
        take_welcome(c, m, now);
        return false;
    case MSG_HELLO_AGAIN:
        if (c->state == SESSION_WELCOME) {
            c->state = SESSION_HELLO;
            c->opened_ms = c->due_ms = now;
        }
        return false;
    case MSG_ERROR:
        /* In a session too: then the key was revoked. */
        if (!m->error.req && (c->state == SESSION_HELLO || m->error.code == CODE_NOT_ALLOWED)) {
            take_refusal(c, &m->error, now);
            return false;
        }
        return requests_answer(c, m, f);
    default:
        return requests_answer(c, m, f);
    }
}

static int receive(struct tern_client *c, int64_t now)
{
    for (int i = 0; i < MESSAGES_A_TURN && c->socket; i++) {
        struct frame f = { 0 };
        struct message m;
        const char *why = "";
        int r = socket_recv(c->socket, &f);
        if (r == -EAGAIN)
            break;
        if (r < 0)
            continue;
        c->heard_ms = now;
        c->asked_ms = 0;
        r = message_decode(&m, f.p, f.n, &why);
        if (r >= 0 && take(c, &m, &f, now))
            continue;
        if (r >= 0)
            message_fini(&m);
        frame_fini(&f);
        if (r == -EBADMSG)
            return client_fail(c, -EPROTO, "what answers at %s is no tern broker: %s", c->address,
                               why);
    }
    return c->refused;
}

/* Milliseconds that poll may take: rounded up, so that what is due then is due. */
static int64_t time_left(int64_t until_ms)
{
    return until_ms == INT64_MAX ? -1 : max_i64(0, until_ms - client_mono_ms());
}

int session_turn(struct tern_client *c, int64_t until_ms, int fd)
{
    int64_t begun = client_mono_ms();
    int r = tick(c, begun, &until_ms);
    if (r < 0)
        return r;
    struct pollfd p = { .fd = fd, .events = POLLIN };
    if (c->socket)
        r = socket_poll(c->socket, &p, fd >= 0, time_left(until_ms));
    else
        poll(&p, 1, (int)time_left(until_ms));
    if (r < 0 && r != -EINTR)
        return client_fail(c, r, "waiting for the broker: %s", strerror(-r));
    c->turn_ms = client_mono_ms();
    was_away(c, c->turn_ms - max_i64(begun, until_ms), c->turn_ms);
    r = c->socket ? receive(c, c->turn_ms) : 0;
    if (r >= 0 && p.revents)
        return client_fail(c, -EINTR, "interrupted");
    return r;
}
