/* task.c - one attempt on its way through the thread pool or the loop pool. */
#include "worker/task.h"

#include "worker/asks.h"
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

struct task_ask *task_ask_new(struct task *t, struct buf *request)
{
    struct task_ask *a = xcalloc(1, sizeof *a);
    *a = (struct task_ask){ .asks = true, .task = t, .request = *request };
    return a;
}

struct task_ask *task_report_new(struct task *t)
{
    struct buf none;
    if (__atomic_exchange_n(&t->reports, true, __ATOMIC_ACQ_REL))
        return NULL;
    buf_init(&none, 0);
    return task_ask_new(t, &none);
}

void task_ask_free(struct task_ask *a)
{
    buf_fini(&a->request);
    free(a);
}

static void post_report(struct task *t, struct pool *p, struct now now)
{
    struct message m;
    struct attempt_progress progress;
    (void)__atomic_exchange_n(&t->reports, false, __ATOMIC_ACQ_REL); /* what changes from here on is reported anew */
    call_progress(&t->call, &progress);
    message_init(&m, MSG_PROGRESS);
    m.progress.attempts = &progress;
    m.progress.n_attempts = 1;
    pool_slot_asked(p, t->slot, &m, now);
}

void task_ask_post(struct task_ask *a, struct pool *p, struct now now)
{
    struct message m;
    const char *why;
    const struct run_job *job = &a->task->run->job;
    if (!a->request.n) {
        post_report(a->task, p, now);
        task_ask_free(a);
        return;
    }
    int r = message_decode(&m, a->request.p, a->request.n, &why);
    if (r >= 0 && (m.type == MSG_UNWAIT || ask_is_sane(&m, job->job, job->attempt)))
        pool_slot_asked(p, a->task->slot, &m, now);
    if (r >= 0)
        message_fini(&m);
    task_ask_free(a);
}

int64_t task_thread_cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}
