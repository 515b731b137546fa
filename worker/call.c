/* call.c - one call of a handler, and what it comes to. */
#include "worker/call.h"

static int64_t deadline_of(const struct run_job *job, struct now now)
{
    if (job->timeout_ms == UNSET || job->timeout_ms <= 0 || job->timeout_ms > NEVER - now.mono_ms)
        return NEVER;
    return now.mono_ms + job->timeout_ms;
}

void call_init(struct tern_job *j, const struct run_job *job, struct now now)
{
    *j = (struct tern_job){
        .job = job,
        .deadline_ms = deadline_of(job, now),
        .progress = JOB_PROGRESS_UNSAID,
        .measured = { UNSET, UNSET, UNSET, UNSET },
    };
    buf_init(&j->result, LIMIT_RESULT_BYTES);
    buf_init(&j->output, LIMIT_RESULT_BYTES);
}

void call_begin(struct tern_job *j, struct now now) { j->deadline_ms = deadline_of(j->job, now); }

void call_fini(struct tern_job *j)
{
    buf_fini(&j->result);
    buf_fini(&j->output);
    free(TAKE(j->error));
    free(TAKE(j->ask_error));
}

/* A text for an outcome that has none of the handler's own: static. */
static const char *error_of(const struct tern_job *j, int r)
{
    if (j->error)
        return j->error;
    if (j->ask_error && j->ask_errno == r)
        return j->ask_error;
    return r < 0 ? strerrordesc_np(-r) : NULL;
}

static void say_failed(const struct tern_job *j, int r, struct outcome *ret)
{
    const char *error = error_of(j, r);
    ret->ending = ENDING_FAILED;
    bool past_limit = __atomic_load_n(&j->past_limit, __ATOMIC_RELAXED);
    ret->reason = past_limit ? REASON_TIME_LIMIT : REASON_HANDLER_ERROR;
    ret->for_good = j->error && j->for_good && !past_limit;
    ret->error = str_of(error ? error : "the handler returned a number that is no errno");
}

void call_outcome(const struct tern_job *j, int r, struct outcome *ret)
{
    record_init(RECORD_outcome, ret);
    ret->job = j->job->job;
    ret->attempt = j->job->attempt;
    ret->pool = j->job->pool;
    ret->wall_us = j->measured.wall_us;
    ret->cpu_us = j->measured.cpu_us;
    ret->ready_us = j->measured.ready_us;
    ret->max_rss_kb = j->measured.max_rss_kb;
    if (r == 0)
        ret->ending = ENDING_DONE;
    else
        say_failed(j, r, ret);
    if (j->result_set)
        ret->result = buf_str(&j->result);
    if (j->output.n)
        ret->output = buf_str(&j->output);
}
