/* socket.c - libzmq, and all that must be known to use it safely. */
#include "proto/socket.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

#include "proto/limits.h"
#include "proto/unsent.h"
#include "proto/zap.h"

struct socket {
    void *zmq;  /* owned */
    int type;
    char **paths; /* owned: of bound ipc sockets, removed at close */
    size_t n_paths, cap_paths;
    bool keyed;   /* it listens with a key somewhere, so that what libzmq says of users is the broker's own word */
    struct unsent_table unsent; /* of a ROUTER */
};

#define POLL_FEW 32 /* more take memory from the heap each time */
/* Of a peer to the broker; past it the connection counts as lost, so it is not to be reached by a slow turn. */
#define UNSENT_MESSAGES 10000
#define UNHEARD_MESSAGES 250 /* of one connection, that wait in the broker to be heard; the others wait at their sender */

void *socket_context(void)
{
    static void *one;
    if (!one) {
        one = zmq_ctx_new();
        zmq_ctx_set(one, ZMQ_MAX_SOCKETS, 64);
    }
    return one;
}

static void set(void *zmq, int option, int value)
{
    int r = zmq_setsockopt(zmq, option, &value, sizeof value);
    assert(r == 0);
}

static struct socket *open_socket(int type)
{
    void *zmq = socket_context() ? zmq_socket(socket_context(), type) : NULL;
    if (!zmq)
        return NULL;
    int64_t most = LIMIT_MESSAGE_BYTES;
    zmq_setsockopt(zmq, ZMQ_MAXMSGSIZE, &most, sizeof most);
    set(zmq, ZMQ_LINGER, 0);
    set(zmq, ZMQ_IMMEDIATE, 1);
    set(zmq, ZMQ_HANDSHAKE_IVL, 5000);
    /* In place of ZeroMQ's own heartbeats: with these, libzmq 4.3 aborts the program when a connection ends whose messages are not
     * all read yet, and the time for the next one comes. */
    set(zmq, ZMQ_TCP_KEEPALIVE, 1);
    set(zmq, ZMQ_TCP_KEEPALIVE_IDLE, 5);
    set(zmq, ZMQ_TCP_KEEPALIVE_INTVL, 5);
    set(zmq, ZMQ_TCP_KEEPALIVE_CNT, 3);
    set(zmq, ZMQ_RECONNECT_IVL, 50);
    set(zmq, ZMQ_RECONNECT_IVL_MAX, 1000);
    set(zmq, ZMQ_BACKLOG, 4096);
    set(zmq, ZMQ_SNDHWM, type == ZMQ_ROUTER ? (int)LIMIT_REPLIES : UNSENT_MESSAGES);
    set(zmq, ZMQ_RCVHWM, type == ZMQ_ROUTER ? UNHEARD_MESSAGES : (int)LIMIT_REPLIES);
    if (type == ZMQ_ROUTER) {
        set(zmq, ZMQ_ROUTER_MANDATORY, 1);
        /* Where nobody answers for it (zap.h), it lets in whom the mechanism lets in; but libzmq then refuses ZMTP 1 and 2, as
         * which it would read any bytes. */
        zmq_setsockopt(zmq, ZMQ_ZAP_DOMAIN, ZAP_OPEN, strlen(ZAP_OPEN));
    }
    struct socket *s = xcalloc(1, sizeof *s);
    s->zmq = zmq;
    s->type = type;
    return s;
}

struct socket *socket_close(struct socket *s)
{
    if (!s)
        return NULL;
    zmq_close(s->zmq);
    unsent_fini(&s->unsent);
    for (size_t i = 0; i < s->n_paths; i++) {
        unlink(s->paths[i]);
        free(s->paths[i]);
    }
    free(s->paths);
    free(s);
    return NULL;
}

static const char *hint_for(int error)
{
    switch (error) {
    case EADDRINUSE:
        return "; another program listens there: stop it, or choose another address with --listen";
    case EACCES:
        return "; this user may not create it: check the directory's owner and mode";
    case ENOENT:
        return "; its directory does not exist: create it, or choose another address with --listen";
    case EADDRNOTAVAIL:
    case ENODEV:
        return "; this machine has no such address";
    default:
        return "";
    }
}

