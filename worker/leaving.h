/* leaving.h - when a worker that was started for a while goes by itself: after so long without a job, so long at all, or so many
 * jobs. Pure: who asks brings the time. */
#ifndef TERN_LEAVING_H
#define TERN_LEAVING_H

#include "proto/base/clock.h"

struct leaving {
    int64_t idle_exit_ms, max_time_ms; /* 0: never */
    int64_t max_jobs;                  /* 0: no limit */
    int64_t begun_ms, idle_since_ms;
    int64_t n_started;
};

void leaving_init(struct leaving *l, int64_t idle_exit_ms, int64_t max_time_ms, int64_t max_jobs, struct now now);
enum leave {
    LEAVE_NOT,
    LEAVE_IDLE,
    LEAVE_ENOUGH, /* no more jobs; those that run may go on to their end */
    LEAVE_TIME,   /* those that run, too, have the time of a drain only */
};
/* Is it time to drain? held: attempts, in any state. *ret_due_ms: when to ask again, at the latest. */
enum leave leaving_ask(struct leaving *l, size_t held, struct now now, int64_t *ret_due_ms);

#endif
