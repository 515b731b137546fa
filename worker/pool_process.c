/* pool_process.c - the kind of pool that runs jobs in forked processes: a persistent child for each slot, made when there is
 * a job for it, recycled after so many jobs, and after one that was told to stop or had a memory limit. A child is gone
 * only when the zygote says so; what it says on its data socket is read as hostile. */
#include "worker/pool_kind.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "proto/base/log.h"
#include "worker/frame.h"
#include "worker/handlers.h"
#include "worker/zygote.h"

#define STORM_CHILDREN 3
#define STORM_MS 10000
#define BACKOFF_MIN_MS 1000
#define BACKOFF_MAX_MS 30000

struct process {
    struct link link;
    struct pool *pool;  /* borrowed */
    struct slot *slot;  /* borrowed; NULL once it is to take no further job */
    uint64_t number;    /* the zygote's */
    struct frames frames;
    bool watched_to_write, ready, garbled, ended;
    size_t n_jobs;
};

struct processes {
    int epoll;               /* owned */
    struct process **of;     /* owned array, by slot; NULL: none */
    struct link all;         /* owned processes */
    int64_t died_at_ms[STORM_CHILDREN]; /* the last ones that ended before they were ready */
    int64_t backoff_ms, backoff_until_ms;
};

static struct processes *state_of(const struct pool *p) { return p->state; }

static int open_kind(struct pool *p)
{
    struct processes *s = xcalloc(1, sizeof(*s));
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (s->epoll < 0) {
        free(s);
        return -errno;
    }
    s->of = xcalloc(p->n_slots, sizeof(struct process *));
    for (size_t i = 0; i < STORM_CHILDREN; i++)
        s->died_at_ms[i] = -STORM_MS;
    list_init(&s->all);
    p->state = s;
    return 0;
}

static void process_free(struct process *c)
{
    if (!c)
        return;
    list_remove(&c->link);
    frames_fini(&c->frames);
    free(c);
}

static void close_kind(struct pool *p)
{
    struct processes *s = p->state;
    list_each_safe(l, &s->all) {
        struct process *c = list_entry(l, struct process, link);
        zygote_abandon(p->options.zygote, c->number);
        process_free(c);
    }
    closep(&s->epoll);
    free(s->of);
    free(s);
    p->state = NULL;
}

/* ---- a process and its slot ------------------------------------------------------------------- */

/* From here on it takes no job; when it has ended it is freed. */
static void detach(struct process *c)
{
    struct processes *s = state_of(c->pool);
    if (c->slot)
        s->of[pool_slot_index(c->pool, c->slot)] = NULL;
    c->slot = NULL;
}

static void retire(struct process *c)
{
    detach(c);
    zygote_kill(c->pool->options.zygote, c->number);
}

static void on_ended(void *ctx, const struct child_ended *e, struct now now);

static int attach(struct pool *p, struct slot *slot, struct process **ret)
{
    struct processes *s = state_of(p);
    struct process *c = xcalloc(1, sizeof(*c));
    int fd;
    list_init(&c->link);
    c->pool = p;
    c->slot = slot;
    int r = zygote_fork(p->options.zygote, 1, on_ended, c, &c->number, &fd);
    if (r < 0) {
        free(c);
        return r;
    }
    frames_init(&c->frames, fd);
    epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){ .events = EPOLLIN, .data.ptr = c });
    list_add_tail(&s->all, &c->link);
    s->of[pool_slot_index(p, slot)] = c;
    *ret = c;
    return 0;
}

/* -errno: the process has closed its end, and read nothing of what was sent last. */
static int flush(struct process *c)
{
    int r = frames_flush(&c->frames, false);
    bool to_write = r == -EAGAIN;
    if (to_write == c->watched_to_write || c->frames.fd < 0)
        return to_write ? 0 : r;
    c->watched_to_write = to_write;
    struct epoll_event e = { .events = EPOLLIN | (to_write ? EPOLLOUT : 0u), .data.ptr = c };
    epoll_ctl(state_of(c->pool)->epoll, EPOLL_CTL_MOD, c->frames.fd, &e);
    return to_write ? 0 : r;
}

static bool is_limited(const struct run_job *job) { return job->memory_bytes != UNSET && job->memory_bytes > 0; }

