/* outbox.h - what a turn wants to say. It leaves after the commit that makes it true, or not at all. */
#ifndef TERN_OUTBOX_H
#define TERN_OUTBOX_H

#include "proto/message.h"
#include "proto/socket.h"

struct outbox_entry {
    char routing_id[ROUTING_ID_BYTES];
    enum message_type type;
    char *bytes; /* owned */
    size_t n;
};

struct outbox {
    struct outbox_entry *entries; /* owned */
    size_t n, cap;
    size_t bytes; /* of all */
};

void outbox_fini(struct outbox *o);
/* Encodes m and keeps it. A message that would be over the limit is a bug of ours, but for answers to queries, which are
 * bounded by their makers: asserts. */
void outbox_add(struct outbox *o, const char *routing_id, const struct message *m);
/* Takes bytes that are encoded already; they are copied. */
void outbox_add_bytes(struct outbox *o, const char *routing_id, enum message_type type, struct str bytes);
/* Throws everything away: the turn has failed. */
void outbox_clear(struct outbox *o);

#endif
