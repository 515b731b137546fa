/* brokers.h - the brokers that a person named: `ADDRESS`, or `ADDRESS, ADDRESS`; the place in that list, from 1, is how people call
 * one of several. */
#ifndef TERN_BROKERS_H
#define TERN_BROKERS_H

#include "client/address.h"
#include "proto/limits.h"

struct tern_client;

struct brokers {
    struct broker {
        char *address;              /* owned; as written */
        char *key;                  /* owned: its public key, or the file of it; or NULL */
        struct tern_client *client; /* owned; NULL until somebody asked for it */
        int status;                 /* why it could not be connected */
    } at[LIMIT_BROKERS];
    size_t n;
    struct home {
        char *queue; /* owned */
        size_t place;
    } *homes;        /* owned: queues that were given one by hand */
    size_t n_homes, cap;
};

/* Splits the addresses and their keys, and reads the homes. -EINVAL with a text in *ret_error, owned by the caller. */
int brokers_read(struct brokers *b, const struct address *a, char **ret_error);
/* The place of a queue's home, from 0. */
size_t brokers_home(const struct brokers *b, const char *queue);
void brokers_fini(struct brokers *b);

#endif
