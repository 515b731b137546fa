/* await_rig.h - all three pools, as a worker has them, without its link: for the tests of what jobs on the loop await. The
 * test's own program is the zygote. */
#ifndef TERN_TESTS_AWAIT_RIG_H
#define TERN_TESTS_AWAIT_RIG_H

#include "worker/handlers.h"
#include "worker/launcher.h"
#include "worker/module.h"
#include "worker/pool.h"
#include "worker/zygote.h"

#include <setjmp.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/own_zygote.h"

struct rig {
    struct pool *pools[N_POOLS];
    struct launcher *launcher;
    struct link finished;
    size_t n_started, n_finished;
};

/* slots: of each pool, but that the loop has a thousand. */
struct rig *rig_new(size_t slots);
void rig_free(struct rig *g);
struct run_job rig_job(uint64_t id, const char *handler, const char *payload);
void rig_give_job(struct rig *g, const struct run_job *j);
void rig_give(struct rig *g, uint64_t id, const char *handler, const char *payload);
void rig_turn(struct rig *g, int64_t until_ms);
void rig_turns(struct rig *g, int64_t ms);
/* Until n have finished; far above what it takes, for a machine that is busy. */
void rig_finish(struct rig *g, size_t n);
void rig_begin(struct rig *g, size_t n);
/* Until so many hold a slot of a pool, and so many wait for one. */
void rig_wait_load(struct rig *g, enum pool_kind k, size_t used, size_t waiting);
void rig_wait_unused(struct rig *g);
const struct outcome *rig_outcome(const struct rig *g, uint64_t job);
void rig_assert_done(const struct rig *g, uint64_t job);
void rig_assert_failed(const struct rig *g, uint64_t job, const char *error);
/* The main of such a test, whose handlers are a module's. A word after its name chooses the cases. */
int rig_main(int argc, char **argv, const struct tern_module *own, const struct CMUnitTest *tests, size_t n_tests);

#endif
