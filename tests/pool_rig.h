/* pool_rig.h - a pool of any kind with all it stands on, and handlers for it. In the process pool the test's own
 * program is the zygote. */
#ifndef TERN_TESTS_POOL_RIG_H
#define TERN_TESTS_POOL_RIG_H

#include "worker/pool.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/own_zygote.h"

/* Before own_zygote_main. */
void init_handlers(void);

struct rig {
    struct pool *pool;
    struct launcher *launcher;
    enum pool_kind kind;
    struct link finished; /* in order */
    size_t n_started, n_finished;
    uint64_t started[2000]; /* jobs, in order */
};

struct rig *rig_new(void **state, size_t slots);
void rig_free(struct rig *g);
struct run_job job_of(const struct rig *g, uint64_t id, const char *handler, const char *payload);
void give(struct rig *g, const struct run_job *j);
void give_id(struct rig *g, uint64_t id, const char *handler);
void turn(struct rig *g, int64_t until_ms);
void turns(struct rig *g, int64_t ms);
/* Until n have finished; far above what it takes, for a machine that is busy. */
void finish(struct rig *g, size_t n);
void begin(struct rig *g, size_t n);
const struct outcome *outcome_of(const struct rig *g, uint64_t job);
void assert_text(struct str s, const char *text);
void wait_unused(struct rig *g);

#endif
