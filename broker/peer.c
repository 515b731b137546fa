/* peer.c - the table of connections. */
#include "broker/peer.h"

#include "broker/quota.h"

static struct str key_of(const char *routing_id)
{
    return (struct str){ routing_id, ROUTING_ID_BYTES };
}

struct peer *peers_find(const struct peers *p, const char *routing_id)
{
    return strmap_find(&p->by_routing_id, key_of(routing_id));
}

int peers_add(struct peers *p, const char *routing_id, struct peer **ret)
{
    struct peer *peer = peers_find(p, routing_id);
    if (!peer) {
        if (p->by_routing_id.n >= LIMIT_PEERS)
            return -EBUSY;
        peer = xcalloc(1, sizeof *peer);
        memcpy(peer->routing_id, routing_id, ROUTING_ID_BYTES);
        list_init(&peer->waits);
        list_init(&peer->changes);
        strmap_put(&p->by_routing_id, key_of(routing_id), peer);
    }
    peer->session = ++p->last_session;
    peer->orders = peer->reports = 0;
    *ret = peer;
    return 0;
}

void peers_remove(struct peers *p, struct peer *peer)
{
    assert(list_empty(&peer->waits) && list_empty(&peer->changes));
    quota_leave(peer->quota);
    strmap_remove(&p->by_routing_id, key_of(peer->routing_id));
    free(peer->owner);
    free(peer);
}

void peers_fini(struct peers *p)
{
    struct peer *peer;
    for (size_t i = 0; (peer = strmap_next(&p->by_routing_id, &i));) {
        quota_leave(peer->quota);
        free(peer->owner);
        free(peer);
    }
    strmap_fini(&p->by_routing_id);
}
