/* address.h - where the broker is, when nobody said so: --broker, TERN_BROKER, the configuration,
 * this user's own `tern up` if it runs, the default. */
#ifndef TERN_ADDRESS_H
#define TERN_ADDRESS_H

#include "proto/base/base.h"

#define ADDRESS_DEFAULT "ipc:///run/tern/broker.sock"

/* broker: --broker, or NULL; config: --config, or NULL. *ret is owned by the caller. -EINVAL and a
 * text when the configuration cannot be read. */
int address_find(const char *broker, const char *config, char **ret, char **ret_error);

#endif
