/* pool_process.c - the kind of pool that runs jobs in forked processes: a persistent child for each slot, made when there is
 * a job for it, recycled after so many jobs, and after one that was told to stop or had a memory limit. A child is gone
 * only when the zygote says so; what it says on its data socket is read as hostile.
 *
 * A child whose jobs are short gets some ahead, behind the one that its slot knows of: about AHEAD_US worth of them. They
 * still wait, and are taken back where they are wanted elsewhere, and from a child that has not moved for STALL_MS. When
 * a child dies, the one its slot knows of is to blame if it had begun; what was ahead runs elsewhere.
 *
 * A slot has a child for handlers in C and commands, and a keeper (keeper.h) for each runner, made when there is a job for
 * it; one of them works at a time. A keeper gets nothing ahead. */
#include "worker/pool_kind.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "proto/base/log.h"
#include "worker/asks.h"
#include "worker/frame.h"
#include "worker/handlers.h"
#include "worker/modules.h"
#include "worker/runners.h"
#include "worker/zygote.h"

#define STORM_CHILDREN 3
#define STORM_MS 10000
#define BACKOFF_MIN_MS 1000
#define BACKOFF_MAX_MS 30000
#define AHEAD_MOST 32
#define AHEAD_BYTES (64u << 10) /* the largest job that is given ahead */
#define AHEAD_US 2000
#define JOB_US 10      /* what a job costs that takes no time */
#define AVERAGE_OF 4
#define LOOK_MS 1
#define STALL_MS 4
#define UNBEGUN_MOST 3 /* a job that processes die of, and say that it had not begun, is to blame all the same */

struct process {
    struct link link;
    struct pool *pool;  /* borrowed */
    struct slot *slot;  /* borrowed; NULL once it is to take no further job */
    uint64_t number;    /* the zygote's */
    struct frames frames;
    struct ring *ring;  /* owned; NULL: of a keeper */
    size_t runner;      /* of a keeper; else 0 */
    char *words;        /* owned: why its runner ends, as a keeper says; it takes no more then */
    bool watched_to_write, ready, garbled, ended;
    bool in_doubt;      /* garbled, perhaps not by the run that it ended with */
    bool told;          /* to stop: it takes no further job */
    bool outdated;      /* it has handlers that have changed since: likewise */
    size_t n_jobs;
    uint64_t n_given, n_passed; /* places, also of what was taken back; those up to its last outcome */
    struct link ahead;  /* owned runs, in order */
    size_t n_ahead;
    int64_t job_us;     /* about what its jobs take, as it says; UNSET: not known */
    int64_t moved_ms, look_at_ms;
    struct link to_look, to_feed, to_send; /* in the lists of these names */
};

struct processes {
    int epoll;               /* owned */
    struct process **of;     /* owned array, by slot and runner; NULL: none */
    struct link all;         /* owned processes */
    struct link to_look;     /* those that have runs ahead, by look_at_ms */
    struct link to_feed;     /* those that may get more */
    struct link to_send;     /* those that were given some in this turn */
    size_t n_to_feed;
    int64_t died_at_ms[STORM_CHILDREN]; /* the last ones that ended before they were ready */
    int64_t backoff_ms, backoff_until_ms;
};

static struct processes *state_of(const struct pool *p) { return p->state; }

/* The process that a slot has for handlers of a runner; runner 0: for all else. */
static struct process **process_at(const struct pool *p, const struct slot *slot, size_t runner)
{
    return &state_of(p)->of[pool_slot_index(p, slot) * (p->n_gates + 1) + runner];
}

/* The one that works on what the slot runs. */
static struct process *process_of(const struct pool *p, const struct slot *slot)
{
    return *process_at(p, slot, slot->run->runner);
}

static bool is_working(const struct process *c)
{
    return c->slot && c->slot->state != SLOT_IDLE && c->slot->run->runner == c->runner;
}

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

static struct process *process_new(struct pool *p, struct slot *slot, size_t runner)
{
    struct process *c = xcalloc(1, sizeof(*c));
    list_init(&c->link);
    list_init(&c->ahead);
    list_init(&c->to_look);
    list_init(&c->to_feed);
    list_init(&c->to_send);
    frames_init(&c->frames, -1);
    c->pool = p;
    c->slot = slot;
    c->runner = runner;
    c->job_us = UNSET;
    return c;
}

