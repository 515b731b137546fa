/* sweep.h - one broker core on one simulated disk, a client and two workers, and a load that is the same each time; at one
 * operation of the disk, another in each run, something happens to it.
 *
 * The nodes speak the protocol and know only what they were told; plans.c says what is to become of each job, check.c holds
 * the database against what was acknowledged. */
#ifndef TERN_SWEEP_H
#define TERN_SWEEP_H

#include "broker/broker.h"
#include "proto/base/rng.h"
#include "tests/sim/disk.h"

#define OWN_UID 500
#define HEARTBEAT_MS 1000
#define LOST_AFTER_MS 3000
#define RETENTION_MS 60000
#define N_WORKERS 2
#define WORK_MAX 32
#define RECORDED_MAX 8
#define TURN_MS 40
#define TIDY_PAGES_HERE 12 /* so that a short load, too, has its log copied and its pages given back */

/* ---- the jobs ----------------------------------------------------------------------------------- */

enum fate {
    FATE_DONE,
    FATE_FAILS_ONCE,   /* its first attempt; then done */
    FATE_DIES,         /* fails for good until it is retried; then done */
    FATE_CANCELLED,    /* while it waits */
    FATE_STOPPED,      /* cancelled while it runs */
    FATE_EXPIRES,      /* in a queue that is paused */
    FATE_LOSES_WORKER, /* its first worker starts it and is never heard of again */
};

struct plan {
    uint64_t seq; /* of the submit that it belongs to; those of one submit stand together */
    enum fate fate;
    const char *queue;
    size_t payload_bytes, result_bytes;
};
#define N_PLANS 20
extern const struct plan plans[N_PLANS];

/* All that a submit needs; payload: room for payload_bytes. */
struct job_spec plan_spec(size_t plan, char *payload);
/* Which plan a payload was made for; N_PLANS when it is none. */
size_t plan_of(struct str payload);
void plan_fill(size_t plan, uint64_t attempt, char *ret, size_t n);

/* What is known of a planned job because somebody was told: it must never be otherwise again. */
struct note {
    uint64_t id;               /* 0: not acknowledged */
    uint64_t run_id, attempt;  /* what a RUN brought: the id, and the highest attempt */
    struct {
        uint64_t attempt;
        enum ending ending;
    } recorded[RECORDED_MAX];
    size_t n_recorded;
    bool ended;                /* and since then nobody asked for a retry */
    int state;                 /* the one it ended in; -1: not known */
    bool cancel_asked, retry_asked, remove_asked;
    bool cancelled, removed;   /* acknowledged */
    bool may_be_swept;
};

/* ---- the nodes ---------------------------------------------------------------------------------- */

struct node {
    char routing_id[ROUTING_ID_BYTES];
    unsigned char instance[16];
    uint64_t epoch, session; /* 0: none */
    bool greeting;           /* HELLO was said */
    int64_t said_ms;
};

/* One request at a time, repeated until it is answered. */
struct client {
    struct node node;
    struct message *request; /* borrowed: from whoever waits for the answer; NULL: none */
    bool asked;              /* in this session */
    unsigned n_asked;
    bool answered;
    enum message_type answer;
    uint64_t code, changed, refused; /* of ERROR, of CHANGED */
};

struct work {
    uint64_t job, attempt;
    size_t plan;
    bool started, stop, finished, told_started, told_result;
    enum ending ending;
};

struct fake_worker {
    struct node node;
    const char *name;
    uint64_t hellos;
    bool here;    /* else it is not heard of, and hears nothing */
    bool lost;    /* the broker may have given its attempts to another */
    struct work work[WORK_MAX];
    size_t n_work;
};

struct letter {
    struct link link;
    char routing_id[ROUTING_ID_BYTES];
    struct buf bytes;
};

/* ---- one run ------------------------------------------------------------------------------------ */

enum kind {
    KIND_NONE,
    KIND_DIE,       /* the process is killed; what it wrote is there */
    KIND_POWER,     /* the power goes; what was not synced may be there */
    KIND_EIO,       /* an error; the process ends by itself, and begins again */
    KIND_EIO_DIE,   /* an error; the process is killed before it can tidy up */
    KIND_EIO_POWER, /* an error; the process is killed, and the power goes too */
    KIND_FULL,      /* the disk is full from here on, for a while */
    N_KINDS,
};
const char *kind_name(enum kind k);

struct sweep {
    unsigned long k; /* the operation that fails */
    enum kind kind;
    unsigned variant;
    struct rng rng;
    bool trace;
    char path[128];
    struct now now;
    struct broker *broker;      /* NULL while it is down */
    unsigned long turn, power_turn, full_turns; /* power_turn: when the power goes another time; 0: not */
    struct client client;
    struct fake_worker workers[N_WORKERS];
    struct link letters;        /* of struct letter: what left in this turn */
    uint32_t last_routing_id;
    bool spoke;                 /* somebody said something in this turn */

    struct note notes[N_PLANS];
    uint64_t last_id, epoch;    /* the highest that anybody was told */
    uint64_t last_seq;          /* the last submit that was acknowledged */
    int paused;                 /* the queue "other": 0, 1, or -1 while the answer is still to come */
    unsigned reopenings, jobs_checked;
};

/* Ends the program: says what is broken, where, and how to see it again. */
_Noreturn void sweep_fail(const struct sweep *s, const char *format, ...) printf_like(2, 3);
void sweep_trace(const struct sweep *s, const char *format, ...) printf_like(2, 3);
#define sweep_check(s, condition, ...)                                                             \
    do {                                                                                           \
        if (!(condition))                                                                          \
            sweep_fail(s, __VA_ARGS__);                                                            \
    } while (0)

/* run.c: a turn of everything; opens the broker where it is down, and lets it die where the disk says so. */
void run_turn(struct sweep *s);
/* The broker stops as when it is told to; or is killed, and with it the power, or not. */
void run_stop(struct sweep *s);
void run_kill(struct sweep *s, bool power_goes);
void run_begin(struct sweep *s, unsigned long k, enum kind kind, unsigned variant, const char *path);
void run_end(struct sweep *s);

/* load.c: the whole script. */
void load_run(struct sweep *s);

/* nodes.c: what they say in a turn, and what they make of the answers. */
void nodes_init(struct sweep *s);
/* Every connection is gone. */
void nodes_cut(struct sweep *s);
void nodes_speak(struct sweep *s);
void nodes_listen(struct sweep *s);

/* notes.c: what was told, as it is told; fails where it cannot be true. */
void note_submitted(struct sweep *s, const struct msg_submitted *m);
void note_run(struct sweep *s, size_t plan, uint64_t job, uint64_t attempt);
void note_recorded(struct sweep *s, const struct work *h);
/* state: -1 where only the end is known. */
void note_ended(struct sweep *s, size_t plan, int state);

/* check.c: everything that was acknowledged, against the database. */
void check_all(struct sweep *s);
/* How the jobs stand, alone; nothing while the broker is down. */
void check_states(struct sweep *s);
/* Every job has ended as it should, and nothing is there that nobody asked for. */
void check_end(struct sweep *s);
/* An attempt is in the database, with its outcome. */
void check_recorded(struct sweep *s, size_t plan, uint64_t job, uint64_t attempt, enum ending ending);

#endif
