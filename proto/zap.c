/* zap.c - the answers to libzmq's questions who may come in, and the proof that they are heard: a stranger is sent to the door. */
#include "proto/zap.h"

#include <stdatomic.h>
#include <stdio.h>
#include <zmq.h>

#include "proto/base/clock.h"
#include "proto/socket.h"

#define ANSWERS_AT_A_TIME 200
#define PARTS 7 /* of a request: version, number, domain, address, identity, mechanism, and the key */
#define PATIENCE_MS 5000

static struct {
    void *zmq; /* owned */
    zap_admit_fn *admit;
    void *ctx;
} door;

void *zap_socket(void) { return door.zmq; }

int zap_open(zap_admit_fn *admit, void *ctx, char **ret_error)
{
    void *zmq = zmq_socket(socket_context(), ZMQ_REP);
    int none = 0;
    if (zmq)
        zmq_setsockopt(zmq, ZMQ_LINGER, &none, sizeof none);
    if (door.zmq || !zmq || zmq_bind(zmq, "inproc://zeromq.zap.01") < 0) {
        int error = door.zmq ? EADDRINUSE : zmq_errno();
        *ret_error = xasprintf("cannot answer who may come in: %s", zmq_strerror(error));
        if (zmq)
            zmq_close(zmq);
        return -error;
    }
    door.zmq = zmq;
    door.admit = admit;
    door.ctx = ctx;
    return 0;
}

void zap_close(void)
{
    if (door.zmq)
        zmq_close(door.zmq);
    door.zmq = NULL;
}

/* ---- a question --------------------------------------------------------------------------------- */

struct part {
    char bytes[256]; /* an address may be long: it is cut */
    size_t n;
};

struct question {
    struct part parts[PARTS + 1]; /* the last one is overwritten by all that is too much */
    int n;
};
enum { VERSION, NUMBER, DOMAIN, ADDRESS, IDENTITY, MECHANISM, CREDENTIAL };

static bool part_is(const struct part *p, const char *text)
{
    return p->n == strlen(text) && memcmp(p->bytes, text, p->n) == 0;
}

/* False: there is none. It is read to its end, whatever it is. */
static bool read_question(struct question *q)
{
    *q = (struct question){ .n = 0 };
    for (int more = 1; more; q->n++) {
        struct part *p = &q->parts[q->n < PARTS ? q->n : PARTS];
        int n = zmq_recv(door.zmq, p->bytes, sizeof p->bytes - 1, ZMQ_DONTWAIT);
        if (n < 0)
            return false;
        p->n = min_size((size_t)n, sizeof p->bytes - 1);
        p->bytes[p->n] = '\0';
        size_t size = sizeof more;
        zmq_getsockopt(door.zmq, ZMQ_RCVMORE, &more, &size);
    }
    return true;
}

/* What is not known to be allowed is not. A key is let in where keys are asked for and nowhere else, and so is no key. */
static bool may_enter(const struct question *q)
{
    const struct part *p = q->parts;
    if (q->n < CREDENTIAL || !part_is(&p[VERSION], "1.0"))
        return false;
    if (part_is(&p[DOMAIN], ZAP_OPEN))
        return part_is(&p[MECHANISM], "NULL");
    struct key key;
    if (!part_is(&p[DOMAIN], ZAP_KEYED) || !part_is(&p[MECHANISM], "CURVE") || q->n != PARTS || p[CREDENTIAL].n != KEY_BYTES)
        return false;
    memcpy(key.bytes, p[CREDENTIAL].bytes, KEY_BYTES);
    return door.admit(door.ctx, &key, p[ADDRESS].bytes);
}

/* The user that every message of the connection carries: the key's digits. Never empty, so that libzmq takes none that the peer
 * made up. */
static void name_user(const struct question *q, bool enters, char ret[KEY_DIGITS + 1])
{
    struct key key;
    snprintf(ret, KEY_DIGITS + 1, "%s", "none");
    if (!enters || !part_is(&q->parts[MECHANISM], "CURVE"))
        return;
    memcpy(key.bytes, q->parts[CREDENTIAL].bytes, KEY_BYTES);
    key_format(&key, ret);
}

