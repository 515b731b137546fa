/* idle_pools.c - pools of a worker's link in which nothing ever waits. */
#include "tests/idle_pools.h"

static struct run *take_waiting(void *ctx, enum pool_kind pool, uint64_t job, uint64_t attempt)
{
    (void)ctx, (void)pool, (void)job, (void)attempt;
    return NULL;
}

static void stop(void *ctx, enum pool_kind pool, uint64_t job, uint64_t attempt, enum reason reason, int64_t grace_ms,
                 struct now now)
{
    (void)ctx, (void)pool, (void)job, (void)attempt, (void)reason, (void)grace_ms, (void)now;
}

static struct pool_load load(void *ctx, enum pool_kind pool)
{
    (void)ctx;
    return (struct pool_load){ .pool = pool, .slots = 1 };
}

struct link_pools idle_pools(void *ctx, void (*give)(void *ctx, enum pool_kind pool, struct run *r, struct now now))
{
    return (struct link_pools){ .ctx = ctx, .give = give, .take_waiting = take_waiting, .stop = stop, .load = load };
}
