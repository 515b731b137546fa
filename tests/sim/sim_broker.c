/* sim_broker.c - the real core, a turn at a time; it dies, stands still, and its disk fails, at any step of a turn. */
#include <stdio.h>

#include "tests/sim/check.h"
#include "tests/sim/disk.h"
#include "tests/sim/record.h"
#include "tests/sim/world.h"

#define DISK_OPS_A_TURN 12 /* a crash or an error of the disk comes within so many operations */

#define KEY "7777777777777777777777777777777777777777777777777777777777777777"

/* The last of the clients comes by a key: an admin's, as the others are admins, but with a limit. */
static struct grants *grants_of(const struct world *w)
{
    cleanup(freep) char *error = NULL;
    struct grants *all = xcalloc(1, sizeof *all);
    struct grant *g = xcalloc(1, sizeof *g);
    grant_init(g);
    g->name = xstrdup("ada");
    g->role_text = xstrdup("admin");
    g->key_text = xstrdup(KEY);
    g->open_jobs = (int64_t)(store_epoch(w->broker->store) % 3) * OPEN_JOBS / 2;
    int r = grant_check(g, &error);
    world_check(w, 0, r >= 0, "the key is wrong: %s", error ? error : "?");
    strmap_put(&all->by_key, str_of(g->digits), g);
    return all;
}

#define KEPT_MS 2000 /* finished jobs, in a world that deletes them */

static void start(struct world *w)
{
    struct broker_options o = {
        .store = { .path = w->db_path, .quiet = true, .vfs = DISK_VFS, .drop_cache = disk_drop_cache },
        .heartbeat_ms = HEARTBEAT_MS,
        .lost_after_ms = LOST_AFTER_MS,
        .retention_ms = w->keep_finished < JOBS_MAX ? KEPT_MS : 7ll * 86400 * 1000,
        .keep_finished = w->keep_finished,
        .max_payload_bytes = LIMIT_PAYLOAD_BYTES,
        .disk_busy_percent = 101,
        .shared = w->shared,
        .own_uid = 0,
        .seed = rng_next(&w->rng),
        .software = "sim",
    };
    cleanup(freep) char *error = NULL;
    disk_set_full(false);
    int r = broker_open(&w->broker, &o, w->now, &error);
    world_check(w, 0, r >= 0, "P1: the broker does not come back: %s", error ? error : "?");
    broker_set_grants(w->broker, grants_of(w), w->now);
    world_trace(w, "broker starts: epoch %lu", (unsigned long)store_epoch(w->broker->store));
    w->open_before = INT64_MAX; /* what was done in a turn that was not checked is not known */
    check_promises(w);
}

/* keep_all: the process died; else the power failed, and the disk keeps what it kept. */
static void die(struct world *w, bool keep_all, int64_t down_ms)
{
    world_trace(w, "%s", keep_all ? "broker is dead" : "broker is dead, and what was not synced is lost");
    disk_power_off();
    w->broker = broker_close(w->broker);
    disk_restart(&w->disk_rng, keep_all);
    w->broker_back_ms = w->now.mono_ms + down_ms;
    for (size_t i = 0; i < N_NODES; i++)
        net_cut(w, i, 0);
    net_drop_strays(&w->net);
}

/* Sends until it dies, if it is to die. What was sent is a promise. */
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
    struct message m;
    const char *why;
    int r = message_decode(&m, bytes.p, bytes.n, &why);
    world_check(s->world, 0, r >= 0, "the broker sends a bad message: %s", why);
    record_promised(s->world, &m);
    message_fini(&m);
    return net_send_to_node(s->world, routing_id, bytes);
}

static void recv_all(struct world *w)
{
    for (struct letter *l; (l = net_recv_at_broker(w)); letter_free(l))
        if (l->node == N_NODES - 1)
            broker_recv_keyed(w->broker, l->routing_id, KEY, (struct str){ l->bytes, l->n }, w->now);
        else
            broker_recv(w->broker, l->routing_id, 0, (struct str){ l->bytes, l->n }, w->now);
}

