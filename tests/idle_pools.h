/* idle_pools.h - pools of a worker's link, of one slot each, in which nothing ever waits: for tests that look at something else. */
#ifndef TERN_TESTS_IDLE_POOLS_H
#define TERN_TESTS_IDLE_POOLS_H

#include "worker/link.h"

/* What is given is for the test to take. */
struct link_pools idle_pools(void *ctx, void (*give)(void *ctx, enum pool_kind pool, struct run *r, struct now now));

#endif
