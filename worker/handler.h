/* tern/handler.h - what a handler is, and what it may ask of the job it runs.
 *
 * A handler has a blocking form, an async form, or both. The blocking form is called in a thread of the thread pool
 * or in a child of the process pool; the async form is called on a coroutine of the loop pool, where it must never
 * block: it awaits. Both are straight-line code that returns 0 when the job is done, and otherwise what tern_fail
 * returned. A handler that returns another negative number has failed for now with that errno.
 *
 * Threads: a struct tern_job belongs to the call that was handed it. No function here may be called from another
 * thread than the one the handler was called on. Everything handed in is copied before the function returns. */
#ifndef TERN_HANDLER_H
#define TERN_HANDLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tern_job;

enum tern_tag { TERN_TAG_AUTO, TERN_TAG_CPU, TERN_TAG_IO, TERN_TAG_SLOW_IO };

struct tern_handler {
    const char *name;        /* [A-Za-z0-9._:-], at most 128 bytes */
    const char *description; /* one line for people */
    int (*blocking)(struct tern_job *job); /* or NULL */
    int (*async)(struct tern_job *job);    /* or NULL */
    enum tern_tag tag;       /* of jobs that name none */
    int retries;             /* of jobs that name none */
    int64_t timeout_ms;      /* of jobs that name none; 0: no limit */
    bool not_thread_safe;    /* the blocking form runs in a process only */
};

/* What the job is. The payload is valid until the handler returns; it is not NUL-terminated. */
const void *tern_payload(struct tern_job *job, size_t *ret_bytes);
uint64_t tern_job_id(const struct tern_job *job);
uint64_t tern_attempt(const struct tern_job *job);
/* Milliseconds until the time limit; INT64_MAX when there is none. */
int64_t tern_time_left_ms(const struct tern_job *job);

/* What an attempt before this one has left with its last checkpoint: NULL when there is none. Valid until the handler
 * returns. */
const void *tern_checkpoint_get(struct tern_job *job, size_t *ret_bytes);
/* Leaves something to the job's next attempt, if there will be one, in place of what was left before: at most 64 KiB. It waits
 * for the broker, and returns 0 once it is on the broker's disk; on the loop the coroutine alone waits. -EMSGSIZE: too large.
 * -ECANCELED: the job should stop. -EBUSY: no broker has answered for 30 s, or its disk is full; it is not known whether it is
 * kept, and the handler may go on. -EPERM: this attempt is not the job's any more. Not from a function of a module, nor from
 * what tern_await_thread calls. */
int tern_checkpoint(struct tern_job *job, const void *bytes, size_t n);

/* Has the job been cancelled, or has its time limit passed? A handler that works for long asks now and then, and
 * returns what tern_fail gives. */
bool tern_should_stop(const struct tern_job *job);

/* How far the job is, 0 to 100 percent (less and more are taken for these): `tern show` tells it while the attempt runs, about a
 * second later. It does not wait, and may be called as often as you like: it is told only when it changes, and what changes over 200
 * times at most every 10 ms. From a function that another pool calls for the handler it does nothing. */
void tern_progress(struct tern_job *job, int percent);

/* Sets the result. 0, or -EMSGSIZE over the limit (1 MiB): nothing is set then. A second call replaces the first. */
int tern_result(struct tern_job *job, const void *bytes, size_t n);

