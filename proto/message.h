/* message.h - what is said on the wire: one list of fields a message, one list of all messages.
 *
 * From these lists come the structs, the numbers, the names, encoding, decoding, the broker's and the worker's
 * dispatch tables, and the round-trip test. A message is one msgpack array:
 *
 *     [type, epoch, session, field, field, ...]
 *
 * A record inside a message is an array of its fields. Fields may be appended, never moved or taken away: a shorter
 * array means that the rest was not given, further elements are ignored. proto/PROTOCOL.md says what each field means.
 *
 * F(kind, name, record): kind is
 *     U64    unsigned number, not given: 0          uint64_t name
 *     I64    number, not given: nil, UNSET          int64_t name
 *     STR    UTF-8 text without NUL, or nil         struct str name
 *     BIN    bytes, or nil                          struct str name
 *     STRS   array of texts                         struct str *name; size_t n_name
 *     LIST   array of records                       struct record *name; size_t n_name
 */
#ifndef TERN_MESSAGE_H
#define TERN_MESSAGE_H

#include "proto/base/buf.h"
#include "proto/limits.h"
#include "proto/runner_records.h"
#include "proto/words.h"

/* ---- records ---------------------------------------------------------------------------------- */

#define RANGE_FIELDS(F) F(U64, first, ) F(U64, last, )

#define ATTEMPT_REF_FIELDS(F) F(U64, job, ) F(U64, attempt, )

/* What is asked of one job. Whatever is not given comes from the handler's declaration, or the default. */
#define JOB_SPEC_FIELDS(F)                                                                         \
    F(STR, queue, )                                                                                \
    F(STR, handler, )                                                                              \
    F(STR, program, )        /* of a command: the name it counts by for `auto` */                  \
    F(I64, tag, )                                                                                  \
    F(I64, priority, )                                                                             \
    F(I64, delay_ms, )                                                                             \
    F(I64, at_ms, )          /* since 1970, UTC */                                                 \
    F(I64, timeout_ms, )                                                                           \
    F(I64, retries, )                                                                              \
    F(I64, backoff_min_ms, )                                                                       \
    F(I64, backoff_max_ms, )                                                                       \
    F(I64, crash_limit, )                                                                          \
    F(I64, expire_ms, )      /* counted from the submit */                                         \
    F(I64, memory_bytes, )                                                                         \
    F(I64, kill_grace_ms, )                                                                        \
    F(STR, name, )                                                                                 \
    F(BIN, payload, )                                                                              \
    F(STR, needs, )          /* of a worker: see need.h */

/* The payload of the handler `exec`, encoded by record_encode. */
#define COMMAND_FIELDS(F) F(STRS, argv, ) F(STRS, env, ) F(STR, cwd, ) F(BIN, input, )

#define POOL_LOAD_FIELDS(F)                                                                        \
    F(U64, pool, ) F(U64, slots, ) F(U64, used, ) F(U64, stuck, ) F(U64, waiting, )                \
    F(U64, parked, )         /* attempts that wait for their children and hold no slot */                              \
    F(U64, blocked, )        /* loop: how often a handler held up all others */                    \
    F(U64, blocked_ms, )     /* loop: how long in all */

#define FORM_BLOCKING 1u
#define FORM_ASYNC 2u
#define HANDLER_INFO_FIELDS(F)                                                                     \
    F(STR, name, )                                                                                 \
    F(U64, forms, )          /* FORM_BLOCKING | FORM_ASYNC */                                      \
    F(I64, tag, )                                                                                  \
    F(I64, retries, )                                                                              \
    F(I64, timeout_ms, )                                                                           \
    F(U64, thread_safe, )    /* 0: its blocking form runs in a process only */

#define AMOUNT_FIELDS(F) F(STR, name, ) F(U64, total, ) F(U64, held, ) /* held: by jobs that run */

#define HELD_WAITING 0u
#define HELD_RUNNING 1u
#define HELD_FINISHED 2u
#define HELD_FIELDS(F) F(U64, job, ) F(U64, attempt, ) F(U64, held, ) F(U64, pool, )