static void answer(const struct question *q)
{
    bool enters = may_enter(q);
    char user[KEY_DIGITS + 1];
    name_user(q, enters, user);
    const struct str parts[] = { str_of("1.0"), { q->parts[NUMBER].bytes, q->parts[NUMBER].n }, str_of(enters ? "200" : "400"),
                                 str_of(enters ? "OK" : "this key is not known"), str_of(user), str_of("") };
    for (size_t i = 0; i < ELEMENTS(parts); i++)
        zmq_send(door.zmq, parts[i].p, parts[i].n, ZMQ_DONTWAIT | (i + 1 < ELEMENTS(parts) ? ZMQ_SNDMORE : 0));
}

void zap_answer(void)
{
    struct question q;
    for (int i = 0; door.zmq && i < ANSWERS_AT_A_TIME && read_question(&q); i++)
        answer(&q);
}

/* ---- at the door ---------------------------------------------------------------------------------- */

#define WATCHED (ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | \
                 ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL)

/* So many connections in turn that end amid the handshake are no accident: the other side has another key, or wants one. */
#define CUTS_THAT_TELL 3

/* What became of a handshake; -EAGAIN: nothing yet; -ECONNRESET: its connection ended before it did, and libzmq makes another.
 * An event has two parts: its number with a value, and the address. */
static int read_event(void *events)
{
    struct __attribute__((packed)) {
        uint16_t event;
        uint32_t value;
    } e;
    char address[256];
    if (zmq_recv(events, &e, sizeof e, ZMQ_DONTWAIT) < 0)
        return -EAGAIN;
    zmq_recv(events, address, sizeof address, ZMQ_DONTWAIT);
    switch (e.event) {
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED: return 0;
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH: return -EACCES;
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL: return -EPROTO;
    default: return -ECONNRESET;
    }
}

static int watch(void *events, int64_t until_ms)
{
    int cuts = 0;
    for (int64_t left; (left = until_ms - clock_now().mono_ms) > 0;) {
        zmq_pollitem_t items[] = { { .socket = events, .events = ZMQ_POLLIN }, { .socket = door.zmq, .events = ZMQ_POLLIN } };
        zmq_poll(items, door.zmq ? 2 : 1, left);
        zap_answer();
        int r = read_event(events);
        if (r == -ECONNRESET && ++cuts == CUTS_THAT_TELL)
            return -EPROTO;
        if (r != -EAGAIN && r != -ECONNRESET)
            return r;
    }
    return -ETIMEDOUT;
}

int zap_try(const char *address, const struct key_pair *own, const struct key *broker, int64_t timeout_ms)
{
    static atomic_uint count;
    char name[64];
    void *zmq = zmq_socket(socket_context(), ZMQ_DEALER), *events = zmq_socket(socket_context(), ZMQ_PAIR);
    int64_t until_ms = clock_now().mono_ms + timeout_ms;
    int none = 0, r = zmq && events ? 0 : -zmq_errno();
    snprintf(name, sizeof name, "inproc://tern-door-%u", atomic_fetch_add(&count, 1));
    if (r >= 0) {
        zmq_setsockopt(zmq, ZMQ_LINGER, &none, sizeof none);
        socket_set_keys(zmq, own, broker);
        zmq_socket_monitor(zmq, name, WATCHED);
        r = zmq_connect(events, name) < 0 || zmq_connect(zmq, address) < 0 ? -zmq_errno() : watch(events, until_ms);
        zmq_socket_monitor(zmq, NULL, 0);
    }
    if (events)
        zmq_close(events);
    if (zmq)
        zmq_close(zmq);
    return r;
}

int zap_prove(const char *address, const struct key *broker, char **ret_error)
{
    cleanup(key_pair_wipe) struct key_pair nobody;
    key_pair_make(&nobody);
    int with_key = zap_try(address, &nobody, broker, PATIENCE_MS);
    int without = zap_try(address, NULL, broker, PATIENCE_MS);
    if (with_key == -EACCES && without == -EPROTO)
        return 0;
    const char *who = with_key == -EACCES ? "without a key" : "with a key that nobody knows";
    bool let_in = with_key == 0 || without == 0;
    *ret_error = xasprintf("%s: a stranger %s %s; this broker does not start: nobody would be safe", address, who,
                           let_in ? "was let in" : "was not refused in time");
    return -EPROTO;
}
