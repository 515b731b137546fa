/* address.h - where the broker (or several) is, when nobody said so: --broker, TERN_BROKER, the configuration,
 * this user's own `tern up` if it runs, the default. */
#ifndef TERN_ADDRESS_H
#define TERN_ADDRESS_H

#include "proto/base/base.h"

#define ADDRESS_DEFAULT "ipc:///run/tern/broker.sock"

/* Where, and with which keys; the keys may be NULL. */
struct address {
    char *broker, *key, *broker_key; /* owned; brokers.h reads the lists that they may be */
    char **homes;                    /* owned: QUEUE=ADDRESS, as the configuration says */
    size_t n_homes, cap;
};

/* What was said on the command line stays (each may be NULL); the rest is found: in the environment (TERN_BROKER, TERN_KEY,
 * TERN_BROKER_KEY), the configuration (config: --config, or NULL), a service's credentials (client.key, broker.pub). -EINVAL and a
 * text when the configuration cannot be read. */
int address_find(struct address *a, const char *config, char **ret_error);
void address_fini(struct address *a);

#endif
