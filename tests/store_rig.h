/* store_rig.h - a store of its own for each test, with one class and one worker. */
#ifndef TERN_TESTS_STORE_RIG_H
#define TERN_TESTS_STORE_RIG_H

#include "broker/store_internal.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define NOW 1700000000000

/* The store at `path`, in `dir`, with its class and its worker. */
extern char dir[64], path[80];
extern struct store *s;
extern uint32_t class;
extern uint64_t worker;

void reopen(int64_t ballast);
int make(void **state);
int unmake(void **state);
int64_t number(const char *text);

extern const char *submitter; /* whose the jobs are that are added */

uint64_t add(int64_t priority);
uint64_t add_due(int64_t due, int64_t expire);
struct job_row get(uint64_t id);
bool lease(uint64_t id);
bool end_at(uint64_t id, uint64_t attempt, enum job_state to, int64_t finished);
bool end_now(uint64_t id, uint64_t attempt, enum job_state to);
void assert_counters_are_true(void);
void assert_accounts_are_true(void);
void limit(const char *owner, int64_t most);

#define test(f) cmocka_unit_test_setup_teardown(f, make, unmake)

#endif
