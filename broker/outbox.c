/* outbox.c - messages that wait for their commit. */
#include "broker/outbox.h"

void outbox_clear(struct outbox *o)
{
    for (size_t i = 0; i < o->n; i++)
        free(o->entries[i].bytes);
    o->n = o->bytes = 0;
}

void outbox_fini(struct outbox *o)
{
    outbox_clear(o);
    free(o->entries);
    *o = (struct outbox){ 0 };
}

static void append(struct outbox *o, const char *routing_id, enum message_type type, char *bytes, size_t n)
{
    o->entries = grow_array(o->entries, &o->cap, o->n + 1, sizeof *o->entries);
    struct outbox_entry *e = &o->entries[o->n++];
    *e = (struct outbox_entry){ .type = type, .bytes = bytes, .n = n };
    memcpy(e->routing_id, routing_id, ROUTING_ID_BYTES);
    o->bytes += n;
}

void outbox_add(struct outbox *o, const char *routing_id, const struct message *m)
{
    struct buf b;
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    int r = message_encode(&b, m);
    assert(r >= 0);
    append(o, routing_id, m->type, b.p, b.n);
}

void outbox_add_bytes(struct outbox *o, const char *routing_id, enum message_type type, struct str bytes)
{
    char *copy = xmalloc(bytes.n);
    memcpy(copy, bytes.p, bytes.n);
    append(o, routing_id, type, copy, bytes.n);
}
