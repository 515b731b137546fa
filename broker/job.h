/* job.h - the states of a job and the moves between them.
 *
 *   submit ---> queued ----------> running -----------> done
 *     |          ^  ^  |            |  |  \
 *     |          |  |  |            |  |   `-- failed, no retries left, or worker lost too often --> dead
 *     |          |  |  |            |  `------ failed, retries left: scheduled (backoff)
 *     |          |  |  |            `--------- worker lost, or handed back: queued again, now
 *     `-> scheduled |  `-> cancelled, expired
 *         blocked --'                 running -> cancelled, expired
 */
#ifndef TERN_JOB_H
#define TERN_JOB_H

#include "proto/words.h"

/* Is this move in the table? All else is a bug of ours. */
bool job_may_move(enum job_state from, enum job_state to);

#endif
