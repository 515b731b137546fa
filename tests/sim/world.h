/* world.h - the simulated world: one seed decides everything that happens in it.
 *
 * The real broker core on a real database on a simulated disk, the real link logic of the workers, clients that know the
 * protocol; the clock is a number and the network a list. fault.h says what goes wrong. record.h keeps its own notes of what was
 * promised and what ran; check.h holds the broker and its database against them. */
#ifndef TERN_SIM_WORLD_H
#define TERN_SIM_WORLD_H

#include <sys/types.h>

#include "broker/broker.h"
#include "tests/sim/fault.h"
#include "tests/sim/net.h"
#include "worker/link.h"

#define N_WORKERS 3
#define N_CLIENTS 2
#define N_NODES (N_WORKERS + N_CLIENTS)
#define JOBS_MAX 4000 /* of all clients together */
#define SLOTS 3 /* of each pool of a worker */
#define CARDS 3    /* of each worker; some jobs need 1 or 2 of them */
#define LICENCES 5 /* of all; some jobs need 2 */
#define OPEN_JOBS 120 /* of the last client, at some times; at others half of it, or as many as it likes */
#define HEARTBEAT_MS 100
#define LOST_AFTER_MS 500

struct record;
struct sim_worker;
struct sim_client;

/* What becomes of a run: read by whoever started it. In memory that processes share. */
struct report {
    bool failed;
    uint64_t seed;
    uint64_t about;   /* the job that it failed by; 0: none */
    char text[512];
    struct fault_list happened;
    uint64_t seeds, jobs, attempts, kept, kept_late, faults[N_FAULTS];
};

struct world {
    uint64_t seed;
    struct rng rng;
    struct now now;
    struct faults faults;
    struct report *report;      /* borrowed */
    char db_path[128];
    uint64_t keep_finished;     /* jobs; older ones are deleted */
    struct amounts shared;      /* LICENCES */
    int64_t open_before;        /* open jobs of the last client, after the last turn */
    struct broker *broker;      /* NULL while dead */
    int64_t broker_back_ms, broker_stalls_until_ms, disk_full_until_ms;
    struct rng disk_rng;        /* what a broken disk keeps */
    struct net net;
    struct sim_worker *workers[N_WORKERS];
    struct sim_client *clients[N_CLIENTS];
    struct record *record;
    uint64_t kept, kept_late;   /* checkpoints: acknowledged; and refused, of an attempt that was followed by another */
    bool trace;
    uint64_t trace_job;         /* only what is about it; 0: all */
};

/* Ends the run: puts the seed, the time and what was broken into the report. about: a job, or 0. */
_Noreturn void world_fail(const struct world *w, uint64_t about, const char *format, ...) printf_like(3, 4);
#define world_check(w, about, condition, ...)                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            world_fail(w, about, __VA_ARGS__);                                                     \
    } while (0)
/* True once in n; for what is no fault. */
bool world_chance(struct world *w, unsigned n);

/* trace.c */
const char *node_name(size_t node);
void world_trace(const struct world *w, const char *format, ...) printf_like(2, 3);
void world_trace_message(const struct world *w, const char *from, const char *to, const struct message *m);

/* sim_broker.c */
void sim_broker_turn(struct world *w);

/* sim_worker.c */
struct sim_worker *sim_worker_new(struct world *w, size_t node);
void sim_worker_free(struct sim_worker *s);
void sim_worker_turn(struct world *w, struct sim_worker *s);
void sim_worker_print(const struct sim_worker *s);

/* sim_client.c */
struct sim_client *sim_client_new(struct world *w, size_t node);
void sim_client_free(struct sim_client *c);
void sim_client_turn(struct world *w, struct sim_client *c);
/* It submits no more, and has had all its answers. */
bool sim_client_is_through(const struct sim_client *c);
void sim_client_stop_submitting(struct sim_client *c);

/* run.c: one world, from its seed to its end. Does not return when something is broken. */
void sim_run(uint64_t seed, const struct fault_list *only, struct report *report, bool trace, uint64_t trace_job);

/* Removes what a process that ran worlds, and crashed, has left. */
void sim_clean_up(pid_t pid);

#endif
