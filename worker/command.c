/* command.c - one running command. Starting it is in command_spawn.c. */
#include "worker/command.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/output.h"
#include "worker/command_spawn.h"

#define DRAIN_MS 100
#define END_MS 5000 /* how long a tree that was killed may take to be gone */
#define READ_BYTES (64u << 10)
#define READS 4

static struct command_run *new(const struct run_job *job, struct now now)
{
    struct command_run *c = xcalloc(1, sizeof(*c));
    list_init(&c->link);
    c->run = run_new(job, now);
    c->pid = -1;
    capture_init(&c->capture);
    for (size_t i = 0; i < 2; i++)
        c->pipes[i] = (struct command_pipe){ c, -1, i ? OUTPUT_STDERR : OUTPUT_STDOUT };
    c->max_rss_kb = UNSET;
    return c;
}

struct command_run *command_start(const struct run_job *job, const struct command_ground *g, struct now now)
{
    struct command_run *c = new(job, now);
    int fds[2] = { -1, -1 };
    c->started_us = c->ended_us = clock_mono_us();
    int r = command_spawn(&c->run->job, g, now, &c->pid, fds, &c->exit_code, &c->error);
    if (r < 0) {
        c->state = COMMAND_ENDED;
        return c;
    }
    c->pipes[0].fd = fds[0];
    c->pipes[1].fd = fds[1];
    return c;
}

static void close_pipes(struct command_run *c)
{
    closep(&c->pipes[0].fd);
    closep(&c->pipes[1].fd);
}

void command_free(struct command_run *c)
{
    if (!c)
        return;
    list_remove(&c->link);
    close_pipes(c);
    capture_fini(&c->capture);
    run_free(c->run);
    free(c->error);
    free(c);
}

void command_on_readable(struct command_pipe *p)
{
    static char bytes[READ_BYTES];
    for (int i = 0; i < READS && p->fd >= 0; i++) {
        ssize_t n = read(p->fd, bytes, sizeof(bytes));
        if (n > 0)
            capture_add(&p->command->capture, p->stream, bytes, (size_t)n);
        else if (n == 0 || (errno != EAGAIN && errno != EINTR))
            closep(&p->fd);
        if (n < (ssize_t)sizeof(bytes))
            return;
    }
}

void command_on_exit(struct command_run *c, int status, const void *rusage, struct now now)
{
    const struct rusage *u = rusage;
    assert(c->state == COMMAND_RUNNING);
    c->state = COMMAND_DRAINING;
    c->status = status;
    c->ended_us = clock_mono_us();
    usage_add(&c->used, u);
    c->max_rss_kb = u->ru_maxrss;
    c->drain_until_ms = now.mono_ms + (c->killed ? 0 : DRAIN_MS);
}

/* What is left in the pipes now; a process that outlives the command may write on for ever, so no more than they hold. */
static void drain(struct command_run *c)
{
    for (int i = 0; i < 8; i++)
        for (size_t k = 0; k < 2; k++)
            if (c->pipes[k].fd >= 0)
                command_on_readable(&c->pipes[k]);
}

int64_t command_tick(struct command_run *c, struct now now)
{
    if (c->state != COMMAND_DRAINING)
        return NEVER;
    drain(c);
    bool closed = c->pipes[0].fd < 0 && c->pipes[1].fd < 0;
    if (!closed && now.mono_ms < c->drain_until_ms)
        return c->drain_until_ms;
    c->state = COMMAND_ENDING;
    c->end_until_ms = now.mono_ms + END_MS;
    return now.mono_ms;
}

/* ---- how it ended ----------------------------------------------------------------------------- */

static void replace_error(struct command_run *c, char *text)
{
    free(c->error);
    c->error = text;
}

static void outcome_of_status(struct command_run *c, struct outcome *o)
{
    if (WIFSIGNALED(c->status)) {
        o->reason = REASON_SIGNAL;
        o->signal = WTERMSIG(c->status);
        replace_error(c, xasprintf("ended by signal %d (%s)", WTERMSIG(c->status),
                                   sigabbrev_np(WTERMSIG(c->status)) ?: "?"));
        return;
    }
    o->exit_code = WEXITSTATUS(c->status);
    if (o->exit_code == 0 && !c->told_stop && !c->killed) {
        o->ending = ENDING_DONE;
        return;
    }
    o->reason = REASON_EXIT;
    replace_error(c, xasprintf("exit status %d", WEXITSTATUS(c->status)));
}

static void outcome_of_memory(struct command_run *c, struct outcome *o)
{
    o->reason = REASON_MEMORY_LIMIT;
    replace_error(c, run_text_of_memory(&c->run->job, c->memory_peak_bytes));
    if (WIFSIGNALED(c->status))
        o->signal = WTERMSIG(c->status);
}

void command_outcome(struct command_run *c, struct outcome *ret)
{
    record_init(RECORD_outcome, ret);
    ret->job = c->run->job.job;
    ret->attempt = c->run->job.attempt;
    ret->ending = ENDING_FAILED;
    if (c->pid < 0) {
        ret->reason = c->exit_code ? REASON_EXIT : REASON_HANDLER_ERROR;
        ret->exit_code = c->exit_code ? c->exit_code : UNSET;
    } else {
        if (c->memory_peak_bytes)
            outcome_of_memory(c, ret);
        else
            outcome_of_status(c, ret);
        ret->wall_us = c->ended_us - c->started_us;
        ret->cpu_us = c->used.cpu_us;
        ret->ready_us = usage_ready_us(&c->used, ret->wall_us);
        ret->max_rss_kb = max_i64(c->max_rss_kb, c->memory_peak_bytes / 1024);
        ret->output = capture_chunks(&c->capture);
    }
    ret->error = str_of(c->error);
    ret->error.n = min_size(ret->error.n, LIMIT_TEXT_BYTES);
}