static int fail(struct socket *s, const char *verb, const char *address, char **ret_error)
{
    int error = zmq_errno();
    *ret_error = xasprintf("cannot %s %s: %s%s", verb, address, zmq_strerror(error), hint_for(error));
    socket_close(s);
    return -error;
}

/* The umask makes the socket 0660 from its first moment on: its owner and its group may connect. */
static int bind_private(void *zmq, const char *address)
{
    mode_t before = umask(0117);
    int r = zmq_bind(zmq, address);
    int error = errno;
    umask(before);
    errno = error;
    return r;
}

/* libzmq binds a path over a living socket without a word: so it is tried first whether somebody answers there. */
static bool somebody_listens(const char *path)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    cleanup(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || strlen(path) >= sizeof a.sun_path)
        return false;
    memcpy(a.sun_path, path, strlen(path) + 1);
    return connect(fd, (struct sockaddr *)&a, sizeof a) == 0 || errno == EAGAIN;
}

/* ---- keys: of a socket's connections and listeners that come after this ------------------------------- */

static void set_bytes(void *zmq, int option, const void *bytes, size_t n)
{
    int r = zmq_setsockopt(zmq, option, bytes, n);
    assert(r == 0);
}

void socket_set_keys(void *zmq, const struct key_pair *own, const struct key *broker)
{
    if (!own)
        return;
    set_bytes(zmq, ZMQ_CURVE_SERVERKEY, broker->bytes, KEY_BYTES);
    set_bytes(zmq, ZMQ_CURVE_PUBLICKEY, own->public.bytes, KEY_BYTES);
    set_bytes(zmq, ZMQ_CURVE_SECRETKEY, own->secret.bytes, KEY_BYTES);
}

#define ENFORCE_DOMAIN 93 /* ZMQ_ZAP_ENFORCE_DOMAIN, which zmq.h hides: nobody enters without an answer. A belt: it may fail */

/* Options count for the addresses that are bound after them: each may have a key of its own. */
static void serve_with(void *zmq, const struct key_pair *own)
{
    int yes = 1;
    const char *domain = own ? ZAP_KEYED : ZAP_OPEN;
    set(zmq, ZMQ_CURVE_SERVER, own != NULL);
    set_bytes(zmq, ZMQ_ZAP_DOMAIN, domain, strlen(domain));
    if (!own)
        return;
    set_bytes(zmq, ZMQ_CURVE_SECRETKEY, own->secret.bytes, KEY_BYTES);
    zmq_setsockopt(zmq, ENFORCE_DOMAIN, &yes, sizeof yes);
}

/* ---- listening and connecting ---------------------------------------------------------------------- */

static int bind_to(struct socket *s, const char *address)
{
    const char *path = address_ipc_path(address);
    if (path && somebody_listens(path)) {
        errno = EADDRINUSE;
        return -1;
    }
    if (bind_private(s->zmq, address) < 0)
        return -1;
    if (path) {
        s->paths = grow_array(s->paths, &s->cap_paths, s->n_paths + 1, sizeof *s->paths);
        s->paths[s->n_paths++] = xstrdup(path);
    }
    return 0;
}

int socket_listen(struct socket **ret, const char *address, char **ret_error)
{
    struct socket *s = open_socket(ZMQ_ROUTER);
    if (!s || bind_to(s, address) < 0)
        return fail(s, "listen on", address, ret_error);
    *ret = s;
    return 0;
}

/* Where libzmq really listens: a port that it chose, an address instead of a name. */
static int prove(struct socket *s, const struct key_pair *own, char **ret_error)
{
    char bound[256];
    size_t n = sizeof bound;
    if (zmq_getsockopt(s->zmq, ZMQ_LAST_ENDPOINT, bound, &n) < 0)
        return -zmq_errno();
    return zap_prove(bound, &own->public, ret_error);
}

