/* broker_harness.h - the broker's core on a bench: a database in a temporary folder, a clock that
 * stands until it is moved, connections that are names, and all that the broker has sent as a list.
 * After every turn memory and database are compared. */
#ifndef TERN_TESTS_BROKER_HARNESS_H
#define TERN_TESTS_BROKER_HARNESS_H

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/broker.h"
#include "broker/change.h"
#include "broker/lease.h"
#include "broker/store_internal.h"
#include "broker/wait.h"

#define OWN_UID 500
#define HEARTBEAT_MS 2000
#define LOST_AFTER_MS 10000
#define SENT_MAX 4096

struct sent {
    char routing_id[ROUTING_ID_BYTES];
    struct buf bytes; /* what m points into */
    struct message m;
    bool taken;
};

struct bench {
    char dir[64], path[96];
    struct broker_options options;
    struct broker *broker;
    struct now now;
    struct sent *sent; /* owned: SENT_MAX */
    size_t n_sent;
    int refuse;        /* what the socket says to refuse_to's messages; 0: it takes them */
    char refuse_to[ROUTING_ID_BYTES];
    bool unchecked;    /* memory and database are not compared: too many jobs */
    int last_commit;
};

/* One connection, of a client or of a worker. */
struct conn {
    char id[ROUTING_ID_BYTES];
    int64_t uid;
    const char *key; /* digits; NULL: none */
    uint64_t epoch, session, seq, req, count;
    unsigned char instance[16];
    const char *name; /* of a worker */
    uint64_t slots[N_POOLS];
    const char *queue; /* NULL: all */
    const char *label; /* NULL: none */
    struct amount amount; /* name unset: none */
};

void bench_start(struct bench *t);
void bench_forget_sent(struct bench *t);
/* The broker is killed, and started again. */
void bench_restart(struct bench *t);
int64_t bench_number(const struct bench *t, const char *text);
int64_t bench_job(const struct bench *t, uint64_t id, const char *column);

#define assert_state(t, id, wanted) assert_int_equal(bench_job(t, id, "state"), wanted)

/* ---- turns -------------------------------------------------------------------------------------- */

int bench_take(void *ctx, const char *routing_id, struct str bytes);
/* Ends the turn. What was sent in the one before is forgotten. Returns what broker_commit says. */
int bench_turn(struct bench *t);
void bench_advance(struct bench *t, int64_t ms);
/* Time goes by, and the broker is awake all the while. */
void bench_live(struct bench *t, int64_t ms);

/* ---- talking: broker_talk.c --------------------------------------------------------------------- */

/* The next message of this type to this connection that was not looked at yet, or NULL. */
const struct message *bench_next(struct bench *t, const struct conn *c, enum message_type type);
const struct message *bench_expect(struct bench *t, const struct conn *c, enum message_type type);
void bench_expect_error(struct bench *t, const struct conn *c, enum error_code code, const char *part);
void bench_tell_raw(struct bench *t, const struct conn *c, struct str bytes);
/* As the connection's session. */
void bench_tell(struct bench *t, const struct conn *c, struct message *m);
struct conn bench_conn(const char *id, int64_t uid);
const struct message *bench_welcome(struct bench *t, struct conn *c);
struct message bench_hello(const struct conn *c, const char *role);
struct conn bench_client(struct bench *t, const char *id, int64_t uid);
/* The handlers that every worker of these tests has. cpu runs in a process, io in a thread, net on
 * the loop. */
size_t bench_handlers(struct handler_info ret[4]);
/* HELLO of a worker, with what it holds; the answer is in the list of what was sent. */
const struct message *bench_worker_hello(struct bench *t, struct conn *c, struct held *held, size_t n_held);
struct conn bench_worker(struct bench *t, const char *id, uint64_t process, uint64_t thread, uint64_t loop);
void bench_beat(struct bench *t, struct conn *c);
struct job_spec bench_spec(const char *handler);
void bench_ask_submit(struct bench *t, struct conn *c, uint64_t seq, struct job_spec *jobs, size_t n);
/* Submits and ends the turn; the first id. */
uint64_t bench_submit_many(struct bench *t, struct conn *c, struct job_spec *jobs, size_t n);
uint64_t bench_submit_spec(struct bench *t, struct conn *c, struct job_spec s);
uint64_t bench_submit(struct bench *t, struct conn *c, const char *handler);
uint64_t bench_submit_n(struct bench *t, struct conn *c, struct job_spec s, size_t n);
/* The ids that were sent to a worker in RUNs of the last turn, in order. */
size_t bench_runs(struct bench *t, const struct conn *c, struct run_job *ret, size_t max);
struct run_job bench_run(struct bench *t, const struct conn *c);
void bench_tell_started(struct bench *t, const struct conn *c, uint64_t job, uint64_t attempt);
struct outcome bench_outcome(uint64_t job, uint64_t attempt, enum ending ending);
void bench_tell_outcome(struct bench *t, const struct conn *c, struct outcome o);
/* A result, and its turn; it must be acknowledged, recorded or not. */
void bench_end(struct bench *t, const struct conn *c, uint64_t job, uint64_t attempt, enum ending ending);
/* CANCEL, RETRY or REMOVE of ranges, and its turn. */
void bench_change(struct bench *t, struct conn *c, enum message_type verb, struct range *ranges, size_t n);
/* Asks to pause a queue; without a turn. */
void bench_ask_pause(struct bench *t, const struct conn *c, const char *queue);
/* Asks why a job does not run; without a turn. */
void bench_ask_why(struct bench *t, struct conn *c, uint64_t id);
void bench_change_one(struct bench *t, struct conn *c, enum message_type verb, uint64_t id);
void bench_expect_changed(struct bench *t, const struct conn *c, uint64_t changed, uint64_t skipped, size_t refusals);
/* ---- one job that runs ---------------------------------------------------------------------------- */

struct bench_scene {
    struct bench *t;
    struct conn client, worker;
    uint64_t job, attempt;
};

/* One job `cpu` with three retries, and a worker that runs it. */
struct bench_scene bench_scene(struct bench *t);

/* ---- a bench for each test ---------------------------------------------------------------------- */

int bench_setup(void **state);
int bench_teardown(void **state);

#define bench_test(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)

#endif