static int put_job(struct process *c, const struct run_job *job)
{
    if (is_limited(job) && !handler_is_exec(job->handler))
        zygote_limit(c->pool->options.zygote, c->number, job->memory_bytes);
    return frames_put_run(&c->frames, job);
}

static int begin(struct pool *p, struct slot *slot, struct now now)
{
    struct process *c = state_of(p)->of[pool_slot_index(p, slot)];
    const struct run_job *job = &slot->run->job;
    (void)now;
    if (c && put_job(c, job) >= 0 && flush(c) >= 0)
        return 0;
    if (c)
        retire(c); /* it died while it had nothing to do */
    int r = attach(p, slot, &c);
    if (r >= 0)
        r = put_job(c, job);
    if (r >= 0)
        flush(c); /* should it have died already, the zygote says so */
    return r;
}

static void put_stop(struct process *c, const struct run_job *job)
{
    frames_put_stop(&c->frames, job->job, job->attempt);
    flush(c);
}

static void tell_stop(struct pool *p, struct slot *slot)
{
    struct process *c = state_of(p)->of[pool_slot_index(p, slot)];
    if (handler_is_exec(slot->run->job.handler))
        put_stop(c, &slot->run->job);
    else
        zygote_signal(p->options.zygote, c->number, SIGTERM);
}

/* A command's child kills it at the first word and still says what it printed; if that does not help, all is killed. */
static void kill_process(struct pool *p, struct slot *slot)
{
    struct process *c = state_of(p)->of[pool_slot_index(p, slot)];
    if (handler_is_exec(slot->run->job.handler) && slot->n_kills == 1)
        put_stop(c, &slot->run->job);
    else
        zygote_kill(p->options.zygote, c->number);
}

/* ---- what it says ----------------------------------------------------------------------------- */

static bool is_spent(const struct process *c)
{
    const struct slot *s = c->slot;
    size_t most = c->pool->options.jobs_per_child;
    return c->ended || s->state != SLOT_RUNNING || is_limited(&s->run->job) || (most && c->n_jobs >= most);
}

static bool is_of(const struct process *c, const struct outcome *o)
{
    const struct slot *s = c->slot;
    return s && s->state != SLOT_IDLE && s->run->job.job == o->job && s->run->job.attempt == o->attempt;
}

static bool on_frame(struct process *c, const struct message *m, struct now now)
{
    if (m->type == MSG_STARTED && !c->ready) {
        c->ready = true;
        state_of(c->pool)->backoff_ms = 0;
        return true;
    }
    const struct outcome *o = frames_outcome(m);
    if (!o || !is_of(c, o))
        return false;
    struct slot *slot = c->slot;
    c->n_jobs++;
    if (is_spent(c))
        retire(c);
    pool_slot_ended(c->pool, slot, o, now);
    return true;
}

/* It is listened to no longer. */
static void garble(struct process *c)
{
    log_warning("event=child-garbled job=%llu",
                (unsigned long long)(c->slot && c->slot->run ? c->slot->run->job.job : 0));
    c->garbled = true;
    closep(&c->frames.fd);
    zygote_kill(c->pool->options.zygote, c->number);
}

static void hear(struct process *c, struct now now)
{
    struct message m;
    int r;
    while (c->frames.fd >= 0 && (r = frames_next(&c->frames, &m)) != 0) {
        if (r < 0 || !on_frame(c, &m, now))
            garble(c);
        if (r > 0)
            message_fini(&m);
    }
}

static void read_process(struct process *c, struct now now)
{
    ssize_t n = frames_read(&c->frames, false);
    if (n >= 0) {
        hear(c, now);
        return;
    }
    if (n == -EAGAIN || n == -EINTR)
        return;
    closep(&c->frames.fd);
    if (c->slot && c->slot->state == SLOT_IDLE)
        detach(c);
    zygote_kill(c->pool->options.zygote, c->number); /* in case that it lives on without its socket */
}

/* ---- how it ended ----------------------------------------------------------------------------- */

