/* unsent.h - what ZeroMQ holds of a ROUTER's messages, by connection.
 *
 * Its high-water mark counts messages, which may be of 20 bytes or of 16 MiB. So messages that are not tiny are counted by their
 * bytes as well, from where they are handed over until ZeroMQ frees them: written, or dropped with their connection. */
#ifndef TERN_UNSENT_H
#define TERN_UNSENT_H

#include "proto/base/map.h"

#define UNSENT_COUNTED_FROM_BYTES 64u /* smaller ones: LIMIT_REPLIES a connection are few bytes */

/* Of one socket; zeroed it is empty. */
struct unsent_table {
    struct strmap by_id; /* by routing id; of struct unsent */
    size_t at;           /* the next one to be looked at */
};

void unsent_fini(struct unsent_table *t);

/* A copy of the message, counted until unsent_freed. */
struct unsent_message *unsent_add(struct unsent_table *t, const char *routing_id, struct str message);
char *unsent_bytes(struct unsent_message *m);
/* For ZeroMQ to call, in its own thread too; the first argument is not looked at. */
void unsent_freed(void *bytes, void *message);

/* Bytes of one connection; of all sockets of this process. */
size_t unsent_of(const struct unsent_table *t, const char *routing_id);
size_t unsent_all(void);

#endif
