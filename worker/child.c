/* child.c - a process that runs jobs. Single-threaded, forked from the zygote, so that it may do whatever it likes before
 * the first handler runs. It trusts its parent; what it says itself is read as hostile over there. */
#include "worker/child.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "worker/child_state.h"
#include "worker/handlers.h"
#include "worker/modules_child.h"
#include "worker/place.h"
#include "worker/ring.h"
#include "worker/run.h"
#include "worker/tree.h"

#define OOM_SCORE "500" /* the kernel shoots jobs, not the worker */
#define UNSENT_MOST 16 /* outcomes of short jobs that leave together */
#define UNSENT_US 500  /* and how long the first of them may have taken to come here */

/* ---- leaving, saying, sending ----------------------------------------------------------------- */

_Noreturn void child_leave(int status)
{
    tree_end_children(CHILD_END_MS, NULL);
    _exit(status);
}

void child_flush(struct child *c, bool wait)
{
    bool waits = frames_to_flush(&c->frames);
    int r = frames_flush(&c->frames, wait);
    if (r < 0 && r != -EAGAIN && r != -EINTR)
        child_leave(EXIT_SUCCESS);
    if (waits && c->commands.n)
        commands_watch(&c->commands, c->frames.fd, r == -EAGAIN);
    c->n_unsent = 0;
    c->used.cpu_us = UNSET;
}

void child_say(struct child *c, const struct message *m)
{
    const struct buf *out = &c->frames.out;
    size_t before = out->n;
    if (frames_put(&c->frames, m) < 0)
        _exit(EXIT_FAILURE);
    if (!c->ring)
        return;
    bool stands = ring_say(c->ring, c->said, out->p + before, out->n - before);
    c->said += out->n - before;
    if (stands)
        return;
    child_flush(c, true);
    ring_said(c->ring, c->said);
}

void child_send_outcome(struct child *c, const struct outcome *o)
{
    struct message m;
    message_init(&m, MSG_RESULT);
    m.result.outcomes = (struct outcome *)o;
    m.result.n_outcomes = 1;
    child_say(c, &m);
}

static void on_command_outcome(void *ctx, const struct outcome *o)
{
    struct child *c = ctx;
    child_send_outcome(c, o);
    c->n_unsent++;
}

void child_send_in_time(struct child *c, int64_t began_us, int64_t ended_us)
{
    if (c->n_unsent++ == 0)
        c->unsent_since_us = began_us;
    if (c->n_unsent >= UNSENT_MOST || ended_us - c->unsent_since_us >= UNSENT_US)
        child_flush(c, true);
}

void child_refuse(struct child *c, const struct run_job *job, const char *why)
{
    struct outcome o;
    record_init(RECORD_outcome, &o);
    o.job = job->job;
    o.attempt = job->attempt;
    o.ending = ENDING_FAILED;
    o.reason = REASON_HANDLER_ERROR;
    o.for_good = 1;
    o.error = str_of(why);
    child_send_outcome(c, &o);
}

/* ---- frames ----------------------------------------------------------------------------------- */

static void begin(struct child *c, const struct run_job *job)
{
    int r = c->ring ? ring_begin(c->ring, c->n_given++) : 1;
    if (r < 0)
        child_leave(EXIT_FAILURE);
    if (r == 0)
        return; /* it was taken back */
    if (!handler_is_exec(job->handler))
        child_run_handler(c, job);
    else if (c->commands.n >= c->capacity)
        child_refuse(c, job, "more commands than this process may run");
    else
        commands_begin(&c->commands, job, clock_now());
}

/* One at a time, in order; the launcher runs all at once. */
static bool may_begin(const struct child *c)
{
    return !c->done && (!c->ring || (c->commands.n == 0 && list_empty(&c->later)));
}

static void on_run(struct child *c, const struct msg_run *m)
{
    for (size_t i = 0; i < m->n_jobs; i++)
        if (may_begin(c))
            begin(c, &m->jobs[i]);
        else
            list_add_tail(&c->later, &run_new(&m->jobs[i], clock_now())->link);
}

