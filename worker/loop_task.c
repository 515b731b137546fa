/* loop_task.c - a job on the loop: begun, woken, told to stop, ended. */
#include "worker/loop_task.h"

#include "proto/base/log.h"

#include <inttypes.h>

/* A handler that does not hear that it should stop, and awaits again so often, is never resumed
 * again: its slot is stuck, the loop is not. */
#define REFUSED_AWAITS 1000u

static void run(void *arg)
{
    struct loop_task *t = arg;
    t->task.r = t->task.handler->async(&t->task.call);
}

static void hand_back(struct loop_task *t)
{
    t->task.call.measured.wall_us = clock_mono_us() - t->began_us;
    t->task.call.measured.cpu_us = t->cpu_us;
    mailbox_put(&t->looper->ended, &t->task.mail);
}

static void on_timer_closed(uv_handle_t *h) { hand_back(h->data); }

static void end(struct loop_task *t)
{
    struct looper *l = t->looper;
    coroutine_free(TAKE(t->coroutine));
    t->task.call.coroutine = NULL;
    l->running[t->task.number] = NULL;
    l->n_running--;
    uv_close((uv_handle_t *)&t->timer, on_timer_closed);
}

static void warn_blocked(struct loop_task *t, int64_t us)
{
    if (us < LOOP_BLOCKED_US || t->warned)
        return;
    t->warned = true;
    log_warning("event=loop-blocked job=%" PRIu64 " handler=%s ms=%" PRId64, tern_job_id(&t->task.call),
                t->task.handler->name, us / 1000);
}

static void resume(struct loop_task *t)
{
    struct looper *l = t->looper;
    int64_t cpu_us = task_thread_cpu_us(), at_us = clock_mono_us();
    __atomic_store_n(&l->busy_job, tern_job_id(&t->task.call), __ATOMIC_RELAXED);
    __atomic_store_n(&l->busy_since_us, at_us, __ATOMIC_RELEASE);
    bool more = coroutine_resume(t->coroutine);
    __atomic_store_n(&l->busy_since_us, 0, __ATOMIC_RELEASE);
    t->cpu_us += task_thread_cpu_us() - cpu_us;
    warn_blocked(t, clock_mono_us() - at_us);
    if (!more)
        end(t);
}

void loop_task_begin(struct looper *l, struct loop_task *t)
{
    t->looper = l;
    t->began_us = clock_mono_us();
    int r = coroutine_new(&t->coroutine, l->arena, run, t);
    if (r < 0) {
        t->task.r = r;
        hand_back(t);
        return;
    }
    t->task.call.coroutine = t->coroutine;
    uv_timer_init(&l->uv, &t->timer);
    t->timer.data = t;
    l->running[t->task.number] = t;
    l->n_running++;
    resume(t);
}

void loop_task_wake(struct loop_task *t)
{
    if (t->waiting)
        resume(t);
}

void loop_task_tell_stop(struct loop_task *t)
{
    t->told = true;
    loop_task_wake(t);
}

void loop_task_drop(struct loop_task *t)
{
    t->task.r = -ECANCELED;
    end(t);
}

int loop_task_may_wait(struct loop_task *t)
{
    if (!t->told && !tern_should_stop(&t->task.call))
        return 0;
    while (t->refused_awaits++ >= REFUSED_AWAITS)
        coroutine_suspend(t->coroutine);
    return -ECANCELED;
}

int loop_task_wait(struct loop_task *t)
{
    t->waiting = true;
    coroutine_suspend(t->coroutine);
    t->waiting = false;
    return t->told ? -ECANCELED : 0;
}
