/* launcher.c - the worker's side of a child that runs commands, or of a keeper with a shared runner. */
#include "worker/launcher.h"

#include <sys/epoll.h>

#include "proto/base/log.h"
#include "worker/asks.h"
#include "worker/frame.h"
#include "worker/number.h"
#include "worker/pool_kind.h"
#include "worker/runners.h"
#include "worker/zygote.h"

struct held_slot {
    struct pool *pool; /* borrowed; NULL: nobody is to be told */
    struct slot *slot; /* borrowed */
    uint64_t job, attempt;
};

struct launcher {
    struct zygote *zygote; /* borrowed */
    struct child_role role;
    struct pool *pool;     /* borrowed: of a runner, once it has run something */
    char *words;           /* owned: why the runner ends, as its keeper says; it takes no more then */
    int epoll;             /* owned */
    bool live, ready;      /* there is one; it has said that it takes commands */
    uint64_t number;       /* the zygote's, of the child */
    struct frames frames;
    bool watched_to_write;
    struct idmap held;     /* owned struct held_slot, by job and attempt */
};

static int open_role(struct launcher **ret, struct zygote *z, struct child_role role)
{
    struct launcher *l = xcalloc(1, sizeof(*l));
    *l = (struct launcher){ .zygote = z, .role = role };
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    frames_init(&l->frames, -1);
    if (l->epoll < 0) {
        free(l);
        return -errno;
    }
    *ret = l;
    return 0;
}

int launcher_open(struct launcher **ret, struct zygote *z, size_t capacity)
{
    return open_role(ret, z, (struct child_role){ .capacity = capacity > 1 ? capacity : 2 });
}

int launcher_open_runner(struct launcher **ret, struct zygote *z, size_t capacity, size_t runner, enum pool_kind pool)
{
    return open_role(ret, z, (struct child_role){ capacity, runner, pool });
}

void launcher_close(struct launcher *l)
{
    if (!l)
        return;
    if (l->live)
        zygote_abandon(l->zygote, l->number);
    struct held_slot *h;
    for (size_t i = 0; (h = idmap_next(&l->held, &i));)
        free(h);
    idmap_fini(&l->held);
    frames_fini(&l->frames);
    free(l->words);
    closep(&l->epoll);
    free(l);
}

int launcher_fd(const struct launcher *l) { return l->epoll; }

static void flush(struct launcher *l)
{
    bool to_write = frames_flush(&l->frames, false) == -EAGAIN;
    if (l->frames.fd < 0 || to_write == l->watched_to_write)
        return;
    l->watched_to_write = to_write;
    struct epoll_event e = { .events = EPOLLIN | (to_write ? EPOLLOUT : 0u) };
    epoll_ctl(l->epoll, EPOLL_CTL_MOD, l->frames.fd, &e);
}

/* ---- what it runs ----------------------------------------------------------------------------- */

static struct held_slot *find(const struct idmap *held, uint64_t job, uint64_t attempt)
{
    struct held_slot *h = idmap_find(held, number_key(job, attempt));
    return h && h->job == job && h->attempt == attempt ? h : NULL;
}

static void end(struct idmap *held, struct held_slot *h, const struct outcome *o, struct now now)
{
    struct pool *p = h->pool;
    struct slot *s = h->slot;
    idmap_remove(held, number_key(h->job, h->attempt));
    free(h);
    if (p)
        pool_slot_ended(p, s, o, now);
}

static void on_ended(void *ctx, const struct child_ended *e, struct now now);

static int start(struct launcher *l)
{
    int fd;
    int r = zygote_fork(l->zygote, &l->role, on_ended, l, &l->number, &fd);
    if (r < 0)
        return r;
    frames_fini(&l->frames);
    frames_init(&l->frames, fd);
    l->live = true;
    l->ready = false;
    l->watched_to_write = false;
    struct epoll_event e = { .events = EPOLLIN };
    epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &e);
    return 0;
}

int launcher_begin(struct launcher *l, struct pool *p, struct slot *s, struct now now)
{
    (void)now;
    const struct run_job *job = &s->run->job;
    if (idmap_find(&l->held, number_key(job->job, job->attempt)))
        return -EEXIST;
    l->pool = l->role.runner ? p : NULL;
    int r = l->live ? 0 : start(l);
    if (r >= 0)
        r = frames_put_run(&l->frames, job);
    if (r < 0)
        return r;
    struct held_slot *h = xmalloc(sizeof(*h));
    *h = (struct held_slot){ p, s, job->job, job->attempt };
    idmap_put(&l->held, number_key(job->job, job->attempt), h);
    flush(l);
    return 0;
}

static void put_stop(struct launcher *l, const struct slot *s)
{
    frames_put_stop(&l->frames, s->run->job.job, s->run->job.attempt);
    flush(l);
}

void launcher_tell_stop(struct launcher *l, struct slot *s) { put_stop(l, s); }

void launcher_kill(struct launcher *l, struct slot *s)
{
    if (s->n_kills == 1)
        put_stop(l, s);
}

void launcher_forget(struct launcher *l, struct slot *s)
{
    struct held_slot *h = find(&l->held, s->run->job.job, s->run->job.attempt);
    if (!h)
        return;
    h->pool = NULL;
    put_stop(l, s);
    put_stop(l, s);
}

void launcher_answer(struct launcher *l, const struct message *answer)
{
    frames_put(&l->frames, answer);
    flush(l);
}

/* ---- what it says ----------------------------------------------------------------------------- */

