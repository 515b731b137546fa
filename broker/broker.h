/* broker.h - the core: takes messages and the time, changes the store, and puts what is to be said into the outbox.
 *
 * No socket, clock or thread in here: loop.c brings them, and so does a simulation. One turn is
 *
 *     broker_recv(...) for each message that waits
 *     due = broker_tick(b, now)            what is due; dispatch
 *     broker_end_turn(b, send, ctx, now)   commits, and only then sends
 *
 * A verb of the store that fails makes the whole turn fail: the first error is kept in `failed`, nothing more is done in this
 * turn, and broker_commit decides. */
#ifndef TERN_BROKER_H
#define TERN_BROKER_H

#include "broker/grants.h"
#include "broker/old_workers.h"
#include "broker/outbox.h"
#include "broker/peer.h"
#include "broker/retry.h"
#include "broker/worker.h"

struct broker_options {
    struct store_options store;
    int64_t heartbeat_ms, lost_after_ms;
    int64_t retention_ms;       /* finished jobs are kept so long */
    uint64_t keep_finished;     /* and so many */
    uint64_t max_payload_bytes;
    int disk_busy_percent;      /* from here on submits get `busy: disk` */
    int64_t own_uid;            /* whose processes are admins, beside root */
    int64_t worker_uid;         /* who may be a worker, and is no admin; -1: nobody else */
    struct amounts shared;      /* what all workers share; its names and places are borrowed */
    uint64_t seed;              /* of the jitter */
    const char *software;       /* static: name and version */
    /* Hands a query to the reader; -EBUSY when it has too many. NULL: queries are refused (simulation). */
    int (*ask_reader)(void *ctx, const struct peer *p, uint64_t epoch, const struct message *m, struct str owner);
    void *ctx;
};

/* A request of this turn, for `busy: disk` when the turn fails. */
struct asked {
    char routing_id[ROUTING_ID_BYTES];
    uint64_t session, req;
};

struct broker {
    struct broker_options options;
    struct store *store;        /* owned */
    struct outbox outbox;
    struct classes classes;
    struct peers peers;
    struct grants *grants;      /* owned: the keys that are known */
    struct strmap quotas;       /* by owner; of struct quota, owned: of keys that were here */
    bool open_limits;           /* some key has a limit of open jobs */
    bool open_limits_told;      /* the store knows them */
    struct strmap workers;      /* by instance; of struct worker, owned */
    struct old_workers old_workers;
    struct idmap leases;        /* by job; of struct lease, owned */
    struct idmap watched;       /* by job: struct watch, owned: the waits that look at it */
    struct link any_waits;      /* of struct wait: those for any of their jobs */
    const struct outcome *recorded; /* borrowed: while it is being recorded; else NULL */
    struct link moving_waits;   /* of struct wait: those that look for the next job to watch */
    struct link moving_changes; /* of struct change: those that are not through yet */
    struct link reports;        /* of struct lease: those that say how far they are */
    bool cascades;              /* there may be children to be cancelled with their parents */
    struct cascade {
        uint64_t parent;        /* whose children are being cancelled; 0: the next in the store */
        char after[LIMIT_NAME_BYTES + 1]; /* behind this key */
    } cascade;
    struct rng rng;
    int failed;                 /* the first error of the store in this turn */
    uint64_t worker_changes;    /* counts up when a worker comes, goes or changes what it serves */
    uint64_t credit_changes;    /* counts up when there may be room where there was none */
    bool dispatch_on;           /* the last turn's dispatch stopped at its budget */
    int64_t last_turn_mono_ms;
    int64_t next_due_ms, next_expiry_ms; /* wall; NEVER */
    int64_t next_upkeep_mono_ms, next_measures_mono_ms, next_forgetting_mono_ms, next_rebalance_mono_ms, next_starts_mono_ms;
    uint64_t finished_at_sweep; /* counts.finished, when finished jobs were last deleted */
    bool disk_busy;
    struct asked *asked;        /* owned: of this turn */
    size_t n_asked, cap_asked;
    struct broker_counts {
        uint64_t submitted, finished, retried, lost, turns, bad_messages, refused_results, dropped_replies, busy, revoked;
    } counts;
    int64_t bad_logged_mono_ms;
    struct {
        int64_t since_mono_ms;
        size_t n;
    } dead_logged;              /* jobs that died in this second */
    int64_t started_wall_ms;
};

/* On failure *ret_error is owned by the caller. */
int broker_open(struct broker **ret, const struct broker_options *o, struct now now, char **ret_error);
struct broker *broker_close(struct broker *b);

/* One message. uid: of the sender on a Unix socket, told by the kernel; -1: not known. */
void broker_recv(struct broker *b, const char *routing_id, int64_t uid, struct str bytes, struct now now);
/* The same from a peer that has proved to hold this key. Is it none of the known ones (any more), it is told so. */
void broker_recv_keyed(struct broker *b, const char *routing_id, const char *key, struct str bytes, struct now now);
/* The keys that are known from now on (taken over). Whose key is gone is cut off: it is told, its session ends, and what it held
 * goes back to the queue. Whose rights have changed begins a new session. */
void broker_set_grants(struct broker *b, struct grants *g, struct now now);
/* Does what is due. Returns the monotonic time in ms when it wants to be called again; at most a heartbeat away. */
int64_t broker_tick(struct broker *b, struct now now);
typedef int broker_send_fn(void *ctx, const char *routing_id, struct str bytes);
/* The two halves of the end of a turn, in this order and no other. 1: another turn should come at once; 0; < 0: the end:
 * nothing was sent, and nothing may be. */
int broker_end_turn(struct broker *b, broker_send_fn *send, void *ctx, struct now now);
/* 0: the turn is true, or it was not and everybody has been told (`busy: disk`). < 0: the end. */
int broker_commit(struct broker *b, struct now now);
/* Sends the outbox. What a worker cannot be sent goes back to the queue in the next turn: then true, and that turn should
 * come at once. */
bool broker_flush(struct broker *b, broker_send_fn *send, void *ctx, struct now now);
/* Between turns, at the end: what is kept in memory and written now and then. */
int broker_save(struct broker *b);
/* How many jobs are in each state, by the counts that are kept. */
void broker_count_jobs(const struct broker *b, uint64_t ret_n[static N_STATES]);
/* Everybody hears BYE; nothing is taken after that. */
void broker_say_bye(struct broker *b);

/* ---- for the files of the core ------------------------------------------------------------------ */

/* Keeps the first error of a turn. True when the turn has failed. */
bool broker_failed(struct broker *b, int r);
/* Puts m into the outbox, with the header that the peer expects. */
void broker_send(struct broker *b, struct peer *p, struct message *m);
void broker_send_error(struct broker *b, struct peer *p, uint64_t req, enum error_code code, const char *format, ...)
    printf_like(5, 6);
/* Tells a connection that its session is none (any more). */
void broker_say_hello_again(struct broker *b, const char *routing_id, const char *text);
/* A worker that holds nothing any more, with its connection, if it has one. */
void broker_forget_worker(struct broker *b, struct worker *w);
/* A worker that will not be heard of again in this session: what it holds goes back to the queue, uncounted, and it is forgotten,
 * with its connection, if it has one. */
void broker_part_worker(struct broker *b, struct worker *w, const char *why, struct now now);
/* A peer is gone: its waits end; a worker stays, unconnected, until it is lost. */
void broker_drop_peer(struct broker *b, struct peer *p);

#endif
