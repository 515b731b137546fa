/* tern/tern.h - libtern, the client library of the tern task queue.
 *
 * A client is one connection to one broker:
 *
 *     struct tern_client *c = tern_client_new();
 *     struct tern_job_spec job;
 *     uint64_t id;
 *     tern_job_spec_init(&job);
 *     job.handler = "sha256";
 *     job.payload = "hello";
 *     job.payload_bytes = 5;
 *     if (tern_client_connect(c, "ipc:///run/tern/broker.sock") < 0 ||
 *         tern_client_submit(c, &job, 1, &id) < 0)
 *         fprintf(stderr, "%s\n", tern_client_error(c));
 *     tern_client_free(c);
 *
 * Threads: a client belongs to one thread at a time; different clients are independent. No function
 * here is safe in a signal handler, or in a child after fork() of a process that has a client. The
 * library starts no thread that calls back, installs no signal handler and never ends the process,
 * but for one case: out of memory aborts.
 *
 * Errors: 0 or more is good; a negative number is one of the codes below, and tern_client_error
 * says what was wrong, where, and what to do.
 *
 *     -EINVAL        the request makes no sense
 *     -ENOENT        no such job, queue or worker
 *     -EPERM         refused: it cannot be done, and repeating will not help
 *     -EMSGSIZE      refused: a payload or a message over its limit; nothing was sent
 *     -EHOSTUNREACH  no broker answers
 *     -EBUSY         the broker said `busy` until the time was over: try again
 *     -EPROTO        the other end does not speak this protocol or version
 *     -EACCES        not allowed; or the broker does not know this client's key
 *     -ETIMEDOUT     the wait timed out
 *     -EINTR         the descriptor of tern_client_set_interrupt became readable
 *
 * Time-outs: connecting fails at once where nobody listens, and after 5 s of silence. Once the
 * broker has answered, a call outlives a restart of the broker or the network: the library connects
 * again, with back-off and jitter, and repeats what was not answered, for broker_timeout (30 s)
 * after the last sign of life. A repeated submit is recognised by the broker, also after its
 * restart, and gets the same ids. After -EHOSTUNREACH a submit may have been accepted.
 *
 * Strings in are NUL-terminated UTF-8 and are borrowed for the call. Structs that are handed to a
 * callback are valid until it returns, with all they point to. Times are milliseconds since 1970
 * UTC; durations say their unit. */
#ifndef TERN_TERN_H
#define TERN_TERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tern_client;

/* A number that is not given. */
#define TERN_UNSET INT64_MIN

/* ---- the connection ------------------------------------------------------------------------- */

/* Never NULL. Freed by tern_client_free, which also says goodbye to the broker; NULL is fine there.
 */
struct tern_client *tern_client_new(void);
void tern_client_free(struct tern_client *c);

/* silence_ms: until the first answer (5000). broker_timeout_ms: later, for how long the broker may be silent when it was asked
 * something, or busy (30000). */
void tern_client_set_timeouts(struct tern_client *c, int64_t silence_ms, int64_t broker_timeout_ms);

/* Every call ends with -EINTR as soon as fd is readable (a signalfd, an eventfd); -1: none. The
 * descriptor stays the caller's, and is not read. What the call had asked for is given up, but a
 * submit, which goes on in the next call. */
void tern_client_set_interrupt(struct tern_client *c, int fd);

/* For addresses that begin with tcp://, before tern_client_connect. key_file: this client's secret key, as `tern keygen` makes it.
 * broker_key: the broker's public key, its 64 digits or the file that they stand in. -EINVAL, and tern_client_error says why. */
int tern_client_set_keys(struct tern_client *c, const char *key_file, const char *broker_key);

/* address: ipc:///PATH or tcp://HOST:PORT. Once for a client; after a failure it may be called
 * again. */
int tern_client_connect(struct tern_client *c, const char *address);

/* The text of the last failure, without a newline; "" when there was none. Valid until the next
 * call with c. */
const char *tern_client_error(const struct tern_client *c);

/* The exit status that `tern` gives for a result: 0, 2, 3, 4, 69, 75, 76, 77 or 124. */
int tern_exit_status(int result);

/* After tern_client_connect: what the broker says of itself, and its limit for payloads in bytes.
 */
const char *tern_client_broker_software(const struct tern_client *c);
uint64_t tern_client_max_payload(const struct tern_client *c);

/* One question and its answer: how long it took, in microseconds. */
int tern_client_ping(struct tern_client *c, int64_t *ret_us);