#define RUN_JOB_FIELDS(F)                                                                          \
    F(U64, job, )                                                                                  \
    F(U64, attempt, )                                                                              \
    F(STR, queue, )                                                                                \
    F(STR, handler, )                                                                              \
    F(U64, pool, )                                                                                 \
    F(I64, timeout_ms, )     /* from the handler's start */                                        \
    F(I64, memory_bytes, )                                                                         \
    F(I64, kill_grace_ms, )                                                                        \
    F(I64, expire_in_ms, )   /* not to be started after this long */                               \
    F(STR, name, )                                                                                 \
    F(BIN, payload, )                                                                              \
    F(BIN, checkpoint, )     /* of an attempt before this one */

#define OUTCOME_FIELDS(F)                                                                          \
    F(U64, job, )                                                                                  \
    F(U64, attempt, )                                                                              \
    F(U64, ending, )                                                                               \
    F(U64, reason, )                                                                               \
    F(I64, exit_code, )                                                                            \
    F(I64, signal, )                                                                               \
    F(U64, for_good, )       /* failed: a retry would not help */                                  \
    F(U64, pool, )                                                                                 \
    F(I64, ago_us, )         /* since it ended, when this was sent */                              \
    F(I64, wall_us, )                                                                              \
    F(I64, cpu_us, )                                                                               \
    F(I64, max_rss_kb, )     /* a process or a command only */                                     \
    F(STR, error, )                                                                                \
    F(BIN, result, )                                                                               \
    F(BIN, output, )         /* marked chunks: see output.h */                                     \
    F(I64, ready_us, )       /* of wall_us: it was ready to run, but no core was free */

#define GIVEN_BACK_FIELDS(F) F(U64, job, ) F(U64, attempt, ) F(U64, started, ) F(STR, text, )

#define ATTEMPT_PROGRESS_FIELDS(F) F(U64, job, ) F(U64, attempt, ) F(I64, percent, )

#define CHILD_REF_FIELDS(F) F(U64, id, ) F(U64, made, ) /* by this SPAWN; 0: by one before it */
#define CHILD_END_FIELDS(F)                                                                        \
    F(U64, id, )                                                                                   \
    F(U64, state, )          /* a terminal one; STATE_BLOCKED: there is no such child (any more) */ \
    F(U64, reason, )                                                                               \
    F(I64, exit_code, )                                                                            \
    F(I64, signal, )

#define JOB_VIEW_FIELDS(F)                                                                         \
    F(U64, id, )                                                                                   \
    F(U64, state, )                                                                                \
    F(STR, queue, )                                                                                \
    F(STR, handler, )                                                                              \
    F(STRS, command, )                                                                             \
    F(STR, owner, )                                                                                \
    F(STR, name, )                                                                                 \
    F(I64, tag, )                                                                                  \
    F(I64, pool, )                                                                                 \
    F(I64, priority, )                                                                             \
    F(U64, attempt, )                                                                              \
    F(I64, retries, )                                                                              \
    F(U64, failures, )                                                                             \
    F(U64, crashes, )                                                                              \
    F(STR, worker, )                                                                               \
    F(I64, submitted_ms, )                                                                         \
    F(I64, due_ms, )                                                                               \
    F(I64, started_ms, )                                                                           \
    F(I64, finished_ms, )                                                                          \
    F(I64, timeout_ms, )                                                                           \
    F(I64, exit_code, )                                                                            \
    F(I64, signal, )                                                                               \
    F(I64, reason, )                                                                               \
    F(I64, wall_us, )                                                                              \
    F(I64, cpu_us, )                                                                               \
    F(I64, max_rss_kb, )                                                                           \
    F(I64, progress, )       /* percent */                                                         \
    F(STR, error, )                                                                                \
    F(U64, parent, )                                                                               \
    F(I64, crash_limit, )                                                                          \
    F(I64, expire_at_ms, )                                                                         \
    F(I64, memory_bytes, )                                                                         \
    F(U64, cancel_asked, )                                                                         \
    F(STR, needs, )                                                                                \
    F(I64, pool_by, )        /* who chose the pool */                                              \
    F(I64, pool_tag, )       /* by which tag */

#define EVENT_FIELDS(F) F(I64, at_ms, ) F(STR, event, ) F(I64, attempt, ) F(STR, worker, ) F(STR, text, )

#define REFUSAL_FIELDS(F) F(U64, job, ) F(U64, code, ) F(STR, text, )

#define WHY_REASON_FIELDS(F) F(STR, code, ) F(STR, text, )

