/* sim_broker.c - the real core, a turn at a time; it dies before the commit, after it, or in the middle of sending. */
#include <stdio.h>

#include "tests/sim/disk.h"
#include "tests/sim/record.h"
#include "tests/sim/world.h"

static void start(struct world *w)
{
    struct broker_options o = {
        .store = { .path = w->db_path, .quiet = true, .vfs = DISK_VFS },
        .heartbeat_ms = HEARTBEAT_MS,
        .lost_after_ms = LOST_AFTER_MS,
        .retention_ms = 7ll * 86400 * 1000,
        .keep_finished = 1000000,
        .max_payload_bytes = LIMIT_PAYLOAD_BYTES,
        .disk_busy_percent = 101,
        .own_uid = 0,
        .seed = rng_next(&w->rng),
        .software = "sim",
    };
    char *error = NULL;
    disk_set_full(false);
    int r = broker_open(&w->broker, &o, w->now, &error);
    world_check(w, r >= 0, "P1: the broker does not come back: %s", error ? error : "?");
}

void sim_broker_kill(struct world *w, int64_t down_ms)
{
    world_trace(w, "broker dies");
    w->broker = broker_close(w->broker);
    w->broker_back_ms = w->now.mono_ms + down_ms;
    for (size_t i = 0; i < N_NODES; i++)
        net_cut(w, i, 0);
}

/* Sends until it dies, if it is to die. */
struct sending {
    struct world *world;
    int left; /* messages until death; -1: never */
};

static int send_until_death(void *ctx, const char *routing_id, struct str bytes)
{
    struct sending *s = ctx;
    if (s->left == 0)
        return 0;
    s->left -= s->left > 0;
    return net_send_to_node(s->world, routing_id, bytes);
}

static void recv_all(struct world *w)
{
    size_t node = 0;
    for (struct letter *l; (l = net_recv_at_broker(w, &node));) {
        broker_recv(w->broker, l->routing_id, 0, (struct str){ l->bytes, l->n }, w->now);
        letter_free(l);
    }
}

/* The disk fills up for a while; what was asked meanwhile is answered with busy, and nothing that was acknowledged is lost. */
static void fill_disk(struct world *w)
{
    if (w->now.mono_ms < w->disk_full_until_ms)
        return;
    disk_set_full(false);
    if (!w->faults.disk_full || w->calm || !world_chance(w, 200))
        return;
    w->disk_full_until_ms = w->now.mono_ms + (int64_t)rng_below(&w->rng, 100);
    world_trace(w, "the disk is full until %ld", (long)w->disk_full_until_ms);
    disk_set_full(true);
}

void sim_broker_turn(struct world *w)
{
    if (!w->broker) {
        if (w->now.mono_ms < w->broker_back_ms)
            return;
        world_trace(w, "broker starts");
        start(w);
    }
    fill_disk(w);
    bool dies = w->faults.broker_dies && !w->calm && world_chance(w, 150);
    unsigned where = (unsigned)rng_below(&w->rng, 3);
    int64_t down = (int64_t)rng_below(&w->rng, 400);
    recv_all(w);
    broker_tick(w->broker, w->now);
    if (dies && where == 0) {
        sim_broker_kill(w, down);
        return;
    }
    struct sending s = { w, dies && where == 1 ? 0 : dies ? (int)rng_below(&w->rng, 4) : -1 };
    int r = broker_end_turn(w->broker, send_until_death, &s, w->now);
    world_check(w, r >= 0, "the commit failed: %d %s", r, store_error_text(w->broker->store));
    record_check_turn(w);
    if (dies)
        sim_broker_kill(w, down);
}
