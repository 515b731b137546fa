/* net.h - a network between nodes and the broker that is late, loses, repeats, changes the order, and is cut, one way too. */
#ifndef TERN_SIM_NET_H
#define TERN_SIM_NET_H

#include "proto/base/list.h"
#include "proto/base/base.h"
#include "proto/socket.h"

struct world;

/* A message under way. */
struct letter {
    struct link link;
    int64_t arrives_ms;
    size_t node; /* whose wire it is on */
    char routing_id[ROUTING_ID_BYTES];
    char *bytes; /* owned */
    size_t n;
};

struct way {
    struct link letters;
    int64_t stands_until_ms; /* nothing arrives before */
    struct letter *kept;     /* owned: sent some time ago on this connection, and perhaps sent again; NULL: none */
};

/* A connection of one node to the broker: but for faults first in, first out in each direction, as ZeroMQ keeps it. */
struct wire {
    char routing_id[ROUTING_ID_BYTES];
    char ghost_id[ROUTING_ID_BYTES]; /* of the connection before: dead, and the broker's socket does not know it yet */
    struct way to_broker, to_node;
    int64_t down_until_ms;
};

struct net {
    struct wire *wires;   /* owned: a node each */
    size_t n;
    struct link strays;   /* of letters: sent to the broker by connections that are dead */
    uint32_t last_routing_id;
};

void net_init(struct net *net, size_t n);
void net_fini(struct net *net);
/* The connection is gone, and nearly all that was under way on it; the next one has another routing id. */
void net_cut(struct world *w, size_t node, int64_t down_ms);
/* What has arrived at the broker's socket, and was not read, goes with its process. */
void net_drop_strays(struct net *net);
/* Cuts, or stops one direction of, whatever the lots say. */
void net_turn(struct world *w);
/* -EAGAIN: not connected. */
int net_send_to_broker(struct world *w, size_t node, struct str bytes);
/* -EHOSTUNREACH: nobody has this routing id (any more). */
int net_send_to_node(struct world *w, const char *routing_id, struct str bytes);
/* The next message that has arrived, or NULL; the caller frees it with letter_free. */
struct letter *net_recv_at_broker(struct world *w);
struct letter *net_recv_at_node(struct world *w, size_t node);
void letter_free(struct letter *l);

#endif