#define STATE_COUNT_FIELDS(F) F(U64, state, ) F(U64, jobs, )

#define QUEUE_VIEW_FIELDS(F)                                                                       \
    F(STR, name, )                                                                                 \
    F(U64, paused, )                                                                               \
    F(LIST, counts, state_count)                                                                   \
    F(I64, oldest_ms, )      /* when the oldest that waits was submitted */                        \
    F(U64, finished_last_minute, )

#define WORKER_VIEW_FIELDS(F)                                                                      \
    F(STR, name, )                                                                                 \
    F(STR, instance, )       /* 32 hex digits, new at each start */                                \
    F(STR, host, )                                                                                 \
    F(U64, pid, )                                                                                  \
    F(STR, software, )                                                                             \
    F(STR, owner, )                                                                                \
    F(U64, draining, )                                                                             \
    F(LIST, pools, pool_load)                                                                      \
    F(STRS, queues, )        /* none: all */                                                       \
    F(STRS, handlers, )                                                                            \
    F(I64, heard_ago_ms, )                                                                         \
    F(I64, connected_ms, )   /* when, since 1970 */                                                \
    F(STRS, notices, )                                                                             \
    F(STRS, labels, )                                                                              \
    F(LIST, amounts, amount)                                                       \
    F(STR, isolation, )

/* What was measured of a handler, or a command's program, with one tag; and whether that tag is right. */
#define ADVICE_FIELDS(F)                                                                           \
    F(STR, handler, )                                                                              \
    F(STR, program, )                                                                              \
    F(I64, tag, )            /* as asked for */                                                    \
    F(I64, tag_by, )                                                                               \
    F(I64, pool, )                                                                                 \
    F(U64, runs, )                                                                                 \
    F(I64, last_ms, )                                                                              \
    F(I64, wall_us, )                                                                              \
    F(I64, wall_p50_us, )                                                                          \
    F(I64, wall_p99_us, )                                                                          \
    F(I64, cpu_share, )      /* in thousandths */                                                  \
    F(I64, wait_p50_us, )                                                                          \
    F(I64, wait_p99_us, )                                                                          \
    F(I64, memory_p50_kb, )                                                                        \
    F(I64, memory_p99_kb, )                                                                        \
    F(STR, verdict, )                                                                              \
    F(I64, better, )                                                                               \
    F(STR, why, )                                                                                  \
    F(STR, gain, )                                                                                 \
    F(I64, most_now, )       /* jobs a second, in thousandths */                                   \
    F(I64, most_then, )

#define STAT_FIELDS(F) F(STR, name, ) F(I64, value, )

/* R(record, FIELDS): each of the above, the inner before the outer. */
#define RECORDS(R)                                                                                 \
    R(range, RANGE_FIELDS)                                                                         \
    R(attempt_ref, ATTEMPT_REF_FIELDS)                                                             \
    R(job_spec, JOB_SPEC_FIELDS)                                                                   \
    R(command, COMMAND_FIELDS)                                                                     \
    R(pool_load, POOL_LOAD_FIELDS)                                                                 \
    R(handler_info, HANDLER_INFO_FIELDS)                                                           \
    R(amount, AMOUNT_FIELDS)                                                                       \
    R(held, HELD_FIELDS)                                                                           \
    R(run_job, RUN_JOB_FIELDS)                                                                     \
    R(outcome, OUTCOME_FIELDS)                                                                     \
    R(given_back, GIVEN_BACK_FIELDS)                                                               \
    R(attempt_progress, ATTEMPT_PROGRESS_FIELDS)                                                   \
    R(child_ref, CHILD_REF_FIELDS)                                                                 \
    R(child_end, CHILD_END_FIELDS)                                                                 \
    R(job_view, JOB_VIEW_FIELDS)                                                                   \
    R(event, EVENT_FIELDS)                                                                         \
    R(refusal, REFUSAL_FIELDS)                                                                     \
    R(why_reason, WHY_REASON_FIELDS)                                                               \
    R(state_count, STATE_COUNT_FIELDS)                                                             \
    R(queue_view, QUEUE_VIEW_FIELDS)                                                               \
    R(worker_view, WORKER_VIEW_FIELDS)                                                             \
    R(advice, ADVICE_FIELDS)                                                                       \
    R(stat_value, STAT_FIELDS)