/* The disk fills up for a while; what was asked meanwhile is answered with busy. */
static void fill_disk(struct world *w)
{
    if (w->now.mono_ms < w->disk_full_until_ms)
        return;
    disk_set_full(false);
    struct rng *lot = fault_draw(&w->faults, FAULT_DISK_FULL, 200);
    if (!lot)
        return;
    w->disk_full_until_ms = w->now.mono_ms + (int64_t)rng_below(lot, 100);
    world_trace(w, "the disk is full until %ld", (long)w->disk_full_until_ms);
    disk_set_full(true);
}

/* How this turn is to go. */
struct doom {
    enum { LIVES, DIES_BEFORE_COMMIT, DIES_BEFORE_SENDING, DIES_SENDING } how;
    int sent;          /* DIES_SENDING: so many messages leave */
    bool keep_all;     /* what was not synced survives */
    bool disk;         /* the disk decides: it breaks, or the power fails in the middle of a write */
    int64_t down_ms;
};

static struct doom draw_doom(struct world *w)
{
    struct doom d = { .keep_all = true };
    struct rng *lot = fault_draw(&w->faults, FAULT_BROKER_DIES, 200);
    if (!lot && (lot = fault_draw(&w->faults, FAULT_POWER_FAILS, 250)))
        d.keep_all = false;
    if (lot) {
        d.how = 1 + (int)rng_below(lot, 3);
        d.sent = (int)rng_below(lot, 4);
        d.disk = rng_below(lot, 2);
    } else if ((lot = fault_draw(&w->faults, FAULT_DISK_BREAKS, 250))) {
        d.disk = true;
        d.keep_all = rng_below(lot, 2);
    } else {
        return d;
    }
    d.down_ms = (int64_t)rng_below(lot, 400);
    rng_init(&w->disk_rng, rng_next(lot));
    if (d.disk)
        disk_fail_at(1 + rng_below(lot, DISK_OPS_A_TURN), d.how ? DISK_CRASH : DISK_EIO, &w->disk_rng);
    return d;
}

static void turn(struct world *w, const struct doom *d)
{
    recv_all(w);
    if (world_chance(w, 4))
        w->broker->old_workers.next_mono_ms = 0; /* which it does seldom */
    broker_tick(w->broker, w->now);
    if (d->how == DIES_BEFORE_COMMIT && !d->disk) {
        die(w, d->keep_all, d->down_ms);
        return;
    }
    struct sending s = { w, d->how == DIES_BEFORE_SENDING ? 0 : d->how == DIES_SENDING ? d->sent : -1 };
    uint64_t promises = record_promises(w);
    int r = broker_end_turn(w->broker, send_until_death, &s, w->now);
    if (r < 0) {
        world_check(w, 0, d->disk, "the commit failed: %d %s", r, store_error_text(w->broker->store));
        world_check(w, 0, promises == record_promises(w), "P1: something was sent though the commit failed");
        die(w, d->keep_all, d->down_ms);
        return;
    }
    world_check(w, 0, !disk_is_off(), "P1: the disk is gone, and the broker says that it committed");
    disk_fail_at(0, DISK_NO_FAULT, NULL);
    check_turn(w);
    if (d->how)
        die(w, d->keep_all, d->down_ms);
}

static bool stands_still(struct world *w)
{
    struct rng *lot = fault_draw(&w->faults, FAULT_BROKER_STALLS, 500);
    if (lot) {
        w->broker_stalls_until_ms = w->now.mono_ms + (int64_t)rng_below(lot, 3 * LOST_AFTER_MS);
        world_trace(w, "the broker stands still until %ld", (long)w->broker_stalls_until_ms);
    }
    return w->now.mono_ms < w->broker_stalls_until_ms;
}

void sim_broker_turn(struct world *w)
{
    if (w->broker && stands_still(w))
        return;
    if (!w->broker) {
        if (w->now.mono_ms < w->broker_back_ms)
            return;
        start(w);
    }
    fill_disk(w);
    struct doom d = draw_doom(w);
    turn(w, &d);
}
