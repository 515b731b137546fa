/* libtern_probe.c - ZeroMQ never says that nobody listens, it goes on trying. So that a person
 * hears at once what is wrong, a plain connect(2) goes first. */
#include "client/libtern.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/greeting.h"
#include "proto/zap.h"

#define HANDSHAKE_MS 2000

static int unreachable(struct tern_client *c, int error)
{
    if (error == EACCES)
        return client_fail(c, -EACCES,
                           "not allowed to connect to %s: the socket's owner and group may (as a "
                           "rule the group tern)",
                           c->address);
    return client_fail(c, -EHOSTUNREACH,
                       "no broker at %s: %s; start one for yourself with `tern up`, or name "
                       "another with --broker or "
                       "TERN_BROKER",
                       c->address, strerror(error));
}

static int probe_path(struct tern_client *c, const char *path)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    memcpy(a.sun_path, path, min_size(strlen(path), sizeof a.sun_path - 1));
    cleanup(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return client_fail(c, -errno, "cannot make a socket: %s", strerror(errno));
    /* EAGAIN: somebody listens, and has much to do. */
    if (connect(fd, (const struct sockaddr *)&a, sizeof a) < 0 && errno != EAGAIN)
        return unreachable(c, errno);
    return 0;
}

/* A connected socket, or the -errno of connecting to this one address. */
static int try_address(const struct addrinfo *a, int64_t timeout_ms)
{
    cleanup(closep) int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
        return TAKE_FD(fd);
    struct pollfd p = { .fd = fd, .events = POLLOUT };
    if (errno != EINPROGRESS)
        return -errno;
    if (poll(&p, 1, (int)min_i64(timeout_ms, INT32_MAX)) <= 0)
        return -ETIMEDOUT;
    int error = 0;
    socklen_t n = sizeof error;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n);
    return error ? -error : TAKE_FD(fd);
}

static int fail_other_key(struct tern_client *c)
{
    return client_fail(c, -EHOSTUNREACH, "what answers at %s does not have the key that --broker-key says: it is another broker, it has "
                                         "a new key, or it has none", c->address);
}

/* libzmq goes on trying whatever the broker says: only a handshake that is watched tells why nobody answers. */
static int probe_key(struct tern_client *c)
{
    int r = zap_try(c->address, &c->own, &c->broker_key, min_i64(c->silence_ms, HANDSHAKE_MS));
    if (r == -EACCES)
        return client_fail(c, r, "the broker at %s does not know this client's key: let it in there with `tern-broker authorize "
                                 "NAME.pub`", c->address);
    return r == -EPROTO ? fail_other_key(c) : 0;
}

/* One that says nothing in time, or hangs up, tells nothing about keys: HELLO will have no answer either. */
static int probe_keys(struct tern_client *c, int fd)
{
    bool broker_keyed, keyed = client_uses_keys(c);
    if (greeting_read(fd, min_i64(c->silence_ms, HANDSHAKE_MS), &broker_keyed) < 0)
        return 0;
    if (broker_keyed && !keyed)
        return client_fail(c, -EACCES, "the broker at %s lets nobody in without a key: name yours with --key (`tern keygen NAME` makes "
                                       "one) and the broker's with --broker-key", c->address);
    if (keyed)
        return broker_keyed ? probe_key(c) : fail_other_key(c);
    return 0;
}

static int probe_host(struct tern_client *c, const char *where)
{
    const char *colon = strrchr(where, ':');
    if (!colon)
        return client_fail(c, -EINVAL, "address %s: a TCP address is tcp://HOST:PORT", c->address);
    bool brackets = where[0] == '[' && colon > where + 1 && colon[-1] == ']';
    cleanup(freep) char *host =
        xstrndup((struct str){ where + brackets, (size_t)(colon - where) - 2u * brackets });
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
    int r = getaddrinfo(host, colon + 1, &hints, &found);
    if (r != 0)
        return client_fail(c, -EHOSTUNREACH, "no broker at %s: %s", c->address, gai_strerror(r));
    cleanup(closep) int fd = -EHOSTUNREACH;
    for (const struct addrinfo *a = found; a && fd < 0; a = a->ai_next)
        fd = try_address(a, c->silence_ms);
    freeaddrinfo(found);
    return fd < 0 ? unreachable(c, -fd) : probe_keys(c, fd);
}

int probe_address(struct tern_client *c)
{
    cleanup(freep) char *wrong = address_check(c->address, client_uses_keys(c) ? ADDRESS_HAS_KEYS : ADDRESS_WANTS_KEYS, true);
    if (wrong)
        return client_fail(c, -EINVAL, "%s", wrong);
    const char *path = address_ipc_path(c->address);
    return path ? probe_path(c, path) : probe_host(c, c->address + strlen("tcp://"));
}