/* ---- messages --------------------------------------------------------------------------------- */

#define PROTOCOL_VERSION 1u
#define CAPABILITY_CHECKPOINT "checkpoint" /* in WELCOME: CHECKPOINT */
#define CAPABILITY_PROGRESS "progress" /* in WELCOME: PROGRESS */
#define CAPABILITY_CHILDREN "children" /* in WELCOME: SPAWN, AWAIT, and FETCH from a worker */
#define CAPABILITY_NEEDS "needs" /* of a broker: it reads the needs of a job */

#define HELLO_FIELDS(F)                                                                            \
    F(U64, version, )        /* the newest that the peer speaks */                                 \
    F(U64, min_version, )    /* the oldest */                                                      \
    F(STR, role, )           /* "client" or "worker" */                                            \
    F(STR, software, )                                                                             \
    F(STRS, capabilities, )                                                                        \
    F(BIN, instance, )       /* 16 random bytes: this client session, this start of the worker */  \
    F(STR, host, )                                                                                 \
    F(U64, pid, )                                                                                  \
    F(STR, name, )           /* from here on: of a worker */                                       \
    F(STRS, queues, )                                                                              \
    F(LIST, pools, pool_load)                                                                      \
    F(LIST, handlers, handler_info)                                                                \
    F(LIST, held, held)                                                                            \
    F(U64, draining, )                                                                             \
    F(U64, count, )          /* of this instance's HELLOs, from 1: an older one that comes late is ignored */ \
    F(STRS, notices, )       /* what is wrong with this worker, for people */                      \
    F(STRS, labels, )                                                                              \
    F(LIST, amounts, amount)                                                       \
    F(STR, isolation, )      /* how it keeps processes apart: "cgroup", "cgroup-no-memory", "process-group" */

#define WELCOME_FIELDS(F)                                                                          \
    F(U64, version, )                                                                              \
    F(STR, software, )                                                                             \
    F(STRS, capabilities, )                                                                        \
    F(U64, heartbeat_ms, )                                                                         \
    F(U64, lost_after_ms, )                                                                        \
    F(U64, max_message_bytes, )                                                                    \
    F(U64, max_payload_bytes, )                                                                    \
    F(LIST, gone, attempt_ref)                                                                     \
    F(U64, last_seq, )       /* of this client session, as the broker remembers it */             \
    F(U64, submit_jobs, )    /* put so many into a SUBMIT at most; 0: as many as may be */

#define HELLO_AGAIN_FIELDS(F) F(STR, text, )
#define BYE_FIELDS(F) F(STR, text, )
#define BEAT_FIELDS(F) F(U64, req, ) F(LIST, pools, pool_load) F(U64, number, )
#define ERROR_FIELDS(F) F(U64, req, ) F(U64, code, ) F(STR, text, ) F(U64, job, ) /* of several in a SUBMIT, from 1; 0: none */
#define OK_FIELDS(F) F(U64, req, )

#define SUBMIT_FIELDS(F)                                                                           \
    F(U64, req, )                                                                                  \
    F(U64, seq, )                                                                                  \
    F(LIST, jobs, job_spec)                                                                        \
    F(U64, wait, )           /* of one job: the req of a WAIT for it that begins with it */        \
    F(U64, what, )           /* WAITED is to tell: as of FETCH */
#define SUBMITTED_FIELDS(F) F(U64, req, ) F(U64, seq, ) F(U64, first_id, ) F(U64, count, ) F(STRS, notices, ) \
    F(U64, waits, )          /* the WAIT has begun */

#define WAIT_FIELDS(F) F(U64, req, ) F(LIST, ranges, range) F(U64, any, )
#define WAITED_FIELDS(F)                                                                           \
    F(U64, req, )                                                                                  \
    F(U64, ended, )          /* any: one that has ended */                                         \
    F(U64, attempt, )        /* the job is done, by this one, and the rest tells the result; 0: FETCH does */ \
    F(I64, exit_code, )                                                                            \
    F(BIN, data, )
#define UNWAIT_FIELDS(F) F(U64, req, )

#define CHANGE_FIELDS(F) F(U64, req, ) F(LIST, ranges, range)
#define CHANGED_FIELDS(F) F(U64, req, ) F(U64, changed, ) F(U64, skipped, ) F(LIST, refusals, refusal)

