/* runner_records.h - what a worker and a runner say to each other: the fields of each message, for message.h, which makes
 * of them what it makes of every record. proto/RUNNER.md says what they mean.
 *
 * A message is one record; its first field says which. Its direction is a matter of its number: below 16 to the runner. */
#ifndef TERN_RUNNER_RECORDS_H
#define TERN_RUNNER_RECORDS_H

#define RUNNER_VERSION 1u

/* X(ENUM, number of the message, record) */
#define RUNNER_MESSAGES(X)                                                                         \
    X(RUNNER_HELLO, 1, runner_hello)                                                               \
    X(RUNNER_RUN, 2, runner_run)                                                                   \
    X(RUNNER_STOP, 3, runner_stop)                                                                 \
    X(RUNNER_ANSWER, 4, runner_answer)                                                             \
    X(RUNNER_READY, 16, runner_ready)                                                              \
    X(RUNNER_DONE, 17, runner_done)                                                                \
    X(RUNNER_FAILED, 18, runner_failed)                                                            \
    X(RUNNER_LOG, 19, runner_log)                                                                  \
    X(RUNNER_PROGRESS, 20, runner_progress)                                                        \
    X(RUNNER_CHECKPOINT, 21, runner_checkpoint)                                                    \
    X(RUNNER_SPAWN, 22, runner_spawn)                                                              \
    X(RUNNER_AWAIT, 23, runner_await)                                                              \
    X(RUNNER_FETCH, 24, runner_fetch)

#define RUNNER_HANDLER_FIELDS(F)                                                                   \
    F(STR, name, )                                                                                 \
    F(STR, description, )                                                                          \
    F(U64, forms, )          /* FORM_BLOCKING | FORM_ASYNC */                                      \
    F(I64, tag, )                                                                                  \
    F(I64, retries, )                                                                              \
    F(I64, timeout_ms, )                                                                           \
    F(U64, thread_safe, )    /* 0: its blocking form runs alone in its runner */

/* The first field of each. */
#define RUNNER_ANY_FIELDS(F) F(U64, what, )

#define RUNNER_HELLO_FIELDS(F)                                                                     \
    F(U64, what, )                                                                                 \
    F(U64, version, )        /* the newest that the worker speaks */                               \
    F(U64, min_version, )                                                                          \
    F(STR, software, )                                                                             \
    F(STRS, capabilities, )                                                                        \
    F(I64, pool, )           /* nil: only to tell what it has */                                   \
    F(U64, room, )           /* runs at once, at most */                                           \
    F(STR, name, )           /* what the configuration calls this runner */

#define RUNNER_RUN_FIELDS(F)                                                                       \
    F(U64, what, )                                                                                 \
    F(U64, job, )                                                                                  \
    F(U64, attempt, )                                                                              \
    F(STR, queue, )                                                                                \
    F(STR, handler, )                                                                              \
    F(I64, timeout_ms, )     /* from now on */                                                     \
    F(STR, name, )                                                                                 \
    F(BIN, payload, )                                                                              \
    F(BIN, checkpoint, )     /* of an attempt before this one */

#define RUNNER_STOP_FIELDS(F) F(U64, what, ) F(U64, job, ) F(U64, attempt, )

#define RUNNER_READY_FIELDS(F)                                                                     \
    F(U64, what, )                                                                                 \
    F(U64, version, )                                                                              \
    F(STR, software, )                                                                             \
    F(STRS, capabilities, )                                                                        \
    F(U64, room, )                                                                                 \
    F(LIST, handlers, runner_handler)

#define RUNNER_DONE_FIELDS(F) F(U64, what, ) F(U64, job, ) F(U64, attempt, ) F(BIN, result, ) F(I64, cpu_us, )

#define RUNNER_FAILED_FIELDS(F)                                                                    \
    F(U64, what, )                                                                                 \
    F(U64, job, )                                                                                  \
    F(U64, attempt, )                                                                              \
    F(STR, error, )                                                                                \
    F(U64, for_good, )                                                                             \
    F(I64, cpu_us, )

#define RUNNER_LOG_FIELDS(F) F(U64, what, ) F(U64, job, ) F(U64, attempt, ) F(STR, text, )

#define RUNNER_PROGRESS_FIELDS(F) F(U64, what, ) F(U64, job, ) F(U64, attempt, ) F(I64, percent, ) F(STR, text, )

/* What a run asks of the broker; `req` is its own number, which ANSWER carries. */
#define RUNNER_CHECKPOINT_FIELDS(F) F(U64, what, ) F(U64, job, ) F(U64, attempt, ) F(U64, req, ) F(BIN, body, )
#define RUNNER_SPAWN_FIELDS(F)                                                                     \
    F(U64, what, )                                                                                 \
    F(U64, job, )                                                                                  \
    F(U64, attempt, )                                                                              \
    F(U64, req, )                                                                                  \
    F(LIST, jobs, job_spec)                                                                        \
    F(STRS, keys, )          /* of each: what its parent knows it by */                            \
    F(U64, detached, )
#define RUNNER_AWAIT_FIELDS(F)                                                                     \
    F(U64, what, )                                                                                 \
    F(U64, job, )                                                                                  \
    F(U64, attempt, )                                                                              \
    F(U64, req, )                                                                                  \
    F(LIST, ranges, range)                                                                         \
    F(U64, number, )         /* so many of them must have ended */
#define RUNNER_FETCH_FIELDS(F) F(U64, what, ) F(U64, job, ) F(U64, attempt, ) F(U64, req, ) F(U64, child, )
#define RUNNER_ANSWER_FIELDS(F)                                                                    \
    F(U64, what, )                                                                                 \
    F(U64, job, )                                                                                  \
    F(U64, attempt, )                                                                              \
    F(U64, req, )                                                                                  \
    F(U64, code, )           /* not 0: in vain, and text says why */                               \
    F(STR, text, )                                                                                 \
    F(LIST, children, child_ref)                                                                   \
    F(LIST, ended, child_end)                                                                      \
    F(U64, state, )                                                                                \
    F(BIN, data, )

/* R(record, FIELDS): each of the above, the inner before the outer. */
#define RUNNER_RECORDS(R)                                                                          \
    R(runner_hello, RUNNER_HELLO_FIELDS)                                                           \
    R(runner_run, RUNNER_RUN_FIELDS)                                                               \
    R(runner_stop, RUNNER_STOP_FIELDS)                                                             \
    R(runner_answer, RUNNER_ANSWER_FIELDS)                                                         \
    R(runner_handler, RUNNER_HANDLER_FIELDS)                                                       \
    R(runner_ready, RUNNER_READY_FIELDS)                                                           \
    R(runner_done, RUNNER_DONE_FIELDS)                                                             \
    R(runner_failed, RUNNER_FAILED_FIELDS)                                                         \
    R(runner_log, RUNNER_LOG_FIELDS)                                                               \
    R(runner_progress, RUNNER_PROGRESS_FIELDS)                                                     \
    R(runner_checkpoint, RUNNER_CHECKPOINT_FIELDS)                                                 \
    R(runner_spawn, RUNNER_SPAWN_FIELDS)                                                           \
    R(runner_await, RUNNER_AWAIT_FIELDS)                                                           \
    R(runner_fetch, RUNNER_FETCH_FIELDS)                                                           \
    R(runner_any, RUNNER_ANY_FIELDS)

#define RUNNER_MESSAGE_NUMBER(NAME, number, record) NAME = number,
enum runner_message { RUNNER_MESSAGES(RUNNER_MESSAGE_NUMBER) };
#undef RUNNER_MESSAGE_NUMBER

#endif