static void process_free(struct process *c)
{
    if (!c)
        return;
    list_remove(&c->link);
    list_remove(&c->to_look);
    list_remove(&c->to_send);
    frames_fini(&c->frames);
    ring_close(c->ring);
    free(c->words);
    free(c);
}

/* ---- a process and its slot ------------------------------------------------------------------- */

static void on_ended(void *ctx, const struct child_ended *e, struct now now);

static int attach(struct pool *p, struct slot *slot, struct process **ret)
{
    struct processes *s = state_of(p);
    struct process *c = process_new(p, slot, slot->run->runner);
    struct child_role role = { 1, c->runner, POOL_PROCESS };
    int fd;
    int r = zygote_fork(p->options.zygote, &role, on_ended, c, &c->number, &fd);
    if (r < 0) {
        process_free(c);
        return r;
    }
    frames_init(&c->frames, fd);
    r = c->runner ? 0 : ring_open(&c->ring, fd);
    if (r >= 0 && !c->runner)
        r = modules_hand(p->options.modules, fd);
    if (r < 0) {
        zygote_abandon(p->options.zygote, c->number);
        process_free(c);
        return r;
    }
    epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){ .events = EPOLLIN, .data.ptr = c });
    list_add_tail(&s->all, &c->link);
    *process_at(p, slot, c->runner) = c;
    *ret = c;
    return 0;
}

/* Should the process have died: its end is read too. */
static void flush(struct process *c)
{
    bool to_write = frames_flush(&c->frames, false) == -EAGAIN;
    if (to_write == c->watched_to_write || c->frames.fd < 0)
        return;
    c->watched_to_write = to_write;
    struct epoll_event e = { .events = EPOLLIN | (to_write ? EPOLLOUT : 0u), .data.ptr = c };
    epoll_ctl(state_of(c->pool)->epoll, EPOLL_CTL_MOD, c->frames.fd, &e);
}

static bool is_limited(const struct run_job *job) { return job->memory_bytes != UNSET && job->memory_bytes > 0; }

/* Sent with what else is given to it in this turn. */
static int put(struct process *c, struct run *r)
{
    int e = frames_put_run(&c->frames, &r->job);
    if (e < 0)
        return e;
    r->place = c->n_given++;
    if (c->ring)
        ring_give(c->ring, r->place);
    list_remove(&c->to_send);
    list_add_tail(&state_of(c->pool)->to_send, &c->to_send);
    return 0;
}

static int begin(struct pool *p, struct slot *slot, struct now now)
{
    struct process *c = process_of(p, slot);
    const struct run_job *job = &slot->run->job;
    int r = c ? 0 : attach(p, slot, &c);
    if (r < 0)
        return r;
    if (is_limited(job) && !handler_is_exec(job->handler))
        zygote_limit(p->options.zygote, c->number, job->memory_bytes);
    c->moved_ms = now.mono_ms;
    return put(c, slot->run);
}

/* ---- what is ahead ---------------------------------------------------------------------------- */

static bool is_plain(const struct run *r)
{
    size_t bytes = r->job.payload.n + r->job.checkpoint.n + r->job.handler.n + r->job.queue.n;
    return !r->runner && !is_limited(&r->job) && bytes <= AHEAD_BYTES;
}

/* How many it should have ahead. */
static size_t ahead_wanted(const struct process *c)
{
    size_t most = c->pool->options.jobs_per_child, left = most ? most - min_size(most, c->n_jobs + 1) : AHEAD_MOST;
    if (!is_working(c) || c->slot->state != SLOT_RUNNING || c->told || c->outdated || c->garbled ||
        !is_plain(c->slot->run))
        return 0;
    return c->job_us == UNSET ? 0 : min_size((size_t)(AHEAD_US / (c->job_us + JOB_US)), min_size(left, AHEAD_MOST));
}

static void look_later(struct process *c, struct now now)
{
    list_remove(&c->to_look);
    if (!c->n_ahead)
        return;
    c->look_at_ms = now.mono_ms + LOOK_MS;
    list_add_tail(&state_of(c->pool)->to_look, &c->to_look);
}

