/* address.h - where a broker listens: ipc:///PATH or tcp://HOST:PORT. */
#ifndef TERN_PROTO_ADDRESS_H
#define TERN_PROTO_ADDRESS_H

#include "proto/base/base.h"

/* Is this an address tern may use? NULL, or what is wrong with it (owned by the caller). What is said where keys are missing depends
 * on who asks: a broker, or whoever connects to one. */
enum address_keys { ADDRESS_HAS_KEYS, ADDRESS_WANTS_BROKER_KEY, ADDRESS_WANTS_KEYS };
char *address_check(const char *address, enum address_keys keys, bool insecure_loopback);
bool address_is_tcp(const char *address);
/* The path of an ipc:// address, or NULL. */
const char *address_ipc_path(const char *address);

#endif
