/* link_rig.h - the worker's link, driven with pools, a clock and a broker that are made of arrays. */
#ifndef TERN_TESTS_LINK_RIG_H
#define TERN_TESTS_LINK_RIG_H

#include "worker/link.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "proto/base/log.h"

#define MOST 128

struct fake_pool {
    size_t slots, stuck;
    struct run *waiting[MOST], *running[MOST]; /* owned */
    size_t n_waiting, n_running;
    enum reason stop_reason; /* of the last stop */
    int64_t stop_grace_ms;
    size_t stops;
};

struct fixture {
    struct link_options options;
    struct rng rng;
    struct now now;
    struct worker_link *link;
    struct fake_pool pools[N_POOLS];
    int64_t due_ms;
    /* what the link said in the last turn, decoded */
    struct message said[MOST];
    struct buf bytes[MOST];
    size_t n_said;
    bool refuse; /* the socket takes nothing */
    size_t refused;
    size_t reopened;
    uint64_t epoch, session; /* of the broker that we play */
};

/* The end of a turn: what the worker's loop does. */
void turn(struct fixture *f);
void pass(struct fixture *f, int64_t ms);
const struct message *find_said(struct fixture *f, enum message_type type);
size_t count_said(struct fixture *f, enum message_type type);
/* Passes time in small turns until the link says such a message; NULL when it does not within
 * ms. */
const struct message *await(struct fixture *f, enum message_type type, int64_t ms);
void tell(struct fixture *f, struct message *m);
void tell_run_in(struct fixture *f, uint64_t job, uint64_t attempt, uint64_t pool, const char *handler);
void tell_run(struct fixture *f, uint64_t job, uint64_t attempt);
/* RECORDED, TAKE_BACK and STOP have the same shape. */
void tell_of(struct fixture *f, enum message_type type, uint64_t job, uint64_t attempt);
void tell_welcome(struct fixture *f, struct attempt_ref *gone, size_t n_gone);
void tell_bare(struct fixture *f, enum message_type type);
/* The broker answers each BEAT. */
void answer_beats(struct fixture *f);
void finish_as(struct fixture *f, uint64_t job, uint64_t attempt, enum ending ending, enum reason reason,
               const char *result);
void finish(struct fixture *f, uint64_t job, uint64_t attempt);
bool is_over(struct fixture *f);

extern struct handler_info handlers[2];
extern const struct str queues[];

int set_up(void **state);
int set_up_welcome(void **state);
int tear_down(void **state);

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define IN_SESSION(f) cmocka_unit_test_setup_teardown(f, set_up_welcome, tear_down)

#endif
