/* limits.h - the bare work that no task queue on this machine can be faster than, each in a loop of its own. */
#ifndef TERN_BENCH_LIMITS_H
#define TERN_BENCH_LIMITS_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/bench/samples.h"

#define A_COMMIT 1000      /* jobs */
#define PAYLOAD_BYTES 100  /* of a job, and of its result */

/* What a limit measured: how long all of it took, and where one at a time matters each. rested: as on an idle machine, after
 * IDLE_MS of rest before each, which count for nothing. */
struct measured {
    bool rested;
    int64_t ns;
    struct samples each;
};

/* One more begins: when. */
int64_t measured_begin(const struct measured *m);
/* It has ended. */
void measured_end(struct measured *m, int64_t began);

/* limits_sqlite.c: one table, one index, a row a job, with the settings of tern's own database. path: a new file. */
void limit_commit(const char *path, size_t n, struct measured *ret); /* insert one row, commit, n times */
void limit_insert(const char *path, size_t n, struct measured *ret);
void limit_finish(const char *path, size_t n, struct measured *ret); /* claim, commit, finish with a result, commit */
void limit_life(const char *path, size_t n, struct measured *ret);   /* insert, claim, finish: three commits */

/* limits_store.c: the same through the broker's own store. */
void limit_store_insert(const char *path, size_t n, struct measured *ret);
void limit_store_finish(const char *path, size_t n, struct measured *ret);
void limit_store_life(const char *path, size_t n, struct measured *ret);

_Noreturn void limits_quit(const char *what, const char *why);

#endif
