/* addresses.h - the brokers that a person named: `ADDRESS`, or `ADDRESS, ADDRESS`, and their keys in the same order. */
#ifndef TERN_ADDRESSES_H
#define TERN_ADDRESSES_H

#include "proto/base/base.h"
#include "proto/limits.h"

struct addresses {
    struct broker_address {
        char *address; /* owned; as written */
        char *key;     /* owned: its public key, or the file of it; or NULL */
    } at[LIMIT_BROKERS];
    size_t n;
};

/* Only a comma before another ipc:// or tcp:// parts two addresses: the path of a socket may hold one. keys: one for all, or one for
 * each in the same order; may be NULL. -EINVAL with a text in *ret_error, owned by the caller: too many, one named twice, or not as
 * many keys. To be freed in any case. */
int addresses_read(struct addresses *a, const char *text, const char *keys, char **ret_error);
void addresses_fini(struct addresses *a);
bool addresses_find(const struct addresses *a, const char *address, size_t *ret_place);
bool addresses_are_several(const char *text);

#endif
