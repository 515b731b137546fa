/* net.c - letters in lists. */
#include "tests/sim/net.h"

#include "tests/sim/world.h"

#define LATE_MS 20
#define STRAY_MS 100

void letter_free(struct letter *l)
{
    free(l->bytes);
    free(l);
}

static void drop_all(struct link *letters)
{
    for (struct link *l; (l = list_pop(letters));)
        letter_free(list_entry(l, struct letter, link));
}

static void new_routing_id(struct net *net, struct wire *wire)
{
    uint32_t n = ++net->last_routing_id;
    wire->routing_id[0] = 0;
    memcpy(wire->routing_id + 1, &n, sizeof n);
}

void net_init(struct net *net, size_t n)
{
    *net = (struct net){ .wires = xcalloc(n, sizeof *net->wires), .n = n };
    list_init(&net->strays);
    for (size_t i = 0; i < n; i++) {
        list_init(&net->wires[i].to_broker.letters);
        list_init(&net->wires[i].to_node.letters);
        new_routing_id(net, &net->wires[i]);
    }
}

void net_fini(struct net *net)
{
    for (size_t i = 0; i < net->n; i++) {
        drop_all(&net->wires[i].to_broker.letters);
        drop_all(&net->wires[i].to_node.letters);
        if (net->wires[i].to_broker.kept)
            letter_free(net->wires[i].to_broker.kept);
        if (net->wires[i].to_node.kept)
            letter_free(net->wires[i].to_node.kept);
    }
    drop_all(&net->strays);
    free(net->wires);
}

/* What the broker's socket has in its buffers of a dead connection may be read after what came by the next one. */
static void let_one_stray(struct world *w, struct wire *wire)
{
    struct link *first = world_chance(w, 2) ? list_pop(&wire->to_broker.letters) : NULL;
    if (!first)
        return;
    list_entry(first, struct letter, link)->arrives_ms = w->now.mono_ms + (int64_t)rng_below(&w->rng, STRAY_MS);
    list_add_tail(&w->net.strays, first);
}

void net_drop_strays(struct net *net) { drop_all(&net->strays); }

void net_cut(struct world *w, size_t node, int64_t down_ms)
{
    struct wire *wire = &w->net.wires[node];
    let_one_stray(w, wire);
    drop_all(&wire->to_broker.letters);
    drop_all(&wire->to_node.letters);
    if (world_chance(w, 2))
        memcpy(wire->ghost_id, wire->routing_id, ROUTING_ID_BYTES);
    new_routing_id(&w->net, wire);
    wire->down_until_ms = w->now.mono_ms + down_ms;
}

static int64_t some_time(struct rng *lot) { return (int64_t)rng_below(lot, rng_below(lot, 4) ? 50 : 2 * LOST_AFTER_MS); }

void net_turn(struct world *w)
{
    struct rng *lot = fault_draw(&w->faults, FAULT_CUT, 300);
    if (lot) {
        size_t node = rng_below(lot, N_NODES);
        int64_t down = some_time(lot);
        world_trace(w, "%s is cut off for %ld ms", node_name(node), (long)down);
        net_cut(w, node, down);
    }
    lot = fault_draw(&w->faults, FAULT_ONE_WAY, 300);
    if (lot) {
        size_t node = rng_below(lot, N_NODES);
        struct way *way = rng_below(lot, 2) ? &w->net.wires[node].to_broker : &w->net.wires[node].to_node;
        way->stands_until_ms = w->now.mono_ms + some_time(lot);
        world_trace(w, "nothing arrives %s %s until %ld", way == &w->net.wires[node].to_node ? "at" : "from", node_name(node),
                    (long)way->stands_until_ms);
    }
}

static struct letter *letter_new(struct world *w, size_t node, const char *routing_id, struct str bytes)
{
    struct letter *l = xcalloc(1, sizeof *l);
    l->arrives_ms = w->now.mono_ms + (int64_t)rng_below(&w->rng, w->faults.over ? 3 : LATE_MS);
    l->node = node;
    memcpy(l->routing_id, routing_id, ROUTING_ID_BYTES);
    l->bytes = xmalloc(bytes.n);
    memcpy(l->bytes, bytes.p, bytes.n);
    l->n = bytes.n;
    return l;
}

