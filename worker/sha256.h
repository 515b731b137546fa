/* sha256.h - SHA-256 as in FIPS 180-4. */
#ifndef TERN_SHA256_H
#define TERN_SHA256_H

#include "proto/base/base.h"

#define SHA256_BYTES 32
#define SHA256_HEX_BYTES 64

struct sha256 {
    uint32_t state[8];
    uint64_t n_bytes;
    unsigned char block[64]; /* what is yet to be hashed: n_bytes % 64 of it */
};

void sha256_init(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *bytes, size_t n);
/* s is used up. */
void sha256_end(struct sha256 *s, unsigned char ret[static SHA256_BYTES]);
/* Lower-case digits and a NUL. */
void sha256_hex(const unsigned char digest[static SHA256_BYTES], char ret[static SHA256_HEX_BYTES + 1]);

#endif
