/* unsent.c - what ZeroMQ holds of a ROUTER's messages, by connection. */
#include "proto/unsent.h"

#include <stdatomic.h>

#include "proto/socket.h"

/* Of one connection. Freed by whoever is the last to let go: the socket, or ZeroMQ's thread with the last message. */
struct unsent {
    atomic_size_t users, bytes;
    char routing_id[ROUTING_ID_BYTES];
};

struct unsent_message {
    struct unsent *unsent;
    size_t n;
    char bytes[];
};

static atomic_size_t n_all;

static struct str key_of(const char *routing_id)
{
    return (struct str){ routing_id, ROUTING_ID_BYTES };
}

static void let_go(struct unsent *u)
{
    if (atomic_fetch_sub(&u->users, 1) == 1)
        free(u);
}

void unsent_freed(void *bytes, void *message)
{
    struct unsent_message *m = message;
    (void)bytes;
    atomic_fetch_sub(&m->unsent->bytes, m->n);
    atomic_fetch_sub(&n_all, m->n);
    let_go(m->unsent);
    free(m);
}

void unsent_fini(struct unsent_table *t)
{
    struct unsent *u;
    for (size_t i = 0; (u = strmap_next(&t->by_id, &i));)
        let_go(u);
    strmap_fini(&t->by_id);
}

/* Looks at one connection a time: each new one that is noted makes an old one be looked at. */
static void tidy(struct unsent_table *t)
{
    struct unsent *u = strmap_next(&t->by_id, &t->at);
    if (!u)
        t->at = 0;
    if (!u || atomic_load(&u->users) > 1)
        return;
    strmap_remove(&t->by_id, key_of(u->routing_id));
    let_go(u);
}

static struct unsent *find_or_add(struct unsent_table *t, const char *routing_id)
{
    tidy(t);
    struct unsent *u = strmap_find(&t->by_id, key_of(routing_id));
    if (u)
        return u;
    u = xcalloc(1, sizeof *u);
    atomic_init(&u->users, 1);
    memcpy(u->routing_id, routing_id, ROUTING_ID_BYTES);
    strmap_put(&t->by_id, key_of(routing_id), u);
    return u;
}

struct unsent_message *unsent_add(struct unsent_table *t, const char *routing_id, struct str message)
{
    struct unsent_message *m = xmalloc(sizeof *m + message.n);
    m->unsent = find_or_add(t, routing_id);
    m->n = message.n;
    memcpy(m->bytes, message.p, message.n);
    atomic_fetch_add(&m->unsent->users, 1);
    atomic_fetch_add(&m->unsent->bytes, m->n);
    atomic_fetch_add(&n_all, m->n);
    return m;
}

char *unsent_bytes(struct unsent_message *m) { return m->bytes; }

size_t unsent_of(const struct unsent_table *t, const char *routing_id)
{
    struct unsent *u = strmap_find(&t->by_id, key_of(routing_id));
    return u ? atomic_load(&u->bytes) : 0;
}

size_t unsent_all(void) { return atomic_load(&n_all); }