static void set_hungry(struct process *c, bool hungry)
{
    struct processes *s = state_of(c->pool);
    if (hungry && list_empty(&c->to_feed)) {
        list_add_tail(&s->to_feed, &c->to_feed);
        s->n_to_feed++;
    } else if (!hungry && !list_empty(&c->to_feed)) {
        list_remove(&c->to_feed);
        s->n_to_feed--;
    }
}

/* Places of its ring that it has passed, less one for what begins when all that is ahead has been taken back. */
static size_t places_left(const struct process *c)
{
    uint64_t n = c->n_given - c->n_passed + 1;
    return n < RING_PLACES ? (size_t)(RING_PLACES - n) : 0;
}

/* An equal share of what waits. */
static void feed(struct process *c, struct now now)
{
    struct pool *p = c->pool;
    size_t share = (p->n_waiting + state_of(p)->n_to_feed - 1) / state_of(p)->n_to_feed;
    size_t wanted = ahead_wanted(c), n = wanted > c->n_ahead ? min_size(wanted - c->n_ahead, share) : 0;
    n = min_size(n, places_left(c));
    struct run *r;
    for (; n && is_plain(list_entry(p->waiting.next, struct run, link)) && (r = pool_give_ahead(p)); n--) {
        if (put(c, r) < 0) {
            pool_take_back(p, r);
            break;
        }
        list_add_tail(&c->ahead, &r->link);
        c->n_ahead++;
    }
    set_hungry(c, false);
    look_later(c, now);
}

/* What has begun stays: its turn comes when the outcome before it is heard, which has been said. */
static void recall_from(struct process *c, bool all)
{
    for (struct link *l = c->ahead.prev, *before; l != &c->ahead; l = before) {
        struct run *r = list_entry(l, struct run, link);
        before = l->prev;
        if (!ring_take(c->ring, r->place) && !all)
            return;
        pool_take_back(c->pool, r);
        c->n_ahead--;
    }
    list_remove(&c->to_look);
}

static void recall(struct pool *p)
{
    list_each_safe(l, &state_of(p)->to_look)
        recall_from(list_entry(l, struct process, to_look), false);
}

/* From here on it takes no job; when it has ended it is freed. */
static void detach(struct process *c)
{
    set_hungry(c, false);
    recall_from(c, true);
    if (c->slot)
        *process_at(c->pool, c->slot, c->runner) = NULL;
    c->slot = NULL;
}

static void retire(struct process *c)
{
    detach(c);
    zygote_kill(c->pool->options.zygote, c->number);
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
        if (c->slot && !is_working(c))
            retire(c);
    }
}

static void close_kind(struct pool *p)
{
    struct processes *s = p->state;
    list_each_safe(l, &s->all) {
        struct process *c = list_entry(l, struct process, link);
        zygote_abandon(p->options.zygote, c->number);
        detach(c);
        process_free(c);
    }
    closep(&s->epoll);
    free(s->of);
    free(s);
    p->state = NULL;
}

/* ---- stopping --------------------------------------------------------------------------------- */

static void put_stop(struct process *c, const struct run_job *job)
{
    frames_put_stop(&c->frames, job->job, job->attempt);
    c->told = true;
    flush(c);
}

/* Said in a frame, and not by a signal? */
static bool is_told_in_words(const struct run *r) { return r->runner || handler_is_exec(r->job.handler); }

/* When the one behind it has begun, it has ended, and must not be told. */
static void tell_stop(struct pool *p, struct slot *slot)
{
    struct process *c = process_of(p, slot);
    recall_from(c, false);
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

static void answer(struct pool *p, struct slot *slot, const struct message *m)
{
    struct process *c = process_of(p, slot);
    if (!c)
        return;
    frames_put(&c->frames, m);
    flush(c);
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
                retire(c);
        }
}

/* ---- what it says ----------------------------------------------------------------------------- */

static bool is_spent(const struct process *c)
{
    size_t most = c->pool->options.jobs_per_child;
    return c->ended || c->told || c->outdated || is_limited(&c->slot->run->job) || (most && c->n_jobs >= most);
}

static bool is_of(const struct process *c, const struct outcome *o)
{
    return is_working(c) && c->slot->run->job.job == o->job && c->slot->run->job.attempt == o->attempt;
}

static void note_time(struct process *c, const struct outcome *o)
{
    int64_t us = o->wall_us < 0 ? BACKOFF_MAX_MS * 1000 : min_i64(o->wall_us, BACKOFF_MAX_MS * 1000);
    c->job_us = c->job_us == UNSET ? us : (c->job_us * (AVERAGE_OF - 1) + us) / AVERAGE_OF;
}

