/* reader_rig.h - a store with jobs, and what its reader answers. */
#ifndef TERN_TESTS_READER_RIG_H
#define TERN_TESTS_READER_RIG_H

#include "broker/reader.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "broker/store_internal.h"

#define NOW 1700000000000

/* The store at `path`, in `dir`, with what is in it. */
extern char dir[64], path[80];
extern struct store *s;
extern struct store_reader *reader;
extern uint32_t classes[3];
extern uint64_t worker;
extern struct buf bytes;
extern struct message answer; /* the last one */
extern bool answered;

int make(void **state);
int unmake(void **state);
uint64_t add(uint32_t class, size_t n, const char *owner, struct str payload);
void lease_at(uint64_t id, int64_t now);
void end_at(uint64_t id, uint32_t class, uint64_t attempt, enum job_state to, struct outcome *o, int64_t now);
const struct message *ask_as(const struct message *m, const char *owner);
const struct message *ask(const struct message *m);
struct message list(void);
uint64_t add_child(uint64_t parent, const char *key);
void assert_not_found(const struct message *m);
struct outcome outcome(enum ending ending);

#define test(f) cmocka_unit_test_setup_teardown(f, make, unmake)

#endif
