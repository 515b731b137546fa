/* number.h - what a job is called inside a worker: by its broker's own number, and above it that broker's place in the worker's list, for
 * two brokers give out the same numbers. Links, and whoever is outside, know own numbers alone: served.c makes the one of the other
 * where a run goes to the pools and comes back. With one broker both are the same. */
#ifndef TERN_NUMBER_H
#define TERN_NUMBER_H

#include "proto/base/base.h"
#include "proto/limits.h"

#define NUMBER_PLACE_SHIFT 57 /* bit 63 is that of parts (part.h) */
#define NUMBER_OWN_MAX ((1ull << NUMBER_PLACE_SHIFT) - 1)

static_assert(LIMIT_BROKERS <= 1u << (63 - NUMBER_PLACE_SHIFT), "a place fits between");

static inline uint64_t number_of(size_t place, uint64_t own)
{
    assert(place < LIMIT_BROKERS && own <= NUMBER_OWN_MAX);
    return (uint64_t)place << NUMBER_PLACE_SHIFT | own;
}

static inline uint64_t number_own(uint64_t number) { return number & NUMBER_OWN_MAX; }
static inline size_t number_place(uint64_t number) { return number >> NUMBER_PLACE_SHIFT & (LIMIT_BROKERS - 1); }

/* Of an attempt, for a map: the same for two only by a chance that does not come. */
static inline uint64_t number_key(uint64_t number, uint64_t attempt) { return number + attempt * 0x9e3779b97f4a7c15u; }

#endif
