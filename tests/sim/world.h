/* world.h - the simulated world: one seed decides everything that happens in it.
 *
 * The real broker core on a real database file, the real link logic of the workers, clients that know the protocol; the
 * clock is a number and the network a list. Processes die at any step, connections are cut, messages are late, lost or
 * repeated, wall clocks jump. record.h keeps its own notes of what was acknowledged and what ran, and compares. */
#ifndef TERN_SIM_WORLD_H
#define TERN_SIM_WORLD_H

#include "broker/broker.h"
#include "proto/base/rng.h"
#include "worker/link.h"

#define N_WORKERS 3
#define N_CLIENTS 2
#define N_NODES (N_WORKERS + N_CLIENTS)
#define JOBS_MAX 4000
#define HEARTBEAT_MS 100
#define LOST_AFTER_MS 500

struct record;

/* What may go wrong in this run. */
struct faults {
    bool broker_dies, worker_dies, cuts, drops, repeats, wall_jumps, disk_full;
};

/* A message under way. */
struct letter {
    struct link link;
    int64_t arrives_ms;
    char routing_id[ROUTING_ID_BYTES];
    char *bytes; /* owned */
    size_t n;
};

/* A connection of one node to the broker: first in, first out in each direction, as ZeroMQ keeps it. */
struct wire {
    char routing_id[ROUTING_ID_BYTES];
    struct link to_broker, to_node;
    int64_t down_until_ms;
};

struct sim_worker;
struct sim_client;

struct world {
    uint64_t seed;
    struct rng rng;
    struct now now;
    struct faults faults;
    bool calm;              /* faults have stopped: from here on everything must end */
    char db_path[128];
    struct broker *broker;  /* NULL while dead */
    int64_t broker_back_ms, disk_full_until_ms;
    uint32_t last_routing_id;
    struct wire wires[N_NODES]; /* workers first */
    struct sim_worker *workers[N_WORKERS];
    struct sim_client *clients[N_CLIENTS];
    struct record *record;
    bool trace;
};

/* Ends the run with the seed, the time and what was broken. */
_Noreturn void world_fail(const struct world *w, const char *format, ...) printf_like(2, 3);
void world_trace(const struct world *w, const char *format, ...) printf_like(2, 3);
#define world_check(w, condition, ...)                                                             \
    do {                                                                                           \
        if (!(condition))                                                                          \
            world_fail(w, __VA_ARGS__);                                                            \
    } while (0)
/* True once in n. */
bool world_chance(struct world *w, unsigned n);

/* net.c */
void net_init(struct world *w, size_t node);
void net_fini(struct world *w, size_t node);
/* The connection is gone, with all that was under way; the next one has another routing id. */
void net_cut(struct world *w, size_t node, int64_t down_ms);
int net_send_to_broker(struct world *w, size_t node, struct str bytes);
int net_send_to_node(void *world, const char *routing_id, struct str bytes);
/* The next message that has arrived, or NULL; the caller frees it with letter_free. */
struct letter *net_recv_at_broker(struct world *w, size_t *node_hint);
struct letter *net_recv_at_node(struct world *w, size_t node);
void letter_free(struct letter *l);

/* broker.c */
void sim_broker_turn(struct world *w);
void sim_broker_kill(struct world *w, int64_t down_ms);

/* worker.c */
struct sim_worker *sim_worker_new(struct world *w, size_t node);
void sim_worker_free(struct sim_worker *s);
void sim_worker_turn(struct world *w, struct sim_worker *s);
void sim_worker_print(const struct sim_worker *s);

/* client.c */
struct sim_client *sim_client_new(struct world *w, size_t node);
void sim_client_free(struct sim_client *c);
void sim_client_turn(struct world *w, struct sim_client *c);
/* It submits no more, and has had all its answers. */
bool sim_client_is_through(const struct sim_client *c);
void sim_client_stop_submitting(struct sim_client *c);

#endif
