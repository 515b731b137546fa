/* children_rig.h - a pool and, in the place of the broker, this: what a handler submits goes into the very pool that it runs
 * in. */
#ifndef TERN_TESTS_CHILDREN_RIG_H
#define TERN_TESTS_CHILDREN_RIG_H

#include "worker/pool.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/own_zygote.h"

#define JOBS_MAX 5000
#define FIRST_CHILD 3000

struct awaited {
    struct link link;
    uint64_t job, req, ids[16];
    size_t n, wanted;
};

struct rig {
    struct pool *pool;
    enum pool_kind kind;
    struct run *finished[JOBS_MAX]; /* owned: by id */
    struct {
        uint64_t parent;
        char key[16];
    } children[JOBS_MAX]; /* by id */
    uint64_t next_child;
    struct link awaited;
    size_t n_finished, n_started, most_used, most_parked, n_reports;
    int64_t percent; /* as last reported */
};

void give(struct rig *g, uint64_t id, struct str handler, struct str payload, int64_t timeout_ms);
struct rig *rig_new(void **state, size_t slots);
void rig_free(struct rig *g);
void turn(struct rig *g);
void until_finished(struct rig *g, size_t n);
void until_parked(struct rig *g, size_t n);
void give_id(struct rig *g, uint64_t id, const char *handler, const char *payload);
const struct outcome *outcome_of(const struct rig *g, uint64_t id);
void assert_done(const struct rig *g, uint64_t id, const char *result);

#endif
