/* socket.h - the only door to ZeroMQ: one ROUTER at the broker, a DEALER at everybody else.
 *
 * One message is one frame with one msgpack body. All options are set before bind or connect; nothing here ever blocks
 * but socket_poll. A socket belongs to the thread that opened it. One ZeroMQ context a process, made at the first open. */
#ifndef TERN_SOCKET_H
#define TERN_SOCKET_H

#include "proto/address.h"
#include "proto/base/buf.h"
#include "proto/key.h"

struct socket;
struct pollfd;

/* A connection as the ROUTER names it. No two have the same at a time. It is no proof of who that is: a hostile peer can choose
 * one that is free, such as that of a connection that has ended. */
#define ROUTING_ID_BYTES 5

/* A message that has arrived. p is valid until frame_fini. */
struct frame {
    const char *p;
    size_t n;
    char routing_id[ROUTING_ID_BYTES]; /* from a ROUTER */
    int64_t uid; /* of the process at the other end of a Unix socket, told by the kernel; else -1 */
    const char *key; /* digits of the key that the peer has proved to hold, valid as p is; NULL: none */
    void *owned;
};
void frame_fini(struct frame *f);

/* Binds a ROUTER. *ret_error: what was wrong and what to do, owned by the caller. -EADDRINUSE, -EACCES, -EINVAL... */
int socket_listen(struct socket **ret, const char *address, char **ret_error);
/* One more address of the same ROUTER, which is made with the first. own: the broker's key there; NULL: no keys, which is for Unix
 * sockets (and --insecure-loopback) alone. With a key: zap_open has been called, and a stranger is sent there and must be refused.
 * On failure the caller closes *s. */
int socket_listen_also(struct socket **s, const char *address, const struct key_pair *own, char **ret_error);
/* Connects a DEALER. That nobody listens there is no error: ZeroMQ goes on trying. */
int socket_connect(struct socket **ret, const char *address, char **ret_error);
/* The same with keys: its own, and the one that the broker must have. own NULL: without. */
int socket_connect_keyed(struct socket **ret, const char *address, const struct key_pair *own, const struct key *broker,
                         char **ret_error);
/* What is not sent yet is dropped. NULL is fine. Returns NULL. */
struct socket *socket_close(struct socket *s);

/* -EAGAIN: no connection, or its queue is full; -EMSGSIZE: over LIMIT_MESSAGE_BYTES. */
int socket_send(struct socket *s, struct str message);
/* From a ROUTER. -EHOSTUNREACH: that connection is gone; -EAGAIN: its queue is full. */
int socket_send_to(struct socket *s, const char *routing_id, struct str message);
/* Bytes that were sent to a connection, or to all of this process, and are still in ZeroMQ's hands: the peer does not read, or not
 * as fast. Messages of less than 512 bytes are not counted. */
size_t socket_unsent(const struct socket *s, const char *routing_id);
size_t socket_unsent_all(void);
/* -EAGAIN: nothing there. -EBADMSG: a message of more than one frame, or from a peer that chose its own routing id, was
 * thrown away; go on reading. */
int socket_recv(struct socket *s, struct frame *ret);
/* Waits for the socket or the descriptors (as in poll(2)), at most timeout_ms, -1: for ever. 1: the socket is readable;
 * 0: it is not; -EINTR. fds may be NULL when n is 0. */
int socket_poll(struct socket *s, struct pollfd *fds, size_t n, int64_t timeout_ms);
/* The same with several: how many are readable. */
int socket_poll_all(struct socket *const *s, size_t n_sockets, struct pollfd *fds, size_t n, int64_t timeout_ms);

/* For zap.c alone: libzmq's context; and the keys of one of its sockets that is to connect. */
void *socket_context(void);
void socket_set_keys(void *zmq, const struct key_pair *own, const struct key *broker);

#endif
