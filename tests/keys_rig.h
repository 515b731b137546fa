/* keys_rig.h - keys that the core on its bench knows, and peers that have them. */
#ifndef TERN_TESTS_KEYS_RIG_H
#define TERN_TESTS_KEYS_RIG_H

#include "tests/broker_harness.h"

#define ADA "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define BOB "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define CHIEF "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define W1 "1111111111111111111111111111111111111111111111111111111111111111"
#define W2 "2222222222222222222222222222222222222222222222222222222222222222"
#define STRANGER "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"

struct grant *grant_add(struct grants *all, const char *key, const char *name, const char *role);
/* ADA and BOB are clients, CHIEF is an admin, W1 and W2 are workers; but not the one in without. */
struct grants *everybody(const char *without);
struct grant *grant_in(struct grants *g, const char *key);
/* Takes them. */
void know(struct bench *t, struct grants *g);
struct conn keyed(const char *id, const char *key);
/* Which have said HELLO. */
struct conn client_of(struct bench *t, const char *id, const char *key);
struct conn worker_of(struct bench *t, const char *id, const char *key, const char *queue);
void expect_hello_refused(struct bench *t, struct conn *c, const char *role, const char *part);

#endif