/* What is behind it runs now, or is about to. After the process's end that must have begun. */
static struct run *next_of(struct process *c)
{
    if (list_empty(&c->ahead))
        return NULL;
    struct run *next = list_entry(c->ahead.next, struct run, link);
    if (c->ended && ring_is_given(c->ring, next->place))
        return NULL;
    c->n_ahead--;
    return next;
}

static void on_outcome(struct process *c, const struct outcome *o, struct now now)
{
    struct slot *slot = c->slot;
    c->n_jobs++;
    c->n_passed = slot->run->place + 1;
    c->moved_ms = now.mono_ms;
    note_time(c, o);
    struct run *next = next_of(c);
    if (next) {
        pool_slot_went_on(c->pool, slot, o, next, now);
    } else {
        if (is_spent(c))
            retire(c);
        pool_slot_ended(c->pool, slot, o, now);
    }
}

/* Its runner ends: what it works on is told of next, or was never begun. */
static void note_words(struct process *c, const struct msg_error *e)
{
    struct runner *r = runners_get(c->runner);
    free(c->words);
    c->words = xstrndup(e->text.p ? e->text : str_of("its runner ended"));
    c->told = true;
    log_error("event=runner-ended runner=%s pool=process job=%llu times=%u text=\"%s\"", r->name,
              (unsigned long long)(is_working(c) ? c->slot->run->job.job : 0), ++r->n_ended, c->words);
    if (!is_working(c))
        detach(c);
}

static bool on_ask(struct process *c, const struct message *m, struct now now)
{
    struct slot *s = c->slot;
    bool sane = s && s->state != SLOT_IDLE && ask_is_sane(m, s->run->job.job, s->run->job.attempt);
    if (sane)
        pool_slot_asked(c->pool, s, m, now);
    return sane;
}

static bool on_frame(struct process *c, const struct message *m, struct now now)
{
    if (m->type == MSG_STARTED && !c->ready) {
        c->ready = true;
        if (c->runner)
            pool_gate_open(c->pool, c->runner, true, now);
        else
            state_of(c->pool)->backoff_ms = 0;
        return true;
    }
    if (m->type == MSG_ERROR && c->runner) {
        note_words(c, &m->error);
        return true;
    }
    if (ask_is(m) || m->type == MSG_PROGRESS)
        return on_ask(c, m, now);
    const struct outcome *o = frames_outcome(m);
    if (!o || !is_of(c, o))
        return false;
    on_outcome(c, o, now);
    return true;
}

/* It is listened to no longer. */
static void garble(struct process *c)
{
    log_warning("event=child-garbled job=%llu",
                (unsigned long long)(is_working(c) ? c->slot->run->job.job : 0));
    c->garbled = true;
    closep(&c->frames.fd);
    recall_from(c, false);
    zygote_kill(c->pool->options.zygote, c->number);
}

static void hear(struct process *c, struct now now)
{
    struct message m;
    int r;
    if (c->ring)
        ring_heard(c->ring, c->frames.heard);
    while (!c->garbled && (r = frames_next(&c->frames, &m)) != 0) {
        if (r < 0 || !on_frame(c, &m, now))
            garble(c);
        if (r > 0)
            message_fini(&m);
    }
    set_hungry(c, ahead_wanted(c) > c->n_ahead);
    look_later(c, now);
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
    if (!is_working(c))
        detach(c);
    zygote_kill(c->pool->options.zygote, c->number); /* in case that it lives on without its socket */
}

static void look_at(struct process *c, struct now now)
{
    if (!c->garbled && frames_hear(&c->frames, c->ring) > 0)
        hear(c, now);
    else if (now.mono_ms - c->moved_ms >= STALL_MS)
        recall_from(c, false);
    look_later(c, now);
}