int socket_listen_also(struct socket **s, const char *address, const struct key_pair *own, char **ret_error)
{
    assert(!own || zap_socket());
    if (!*s)
        *s = open_socket(ZMQ_ROUTER);
    if (!*s)
        return fail(NULL, "listen on", address, ret_error);
    serve_with((*s)->zmq, own);
    (*s)->keyed |= own != NULL;
    if (bind_to(*s, address) < 0)
        return fail(NULL, "listen on", address, ret_error);
    return own ? prove(*s, own, ret_error) : 0;
}

int socket_connect(struct socket **ret, const char *address, char **ret_error)
{
    return socket_connect_keyed(ret, address, NULL, NULL, ret_error);
}

int socket_connect_keyed(struct socket **ret, const char *address, const struct key_pair *own, const struct key *broker,
                         char **ret_error)
{
    struct socket *s = open_socket(ZMQ_DEALER);
    if (s)
        socket_set_keys(s->zmq, own, broker);
    if (!s || zmq_connect(s->zmq, address) < 0)
        return fail(s, "connect to", address, ret_error);
    *ret = s;
    return 0;
}

/* ---- sending ---------------------------------------------------------------------------------------- */

static int send_frame(struct socket *s, struct str bytes, int flags)
{
    return zmq_send(s->zmq, bytes.p, bytes.n, ZMQ_DONTWAIT | flags) < 0 ? -zmq_errno() : 0;
}

static int send_counted(struct socket *s, const char *routing_id, struct str message)
{
    struct unsent_message *counted = unsent_add(&s->unsent, routing_id, message);
    zmq_msg_t m;
    zmq_msg_init_data(&m, unsent_bytes(counted), message.n, unsent_freed, counted);
    if (zmq_msg_send(&m, s->zmq, ZMQ_DONTWAIT) >= 0)
        return 0;
    int error = zmq_errno();
    zmq_msg_close(&m);
    return -error;
}

size_t socket_unsent(const struct socket *s, const char *routing_id) { return unsent_of(&s->unsent, routing_id); }
size_t socket_unsent_all(void) { return unsent_all(); }

int socket_send(struct socket *s, struct str message)
{
    return message.n > LIMIT_MESSAGE_BYTES ? -EMSGSIZE : send_frame(s, message, 0);
}

int socket_send_to(struct socket *s, const char *routing_id, struct str message)
{
    if (message.n > LIMIT_MESSAGE_BYTES)
        return -EMSGSIZE;
    int r = send_frame(s, (struct str){ routing_id, ROUTING_ID_BYTES }, ZMQ_SNDMORE);
    if (r < 0)
        return r;
    return message.n < UNSENT_COUNTED_FROM_BYTES ? send_frame(s, message, 0) : send_counted(s, routing_id, message);
}

/* ---- receiving, waiting ----------------------------------------------------------------------------- */

void frame_fini(struct frame *f)
{
    if (!f->owned)
        return;
    zmq_msg_close(f->owned);
    free(f->owned);
    *f = (struct frame){ .uid = -1 };
}

/* libzmq 4.3 appends `:UID:GID:PID` from SO_PEERCRED to the peer address of a Unix socket; the address itself is then
 * the constant "localhost", which no TCP peer's numeric address can be. */
static int64_t peer_uid(zmq_msg_t *m)
{
    const char *peer = zmq_msg_gets(m, "Peer-Address");
    long long uid, gid, pid;
    char end;
    if (!peer || sscanf(peer, "localhost:%lld:%lld:%lld%c", &uid, &gid, &pid, &end) != 3)
        return -1;
    return uid;
}

/* The key's digits, as zap.c named the connection's user. */
static const char *peer_key(const struct socket *s, zmq_msg_t *m)
{
    const char *user = s->keyed ? zmq_msg_gets(m, "User-Id") : NULL;
    return user && strlen(user) == KEY_DIGITS ? user : NULL;
}

