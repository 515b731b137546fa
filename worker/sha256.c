/* sha256.c - SHA-256 as in FIPS 180-4, section 6.2; names of functions and constants as there. */
#include "worker/sha256.h"

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t rotr(uint32_t x, unsigned n) { return x >> n | x << (32 - n); }
static inline uint32_t Ch(uint32_t x, uint32_t y, uint32_t z) { return z ^ (x & (y ^ z)); }
static inline uint32_t Maj(uint32_t x, uint32_t y, uint32_t z) { return (x & y) | (z & (x | y)); }
static inline uint32_t Sigma0(uint32_t x) { return rotr(x, 2) ^ rotr(x, 13) ^ rotr(x, 22); }
static inline uint32_t Sigma1(uint32_t x) { return rotr(x, 6) ^ rotr(x, 11) ^ rotr(x, 25); }
static inline uint32_t sigma0(uint32_t x) { return rotr(x, 7) ^ rotr(x, 18) ^ x >> 3; }
static inline uint32_t sigma1(uint32_t x) { return rotr(x, 17) ^ rotr(x, 19) ^ x >> 10; }

static inline uint32_t read32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void write32(unsigned char *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (unsigned char)(v >> (24 - 8 * i));
}

/* The message schedule is made as it is used: 16 words instead of 64. */
static void block(uint32_t H[8], const unsigned char *p)
{
    uint32_t W[16], v[8];
    memcpy(v, H, sizeof v);
    for (unsigned t = 0; t < 64; t++) {
        uint32_t w = t < 16 ? read32(p + 4 * t)
                            : sigma1(W[(t - 2) & 15]) + W[(t - 7) & 15] + sigma0(W[(t - 15) & 15]) + W[t & 15];
        W[t & 15] = w;
        uint32_t T1 = v[7] + Sigma1(v[4]) + Ch(v[4], v[5], v[6]) + K[t] + w;
        uint32_t T2 = Sigma0(v[0]) + Maj(v[0], v[1], v[2]);
        v[7] = v[6];
        v[6] = v[5];
        v[5] = v[4];
        v[4] = v[3] + T1;
        v[3] = v[2];
        v[2] = v[1];
        v[1] = v[0];
        v[0] = T1 + T2;
    }
    for (int i = 0; i < 8; i++)
        H[i] += v[i];
}

void sha256_init(struct sha256 *s)
{
    *s = (struct sha256){ .state = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c,
                                     0x1f83d9ab, 0x5be0cd19 } };
}

void sha256_add(struct sha256 *s, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    size_t have = s->n_bytes % sizeof s->block;
    s->n_bytes += n;
    if (have) {
        size_t more = min_size(n, sizeof s->block - have);
        memcpy(s->block + have, p, more);
        p += more;
        n -= more;
        if (have + more < sizeof s->block)
            return;
        block(s->state, s->block);
    }
    for (; n >= sizeof s->block; p += sizeof s->block, n -= sizeof s->block)
        block(s->state, p);
    if (n)
        memcpy(s->block, p, n);
}

void sha256_end(struct sha256 *s, unsigned char ret[static SHA256_BYTES])
{
    static const unsigned char padding[64] = { 0x80 };
    unsigned char length[8];
    uint64_t n_bits = s->n_bytes * 8;
    write32(length, (uint32_t)(n_bits >> 32));
    write32(length + 4, (uint32_t)n_bits);
    size_t have = s->n_bytes % 64;
    sha256_add(s, padding, (have < 56 ? 56 : 120) - have);
    sha256_add(s, length, sizeof length);
    for (int i = 0; i < 8; i++)
        write32(ret + 4 * i, s->state[i]);
}

void sha256_hex(const unsigned char digest[static SHA256_BYTES], char ret[static SHA256_HEX_BYTES + 1])
{
    for (int i = 0; i < SHA256_BYTES; i++) {
        ret[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        ret[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    ret[SHA256_HEX_BYTES] = '\0';
}
