/* greeting.h - what a ZeroMQ peer says before all else, and without being asked for a key: whether it wants one. */
#ifndef TERN_GREETING_H
#define TERN_GREETING_H

#include "proto/base/base.h"

/* Reads the greeting (ZMTP 3, RFC 23) of whoever listens at the other end of fd, a stream that was just connected and does not
 * block, and is of no use for anything else afterwards. The listener hears the half of ours that names no mechanism, so that it
 * has nothing to refuse. *ret_keyed: it lets in those with keys alone. -ETIMEDOUT; -ECONNRESET: it has hung up, which says nothing
 * about keys; -EPROTO: it speaks something else; -errno. */
int greeting_read(int fd, int64_t timeout_ms, bool *ret_keyed);

#endif
