/* process_hear.c - what a process of the process pool says on its socket and in its ring, read as hostile. */
#include "worker/process.h"

#include "proto/base/log.h"
#include "worker/asks.h"
#include "worker/number.h"
#include "worker/runners.h"

#define AVERAGE_OF 4
#define JOB_US_MOST (30 * 1000000)
#define STALL_MS 4

/* ---- what it may say -------------------------------------------------------------------------- */

static bool is_spent(const struct process *c)
{
    size_t most = c->pool->options.jobs_per_child;
    return c->ended || c->told || c->outdated || run_is_limited(&c->slot->run->job) || (most && c->n_jobs >= most);
}

static bool is_of(const struct process *c, const struct outcome *o)
{
    return process_is_working(c) && c->slot->run->job.job == o->job && c->slot->run->job.attempt == o->attempt;
}

static void note_time(struct process *c, const struct outcome *o)
{
    int64_t us = o->wall_us < 0 ? JOB_US_MOST : min_i64(o->wall_us, JOB_US_MOST);
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
            process_retire(c);
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
              (unsigned long long)(process_is_working(c) ? number_own(c->slot->run->job.job) : 0), ++r->n_ended, c->words);
    if (!process_is_working(c))
        process_detach(c);
}

static bool on_ask(struct process *c, const struct message *m, struct now now)
{
    struct slot *s = c->slot;
    bool sane = s && s->state != SLOT_IDLE && ask_is_sane(m, s->run->job.job, s->run->job.attempt);
    if (sane)
        pool_slot_asked(c->pool, s, m, now);
    return sane;
}

bool process_on_frame(struct process *c, const struct message *m, struct now now)
{
    if (m->type == MSG_STARTED && !c->ready) {
        c->ready = true;
        if (c->runner)
            pool_gate_open(c->pool, c->runner, true, now);
        else
            processes_of(c->pool)->backoff_ms = 0;
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

/* ---- hearing it ------------------------------------------------------------------------------- */

/* It is listened to no longer. */
static void garble(struct process *c)
{
    log_warning("event=child-garbled job=%llu",
                (unsigned long long)(process_is_working(c) ? number_own(c->slot->run->job.job) : 0));
    c->garbled = true;
    closep(&c->frames.fd);
    process_recall(c, false);
    zygote_kill(c->pool->options.zygote, c->number);
}

void process_hear(struct process *c, struct now now)
{
    struct message m;
    int r;
    if (c->ring)
        ring_heard(c->ring, c->frames.heard);
    while (!c->garbled && (r = frames_next(&c->frames, &m)) != 0) {
        if (r < 0 || !process_on_frame(c, &m, now))
            garble(c);
        if (r > 0)
            message_fini(&m);
    }
    process_note_hunger(c);
    process_look_later(c, now);
}

void process_read(struct process *c, struct now now)
{
    ssize_t n = frames_read(&c->frames, false);
    if (n >= 0) {
        process_hear(c, now);
        return;
    }
    if (n == -EAGAIN || n == -EINTR)
        return;
    closep(&c->frames.fd);
    if (!process_is_working(c))
        process_detach(c);
    zygote_kill(c->pool->options.zygote, c->number); /* in case that it lives on without its socket */
}

void process_look(struct process *c, struct now now)
{
    if (!c->garbled && frames_hear(&c->frames, c->ring) > 0)
        process_hear(c, now);
    else if (now.mono_ms - c->moved_ms >= STALL_MS)
        process_recall(c, false);
    process_look_later(c, now);
}
