/* loop_blocked.c - who has the loop's thread for too long. */
#include "worker/loop_blocked.h"

#include "proto/base/log.h"
#include "worker/loop_task.h"

#include <inttypes.h>

#define BLOCKED_US (LOOP_BLOCKED_MS * 1000)
#define SAY_MS 1000 /* no more than a line in this time */

/* ---- on the loop's thread --------------------------------------------------------------------- */

int64_t loop_blocked_begin(struct looper *l, const struct loop_task *t)
{
    struct loop_busy *b = &l->busy;
    int64_t at_us = clock_mono_us();
    __atomic_store_n(&b->slot, t->task.number, __ATOMIC_RELAXED);
    __atomic_store_n(&b->since_us, at_us, __ATOMIC_RELEASE);
    if (at_us >= b->looked_until_us) {
        b->looked_until_us = at_us + BLOCKED_US;
        mailbox_wake(&l->ended);
    }
    return at_us;
}

void loop_blocked_end(struct looper *l, const struct loop_task *t, int64_t began_us)
{
    struct loop_busy *b = &l->busy;
    __atomic_store_n(&b->since_us, 0, __ATOMIC_RELEASE);
    int64_t now_us = clock_mono_us(), us = now_us - began_us;
    if (us < BLOCKED_US)
        return;
    __atomic_fetch_add(&b->n_blocked, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&b->blocked_us, (uint64_t)us, __ATOMIC_RELAXED);
    if (b->said_us && now_us - b->said_us < SAY_MS * 1000)
        return;
    b->said_us = now_us;
    log_warning("event=loop-blocked job=%" PRIu64 " handler=%s ms=%" PRId64, tern_job_id(&t->task.call),
                t->task.handler->name, us / 1000);
}

/* ---- on the link's thread --------------------------------------------------------------------- */

static int64_t since(const struct loop_busy *b) { return __atomic_load_n(&b->since_us, __ATOMIC_ACQUIRE); }

/* A little later than what is too long: whoever began just before it asked has then had as much. */
void loop_blocked_asked(struct loop_look *k, struct now now)
{
    k->at_ms = min_i64(k->at_ms, now.mono_ms + LOOP_BLOCKED_MS + 2);
}

bool loop_blocked_look(struct loop_look *k, const struct loop_busy *b, struct now now, size_t *ret_slot, int64_t *ret_ms)
{
    if (now.mono_ms < k->at_ms)
        return false;
    k->at_ms = NEVER;
    int64_t since_us = since(b);
    size_t slot = __atomic_load_n(&b->slot, __ATOMIC_RELAXED);
    int64_t us = clock_mono_us() - since_us;
    if (!since_us || since_us == k->named_us || since(b) != since_us)
        return false;
    if (us < BLOCKED_US) {
        k->at_ms = now.mono_ms + (BLOCKED_US - us) / 1000 + 1;
        return false;
    }
    k->named_us = since_us;
    if (k->said_ms && now.mono_ms - k->said_ms < SAY_MS)
        return false;
    k->said_ms = now.mono_ms;
    *ret_slot = slot;
    *ret_ms = us / 1000;
    return true;
}

void loop_blocked_tell(const struct loop_busy *b, uint64_t *ret_n, uint64_t *ret_ms)
{
    int64_t since_us = since(b), us = since_us ? clock_mono_us() - since_us : 0;
    bool now = us >= BLOCKED_US;
    *ret_n = __atomic_load_n(&b->n_blocked, __ATOMIC_RELAXED) + now;
    *ret_ms = (__atomic_load_n(&b->blocked_us, __ATOMIC_RELAXED) + (now ? (uint64_t)us : 0)) / 1000;
}