static void flush_in_time(struct child *c, bool wait)
{
    if (!c->behind || c->n_unsent >= UNSENT_MOST)
        child_flush(c, wait);
}

static void on_stop(struct child *c, const struct msg_stop *m)
{
    for (size_t i = 0; i < m->n_attempts; i++)
        commands_stop(&c->commands, m->attempts[i].job, m->attempts[i].attempt);
}

/* Between two starts. Each start copies the descriptors of all that run: where commands are short, few should. */
static void see_to_commands(struct child *c)
{
    commands_tick(&c->commands);
    commands_wait(&c->commands, 0);
    flush_in_time(c, false);
}

static void on_frames(struct child *c)
{
    struct message m;
    int r;
    while ((r = frames_next(&c->frames, &m)) > 0) {
        if (m.type == MSG_RUN)
            on_run(c, &m.run);
        else if (m.type == MSG_STOP)
            on_stop(c, &m.stop);
        message_fini(&m);
        child_put_back(c);
        if (c->commands.n)
            see_to_commands(c);
    }
    if (r < 0)
        child_leave(EXIT_FAILURE);
}

/* What came while one of them waited for its answer comes after all that is later still, and is not to wait until more is read. */
static void begin_later(struct child *c)
{
    while (!c->done && c->commands.n == 0 && !list_empty(&c->later)) {
        struct run *r = list_entry(list_pop(&c->later), struct run, link);
        begin(c, &r->job);
        run_free(r);
        child_put_back(c);
        c->behind = true;
        on_frames(c);
    }
    c->behind = c->behind && c->commands.n;
}

/* False: nothing was there. */
static bool read_frames(struct child *c, bool wait)
{
    ssize_t n = frames_read(&c->frames, wait);
    c->used.cpu_us = UNSET;
    if (n > 0)
        on_frames(c);
    else if (n != -EAGAIN && n != -EINTR)
        child_leave(EXIT_SUCCESS);
    return n > 0;
}

/* Outcomes leave before anything is waited for. */
_Noreturn static void serve(struct child *c)
{
    while (!c->done) {
        int64_t until_ms = c->commands.n ? commands_tick(&c->commands) : NEVER;
        begin_later(c);
        bool idle = c->commands.n == 0;
        if (idle && c->n_unsent && read_frames(c, false))
            continue; /* there is more to do */
        flush_in_time(c, idle);
        if (!idle)
            commands_wait(&c->commands, until_ms);
        read_frames(c, idle);
    }
    frames_flush(&c->frames, true);
    _exit(EXIT_SUCCESS);
}

/* ---- beginning -------------------------------------------------------------------------------- */

static void raise_nofile(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void offer_to_oom_killer(void)
{
    cleanup(closep) int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : write(fd, OOM_SCORE, strlen(OOM_SCORE));
    (void)n; /* refused where it stands higher already */
}

static void say_ready(struct child *c)
{
    struct message m;
    message_init(&m, MSG_STARTED);
    child_say(c, &m);
    child_flush(c, true);
}

_Noreturn void child_main(int fd, size_t capacity, int64_t nofile_soft)
{
    static struct child c;
    prctl(PR_SET_NAME, capacity > 1 ? "tern-launcher" : "tern-child");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    child_signals_reset();
    place_note();
    offer_to_oom_killer();
    if (capacity == 0)
        modules_probe(fd);
    c.capacity = capacity;
    frames_init(&c.frames, fd);
    list_init(&c.later);
    child_ask_init(&c);
    commands_init(&c.commands, capacity, nofile_soft);
    c.commands.on_outcome = on_command_outcome;
    c.commands.ctx = &c;
    commands_watch(&c.commands, fd, false);
    if (capacity > 1)
        raise_nofile();
    else if (ring_accept(&c.ring, fd) < 0 || modules_accept(fd) < 0)
        _exit(EXIT_FAILURE);
    usage_of_process(&c.used, &c.base_kb);
    c.used.cpu_us = UNSET;
    say_ready(&c);
    serve(&c);
}
