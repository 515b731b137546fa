/* platter.h - the bytes of one file: what programs see, what a disk would still have after a power cut, and the changes
 * between the two. */
#ifndef TERN_SIM_PLATTER_H
#define TERN_SIM_PLATTER_H

#include "proto/base/list.h"
#include "proto/base/rng.h"

#define SECTOR_BYTES 512

/* Grows, and is zero where nothing was written. */
struct bytes {
    char *p; /* owned */
    size_t n, cap;
};

struct platter {
    struct bytes now, safe;
    struct link changes; /* from safe to now, in order; owned */
};

void platter_init(struct platter *f);
void platter_fini(struct platter *f);
void platter_write(struct platter *f, size_t at, const char *p, size_t n);
/* Does nothing to a file that is shorter already. */
void platter_truncate(struct platter *f, size_t n);
void platter_sync(struct platter *f);
/* Any part of the changes is safe now, and the rest never will be; programs still see all of them. */
void platter_sync_badly(struct platter *f, struct rng *rng);
/* Programs, too, see only what is safe or still to become so. */
void platter_drop_cache(struct platter *f);
/* After a power cut: only what is safe, and any part of the changes. */
void platter_lose(struct platter *f, struct rng *rng);

#endif
