/* loop_strand.c - a line of execution on the loop: begun, woken, told to stop, ended. */
#include "worker/loop_strand.h"

#include "worker/loop_task.h"

/* What does not hear that it should stop, and awaits again so often, is never resumed again: the loop is not held up. */
#define REFUSED_AWAITS 1000u

static struct looper *looper_of(const struct strand *s) { return s->job->looper; }

static void enter(void *arg)
{
    struct strand *s = arg;
    s->function(s);
}

int strand_init(struct strand *s, struct loop_task *job, void (*function)(struct strand *), void (*ended)(struct strand *))
{
    *s = (struct strand){ .job = job, .function = function, .ended = ended };
    list_init(&s->ready);
    return coroutine_new(&s->coroutine, job->looper->arena, enter, s);
}

static bool run(struct strand *s)
{
    struct looper *l = looper_of(s);
    l->current = s;
    bool more = coroutine_resume(s->coroutine);
    l->current = NULL;
    return more;
}

void strand_resume(struct strand *s)
{
    struct loop_task *t = s->job;
    list_remove(&s->ready);
    if (s->deaf)
        return;
    int64_t cpu_us = task_thread_cpu_us(), at_us = loop_blocked_begin(looper_of(s), t);
    bool more = run(s);
    t->cpu_us += task_thread_cpu_us() - cpu_us;
    loop_blocked_end(looper_of(s), t, at_us);
    if (more && !s->deaf)
        return;
    if (!more)
        coroutine_free(TAKE(s->coroutine));
    s->ended(s);
}

void strand_wake(struct strand *s)
{
    if (s->waiting)
        strand_resume(s);
}

static void resume_ready(struct looper *l)
{
    struct link now;
    list_init(&now);
    list_take_all(&now, &l->ready);
    for (struct link *k; (k = list_pop(&now));)
        strand_resume(list_entry(k, struct strand, ready));
}

static void on_kick(uv_idle_t *h)
{
    struct looper *l = h->data;
    resume_ready(l);
    if (list_empty(&l->ready))
        uv_idle_stop(h);
}

void strand_resume_ready(struct looper *l)
{
    while (!list_empty(&l->ready))
        resume_ready(l);
}

/* Once a turn of the loop, so that timers and sockets have their turn however many are ready. */
void strand_ready(struct strand *s)
{
    struct looper *l = looper_of(s);
    if (!list_empty(&s->ready))
        return;
    list_add_tail(&l->ready, &s->ready);
    uv_idle_start(&l->kick, on_kick);
}

void strand_tell_stop(struct strand *s)
{
    s->told = true;
    if (s->waiting)
        strand_ready(s);
}

void strand_drop(struct strand *s)
{
    list_remove(&s->ready);
    coroutine_free(TAKE(s->coroutine));
}

int strand_may_wait(struct strand *s)
{
    if (!s->told && !tern_should_stop(&s->job->task.call))
        return 0;
    while (s->refused_awaits++ >= REFUSED_AWAITS) {
        s->deaf = true;
        coroutine_suspend(s->coroutine);
    }
    return -ECANCELED;
}

int strand_wait(struct strand *s)
{
    s->waiting = true;
    coroutine_suspend(s->coroutine);
    s->waiting = false;
    return s->told ? -ECANCELED : 0;
}
