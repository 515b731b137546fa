/* rng.h - randomness that is passed in, so that a run can be repeated from its seed.
 * xorshift64* (Vigna 2016). For jitter and simulation; never for secrets: those come from getrandom(2). */
#ifndef TERN_RNG_H
#define TERN_RNG_H

#include "proto/base/base.h"

struct rng {
    uint64_t state;
};

static inline void rng_init(struct rng *r, uint64_t seed)
{
    r->state = seed * 0x9e3779b97f4a7c15u + 0x853c49e6748fea9bu;
    if (!r->state)
        r->state = 1;
}

static inline uint64_t rng_next(struct rng *r)
{
    r->state ^= r->state >> 12;
    r->state ^= r->state << 25;
    r->state ^= r->state >> 27;
    return r->state * 0x2545f4914f6cdd1du;
}

/* Uniform in [0, n); n > 0. The bias is below n / 2^64. */
static inline uint64_t rng_below(struct rng *r, uint64_t n) { return rng_next(r) % n; }

#endif
