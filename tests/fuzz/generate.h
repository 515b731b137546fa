/* generate.h - bytes of a fuzzer, read as decisions: from them messages are made, through the lists of message.h, so that
 * most are of the right shape and reach what lies behind the decoder. When the bytes are used up, every decision is 0. */
#ifndef TERN_FUZZ_GENERATE_H
#define TERN_FUZZ_GENERATE_H

#include "proto/message.h"

struct generate {
    const uint8_t *p; /* borrowed: what is left of the input */
    size_t left;
    /* A value that makes sense in the field of this name; false: none comes to mind. */
    bool (*know)(void *ctx, const char *field, uint64_t choice, uint64_t *ret);
    void *ctx;    /* borrowed */
    void **owned; /* owned: what the generated message points into */
    size_t n, cap;
};

void generate_init(struct generate *g, const uint8_t *bytes, size_t n);
void generate_fini(struct generate *g);
/* What was generated so far is gone. */
void generate_forget(struct generate *g);

uint8_t generate_byte(struct generate *g);
uint64_t generate_below(struct generate *g, uint64_t n);
/* n bytes, or as many as are left; freed with the rest. */
struct str generate_bytes(struct generate *g, size_t n);
/* Are these names the same? */
bool generate_is(const char *a, const char *b);
/* Zeros. */
void *generate_alloc(struct generate *g, size_t n, size_t size);

/* Any of MESSAGES. */
enum message_type generate_type(struct generate *g);
/* All fields; epoch and session stay 0. Its lists and texts are owned by g. */
void generate_message(struct generate *g, struct message *ret, enum message_type type);

#endif