static void look(struct pool *p, struct slot *slot, struct now now)
{
    struct process *const *c = process_at(p, slot, slot->run->runner);
    if (*c && (*c)->n_ahead && (*c)->frames.fd >= 0)
        read_process(*c, now);
    if (*c && (*c)->n_ahead)
        look_at(*c, now);
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
    } else if (c->words) {
        o->reason = REASON_HANDLER_ERROR;
        *ret_text = xstrdup(c->words);
    } else if (e->memory_limit) {
        o->reason = REASON_MEMORY_LIMIT;
        o->signal = SIGKILL;
        o->max_rss_kb = max_i64(o->max_rss_kb, e->peak_bytes / 1024);
        *ret_text = run_text_of_memory(&c->slot->run->job, e->peak_bytes);
    } else if (c->in_doubt) {
        o->ending = ENDING_LOST;
        o->reason = REASON_WORKER_LOST;
        *ret_text = xstrdup("its process was ended, because a handler wrote on its socket");
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
    if (now.mono_ms >= s->backoff_until_ms || *process_at(p, next, 0))
        return true;
    *ret_when_ms = s->backoff_until_ms;
    return false;
}

/* A keeper that has told why its runner ended has told of the run as well, if that had begun. */
static bool is_keepers_to_blame(const struct process *c)
{
    bool running = c->slot->state == SLOT_RUNNING;
    return c->ready ? !running || !c->words : running && pool_is_hopeless(c->slot->run);
}

/* Is what its slot knows of to blame? Not when it had not begun; but only so often may processes say so of one run. */
static bool is_to_blame(const struct process *c)
{
    struct run *r = c->slot->run;
    if (c->runner)
        return is_keepers_to_blame(c);
    if (!c->ready)
        return false;
    if (c->slot->state != SLOT_RUNNING || !ring_is_given(c->ring, r->place))
        return true;
    return ++r->n_unbegun > UNBEGUN_MOST;
}

static void end_slot(struct process *c, const struct child_ended *e, struct now now)
{
    struct pool *p = c->pool;
    struct slot *slot = c->slot;
    if (!is_to_blame(c)) {
        detach(c);
        pool_slot_again(p, slot, now);
        return;
    }
    struct outcome o;
    cleanup(freep) char *text = NULL;
    outcome_of_end(c, e, &o, &text);
    o.error = str_of(text);
    detach(c);
    pool_slot_ended(p, slot, &o, now);
}

/* Something wrote on its socket, between what it has said: which stands in the ring. The run that was going on then may have
 * ended since, and the one that runs now be innocent. */
static void hear_in_spite(struct process *c, struct now now)
{
    struct message m;
    size_t n_before = c->n_jobs;
    int r = 0;
    frames_cut(&c->frames);
    bool said = frames_hear(&c->frames, c->ring) > 0;
    while (said && (r = frames_next(&c->frames, &m)) > 0) {
        said = on_frame(c, &m, now);
        message_fini(&m);
    }
    c->in_doubt = c->n_jobs > n_before;
}

static void on_ended(void *ctx, const struct child_ended *e, struct now now)
{
    struct process *c = ctx;
    c->ended = true;
    while (frames_read(&c->frames, false) > 0) /* what it said before */
        hear(c, now);
    if (c->garbled && c->ring)
        hear_in_spite(c, now);
    else if (c->ring && frames_hear(&c->frames, c->ring) > 0) /* and did not send any more */
        hear(c, now);
    if (c->runner && !c->ready && !e->lost && c->slot)
        pool_gate_open(c->pool, c->runner, false, now);
    else if (!c->ready && !e->lost && c->slot)
        note_early_death(c->pool, now);
    if (is_working(c))
        end_slot(c, e, now);
    detach(c);
    process_free(c);
}

/* ---- for the pool ----------------------------------------------------------------------------- */

static int fd(const struct pool *p) { return state_of(p)->epoll; }

static int64_t tick(struct pool *p, struct now now)
{
    struct processes *s = state_of(p);
    struct process *c;
    while (!list_empty(&s->to_look) && (c = list_entry(s->to_look.next, struct process, to_look))->look_at_ms <= now.mono_ms)
        look_at(c, now);
    while (p->n_waiting && !list_empty(&s->to_feed))
        feed(list_entry(s->to_feed.next, struct process, to_feed), now);
    for (struct link *l; (l = list_pop(&s->to_send));)
        flush(list_entry(l, struct process, to_send));
    return list_empty(&s->to_look) ? NEVER : list_entry(s->to_look.next, struct process, to_look)->look_at_ms;
}

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
    .renew = renew,
    .answer = answer,
    .resize = resize,
    .recall = recall,
    .look = look,
    .tick = tick,
};
