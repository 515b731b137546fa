/* task.c - one attempt on its way through the thread pool or the loop pool. */
#include "worker/task.h"

#include "worker/handlers.h"
#include "worker/part.h"

#include <time.h>

int task_init(struct task *t, struct run *r, struct now now)
{
    const struct tern_handler *h = r->part ? NULL : handlers_find(r->job.handler);
    if (!h && !r->part)
        return -ENOENT;
    *t = (struct task){ .run = r, .handler = h };
    list_init(&t->link);
    call_init(&t->call, &r->job, now);
    if (r->part)
        t->call.job = r->part->of; /* which it is to its function */
    return 0;
}

int task_init_of_slot(struct task *t, const struct pool *p, struct slot *s, struct now now)
{
    int r = task_init(t, s->run, now);
    if (r < 0)
        return r;
    t->slot = s;
    t->number = pool_slot_index(p, s);
    return 0;
}

void task_fini(struct task *t) { call_fini(&t->call); }

void task_fini_run(struct task *t)
{
    task_fini(t);
    run_free(TAKE(t->run));
}

int64_t task_thread_cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}
