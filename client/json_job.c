/* json_job.c - a job as JSON: every key is always there. */
#include "client/json.h"

static void add_limits(struct json *j, const struct tern_job_view *job)
{
    json_number(j, "retries", job->retries);
    json_count(j, "failures", job->failures);
    json_count(j, "crashes", job->crashes);
    json_number(j, "crash_limit", job->crash_limit);
    json_ms(j, "timeout_ms", job->timeout_ms);
    json_number(j, "memory_bytes", job->memory_bytes);
}

static void add_times(struct json *j, const struct tern_job_view *job)
{
    json_time(j, "submitted_at", job->submitted_ms);
    json_time(j, "due_at", job->due_ms);
    json_time(j, "started_at", job->started_ms);
    json_time(j, "finished_at", job->finished_ms);
    json_time(j, "expire_at", job->expire_at_ms);
}

static void add_ending(struct json *j, const struct tern_job_view *job)
{
    json_number(j, "exit_code", job->exit_code);
    json_number(j, "signal", job->signal);
    json_text(j, "reason", job->reason);
    json_us(j, "wall_ms", job->wall_us);
    json_us(j, "cpu_ms", job->cpu_us);
    json_number(j, "max_rss_kb", job->max_rss_kb);
    json_number(j, "progress", job->progress);
    json_text(j, "error", job->error);
}

void json_job(struct json *j, const struct tern_job_view *job)
{
    json_count(j, "id", job->id);
    json_text(j, "state", job->state);
    json_text(j, "queue", job->queue);
    json_text(j, "handler", job->handler);
    json_texts(j, "command", job->command);
    json_text(j, "owner", job->owner);
    json_text(j, "name", job->name);
    json_text(j, "tag", job->tag);
    json_text(j, "pool", job->pool);
    json_number(j, "priority", job->priority);
    json_count(j, "attempt", job->attempt);
    add_limits(j, job);
    json_text(j, "worker", job->worker);
    add_times(j, job);
    add_ending(j, job);
    json_number(j, "parent", job->parent ? (int64_t)job->parent : TERN_UNSET);
    json_bool(j, "cancel_asked", job->cancel_asked);
    json_text(j, "needs", job->needs);
    json_text(j, "pool_by", job->pool_by);
    json_text(j, "pool_tag", job->pool_tag);
}
