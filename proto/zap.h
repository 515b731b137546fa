/* zap.h - who may come in: libzmq asks for each connection that listens with a key or in a domain (ZAP, RFC 27), and is answered
 * by the thread that polls the listening socket. One a process, opened before anything listens. */
#ifndef TERN_ZAP_H
#define TERN_ZAP_H

#include "proto/key.h"

/* Is this key one of those that may come in? */
typedef bool zap_admit_fn(void *ctx, const struct key *key, const char *address);

/* -EADDRINUSE when there is one. */
int zap_open(zap_admit_fn *admit, void *ctx, char **ret_error);
void zap_close(void);
/* libzmq's socket, to be polled; NULL when none is open. */
void *zap_socket(void);
/* Answers those who wait. */
void zap_answer(void);

/* The domains of listening sockets: without a key, and with one. */
#define ZAP_OPEN "tern"
#define ZAP_KEYED "tern-keyed"

/* What a connection to address comes to: 0 it is let in; -EACCES: the key is not known there; -EPROTO: there is another broker's
 * key, or none; -ETIMEDOUT. own: NULL for a stranger that has none at all. */
int zap_try(const char *address, const struct key_pair *own, const struct key *broker, int64_t timeout_ms);

/* Tries the door of a listening socket of this process: a key that nobody knows, and none at all, must be refused. */
int zap_prove(const char *address, const struct key *broker, char **ret_error);

#endif
