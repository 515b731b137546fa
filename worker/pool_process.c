/* pool_process.c - the kind of pool that runs jobs in forked processes: a persistent child for each slot, made when there is
 * a job for it, recycled after so many jobs, and after one that was told to stop or had a memory limit. A child is gone
 * only when the zygote says so; what it says on its data socket is read as hostile.
 *
 * A child whose jobs are short gets some ahead, behind the one that its slot knows of: about AHEAD_US worth of them. They
 * still wait, and are taken back where they are wanted elsewhere, and from a child that has not moved for STALL_MS
 * (process_ahead.c, process_hear.c). When a child dies, the one its slot knows of is to blame if it had begun; what was
 * ahead runs elsewhere (process_end.c).
 *
 * A slot has a child for handlers in C and commands, and a keeper (keeper.h) for each runner, made when there is a job for
 * it; one of them works at a time. A keeper gets nothing ahead. */
#include "worker/process.h"

#include <signal.h>
#include <sys/epoll.h>

#include "worker/handlers.h"

/* ---- beginning -------------------------------------------------------------------------------- */

static bool ready(struct pool *p, struct now now, int64_t *ret_when_ms)
{
    struct processes *s = p->state;
    const struct slot *next = list_entry(p->idle.next, const struct slot, link);
    if (now.mono_ms >= s->backoff_until_ms || *process_at(p, next, 0))
        return true;
    *ret_when_ms = s->backoff_until_ms;
    return false;
}

static int begin(struct pool *p, struct slot *slot, struct now now)
{
    struct process *c = process_of(p, slot);
    const struct run_job *job = &slot->run->job;
    int r = c ? 0 : process_attach(p, slot, &c);
    if (r < 0)
        return r;
    if (run_is_limited(job) && !handler_is_exec(job->handler))
        zygote_limit(p->options.zygote, c->number, job->memory_bytes);
    c->moved_ms = now.mono_ms;
    return process_put(c, slot->run);
}

/* ---- stopping --------------------------------------------------------------------------------- */

static void put_stop(struct process *c, const struct run_job *job)
{
    frames_put_stop(&c->frames, job->job, job->attempt);
    c->told = true;
    process_flush(c);
}

/* Said in a frame, and not by a signal? */
static bool is_told_in_words(const struct run *r) { return r->runner || handler_is_exec(r->job.handler); }

/* When the one behind it has begun, it has ended, and must not be told. */
static void tell_stop(struct pool *p, struct slot *slot)
{
    struct process *c = process_of(p, slot);
    process_recall(c, false);
    if (is_told_in_words(slot->run)) {
        put_stop(c, &slot->run->job);
        return;
    }
    if (c->n_ahead)
        return;
    c->told = true;
    zygote_signal(p->options.zygote, c->number, SIGTERM);
}

/* The child of a command, the keeper of a runner kills it at the first word and still says what it printed; if that does
 * not help, all is killed. */
static void kill_process(struct pool *p, struct slot *slot)
{
    struct process *c = process_of(p, slot);
    c->told = true;
    if (is_told_in_words(slot->run) && slot->n_kills == 1)
        put_stop(c, &slot->run->job);
    else
        zygote_kill(p->options.zygote, c->number);
}

/* ---- in its turn ------------------------------------------------------------------------------ */

static void answer(struct pool *p, struct slot *slot, const struct message *m)
{
    struct process *c = process_of(p, slot);
    if (!c)
        return;
    frames_put(&c->frames, m);
    process_flush(c);
}

/* Once nobody is parked any more, the processes of those that stood in for them go. */
static void resize(struct pool *p)
{
    if (p->n_slots_parked)
        return;
    list_each(l, &p->spare)
        for (size_t runner = 0; runner <= p->n_gates; runner++) {
            struct process *c = *process_at(p, list_entry(l, struct slot, link), runner);
            if (c)
                process_retire(c);
        }
}

/* What has begun goes on, and its process ends with it. */
static void renew(struct pool *p)
{
    struct processes *s = p->state;
    list_each_safe(l, &s->all) {
        struct process *c = list_entry(l, struct process, link);
        if (c->runner)
            continue; /* it has no module */
        c->outdated = true;
        if (c->slot && !process_is_working(c))
            process_retire(c);
    }
}

static void recall(struct pool *p)
{
    list_each_safe(l, &processes_of(p)->to_look)
        process_recall(list_entry(l, struct process, to_look), false);
}

static void look(struct pool *p, struct slot *slot, struct now now)
{
    struct process *const *c = process_at(p, slot, slot->run->runner);
    if (*c && (*c)->n_ahead && (*c)->frames.fd >= 0)
        process_read(*c, now);
    if (*c && (*c)->n_ahead)
        process_look(*c, now);
}

static int64_t tick(struct pool *p, struct now now)
{
    struct processes *s = processes_of(p);
    struct process *c;
    while (!list_empty(&s->to_look) &&
           (c = list_entry(s->to_look.next, struct process, to_look))->look_at_ms <= now.mono_ms)
        process_look(c, now);
    while (p->n_waiting && !list_empty(&s->to_feed))
        process_feed(list_entry(s->to_feed.next, struct process, to_feed), now);
    for (struct link *l; (l = list_pop(&s->to_send));)
        process_flush(list_entry(l, struct process, to_send));
    return list_empty(&s->to_look) ? NEVER : list_entry(s->to_look.next, struct process, to_look)->look_at_ms;
}

static void on_readable(struct pool *p, struct now now)
{
    struct epoll_event events[64];
    int n = epoll_wait(processes_of(p)->epoll, events, ELEMENTS(events), 0);
    for (int i = 0; i < n; i++) {
        struct process *c = events[i].data.ptr; /* freed only in process_on_ended, which is not called from here */
        if (events[i].events & EPOLLOUT)
            process_flush(c);
        if (c->frames.fd >= 0 && events[i].events & ~(uint32_t)EPOLLOUT)
            process_read(c, now);
    }
}

static int fd(const struct pool *p) { return processes_of(p)->epoll; }

/* ---- open, close ------------------------------------------------------------------------------ */

static int open_kind(struct pool *p)
{
    struct processes *s = xcalloc(1, sizeof(*s));
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (s->epoll < 0) {
        free(s);
        return -errno;
    }
    s->of = xcalloc(p->n_slots * (p->n_gates + 1), sizeof(struct process *));
    for (size_t i = 0; i < STORM_CHILDREN; i++)
        s->died_at_ms[i] = -STORM_MS;
    list_init(&s->all);
    list_init(&s->to_look);
    list_init(&s->to_feed);
    list_init(&s->to_send);
    p->state = s;
    return 0;
}

static void close_kind(struct pool *p)
{
    struct processes *s = p->state;
    list_each_safe(l, &s->all) {
        struct process *c = list_entry(l, struct process, link);
        zygote_abandon(p->options.zygote, c->number);
        process_detach(c);
        process_free(c);
    }
    closep(&s->epoll);
    free(s->of);
    free(s);
    p->state = NULL;
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
    .renew = renew,
    .answer = answer,
    .resize = resize,
    .recall = recall,
    .look = look,
    .tick = tick,
};
