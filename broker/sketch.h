/* sketch.h - how often a number was about so large, lately: a histogram in bounded memory, for quantiles. Pure.
 *
 * Buckets are linear in each power of two and so grow with what they hold, as in HdrHistogram (G. Tene, hdrhistogram.org): four of
 * them, so that a quantile is off by an eighth at most. Old numbers weigh less: every SKETCH_STEP numbers all counts are
 * halved, as ages are in TinyLFU (Einziger, Friedman, Manes 2017, "freshness"), so what is told is of the last SKETCH_STEP to
 * 2 * SKETCH_STEP. */
#ifndef TERN_SKETCH_H
#define TERN_SKETCH_H

#include "proto/base/buf.h"

#define SKETCH_STEP 128
#define SKETCH_BUCKETS 160 /* up to 2^41: of microseconds 25 days; what is larger is counted there */

struct sketch {
    uint16_t n; /* the sum of all */
    uint16_t at[SKETCH_BUCKETS];
};

/* Negative numbers count as 0. */
void sketch_add(struct sketch *s, int64_t v);
/* The number that a share q (0 to 1) of them are below, between the bounds of its bucket by proportion; UNSET when there are none. */
int64_t sketch_quantile(const struct sketch *s, double q);

/* Appends those that are not 0: four bytes each, the first of them `name`. */
void sketch_save(const struct sketch *s, uint8_t name, struct buf *out);
/* Takes what sketch_save wrote of this name out of bytes that hold several. -EBADMSG: it did not write them. */
int sketch_load(struct sketch *s, uint8_t name, struct str bytes);

#endif