#define PAUSE_FIELDS(F) F(U64, req, ) F(STR, queue, ) F(U64, paused, )
#define DRAIN_FIELDS(F) F(U64, req, ) F(STR, worker, ) F(U64, number, )

#define LIST_FIELDS(F)                                                                             \
    F(U64, req, )                                                                                  \
    F(LIST, ranges, range)   /* none: all jobs */                                                  \
    F(U64, states, )         /* bit 1 << state; 0: any */                                          \
    F(STR, queue, )                                                                                \
    F(U64, newest_first, )                                                                         \
    F(U64, limit, )                                                                                \
    F(U64, from, )           /* the page starts at this id; 0: at the beginning */                 \
    F(U64, own, )            /* only jobs of this peer's own */                                    \
    F(U64, parent, )         /* only the children of this job; 0: any */
#define JOBS_FIELDS(F) F(U64, req, ) F(LIST, jobs, job_view) F(U64, next, ) /* 0: no more */

#define WHAT_RESULT 0u
#define WHAT_OUTPUT 1u
#define FETCH_FIELDS(F) F(U64, req, ) F(U64, job, ) F(I64, attempt, ) F(U64, what, )               \
    F(U64, parent, )         /* a worker asks, for this attempt that it runs: the job is its child */ \
    F(U64, parent_attempt, )
#define FETCHED_FIELDS(F)                                                                          \
    F(U64, req, )                                                                                  \
    F(U64, state, )                                                                                \
    F(U64, attempt, )                                                                              \
    F(I64, reason, )                                                                               \
    F(I64, exit_code, )                                                                            \
    F(I64, signal, )                                                                               \
    F(STR, error, )                                                                                \
    F(BIN, data, )

#define HISTORY_FIELDS(F) F(U64, req, ) F(U64, job, )
#define EVENTS_FIELDS(F) F(U64, req, ) F(LIST, events, event)
#define WHY_FIELDS(F) F(U64, req, ) F(U64, job, )
#define BECAUSE_FIELDS(F) F(U64, req, ) F(U64, job, ) F(U64, state, ) F(LIST, reasons, why_reason)
#define QUEUES_FIELDS(F) F(U64, req, )
#define QUEUE_LIST_FIELDS(F) F(U64, req, ) F(LIST, queues, queue_view)
#define WORKERS_FIELDS(F) F(U64, req, )
#define WORKER_LIST_FIELDS(F) F(U64, req, ) F(LIST, workers, worker_view)
#define STATS_FIELDS(F) F(U64, req, )
#define STAT_LIST_FIELDS(F) F(U64, req, ) F(LIST, stats, stat_value)
#define ADVISE_FIELDS(F) F(U64, req, ) F(STR, handler, ) F(U64, from, )
#define ADVICE_LIST_FIELDS(F) F(U64, req, ) F(LIST, rows, advice) F(U64, next, ) /* 0: no more */

/* number: see proto/numbered.h */
#define RUN_FIELDS(F) F(LIST, jobs, run_job) F(U64, number, )
#define STARTED_FIELDS(F) F(LIST, attempts, attempt_ref) F(U64, number, )
#define RESULT_FIELDS(F) F(LIST, outcomes, outcome) F(U64, number, )
#define RECORDED_FIELDS(F) F(LIST, attempts, attempt_ref)
#define TAKE_BACK_FIELDS(F) F(LIST, attempts, attempt_ref) F(U64, number, )
#define GIVEN_FIELDS(F) F(LIST, attempts, given_back) F(U64, number, )
#define STOP_FIELDS(F) F(LIST, attempts, attempt_ref) F(U64, number, )

/* An attempt leaves something to the next one. */
#define CHECKPOINT_FIELDS(F) F(U64, req, ) F(U64, job, ) F(U64, attempt, ) F(BIN, body, ) F(U64, number, )
#define CHECKPOINTED_FIELDS(F)                                                                     \
    F(U64, req, )                                                                                  \
    F(U64, code, )           /* not 0: refused, what there was stays */                            \
    F(STR, text, )                                                                                 \
    F(U64, number, )

/* How far attempts are, for people. It has no number: what is lost is of no use once there is a newer one. */
#define PROGRESS_FIELDS(F) F(LIST, attempts, attempt_progress)