static void post(struct world *w, size_t node, struct way *way, const char *routing_id, struct str bytes)
{
    struct letter *l = letter_new(w, node, routing_id, bytes), *last = list_entry(way->letters.prev, struct letter, link);
    bool alone = list_empty(&way->letters);
    if (!alone && fault_draw(&w->faults, FAULT_REORDER, 60)) {
        world_trace(w, "the next message overtakes the one before it");
        l->arrives_ms = last->arrives_ms;
        list_add_tail(&last->link, &l->link); /* before the last one */
        return;
    }
    if (!alone)
        l->arrives_ms = max_i64(l->arrives_ms, last->arrives_ms);
    list_add_tail(&way->letters, &l->link);
}

static void send_by(struct world *w, size_t node, struct way *way, const char *routing_id, struct str bytes)
{
    if (fault_draw(&w->faults, FAULT_LOSE_CONNECTION, 60)) {
        world_trace(w, "a message is lost, and the connection of %s with it", node_name(node));
        net_cut(w, node, 0);
        return;
    }
    if (fault_draw(&w->faults, FAULT_LOSE, 60)) {
        world_trace(w, "a message %s %s is lost", way == &w->net.wires[node].to_node ? "to" : "from", node_name(node));
        return;
    }
    post(w, node, way, routing_id, bytes);
    struct rng *lot = fault_draw(&w->faults, FAULT_REPEAT, 60);
    if (!lot)
        return;
    world_trace(w, "a message %s %s is repeated", way == &w->net.wires[node].to_node ? "to" : "from", node_name(node));
    bool late = rng_below(lot, 4) && way->kept && memcmp(way->kept->routing_id, routing_id, ROUTING_ID_BYTES) == 0;
    if (late)
        post(w, node, way, routing_id, (struct str){ way->kept->bytes, way->kept->n });
    else
        post(w, node, way, routing_id, bytes);
    if (way->kept)
        letter_free(way->kept);
    way->kept = letter_new(w, node, routing_id, bytes); /* the next one that is repeated, and late */
}

int net_send_to_broker(struct world *w, size_t node, struct str bytes)
{
    struct wire *wire = &w->net.wires[node];
    if (wire->down_until_ms > w->now.mono_ms || !w->broker)
        return -EAGAIN;
    send_by(w, node, &wire->to_broker, wire->routing_id, bytes);
    return 0;
}

int net_send_to_node(struct world *w, const char *routing_id, struct str bytes)
{
    for (size_t i = 0; i < w->net.n; i++) {
        struct wire *wire = &w->net.wires[i];
        if (memcmp(wire->ghost_id, routing_id, ROUTING_ID_BYTES) == 0)
            return 0;
        if (memcmp(wire->routing_id, routing_id, ROUTING_ID_BYTES) == 0) {
            send_by(w, i, &wire->to_node, wire->routing_id, bytes);
            return 0;
        }
    }
    return -EHOSTUNREACH;
}

static struct letter *take_arrived(struct world *w, struct link *letters)
{
    struct letter *l = list_entry(letters->next, struct letter, link);
    if (list_empty(letters) || l->arrives_ms > w->now.mono_ms)
        return NULL;
    list_remove(&l->link);
    return l;
}

static struct letter *take_from_way(struct world *w, struct way *way)
{
    return way->stands_until_ms > w->now.mono_ms && !w->faults.over ? NULL : take_arrived(w, &way->letters);
}

struct letter *net_recv_at_broker(struct world *w)
{
    struct letter *l = take_arrived(w, &w->net.strays);
    for (size_t i = 0; !l && i < w->net.n; i++)
        l = take_from_way(w, &w->net.wires[i].to_broker);
    return l;
}

struct letter *net_recv_at_node(struct world *w, size_t node) { return take_from_way(w, &w->net.wires[node].to_node); }
