/* job.c - what a handler may ask of its job: the functions of handler.h, the same in every pool. */
#include "worker/call.h"
#include "worker/job_log.h"
#include "worker/job_text.h"
#include "worker/loop_await.h"
#include "worker/loop_http.h"
#include "worker/loop_offload.h"
#include "worker/loop_start.h"
#include "worker/number.h"

#include <stdarg.h>
#include <stdio.h>

const void *tern_payload(struct tern_job *job, size_t *ret_bytes)
{
    *ret_bytes = job->job->payload.n;
    return job->job->payload.n ? job->job->payload.p : "";
}

uint64_t tern_job_id(const struct tern_job *job) { return number_own(job->job->job); }
uint64_t tern_attempt(const struct tern_job *job) { return job->job->attempt; }

/* Notes when a handler has learnt that its time is over: if it then fails, that is why. No such job
 * is ever const itself. */
int64_t tern_time_left_ms(const struct tern_job *job)
{
    if (job->deadline_ms == NEVER)
        return INT64_MAX;
    int64_t left_ms = job->deadline_ms - clock_now().mono_ms;
    if (left_ms <= 0)
        __atomic_store_n(&((struct tern_job *)(uintptr_t)job)->past_limit, true, __ATOMIC_RELAXED);
    return max_i64(0, left_ms);
}

bool tern_should_stop(const struct tern_job *job)
{
    return __atomic_load_n(&job->stop, __ATOMIC_ACQUIRE) || tern_time_left_ms(job) == 0;
}

int tern_result(struct tern_job *job, const void *bytes, size_t n)
{
    if (n > job->result.max)
        return -EMSGSIZE;
    buf_clear(&job->result);
    int r = buf_add(&job->result, bytes, n);
    assert(r == 0);
    job->result_set = true;
    return 0;
}

void tern_log(struct tern_job *job, const char *format, ...)
{
    cleanup(freep) char *line = NULL;
    va_list ap;
    va_start(ap, format);
    int n = vasprintf(&line, format, ap);
    va_end(ap);
    if (n < 0)
        return;
    size_t bytes = min_size((size_t)n, JOB_LOG_LINE_BYTES - 1);
    line[bytes] = '\n'; /* in place of the NUL: a line is handed on with its length */
    job_log_add(&job->output, (struct str){ line, bytes + 1 });
}

static int fail(struct tern_job *job, bool for_good, const char *format, va_list ap)
{
    char *text = NULL;
    if (vasprintf(&text, format, ap) < 0)
        text = xstrdup("the handler failed, and its words for it could not be formatted");
    job_text_clean(text, LIMIT_TEXT_BYTES);
    free(job->error);
    job->error = text;
    job->for_good = for_good;
    return -EIO;
}

int tern_fail(struct tern_job *job, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int r = fail(job, false, format, ap);
    va_end(ap);
    return r;
}

int tern_fail_for_good(struct tern_job *job, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int r = fail(job, true, format, ap);
    va_end(ap);
    return r;
}

int tern_await_ms(struct tern_job *job, int64_t ms)
{
    return job->on_loop ? loop_await_ms(job, ms) : -EOPNOTSUPP;
}

int tern_await_fd(struct tern_job *job, int fd, int events)
{
    return job->on_loop ? loop_await_fd(job, fd, events) : -EOPNOTSUPP;
}

int tern_start(struct tern_job *job, struct tern_task **ret, int (*function)(struct tern_job *, void *), void *arg)
{
    return job->on_loop ? loop_start(job, ret, function, arg) : -EOPNOTSUPP;
}

int tern_await_all(struct tern_job *job, struct tern_task *const *tasks, size_t n)
{
    return job->on_loop ? loop_await_all(job, tasks, n) : -EOPNOTSUPP;
}

int tern_await_any(struct tern_job *job, struct tern_task *const *tasks, size_t n)
{
    return job->on_loop ? loop_await_any(job, tasks, n) : -EOPNOTSUPP;
}

int tern_end(struct tern_job *job, struct tern_task *task)
{
    return job->on_loop ? loop_end(job, task) : -EOPNOTSUPP;
}

int tern_end_all(struct tern_job *job) { return job->on_loop ? loop_end_all(job) : -EOPNOTSUPP; }

int tern_await_thread(struct tern_job *job, int (*function)(struct tern_job *, void *), void *arg)
{
    return job->on_loop ? loop_await_thread(job, function, arg) : -EOPNOTSUPP;
}

int tern_await_http(struct tern_job *job, const struct tern_http *http, struct tern_reply *reply)
{
    *reply = (struct tern_reply){ 0 };
    return job->on_loop ? loop_await_http(job, http, reply) : -EOPNOTSUPP;
}

int tern_await_command(struct tern_job *job, const struct tern_command *command, struct tern_reply *reply)
{
    *reply = (struct tern_reply){ 0 };
    return job->on_loop ? loop_await_command(job, command, reply) : -EOPNOTSUPP;
}

int tern_await_process(struct tern_job *job, const struct tern_process *process, struct tern_reply *reply)
{
    *reply = (struct tern_reply){ 0 };
    return job->on_loop ? loop_await_process(job, process, reply) : -EOPNOTSUPP;
}

void tern_reply_free(struct tern_reply *reply)
{
    free(reply->bytes);
    free(reply->err_bytes);
    free(reply->error);
    *reply = (struct tern_reply){ 0 };
}