static void outcome_of_end(const struct process *c, const struct child_ended *e, struct outcome *o, char **ret_text)
{
    record_init(RECORD_outcome, o);
    o->ending = ENDING_FAILED;
    o->cpu_us = c->n_jobs == 0 ? e->cpu_us : UNSET; /* its life's, so of this job alone */
    o->max_rss_kb = e->max_rss_kb;
    if (e->lost) {
        o->ending = ENDING_LOST;
        o->reason = REASON_WORKER_LOST;
        *ret_text = xstrdup("the zygote died, and its processes with it");
    } else if (e->memory_limit) {
        o->reason = REASON_MEMORY_LIMIT;
        o->signal = SIGKILL;
        o->max_rss_kb = max_i64(o->max_rss_kb, e->peak_bytes / 1024);
        *ret_text = xasprintf("used %lld MiB of memory, past its limit of %lld MiB", (long long)e->peak_bytes >> 20,
                              (long long)c->slot->run->job.memory_bytes >> 20);
    } else if (c->garbled) {
        o->reason = REASON_HANDLER_ERROR;
        *ret_text = xstrdup("its process sent something that is no result");
    } else if (WIFSIGNALED(e->status)) {
        o->reason = REASON_SIGNAL;
        o->signal = WTERMSIG(e->status);
        *ret_text = xasprintf("its process was ended by signal %d (%s)", WTERMSIG(e->status),
                              sigabbrev_np(WTERMSIG(e->status)) ?: "?");
    } else {
        o->reason = REASON_EXIT;
        o->exit_code = WEXITSTATUS(e->status);
        *ret_text = xasprintf("its process exited with status %d before the handler returned", WEXITSTATUS(e->status));
    }
}

/* Three children that end within 10 s before they are ready: something is wrong with all of them. */
static void note_early_death(struct pool *p, struct now now)
{
    struct processes *s = p->state;
    for (size_t i = 0; i + 1 < STORM_CHILDREN; i++)
        s->died_at_ms[i] = s->died_at_ms[i + 1];
    s->died_at_ms[STORM_CHILDREN - 1] = now.mono_ms;
    if (now.mono_ms - s->died_at_ms[0] >= STORM_MS)
        return;
    s->backoff_ms = s->backoff_ms ? min_i64(s->backoff_ms * 2, BACKOFF_MAX_MS) : BACKOFF_MIN_MS;
    s->backoff_until_ms = now.mono_ms + s->backoff_ms;
    log_error("event=spawn-storm ms=%lld text=\"children end before they can take a job; waiting\"",
              (long long)s->backoff_ms);
}

static bool ready(struct pool *p, struct now now, int64_t *ret_when_ms)
{
    struct processes *s = p->state;
    const struct slot *next = list_entry(p->idle.next, const struct slot, link);
    if (now.mono_ms >= s->backoff_until_ms || s->of[pool_slot_index(p, next)])
        return true;
    *ret_when_ms = s->backoff_until_ms;
    return false;
}

static void end_slot(struct process *c, const struct child_ended *e, struct now now)
{
    struct pool *p = c->pool;
    struct slot *slot = c->slot;
    struct outcome o;
    cleanup(freep) char *text = NULL;
    if (c->ready) {
        outcome_of_end(c, e, &o, &text);
        o.error = str_of(text);
    }
    detach(c);
    if (c->ready)
        pool_slot_ended(p, slot, &o, now);
    else
        pool_slot_again(p, slot, now);
}

static void on_ended(void *ctx, const struct child_ended *e, struct now now)
{
    struct process *c = ctx;
    c->ended = true;
    while (frames_read(&c->frames, false) > 0) /* what it said before */
        hear(c, now);
    if (!c->ready && !e->lost && c->slot)
        note_early_death(c->pool, now);
    if (c->slot && c->slot->state != SLOT_IDLE)
        end_slot(c, e, now);
    detach(c);
    process_free(c);
}

/* ---- for the pool ----------------------------------------------------------------------------- */

static int fd(const struct pool *p) { return state_of(p)->epoll; }

static void on_readable(struct pool *p, struct now now)
{
    struct epoll_event events[64];
    int n = epoll_wait(state_of(p)->epoll, events, ELEMENTS(events), 0);
    for (int i = 0; i < n; i++) {
        struct process *c = events[i].data.ptr; /* freed only in on_ended, which is not called from here */
        if (events[i].events & EPOLLOUT)
            flush(c);
        if (c->frames.fd >= 0 && events[i].events & ~(uint32_t)EPOLLOUT)
            read_process(c, now);
    }
}

const struct pool_kind_ops pool_process_ops = {
    .open = open_kind,
    .close = close_kind,
    .begin = begin,
    .tell_stop = tell_stop,
    .kill = kill_process,
    .fd = fd,
    .on_readable = on_readable,
    .ready = ready,
};
