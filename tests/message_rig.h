/* message_rig.h - random messages and records, from the very lists that make them, and whether two are the same. */
#ifndef TERN_TESTS_MESSAGE_RIG_H
#define TERN_TESTS_MESSAGE_RIG_H

#include "proto/message.h"

#include <msgpack.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "proto/base/rng.h"

#define ROUNDS 100

static const enum message_type types[] = {
#define TYPE(NAME, number, name, FIELDS) MSG_##NAME,
    MESSAGES(TYPE)
#undef TYPE
};

extern struct rng rng; /* by $SEED, after set_up */

/* What random values point to. */
void free_made(void);

/* Of a field. */
enum kind { U64, I64, STR, BIN, STRS, LIST };

/* At random. */
void fill_message(struct message *m, enum message_type type);
/* The first `given` fields are those of `full`, the others as nobody has given them. */
void assert_same_message(const struct message *full, const struct message *got, size_t given);
/* How many fields it has, and which. */
size_t kinds_of(enum message_type type, const enum kind **ret);

union any_record {
#define MEMBER(name, FIELDS) struct name name;
    RECORDS(MEMBER)
    RUNNER_RECORDS(MEMBER)
#undef MEMBER
};

#define N_RECORDS (0 RECORDS(COUNT) RUNNER_RECORDS(COUNT))
#define COUNT(name, FIELDS) +1

void fill_record(enum record_kind kind, union any_record *r);
void assert_same_record(enum record_kind kind, const union any_record *full, const union any_record *got, size_t given);
size_t kinds_of_record(enum record_kind kind, const enum kind **ret);
struct buf encoded(const struct message *m);
/* 0: it is a message. */
int decode_error(struct str bytes);
/* The array in `bytes` with only its first `keep` elements, and `more` others behind them. */
msgpack_sbuffer repack(struct str bytes, size_t keep, size_t more);
int set_up(void **state);

#endif
