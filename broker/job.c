/* job.c - the table of legal moves of a job. */
#include "broker/job.h"

#define TO(state) (1u << (state))

static const unsigned legal[N_STATES] = {
    [STATE_BLOCKED] = TO(STATE_QUEUED) | TO(STATE_CANCELLED) | TO(STATE_EXPIRED),
    [STATE_SCHEDULED] = TO(STATE_QUEUED) | TO(STATE_CANCELLED) | TO(STATE_EXPIRED),
    [STATE_QUEUED] = TO(STATE_RUNNING) | TO(STATE_CANCELLED) | TO(STATE_EXPIRED),
    [STATE_RUNNING] = TO(STATE_DONE) | TO(STATE_DEAD) | TO(STATE_CANCELLED) | TO(STATE_EXPIRED) |
                      TO(STATE_QUEUED) | TO(STATE_SCHEDULED),
    [STATE_DEAD] = TO(STATE_QUEUED), /* tern retry */
    [STATE_CANCELLED] = TO(STATE_QUEUED),
    [STATE_EXPIRED] = TO(STATE_QUEUED),
};

bool job_may_move(enum job_state from, enum job_state to)
{
    return (legal[from] & TO(to)) != 0;
}