/* The runner ends: what its keeper has been given since was not begun. */
static void note_words(struct launcher *l, const struct msg_error *e)
{
    struct runner *r = runners_get(l->role.runner);
    free(l->words);
    l->words = xstrndup(e->text.p ? e->text : str_of("its runner ended"));
    log_error("event=runner-ended runner=%s pool=%s runs=%zu times=%u text=\"%s\"", r->name, pool_name(l->role.pool),
              l->held.n, ++r->n_ended, l->words);
    if (l->pool)
        pool_gate_shut(l->pool, l->role.runner);
}

static const struct outcome *outcome_of(const struct launcher *l, const struct message *m)
{
    return l->role.runner ? frames_outcome_of_many(m) : frames_outcome(m);
}

/* One that has died waits for no answer. */
static bool on_ask(struct launcher *l, const struct idmap *held, const struct message *m, struct now now)
{
    struct attempt_ref of = ask_of(m);
    struct held_slot *h = l->role.runner ? find(held, of.job, of.attempt) : NULL;
    if (!h || !ask_is_sane(m, of.job, of.attempt))
        return false;
    if (h->pool && l->live)
        pool_slot_asked(h->pool, h->slot, m, now);
    return true;
}

static bool on_frame(struct launcher *l, struct idmap *held, const struct message *m, struct now now)
{
    if (m->type == MSG_STARTED)
        return l->ready = true;
    if (m->type == MSG_ERROR && l->role.runner) {
        note_words(l, &m->error);
        return true;
    }
    if (ask_is(m) || m->type == MSG_PROGRESS)
        return on_ask(l, held, m, now);
    const struct outcome *o = outcome_of(l, m);
    struct held_slot *h = o ? find(held, o->job, o->attempt) : NULL;
    if (!h)
        return false;
    end(held, h, o, now);
    return true;
}

static void give_up(struct launcher *l, const char *why)
{
    closep(&l->frames.fd);
    zygote_kill(l->zygote, l->number);
    if (why)
        log_error("event=launcher-garbled text=\"%s\"", why);
}

static void read_launcher(struct launcher *l, struct now now)
{
    ssize_t n = frames_read(&l->frames, false);
    if (n == -EAGAIN || n == -EINTR)
        return;
    if (n < 0) {
        give_up(l, NULL);
        return;
    }
    struct message m;
    int r;
    while (l->frames.fd >= 0 && (r = frames_next(&l->frames, &m)) != 0) {
        if (r < 0 || !on_frame(l, &l->held, &m, now))
            give_up(l, "it sent something that is no result");
        if (r > 0)
            message_fini(&m);
    }
}

void launcher_on_readable(struct launcher *l, struct now now)
{
    struct epoll_event e;
    if (epoll_wait(l->epoll, &e, 1, 0) <= 0)
        return;
    if (e.events & EPOLLOUT)
        flush(l);
    if (l->frames.fd >= 0 && e.events & ~(uint32_t)EPOLLOUT)
        read_launcher(l, now);
}

/* hopeless: why it will not do to try for ever, or NULL. */
static void try_again(const struct held_slot *h, const char *hopeless, struct now now)
{
    if (!hopeless || !pool_is_hopeless(h->slot->run)) {
        pool_slot_again(h->pool, h->slot, now);
        return;
    }
    struct outcome o;
    record_init(RECORD_outcome, &o);
    o.ending = ENDING_FAILED;
    o.reason = REASON_HANDLER_ERROR;
    o.error = str_of(hopeless);
    pool_slot_ended(h->pool, h->slot, &o, now);
}

/* Those that it cannot have begun begin on the next one. */
static void begin_again(struct idmap *held, const char *hopeless, struct now now)
{
    struct held_slot *h;
    for (size_t i = 0; (h = idmap_next(held, &i)); i = 0) {
        struct held_slot was = *h;
        idmap_remove(held, number_key(h->job, h->attempt));
        free(h);
        if (was.pool)
            try_again(&was, hopeless, now);
    }
}

static void lose(struct idmap *held, const char *why, struct now now)
{
    struct outcome o;
    struct held_slot *h;
    record_init(RECORD_outcome, &o);
    o.ending = ENDING_LOST;
    o.reason = REASON_WORKER_LOST;
    o.error = str_of(why);
    for (size_t i = 0; (h = idmap_next(held, &i)); i = 0)
        end(held, h, &o, now);
}

/* What ends here may begin the next command, on a new launcher: so the old one is put aside first. */
static void on_ended(void *ctx, const struct child_ended *e, struct now now)
{
    struct launcher *l = ctx;
    struct idmap held = l->held;
    struct frames frames = l->frames;
    struct message m;
    (void)e;
    bool ready = l->ready;
    l->held = (struct idmap){ 0 };
    l->live = false;
    frames_init(&l->frames, -1);
    if (l->pool) /* what ends here must not begin another too early */
        pool_gate_shut(l->pool, l->role.runner);
    while (frames_read(&frames, false) > 0)
        ;
    while (frames_next(&frames, &m) > 0) {
        ready |= m.type == MSG_STARTED;
        on_frame(l, &held, &m, now);
        message_fini(&m);
    }
    cleanup(freep) char *words = TAKE(l->words);
    if (!words)
        log_error("event=launcher-died runs=%zu", held.n);
    if (l->pool)
        pool_gate_open(l->pool, l->role.runner, ready || e->lost, now);
    if (ready && !words)
        lose(&held, "the process that ran it, with others, has died", now);
    else
        begin_again(&held, ready ? NULL : words, now);
    idmap_fini(&held);
    frames_fini(&frames);
}