/* An attempt submits children, and hears of their ends. */
#define SPAWN_FIELDS(F)                                                                            \
    F(U64, req, )                                                                                  \
    F(U64, job, )            /* the parent */                                                      \
    F(U64, attempt, )                                                                              \
    F(LIST, jobs, job_spec)                                                                        \
    F(STRS, keys, )          /* of each: what its parent knows it by */                            \
    F(U64, detached, )       /* they are not cancelled with it */                                  \
    F(U64, number, )
#define SPAWNED_FIELDS(F)                                                                          \
    F(U64, req, )                                                                                  \
    F(LIST, children, child_ref)                                                                       \
    F(U64, code, )           /* not 0: refused, none was made */                                   \
    F(STR, text, )                                                                                 \
    F(U64, number, )
#define AWAIT_FIELDS(F) F(U64, req, ) F(U64, job, ) F(U64, attempt, ) F(LIST, ranges, range) F(U64, number, )
#define AWAITED_FIELDS(F)                                                                          \
    F(U64, job, )                                                                                  \
    F(U64, attempt, )                                                                              \
    F(LIST, ended, child_end)                                                                      \
    F(U64, req, )            /* of the AWAIT that was refused */                                   \
    F(U64, code, )                                                                                 \
    F(STR, text, )                                                                                 \
    F(U64, number, )

/* M(NAME, number, struct, FIELDS) */
#define MESSAGES(M)                                                                                \
    M(HELLO, 1, hello, HELLO_FIELDS)                                                               \
    M(WELCOME, 2, welcome, WELCOME_FIELDS)                                                         \
    M(HELLO_AGAIN, 3, hello_again, HELLO_AGAIN_FIELDS)                                             \
    M(BYE, 4, bye, BYE_FIELDS)                                                                     \
    M(BEAT, 5, beat, BEAT_FIELDS)                                                                  \
    M(ERROR, 6, error, ERROR_FIELDS)                                                               \
    M(OK, 7, ok, OK_FIELDS)                                                                        \
    M(SUBMIT, 10, submit, SUBMIT_FIELDS)                                                           \
    M(SUBMITTED, 11, submitted, SUBMITTED_FIELDS)                                                  \
    M(WAIT, 12, wait, WAIT_FIELDS)                                                                 \
    M(WAITED, 13, waited, WAITED_FIELDS)                                                           \
    M(UNWAIT, 14, unwait, UNWAIT_FIELDS)                                                           \
    M(CANCEL, 15, cancel, CHANGE_FIELDS)                                                           \
    M(RETRY, 16, retry, CHANGE_FIELDS)                                                             \
    M(REMOVE, 17, remove, CHANGE_FIELDS)                                                           \
    M(CHANGED, 18, changed, CHANGED_FIELDS)                                                        \
    M(PAUSE, 19, pause, PAUSE_FIELDS)                                                              \
    M(DRAIN, 20, drain, DRAIN_FIELDS)                                                              \
    M(LIST, 21, list, LIST_FIELDS)                                                                 \
    M(JOBS, 22, jobs, JOBS_FIELDS)                                                                 \
    M(FETCH, 23, fetch, FETCH_FIELDS)                                                              \
    M(FETCHED, 24, fetched, FETCHED_FIELDS)                                                        \
    M(HISTORY, 25, history, HISTORY_FIELDS)                                                        \
    M(EVENTS, 26, events, EVENTS_FIELDS)                                                           \
    M(WHY, 27, why, WHY_FIELDS)                                                                    \
    M(BECAUSE, 28, because, BECAUSE_FIELDS)                                                        \
    M(QUEUES, 29, queues, QUEUES_FIELDS)                                                           \
    M(QUEUE_LIST, 30, queue_list, QUEUE_LIST_FIELDS)                                               \
    M(WORKERS, 31, workers, WORKERS_FIELDS)                                                        \
    M(WORKER_LIST, 32, worker_list, WORKER_LIST_FIELDS)                                            \
    M(STATS, 33, stats, STATS_FIELDS)                                                              \
    M(STAT_LIST, 34, stat_list, STAT_LIST_FIELDS)                                                  \
    M(ADVISE, 35, advise, ADVISE_FIELDS)                                                           \
    M(ADVICE, 36, advice, ADVICE_LIST_FIELDS)                                                      \
    M(RUN, 40, run, RUN_FIELDS)                                                                    \
    M(STARTED, 41, started, STARTED_FIELDS)                                                        \
    M(RESULT, 42, result, RESULT_FIELDS)                                                           \
    M(RECORDED, 43, recorded, RECORDED_FIELDS)                                                     \
    M(TAKE_BACK, 44, take_back, TAKE_BACK_FIELDS)                                                  \
    M(GIVEN, 45, given, GIVEN_FIELDS)                                                              \
    M(STOP, 46, stop, STOP_FIELDS)                                                                 \
    M(CHECKPOINTED, 39, checkpointed, CHECKPOINTED_FIELDS)                                         \
    M(CHECKPOINT, 47, checkpoint, CHECKPOINT_FIELDS)                                               \
    M(PROGRESS, 48, progress, PROGRESS_FIELDS)                                                     \
    M(SPAWN, 50, spawn, SPAWN_FIELDS)                                                              \
    M(SPAWNED, 51, spawned, SPAWNED_FIELDS)                                                        \
    M(AWAIT, 52, await, AWAIT_FIELDS)                                                              \
    M(AWAITED, 53, awaited, AWAITED_FIELDS)

