/* loop_task.c - a job on the loop: begun, told to stop, ended. */
#include "worker/loop_task.h"

#include "worker/loop_start.h"

static struct loop_task *task_of(struct strand *s) { return container_of(s, struct loop_task, strand); }

/* What a job starts ends with it. */
static void run_handler(struct strand *s)
{
    struct loop_task *t = task_of(s);
    t->task.r = t->task.handler->async(&t->task.call);
    loop_start_end_all(t);
    if (t->is_deaf)
        t->task.r = tern_fail(&t->task.call, "a task that it started does not hear that it should stop");
}

static void hand_back(struct loop_task *t)
{
    t->task.call.measured.wall_us = clock_mono_us() - t->began_us;
    t->task.call.measured.cpu_us = t->cpu_us;
    mailbox_put(&t->looper->ended, &t->task.mail);
}

static void end(struct loop_task *t)
{
    struct looper *l = t->looper;
    t->task.call.on_loop = false;
    l->running[t->task.number] = NULL;
    l->n_running--;
    hand_back(t);
}

/* A handler that does not hear keeps its slot, which is stuck. */
static void on_handler_ended(struct strand *s)
{
    if (!s->deaf)
        end(task_of(s));
}

void loop_task_begin(struct looper *l, struct loop_task *t)
{
    t->looper = l;
    t->began_us = clock_mono_us();
    list_init(&t->tasks);
    for (enum pool_kind k = 0; k < N_POOLS; k++) {
        list_init(&t->in_line[k].link);
        list_init(&t->in_line[k].waits);
    }
    list_init(&t->asks);
    int r = strand_init(&t->strand, t, run_handler, on_handler_ended);
    if (r < 0) {
        t->task.r = r;
        hand_back(t);
        return;
    }
    t->task.call.on_loop = true;
    l->running[t->task.number] = t;
    l->n_running++;
    strand_resume(&t->strand);
}

void loop_task_tell_stop(struct loop_task *t)
{
    strand_tell_stop(&t->strand);
    loop_start_tell_stop(t);
}

void loop_task_drop(struct loop_task *t)
{
    loop_start_drop(t);
    strand_drop(&t->strand);
    t->task.r = -ECANCELED;
    end(t);
}
