/* net.c - a network that is late, loses, repeats and is cut; within a connection it keeps the order. */
#include <stdio.h>

#include "tests/sim/world.h"

void letter_free(struct letter *l)
{
    free(l->bytes);
    free(l);
}

static void drop_all(struct link *queue)
{
    for (struct link *l; (l = list_pop(queue));)
        letter_free(list_entry(l, struct letter, link));
}

static void new_routing_id(struct world *w, struct wire *wire)
{
    uint32_t n = ++w->last_routing_id;
    wire->routing_id[0] = 0;
    memcpy(wire->routing_id + 1, &n, sizeof n);
}

void net_init(struct world *w, size_t node)
{
    list_init(&w->wires[node].to_broker);
    list_init(&w->wires[node].to_node);
    new_routing_id(w, &w->wires[node]);
}

void net_fini(struct world *w, size_t node)
{
    drop_all(&w->wires[node].to_broker);
    drop_all(&w->wires[node].to_node);
}

void net_cut(struct world *w, size_t node, int64_t down_ms)
{
    net_fini(w, node);
    new_routing_id(w, &w->wires[node]);
    w->wires[node].down_until_ms = w->now.mono_ms + down_ms;
}

static void post(struct world *w, struct link *queue, const char *routing_id, struct str bytes)
{
    struct letter *l = xcalloc(1, sizeof *l);
    l->arrives_ms = w->now.mono_ms + (int64_t)rng_below(&w->rng, w->calm ? 3 : 20);
    if (!list_empty(queue))
        l->arrives_ms = max_i64(l->arrives_ms, list_entry(queue->prev, struct letter, link)->arrives_ms);
    memcpy(l->routing_id, routing_id, ROUTING_ID_BYTES);
    l->bytes = xmalloc(bytes.n);
    memcpy(l->bytes, bytes.p, bytes.n);
    l->n = bytes.n;
    list_add_tail(queue, &l->link);
}

/* ZeroMQ loses a message only with its connection: all that is under way goes with it, and what follows comes by a new one. */
static bool is_lost(struct world *w, size_t node)
{
    if (!w->faults.drops || w->calm || !world_chance(w, 60))
        return false;
    net_cut(w, node, 0);
    return true;
}

int net_send_to_broker(struct world *w, size_t node, struct str bytes)
{
    struct wire *wire = &w->wires[node];
    if (wire->down_until_ms > w->now.mono_ms || !w->broker)
        return -EAGAIN;
    if (is_lost(w, node))
        return 0;
    post(w, &wire->to_broker, wire->routing_id, bytes);
    if (w->faults.repeats && !w->calm && world_chance(w, 60))
        post(w, &wire->to_broker, wire->routing_id, bytes);
    return 0;
}

int net_send_to_node(void *world, const char *routing_id, struct str bytes)
{
    struct world *w = world;
    for (size_t i = 0; i < N_NODES; i++)
        if (memcmp(w->wires[i].routing_id, routing_id, ROUTING_ID_BYTES) == 0) {
            if (!is_lost(w, i))
                post(w, &w->wires[i].to_node, routing_id, bytes);
            return 0;
        }
    return -EHOSTUNREACH;
}

static struct letter *take_arrived(struct world *w, struct link *queue)
{
    if (list_empty(queue))
        return NULL;
    struct letter *l = list_entry(queue->next, struct letter, link);
    if (l->arrives_ms > w->now.mono_ms)
        return NULL;
    list_remove(&l->link);
    return l;
}

struct letter *net_recv_at_broker(struct world *w, size_t *node)
{
    for (; *node < N_NODES; (*node)++) {
        struct letter *l = take_arrived(w, &w->wires[*node].to_broker);
        if (l)
            return l;
    }
    return NULL;
}

struct letter *net_recv_at_node(struct world *w, size_t node)
{
    return take_arrived(w, &w->wires[node].to_node);
}