/* ---- what the lists make ---------------------------------------------------------------------- */

#define FIELD_U64(name, record) uint64_t name;
#define FIELD_I64(name, record) int64_t name;
#define FIELD_STR(name, record) struct str name;
#define FIELD_BIN(name, record) struct str name;
#define FIELD_STRS(name, record)                                                                   \
    struct str *name;                                                                              \
    size_t n_##name;
#define FIELD_LIST(name, record)                                                                   \
    struct record *name;                                                                           \
    size_t n_##name;
#define FIELD(kind, name, record) FIELD_##kind(name, record)

#define DECLARE_RECORD(record, FIELDS) struct record { FIELDS(FIELD) };
RECORDS(DECLARE_RECORD)
RUNNER_RECORDS(DECLARE_RECORD)
#define DECLARE_MESSAGE(NAME, number, name, FIELDS) struct msg_##name { FIELDS(FIELD) };
MESSAGES(DECLARE_MESSAGE)

#define MESSAGE_NUMBER(NAME, number, name, FIELDS) MSG_##NAME = number,
enum message_type { MESSAGES(MESSAGE_NUMBER) };
#define MESSAGE_TYPES 64 /* all numbers are below: the size of dispatch tables */

/* A message. Decoded: its texts and bytes are views into the frame, its arrays are owned by the message. */
struct message {
    enum message_type type;
    uint64_t epoch;   /* of the broker's start; 0 before WELCOME */
    uint64_t session; /* of this HELLO; 0 before WELCOME */
    union {
#define MESSAGE_MEMBER(NAME, number, name, FIELDS) struct msg_##name name;
        MESSAGES(MESSAGE_MEMBER)
#undef MESSAGE_MEMBER
    };
    void *arena; /* owned: what decoding allocated; NULL in a message built by hand */
};

/* Empty: every I64 UNSET, every text not given. */
void message_init(struct message *m, enum message_type type);
void message_fini(struct message *m);
const char *message_name(enum message_type type);

/* Appends the encoded message. -EMSGSIZE where out's ceiling would be passed; out is then unchanged. */
int message_encode(struct buf *out, const struct message *m);

/* Reads one message, all bytes used. The bytes must outlive m. -EBADMSG with a static text in *ret_why for hostile or
 * broken bytes; -EPROTONOSUPPORT for an unknown type. On failure m needs no message_fini. */
int message_decode(struct message *m, const void *bytes, size_t n, const char **ret_why);

/* The same for one record on its own (a command as payload). name: as in RECORDS. */
enum record_kind {
#define RECORD_KIND(record, FIELDS) RECORD_##record,
    RECORDS(RECORD_KIND)
    RUNNER_RECORDS(RECORD_KIND)
#undef RECORD_KIND
};
void record_init(enum record_kind kind, void *record);
int record_encode(struct buf *out, enum record_kind kind, const void *record);
/* *ret_arena is owned by the caller, freed by record_free_arena; the record's texts are views into bytes. */
int record_decode(enum record_kind kind, void *record, const void *bytes, size_t n, void **ret_arena);
void record_free_arena(void *arena);

#endif