/* ---- submitting ----------------------------------------------------------------------------- */

/* One job. What is not given (NULL, TERN_UNSET) comes from the handler's declaration, or is the
 * default. */
struct tern_job_spec {
    const char *queue;   /* "default" */
    const char *handler; /* required, but for a command */
    const char *tag;     /* "cpu", "io", "slow-io", "auto" */
    const char *name;
    const void *payload; /* of a handler */
    size_t payload_bytes;

    const char *const
        *argv; /* a command, ending with NULL: handler and payload are then made from it */
    const char *const *env; /* "NAME=VALUE", ending with NULL; or NULL */
    const char *cwd;
    const void *input; /* its standard input */
    size_t input_bytes;

    int64_t priority; /* higher first */
    int64_t delay_ms; /* from the submit on */
    int64_t at_ms;
    int64_t timeout_ms; /* of one attempt; 0: none */
    int64_t retries;
    int64_t backoff_min_ms, backoff_max_ms;
    int64_t crash_limit;
    int64_t expire_ms; /* from the submit on: not started by then, it expires */
    int64_t memory_bytes;
    int64_t kill_grace_ms;

    const char *const *needs; /* of a worker, "gpu=1", "host=anna", "licences=2", ending with NULL; or NULL */
};

void tern_job_spec_init(struct tern_job_spec *spec);

/* Submits n jobs and waits until all are acknowledged, which means: on the broker's disk. ret_ids
 * has room for n ids, in the order of the jobs. Up to 1,000 jobs and 1 MiB are all or nothing; more
 * go in several messages, and after a failure the ids of the jobs that were not acknowledged are 0.
 */
int tern_client_submit(struct tern_client *c, const struct tern_job_spec *specs, size_t n,
                       uint64_t *ret_ids);

/* The same as a stream: many jobs in bounded memory, up to 16 messages on their way at a time.
 * A key with a limit of open jobs has them taken as fast as others end, in smaller messages; -EBUSY when none was for
 * broker_timeout_ms.
 * submit_add copies the job and sends when a message is full, waiting only while 16 are unanswered;
 * submit_flush sends what is there and waits for every answer; submit_attend sends what is there
 * and takes answers until fd is readable
 * (-1: only what has arrived already). The callback gets count ids from first_id on, in the order
 * of the jobs. A failure of submit_add with -EINVAL or -EMSGSIZE concerns this job alone; any other
 * ends the stream. */
typedef void tern_submitted_fn(void *context, uint64_t first_id, uint64_t count);
void tern_client_on_submitted(struct tern_client *c, tern_submitted_fn *fn, void *context);
int tern_client_submit_add(struct tern_client *c, const struct tern_job_spec *spec);
int tern_client_submit_flush(struct tern_client *c);
int tern_client_submit_attend(struct tern_client *c, int fd);

/* Without this the first failure is the end of the stream, though messages behind the one that was refused may be taken all the
 * same. With it the call that fails waits for what becomes of them, and both callbacks tell all of it in the order of the jobs:
 * count jobs, the next ones, are not submitted. text is why, and job is for which of them, from 1 (0: none in particular); text
 * is "" where they were not refused themselves, but stood behind. */
typedef void tern_refused_fn(void *context, uint64_t count, uint64_t job, const char *text);
void tern_client_on_refused(struct tern_client *c, tern_refused_fn *fn, void *context);

/* What the broker wants the submitter to know ("no connected worker has the handler x"), one text
 * at a time. */
typedef void tern_notice_fn(void *context, const char *text);
void tern_client_on_notice(struct tern_client *c, tern_notice_fn *fn, void *context);

/* ---- which jobs ----------------------------------------------------------------------------- */

/* first to last. {1, UINT64_MAX} is all: the broker takes the jobs that exist now and may be seen.
 * At most 1,000 ranges in one call. A job that is named alone (first == last) must be there. */
struct tern_range {
    uint64_t first, last;
};

/* ---- waiting -------------------------------------------------------------------------------- */

/* Returns when all the jobs (any: one of them) are done, dead, cancelled or expired, at the moment
 * it happens. timeout_ms: -1 for none, else -ETIMEDOUT. ret_ended: with any, the job that ended;
 * may be NULL. */
int tern_client_wait(struct tern_client *c, const struct tern_range *ranges, size_t n, bool any,
                     int64_t timeout_ms, uint64_t *ret_ended);

