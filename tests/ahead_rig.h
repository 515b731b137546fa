/* ahead_rig.h - a pool of processes, and runs that it gives them ahead. */
#ifndef TERN_TESTS_AHEAD_RIG_H
#define TERN_TESTS_AHEAD_RIG_H

#include "worker/pool_kind.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/own_zygote.h"

void nap(int64_t ms);

enum { MOST = 20000 };

struct rig {
    struct pool *pool;
    struct run *runs[MOST]; /* owned: what has finished, by job */
    size_t n;
    uint64_t last;          /* job given */
    uint64_t started;       /* the last one */
    uint64_t asked, req;    /* the last one that asked something, and what its answer says */
};

struct rig *rig_open(size_t slots);
void rig_close(struct rig *g);
/* How often it has run. */
size_t n_ran(uint64_t job);
/* The pool hears nothing meanwhile. */
void wait_ran(uint64_t job);
void turn(struct rig *g);
void finish(struct rig *g, size_t n);
const struct outcome *outcome_of(const struct rig *g, uint64_t job);
void assert_ended(struct rig *g, uint64_t job, enum ending ending, enum reason reason, size_t times);
void assert_done(struct rig *g, uint64_t first, uint64_t last);

struct what {
    const char *handler, *payload;
    int64_t timeout_ms, expire_ms, memory_bytes;
};

#define WELL { "well", "", 0, 0, 0 }
#define ASKS { "asks", "", 0, 0, 0 } /* and goes on when it is answered */
#define HOLD(ms) { "hold", #ms, 0, 0, 0 }
#define SCRIPT(text) { "exec", text, 0, 0, 0 } /* notes first that it runs, too */

uint64_t give(struct rig *g, const struct what *w);
void be_quick(struct rig *g);
/* Answers the last one that asked. */
void answer(struct rig *g);
void cancel_all(struct rig *g, uint64_t from);
/* The first ones run, one in each slot, and n_ahead of those behind them have been sent; nothing has been heard since. Which
 * takes processes whose jobs have been short, on a machine that is not too busy. The id of the first. */
uint64_t set_up(struct rig *g, const struct what *w, size_t n, size_t n_ahead);

#define SET_UP(g, n_ahead, ...)                                                                                         \
    set_up(g, (const struct what[]){ __VA_ARGS__ }, ELEMENTS(((const struct what[]){ __VA_ARGS__ })), n_ahead)

/* 0: there is none. */
pid_t any_child_pid(void);
pid_t child_pid(void);
/* The main of such a test. */
int ahead_main(int argc, char **argv, const struct CMUnitTest *tests, size_t n_tests);

#endif