/* Adds a line to the job's log (`tern logs --stderr`); head and tail are kept past the limit. */
void tern_log(struct tern_job *job, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The job has failed, for now (a retry may help) or for good. Returns what the handler must return. */
int tern_fail(struct tern_job *job, const char *format, ...) __attribute__((format(printf, 2, 3)));
int tern_fail_for_good(struct tern_job *job, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- children: jobs that a job submits, in any form and any pool --------------------------------
 *
 * A child is a job of its own, durable like any other: it belongs to its parent's owner, runs on any worker, and goes on when its
 * parent's attempt fails. Its parent knows it by its key, or by being the n-th one without a key that this attempt spawns. An
 * attempt that spawns what one before it spawned finds the same child, be it done or not: nothing that was done is done twice.
 * So spawn in the same order in every attempt, or give keys.
 *
 * While a handler awaits children its slot is free for others, so a pool full of parents cannot lock itself up. The time limit goes
 * on. Each function returns 0 or more; -ECANCELED early, when the job should stop; -EBUSY when the worker has too many parents that
 * have not ended (8 a slot); -EINVAL, -EPERM when the broker refuses. A handler that returns such a number has failed with a text
 * that says more.
 *
 * A cancel of the parent cancels its children too, but for detached ones; no other end of it does. */
struct tern_child {
    const char *handler;
    const void *payload;
    size_t payload_bytes;
    const char *key;      /* [A-Za-z0-9._:-], at most 128 bytes; NULL: its ordinal */
    const char *queue;    /* NULL: its parent's */
    const char *name;     /* for people; or NULL */
    const char *tag;      /* "cpu", "io", "slow-io", "auto"; NULL: its handler's own */
    int priority;         /* 0: its parent's */
    int retries;          /* 0: its handler's own; TERN_NO_RETRIES */
    int64_t timeout_ms;   /* 0: its handler's own */
    int64_t delay_ms;     /* not before */
    int64_t expire_ms;    /* not started by then, it expires; 0: never */
    bool detached;        /* it is not cancelled with its parent */
};
#define TERN_NO_RETRIES (-1)

/* Returns when they are on the broker's disk, with their ids; at most 10,000 children a job. */
int tern_spawn(struct tern_job *job, const struct tern_child *child, uint64_t *ret_id);
int tern_spawn_many(struct tern_job *job, const struct tern_child *children, size_t n, uint64_t *ret_ids);

/* How a child ended. GONE: it was removed, or is no child of this job. */
enum tern_child_state { TERN_CHILD_GONE, TERN_CHILD_DONE, TERN_CHILD_DEAD, TERN_CHILD_CANCELLED, TERN_CHILD_EXPIRED };
struct tern_child_end {
    uint64_t id;
    enum tern_child_state state;
    const char *reason; /* static: "exit", "time-limit", ... as in `tern show --json`; "" */
    int exit_code, signal; /* -1: none */
};

/* Awaits all of them: ret has room for n, in the order of ids. Without ret (NULL) each must be done: -ECHILD otherwise. */
int tern_await_children(struct tern_job *job, const uint64_t *ids, size_t n, struct tern_child_end *ret);
/* Awaits any of them: returns its place among ids. ret: NULL, or how it ended. */
int tern_await_any_child(struct tern_job *job, const uint64_t *ids, size_t n, struct tern_child_end *ret);
/* Awaits one; without ret it must be done. */
int tern_await_child(struct tern_job *job, uint64_t id, struct tern_child_end *ret);
/* The result of one that is done: *ret is the caller's, to be given to free(); NULL when it has none. -ECHILD: it is not done. */
int tern_child_result(struct tern_job *job, uint64_t id, void **ret, size_t *ret_bytes);

/* ---- the async form only ---------------------------------------------------------------------- */

/* Awaits. Each returns 0, or early -ECANCELED when the job should stop (cancelled or past its time limit): the
 * handler then cleans up and returns. */
int tern_await_ms(struct tern_job *job, int64_t ms);
/* Awaits a descriptor: POLLIN and/or POLLOUT as in poll(2). Returns the events that came, or -errno. */
int tern_await_fd(struct tern_job *job, int fd, int events);

/* ---- done elsewhere for the async form --------------------------------------------------------- */

/* What follows is done by another pool of the same worker, and takes one of its slots like a job does: jobs and what is
 * done for jobs wait for slots in order of arrival. A pool takes twice as many of these as it has slots; the others
 * wait for their turn, job by job, and hold nothing but their coroutine. -EOPNOTSUPP: the worker has no such pool.
 * Whoever is told to stop is told, in turn, what is done for it: a process or command by SIGTERM, and after the job's
 * grace it is killed with its whole tree. The await returns once that is gone. */

/* Has a thread call function(job, arg), which may block, and returns what that returned; -ECANCELED where it was not called
 * as the job should stop. Until it has returned, nothing of what it uses goes away: it should ask tern_should_stop now and
 * then. It gets a job of its own: tern_payload, id, attempt and time left are those of the job, tern_log adds to the
 * job's log, and what it says with tern_fail stands as the job's own if the job fails. It cannot await, and tern_result
 * there does nothing. */
int tern_await_thread(struct tern_job *job, int (*function)(struct tern_job *job, void *arg), void *arg);

/* What a command, a function or a request came to. Whatever the await returned, tern_reply_free frees what is in it; a reply
 * that was freed, or is all zero, may be freed again. */
struct tern_reply {
    int status;         /* command: its exit status, 128 + N for signal N; request: of the answer, such as 200 */
    void *bytes;        /* command: standard output; function: its result; request: the body. A NUL follows, not counted */
    size_t n;
    void *err_bytes;    /* command: standard error, likewise */
    size_t n_err;
    uint64_t cut_bytes; /* command: left out in the middle of its output, past 1 MiB */
    char *error;        /* why it failed, for people; NULL where it did not */
};
void tern_reply_free(struct tern_reply *reply);

struct tern_http {
    const char *url;            /* http:// or https:// */
    const char *method;         /* NULL: GET, or POST where there is a body */
    const char *const *headers; /* "Name: value", NULL at its end; or NULL */
    const void *body;           /* NULL: none */
    size_t body_bytes;
    int64_t timeout_ms;         /* 0: a minute */
    size_t max_bytes;           /* of the answer's body; 0: 1 MiB; at most 64 MiB */
};
/* Makes a request, on the loop itself. 0: the server has answered, and reply->status says how, be it 200 or 500; -EIO: it has
 * not, or with more than max_bytes; -EINVAL: what is asked for is none; in both reply->error says why. Redirects are
 * followed. Loopback and link-local addresses are refused unless the worker has --http-allow, as for the handler http;
 * proxies that the environment names are not used. */
int tern_await_http(struct tern_job *job, const struct tern_http *http, struct tern_reply *reply);

struct tern_command {
    const char *const *argv; /* NULL at its end; no shell in between */
    const char *const *env;  /* K=V, added to the worker's environment; NULL at its end, or NULL */
    const char *cwd;         /* NULL: the worker's */
    const void *input;       /* its standard input */
    size_t input_bytes;      /* with all of the above at most 1 MiB */
    enum tern_tag tag;       /* auto or cpu: in a slot of the process pool; io or slow-io: of the thread pool */
    int64_t timeout_ms;      /* 0: as long as the job may */
    int64_t memory_bytes;    /* of its whole tree, resident; 0: no limit */
};
/* Runs a command. 0: it has exited, and reply->status says how; -EIO: it could not be started, was killed by a signal or at
 * a limit, and reply->error says so; -EINVAL: no argv; -E2BIG. Its environment has TERN_JOB_ID and TERN_ATTEMPT. */
int tern_await_command(struct tern_job *job, const struct tern_command *command, struct tern_reply *reply);

struct tern_process {
    const char *function; /* a struct tern_function of the handler's own module */
    const void *in;       /* what tern_payload gives it; copied */
    size_t in_bytes;      /* at most 1 MiB */
    int64_t timeout_ms;   /* 0: as long as the job may */
    int64_t memory_bytes; /* resident; 0: no limit */
};
/* Has a process of the pool call a function. 0: it returned 0, and the reply has what it set with tern_result; -EIO: it
 * failed, crashed, or passed a limit, and reply->error says how; -ENOENT: there is no such function; -E2BIG. What it wrote
 * with tern_log is added to the job's log. */
int tern_await_process(struct tern_job *job, const struct tern_process *process, struct tern_reply *reply);

/* ---- several things at once -------------------------------------------------------------------- */

/* A function that runs at the same time as the one that started it, on a coroutine of its own on the same thread: each
 * goes on while the others await, so that what they share needs no lock. It may do with the job what the handler may.
 * What a job starts ends with it: when the handler returns, its tasks are told to stop (their awaits return -ECANCELED)
 * and the job has ended only once they have. */
struct tern_task;

/* Calls function(job, arg) soon, in any case. What arg points to must stand until it has returned: a handler whose tasks
 * have something on its stack calls tern_end_all before it returns. A task costs what a job costs, about 8 KiB. ret: its
 * handle, which stays good until tern_end or until the handler has returned; NULL where none is wanted. 0, -ECANCELED, or
 * -EAGAIN: the loop has 10,000 tasks already. */
int tern_start(struct tern_job *job, struct tern_task **ret, int (*function)(struct tern_job *job, void *arg), void *arg);

/* Awaits all of n tasks: 0, or as soon as one has failed (returned a negative number), what that returned: of several
 * the first in the array. The others go on. Of a task only one at a time may await the end: -EBUSY; itself: -EDEADLK. */
int tern_await_all(struct tern_job *job, struct tern_task *const *tasks, size_t n);
/* Awaits the first of n tasks (1 to 10,000) to end, however it did: its place in the array. */
int tern_await_any(struct tern_job *job, struct tern_task *const *tasks, size_t n);
/* What its function returned; -EINPROGRESS until it has. */
int tern_task_result(const struct tern_task *task);
/* Has its awaits end early. Nothing happens when it has ended. */
void tern_task_stop(struct tern_task *task);
/* Stops it, waits until it has ended (even past the job's own end), and frees the handle. What its function returned. */
int tern_end(struct tern_job *job, struct tern_task *task);
/* The same of all tasks of the job, also of those without a handle. By the handler itself: -EDEADLK in a task. */
int tern_end_all(struct tern_job *job);

/* ---- modules ----------------------------------------------------------------------------------- */

/* A function of a module that an async handler of the same module has a process of the pool compute. It is called as a
 * blocking handler is: tern_payload gives the argument's bytes, tern_result sets what is handed back, tern_fail fails
 * the call alone. It shares no memory with its caller, and may be the function of a newer module of the same name. */
struct tern_function {
    const char *name; /* as of a handler; counts within its module */
    int (*call)(struct tern_job *job);
};

/* The one symbol that a module exports, made by TERN_MODULE. */
#define TERN_ABI 1u
struct tern_module {
    uint32_t abi;                           /* TERN_ABI */
    uint32_t handler_bytes, function_bytes; /* of the structs as this module knows them */
    uint32_t n_handlers, n_functions;
    const struct tern_handler *handlers;
    const struct tern_function *functions;
};
extern const struct tern_module tern_module __attribute__((visibility("default")));

/* Once in a module, at file scope. The arguments are arrays (a pointer does not compile in C):
 *
 *      static const struct tern_handler handlers[] = { { .name = "hash", .blocking = hash, .tag = TERN_TAG_CPU } };
 *      TERN_MODULE(handlers);
 *
 * With functions as well: TERN_MODULE_WITH(handlers, functions). */
#define TERN_MODULE(handlers_) TERN_MODULE_OF_(handlers_, NULL, 0)
#define TERN_MODULE_WITH(handlers_, functions_)                                                    \
    TERN_MUST_BE_ARRAY_(functions_);                                                               \
    TERN_MODULE_OF_(handlers_, functions_, sizeof(functions_) / sizeof((functions_)[0]))
#define TERN_MODULE_OF_(handlers_, functions_, n_functions_)                                       \
    TERN_MUST_BE_ARRAY_(handlers_);                                                                \
    const struct tern_module tern_module = {                                                       \
        TERN_ABI,                                                                                  \
        sizeof(struct tern_handler),                                                               \
        sizeof(struct tern_function),                                                              \
        sizeof(handlers_) / sizeof((handlers_)[0]),                                                \
        n_functions_,                                                                              \
        handlers_,                                                                                 \
        functions_,                                                                                \
    }
#ifdef __cplusplus
#define TERN_MUST_BE_ARRAY_(a) static_assert(sizeof(a) >= sizeof((a)[0]), #a " must be an array")
#else
#define TERN_MUST_BE_ARRAY_(a)                                                                     \
    _Static_assert(!__builtin_types_compatible_p(__typeof__(a), __typeof__(&(a)[0])), #a " must be an array")
#endif

#ifdef __cplusplus
}
#endif

#endif