/* ---- what came of a job --------------------------------------------------------------------- */

struct tern_result {
    uint64_t job;
    const char *state;  /* static */
    const char *reason; /* static; NULL: none */
    uint64_t attempt;
    int64_t exit_code, signal;
    char *error; /* owned; or NULL */
    void *data;  /* owned; or NULL: nothing was recorded */
    size_t data_bytes;
};

/* The result's bytes. Of a command, that is its standard output. A job that is not finished is no
 * error: see state. ret is filled on success and freed with tern_result_fini. */
int tern_client_fetch_result(struct tern_client *c, uint64_t job, struct tern_result *ret);
/* Standard output and error as marked chunks, of one attempt (0: the last). */
int tern_client_fetch_output(struct tern_client *c, uint64_t job, uint64_t attempt,
                             struct tern_result *ret);
void tern_result_fini(struct tern_result *r);

/* Submits one job, waits until it has ended, and fetches its result (output: its output), with fewer questions to the broker
 * than the three calls take. *ret_id is set once the job is acknowledged, and -EINTR waits for that: when the call fails later
 * the job goes on, and may be waited for. Before it is 0. */
int tern_client_run(struct tern_client *c, const struct tern_job_spec *spec, bool output, uint64_t *ret_id,
                    struct tern_result *ret);

/* Walks the chunks of fetch_output: *position begins at 0. stream: 1 standard output, 2 standard
 * error; 3: at this place *ret_cut bytes were left out. False at the end. */
bool tern_output_next(const struct tern_result *r, size_t *position, int *ret_stream,
                      const void **ret_bytes, size_t *ret_n, uint64_t *ret_cut);

/* ---- looking -------------------------------------------------------------------------------- */

/* A job. Texts are NULL and numbers TERN_UNSET where there is nothing to say. */
struct tern_job_view {
    uint64_t id;
    const char *state; /* blocked scheduled queued running done dead cancelled expired */
    bool terminal;
    const char *queue, *handler;
    const char *const *command; /* ends with NULL; NULL for other handlers */
    const char *owner, *name, *tag, *pool, *worker, *reason, *error;
    int64_t priority, retries, crash_limit;
    uint64_t attempt, failures, crashes, parent; /* parent 0: none */
    int64_t submitted_ms, due_ms, started_ms, finished_ms, expire_at_ms;
    int64_t timeout_ms, exit_code, signal, wall_us, cpu_us, max_rss_kb, progress, memory_bytes;
    bool cancel_asked;
    const char *needs; /* "gpu=1,host=anna" */
    const char *pool_by;  /* who chose the pool: job handler auto default suspect; or NULL */
    const char *pool_tag; /* the tag by which it was chosen, or NULL */
};
/* Not 0: that was enough; the call returns 0. */
typedef int tern_job_fn(void *context, const struct tern_job_view *job);

struct tern_filter {
    const struct tern_range *ranges; /* n_ranges 0: all jobs */
    size_t n_ranges;
    const char *const *states; /* names, ending with NULL; or NULL: any */
    const char *queue;         /* or NULL: any */
    bool newest_first;
    bool own;       /* only this user's */
    uint64_t limit; /* 0: none */
    uint64_t parent; /* only its children; 0: any */
};
/* Calls fn for each job that matches, in pages of at most 1,000, so that any number of jobs takes
 * bounded memory. fn must not call the library with the same client. */
int tern_client_list(struct tern_client *c, const struct tern_filter *filter, tern_job_fn *fn,
                     void *context);

struct tern_event {
    int64_t at_ms;
    const char *event;
    int64_t attempt;    /* or TERN_UNSET */
    const char *worker; /* or NULL */
    const char *text;   /* or NULL */
};
typedef int tern_event_fn(void *context, const struct tern_event *event);
int tern_client_history(struct tern_client *c, uint64_t job, tern_event_fn *fn, void *context);

struct tern_reason {
    const char *state; /* of the job */
    const char *code;  /* stable */
    const char *text;  /* for people */
};
/* Why is the job not running? Called for each reason. */
typedef int tern_reason_fn(void *context, const struct tern_reason *reason);
int tern_client_why(struct tern_client *c, uint64_t job, tern_reason_fn *fn, void *context);