static int recv_part(struct socket *s, zmq_msg_t *m)
{
    zmq_msg_init(m);
    if (zmq_msg_recv(m, s->zmq, ZMQ_DONTWAIT) < 0) {
        int error = zmq_errno();
        zmq_msg_close(m);
        return -error;
    }
    return 0;
}

/* Reads on to the end of the message, so that the next read starts at a message's beginning. */
static int throw_away(struct socket *s, zmq_msg_t *m)
{
    while (zmq_msg_more(m)) {
        zmq_msg_close(m);
        if (recv_part(s, m) < 0)
            return -EBADMSG;
    }
    zmq_msg_close(m);
    return -EBADMSG;
}

/* A routing id of the ROUTER's own making has 5 bytes, the first 0. libzmq's own DEALER chooses none like that; a peer that
 * speaks ZMTP by itself can, though never one that is in use. */
static int recv_routing_id(struct socket *s, char *ret)
{
    zmq_msg_t m;
    int r = recv_part(s, &m);
    if (r < 0)
        return r;
    const char *id = zmq_msg_data(&m);
    if (zmq_msg_size(&m) != ROUTING_ID_BYTES || id[0] != 0 || !zmq_msg_more(&m))
        return throw_away(s, &m);
    memcpy(ret, id, ROUTING_ID_BYTES);
    zmq_msg_close(&m);
    return 0;
}

int socket_recv(struct socket *s, struct frame *ret)
{
    struct frame f = { .uid = -1 };
    int r = s->type == ZMQ_ROUTER ? recv_routing_id(s, f.routing_id) : 0;
    if (r < 0)
        return r;
    zmq_msg_t m;
    r = recv_part(s, &m);
    if (r < 0)
        return r;
    if (zmq_msg_more(&m))
        return throw_away(s, &m);
    f.uid = peer_uid(&m);
    f.owned = xmalloc(sizeof m);
    zmq_msg_init(f.owned);
    zmq_msg_move(f.owned, &m);
    f.p = zmq_msg_data(f.owned);
    f.n = zmq_msg_size(f.owned);
    f.key = f.uid < 0 ? peer_key(s, f.owned) : NULL;
    *ret = f;
    return 0;
}

static size_t list_sockets(zmq_pollitem_t *items, struct socket *const *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        items[i] = (zmq_pollitem_t){ .socket = s[i]->zmq, .events = ZMQ_POLLIN };
    return n;
}

static size_t list_fds(zmq_pollitem_t *items, const struct pollfd *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        items[i] = (zmq_pollitem_t){ .fd = fds[i].fd, .events = fds[i].events & POLLIN ? ZMQ_POLLIN : 0 };
    return n;
}

/* Whoever waits at the door is answered by the thread that listens. */
int socket_poll_all(struct socket *const *s, size_t n_sockets, struct pollfd *fds, size_t n, int64_t timeout_ms)
{
    zmq_pollitem_t few[POLL_FEW], *items = n_sockets + n < POLL_FEW ? few : xcalloc(n_sockets + n + 1, sizeof *items);
    cleanup(freep) void *many = items == few ? NULL : items;
    bool door = n_sockets && s[0]->type == ZMQ_ROUTER && zap_socket();
    size_t at = list_sockets(items, s, n_sockets);
    at += list_fds(items + at, fds, n);
    if (door)
        items[at] = (zmq_pollitem_t){ .socket = zap_socket(), .events = ZMQ_POLLIN };
    if (zmq_poll(items, (int)at + door, timeout_ms) < 0)
        return -zmq_errno();
    if (door && items[at].revents)
        zap_answer();
    int readable = 0;
    for (size_t i = 0; i < n_sockets; i++)
        readable += (items[i].revents & ZMQ_POLLIN) != 0;
    for (size_t i = 0; i < n; i++)
        fds[i].revents = items[n_sockets + i].revents ? POLLIN : 0;
    return readable;
}

int socket_poll(struct socket *s, struct pollfd *fds, size_t n, int64_t timeout_ms)
{
    return socket_poll_all(&s, 1, fds, n, timeout_ms);
}
