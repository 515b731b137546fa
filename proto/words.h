/* words.h - the field's terms as numbers and names: one list each, from which enums, names and parsers come. */
#ifndef TERN_WORDS_H
#define TERN_WORDS_H

#include "proto/base/base.h"

/* How a job spends its time. X(ENUM, number on the wire and in the database, name) */
#define TAGS(X)                                                                                    \
    X(TAG_AUTO, 0, "auto") X(TAG_CPU, 1, "cpu") X(TAG_IO, 2, "io") X(TAG_SLOW_IO, 3, "slow-io")
#define N_TAGS 4

/* Where it runs. */
#define POOLS(X) X(POOL_PROCESS, 0, "process") X(POOL_THREAD, 1, "thread") X(POOL_LOOP, 2, "loop")
#define N_POOLS 3

/* Who chose the pool. */
#define CHOOSERS(X)                                                                                \
    X(CHOSEN_BY_JOB, 1, "job")         /* the tag that it was submitted with */                    \
    X(CHOSEN_BY_HANDLER, 2, "handler") /* the tag that its handler declares */                     \
    X(CHOSEN_BY_AUTO, 3, "auto")       /* what was measured of earlier runs */                     \
    X(CHOSEN_BY_DEFAULT, 4, "default") /* auto, but of too few runs something is known */          \
    X(CHOSEN_FOR_SUSPECT, 5, "suspect") /* a worker was lost under it */

/* Where it stands. From STATE_DONE on, states are terminal. */
#define STATES(X)                                                                                  \
    X(STATE_BLOCKED, 0, "blocked")                                                                 \
    X(STATE_SCHEDULED, 1, "scheduled")                                                             \
    X(STATE_QUEUED, 2, "queued")                                                                   \
    X(STATE_RUNNING, 3, "running")                                                                 \
    X(STATE_DONE, 4, "done")                                                                       \
    X(STATE_DEAD, 5, "dead")                                                                       \
    X(STATE_CANCELLED, 6, "cancelled")                                                             \
    X(STATE_EXPIRED, 7, "expired")
#define N_STATES 8

/* Why an attempt, or a job, ended as it did. */
#define REASONS(X)                                                                                 \
    X(REASON_NONE, 0, "")                                                                          \
    X(REASON_EXIT, 1, "exit")                                                                      \
    X(REASON_SIGNAL, 2, "signal")                                                                  \
    X(REASON_TIME_LIMIT, 3, "time-limit")                                                          \
    X(REASON_MEMORY_LIMIT, 4, "memory-limit")                                                      \
    X(REASON_HANDLER_ERROR, 5, "handler-error")                                                    \
    X(REASON_CANCELLED, 6, "cancelled")                                                            \
    X(REASON_EXPIRED, 7, "expired")                                                                \
    X(REASON_WORKER_LOST, 8, "worker-lost")

/* How an attempt ended, as the worker saw it. */
#define ENDINGS(X)                                                                                 \
    X(ENDING_DONE, 0, "done")           /* the handler succeeded */                                \
    X(ENDING_FAILED, 1, "failed")       /* counts against the retries */                           \
    X(ENDING_CANCELLED, 2, "cancelled") /* stopped because the broker said STOP */                 \
    X(ENDING_EXPIRED, 3, "expired")     /* its time had passed before it could start */            \
    X(ENDING_LOST, 4, "lost")           /* what ran it died: counts against the crash limit */

/* Codes of ERROR: the exit statuses of `tern`. */
#define ERROR_CODES(X)                                                                             \
    X(CODE_USAGE, 2, "usage")              /* the request makes no sense */                        \
    X(CODE_NOT_FOUND, 3, "not-found")      /* no such job, queue or worker */                      \
    X(CODE_REFUSED, 4, "refused")          /* cannot be done, and repeating will not help */       \
    X(CODE_BUSY, 75, "busy")               /* try again later, with the same number */             \
    X(CODE_PROTOCOL, 76, "protocol")       /* not a message of this protocol or version */         \
    X(CODE_NOT_ALLOWED, 77, "not-allowed") /* this peer may not */

#define X(id, number, name) id = number,
enum tag { TAGS(X) };
enum pool_kind { POOLS(X) };
enum chosen_by { CHOOSERS(X) };
enum job_state { STATES(X) };
enum reason { REASONS(X) };
enum ending { ENDINGS(X) };
enum error_code { ERROR_CODES(X) };
#undef X

static inline bool state_is_terminal(int64_t state) { return state >= STATE_DONE; }

/* The name, static; "?" for a number that is none. */
const char *tag_name(int64_t n);
const char *pool_name(int64_t n);
const char *chosen_by_name(int64_t n);
const char *state_name(int64_t n);
const char *reason_name(int64_t n);
const char *ending_name(int64_t n);
const char *code_name(int64_t n);

/* The number, or -EINVAL. */
int tag_parse(struct str name);
int pool_parse(struct str name);
int state_parse(struct str name);

#endif