struct tern_count {
    const char *state;
    uint64_t jobs;
};
struct tern_queue_view {
    const char *name;
    bool paused;
    const struct tern_count *counts; /* one for each state, in the order of tern_job_view.state */
    size_t n_counts;
    int64_t oldest_ms; /* when the oldest that waits was submitted, or TERN_UNSET */
    uint64_t finished_last_minute;
};
typedef int tern_queue_fn(void *context, const struct tern_queue_view *queue);
int tern_client_queues(struct tern_client *c, tern_queue_fn *fn, void *context);

struct tern_pool_view {
    const char *pool; /* process thread loop */
    uint64_t slots, used, stuck, waiting;
    uint64_t blocked; /* loop: how often a handler has held up all others for more than 100 ms */
    uint64_t parked;  /* jobs that wait for their children, and have no slot meanwhile */
    uint64_t blocked_ms; /* loop: how long in all */
};
struct tern_worker_view {
    const char *name, *instance, *host, *software, *owner;
    uint64_t pid;
    bool draining;
    const struct tern_pool_view *pools;
    size_t n_pools;
    const char *const *queues;   /* ends with NULL; empty: all */
    const char *const *handlers; /* ends with NULL */
    int64_t heard_ago_ms, connected_ms;
    const char *const *notices;  /* ends with NULL; what is wrong with it, as it says */
    const char *const *labels; /* "gpu=1", ends with NULL */
    const struct tern_amount {
        const char *name;
        uint64_t total, held; /* held: by jobs that run */
    } *amounts;
    size_t n_amounts;
    const char *isolation;       /* of its processes: "cgroup", "cgroup-no-memory", "process-group"; NULL: it did not say */
};
typedef int tern_worker_fn(void *context, const struct tern_worker_view *worker);
int tern_client_workers(struct tern_client *c, tern_worker_fn *fn, void *context);

typedef int tern_stat_fn(void *context, const char *name, int64_t value);
int tern_client_stats(struct tern_client *c, tern_stat_fn *fn, void *context);

/* What was measured of a handler, or of a command's program, with one tag. Numbers may be TERN_UNSET. */
struct tern_advice {
    const char *handler;
    const char *program; /* NULL but for commands */
    const char *tag;     /* that was asked for */
    const char *tag_by;  /* job, handler, auto */
    const char *pool;    /* of the last run */
    uint64_t runs;
    int64_t last_ms;     /* when the last one ended */
    int64_t wall_us, wall_p50_us, wall_p99_us; /* the mean, the median, what 99 % stay below; of the last 128 to 256 runs */
    int64_t cpu_share;   /* CPU time over the time in which a core was free for it, in thousandths */
    int64_t wait_p50_us, wait_p99_us;     /* from when it could have started to its start; first attempts */
    int64_t memory_p50_kb, memory_p99_kb; /* peak memory of processes */
    const char *verdict; /* right, wrong, auto, past, unknown */
    const char *better;  /* the right tag, or NULL */
    const char *why, *gain; /* for people; gain is NULL unless the tag is wrong */
    int64_t most_now, most_then; /* jobs a second in thousandths, as far as slots and cores go, with either tag */
};
typedef int tern_advice_fn(void *context, const struct tern_advice *advice);
/* handler: or a program's name, or NULL: all. -ENOENT: neither was measured, and no connected worker has such a handler. */
int tern_client_advise(struct tern_client *c, const char *handler, tern_advice_fn *fn, void *context);

/* ---- changing ------------------------------------------------------------------------------- */

/* A job that was named alone and could not be changed. status: 3 not found, 4 refused, 77 not
 * allowed. */
typedef void tern_refusal_fn(void *context, uint64_t job, int status, const char *text);

struct tern_changed {
    uint64_t changed;
    uint64_t skipped; /* jobs of wider ranges that it does not concern */
};
/* Cancels (also while running), queues again, or deletes. refused may be NULL; ret too. */
int tern_client_cancel(struct tern_client *c, const struct tern_range *ranges, size_t n,
                       tern_refusal_fn *refused, void *context, struct tern_changed *ret);
int tern_client_retry(struct tern_client *c, const struct tern_range *ranges, size_t n,
                      tern_refusal_fn *refused, void *context, struct tern_changed *ret);
int tern_client_remove(struct tern_client *c, const struct tern_range *ranges, size_t n,
                       tern_refusal_fn *refused, void *context, struct tern_changed *ret);

/* A paused queue starts no more jobs. */
int tern_client_pause(struct tern_client *c, const char *queue, bool paused);
/* The worker finishes what it runs, and takes nothing new. */
int tern_client_drain(struct tern_client *c, const char *worker);

#ifdef __cplusplus
}
#endif

#endif
