/* leaving.c - the three limits of a worker's life. */
#include "worker/leaving.h"

void leaving_init(struct leaving *l, int64_t idle_exit_ms, int64_t max_time_ms, int64_t max_jobs, struct now now)
{
    *l = (struct leaving){ .idle_exit_ms = idle_exit_ms, .max_time_ms = max_time_ms, .max_jobs = max_jobs,
                           .begun_ms = now.mono_ms, .idle_since_ms = now.mono_ms };
}

static int64_t ends_at(int64_t since_ms, int64_t limit_ms)
{
    return limit_ms && limit_ms < NEVER - since_ms ? since_ms + limit_ms : NEVER;
}

enum leave leaving_ask(struct leaving *l, size_t held, struct now now, int64_t *ret_due_ms)
{
    if (held)
        l->idle_since_ms = now.mono_ms;
    int64_t idle_ms = held ? NEVER : ends_at(l->idle_since_ms, l->idle_exit_ms);
    int64_t max_ms = ends_at(l->begun_ms, l->max_time_ms);
    *ret_due_ms = min_i64(idle_ms, max_ms);
    if (now.mono_ms >= max_ms)
        return LEAVE_TIME;
    if (l->max_jobs && l->n_started >= l->max_jobs)
        return LEAVE_ENOUGH;
    return now.mono_ms >= idle_ms ? LEAVE_IDLE : LEAVE_NOT;
}
