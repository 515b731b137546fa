/* zygote_rig.h - pools of processes and threads on a zygote of their own, and handlers that go wrong there. */
#ifndef TERN_TESTS_ZYGOTE_RIG_H
#define TERN_TESTS_ZYGOTE_RIG_H

#include "worker/pool.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/own_zygote.h"
#include "worker/launcher.h"

void nap(int64_t ms);

enum { MOST = 4096 };

struct rig {
    struct zygote *zygote;
    struct launcher *launcher;
    struct pool *process, *thread;
    struct run *runs[MOST]; /* owned: what has finished, by job */
    size_t n, fds;
};

size_t count_fds(void);
struct rig *rig_open(size_t slots, size_t jobs_per_child);
/* Processes: this one, and all below it. */
size_t count_tree(void);
/* Nothing of it is left: no process, no descriptor. */
void rig_close(struct rig *g);
void turns(struct rig *g, int64_t ms);
void finish(struct rig *g, size_t n);
struct run_job job_of(uint64_t id, const char *handler);
void give(struct pool *p, const struct run_job *j);
void give_id(struct pool *p, uint64_t id, const char *handler);
void give_script(struct pool *p, struct run_job j, const char *script);
const struct outcome *outcome_of(const struct rig *g, uint64_t job);
void assert_well(struct rig *g, uint64_t job);
/* The main of such a test, which is its zygotes' too. A word after the program's name chooses the cases. */
int rig_main(int argc, char **argv, const struct CMUnitTest *tests, size_t n_tests);

#endif
