/* peer.h - one connection that has said HELLO: who it is, what it may, and what it waits for. */
#ifndef TERN_PEER_H
#define TERN_PEER_H

#include "broker/grant.h"
#include "proto/base/clock.h"
#include "proto/base/list.h"
#include "proto/base/map.h"
#include "proto/message.h"
#include "proto/socket.h"

struct worker;

/* Who has sent a message, as the socket tells. */
struct sender {
    int64_t uid;           /* of the process, told by the kernel; -1: not known */
    const char *key;       /* the digits of the key that it has proved to hold; NULL: none */
    const struct grant *grant; /* what it may; NULL: nothing (any more) */
};

struct peer {
    char routing_id[ROUTING_ID_BYTES];
    uint64_t session;
    int64_t uid;           /* of the process, told by the kernel; -1: not known */
    char key[KEY_DIGITS + 1]; /* empty: none */
    const struct grant *grant; /* borrowed: what it may. Never NULL */
    char *owner;           /* owned: "uid:1000", "key:NAME", or "local" without a known user */
    bool admin;            /* sees and changes everything */
    struct quota *quota;   /* borrowed: what all that hold this key share; NULL without a key */
    unsigned char instance[16];
    struct worker *worker; /* borrowed; NULL for a client */
    uint64_t orders, reports; /* of a worker: the last numbers in this session (proto/numbered.h) */
    int64_t heard_mono_ms;
    uint64_t busy_first, busy_last; /* the submits that were answered with busy and are to come again; 0: none */
    int64_t busy_mono_ms;  /* when busy_first was heard of last */
    uint64_t submits_turn; /* n_submits: those of this turn of the broker */
    unsigned n_submits;
    struct link waits;     /* of struct wait */
    struct link changes;   /* of struct change */
    size_t n_open;         /* of both */
};

struct peers {
    struct strmap by_routing_id;
    uint64_t last_session;
};

struct peer *peers_find(const struct peers *p, const char *routing_id);
/* A new one, or the old one with a new session; -EBUSY past LIMIT_PEERS. */
int peers_add(struct peers *p, const char *routing_id, struct peer **ret);
/* The caller has freed its waits and changes. */
void peers_remove(struct peers *p, struct peer *peer);
void peers_fini(struct peers *p);

#endif
