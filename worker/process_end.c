/* process_end.c - how a process of the process pool ended, and what that says of the run that it had. */
#include "worker/process.h"

#include <signal.h>
#include <sys/wait.h>

#include "proto/base/log.h"

#define BACKOFF_MIN_MS 1000
#define BACKOFF_MAX_MS 30000
#define UNBEGUN_MOST 3 /* a job that processes die of, and say that it had not begun, is to blame all the same */

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
        process_detach(c);
        pool_slot_again(p, slot, now);
        return;
    }
    struct outcome o;
    cleanup(freep) char *text = NULL;
    outcome_of_end(c, e, &o, &text);
    o.error = str_of(text);
    process_detach(c);
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
        said = process_on_frame(c, &m, now);
        message_fini(&m);
    }
    c->in_doubt = c->n_jobs > n_before;
}

void process_on_ended(void *ctx, const struct child_ended *e, struct now now)
{
    struct process *c = ctx;
    c->ended = true;
    while (frames_read(&c->frames, false) > 0) /* what it said before */
        process_hear(c, now);
    if (c->garbled && c->ring)
        hear_in_spite(c, now);
    else if (c->ring && frames_hear(&c->frames, c->ring) > 0) /* and did not send any more */
        process_hear(c, now);
    if (c->runner && !c->ready && !e->lost && c->slot)
        pool_gate_open(c->pool, c->runner, false, now);
    else if (!c->ready && !e->lost && c->slot)
        note_early_death(c->pool, now);
    if (process_is_working(c))
        end_slot(c, e, now);
    process_detach(c);
    process_free(c);
}
