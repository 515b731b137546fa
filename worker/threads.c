/* threads.c - the threads of the thread pool: started as work comes, up to a number, they call blocking handlers.
 *
 * Threads are never cancelled: a handler that is told to stop and does not is abandoned with its thread. Tasks go to the
 * threads through a queue under the one lock here, and come back through a mailbox with an eventfd. A thread whose task has
 * ended goes on to the next that is ahead without waiting for the link's thread, which hears of both from the task that has
 * ended. */
#include "worker/threads.h"

#include "worker/crash.h"
#include "worker/handlers.h"
#include "worker/part.h"
#include "worker/place.h"
#include "worker/usage.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#define THREAD_STACK_BYTES (1u << 20) /* of a handler: no large locals */
#define STACK_EDGE_BYTES (64u << 10) /* a fault so near to its end is an overflow */
#define CLOSE_WAIT_MS 1000

/* Freed by the last to leave: the pool, or a thread that was abandoned. */
struct threads {
    struct mailbox ended; /* tasks, to the link's thread */

    pthread_mutex_t lock;   /* guards what follows */
    pthread_cond_t changed; /* work, or too many threads, or closing */
    struct link work;       /* tasks, each with its slot */
    size_t n_work;
    struct link ahead;      /* tasks, without */
    size_t n_threads, n_free; /* all; those that wait for work */
    size_t n_wanted;          /* slots, and one for each replaced stuck thread and each parked one */
    unsigned n_started;       /* ever: for their names */
    bool waking;              /* a thread is being woken, and will wake the next one if there is work for it */
    bool closing, abandoned;
};

/* A handler's thread waits for an answer; under the pool's lock. */
struct asking {
    pthread_cond_t answered;
    struct buf answer; /* owned */
    bool done;
};

static void task_free_run(struct task *t)
{
    task_fini_run(t);
    free(t);
}

static void free_all(struct threads *s)
{
    for (struct link *l; (l = list_pop(&s->work));)
        task_free_run(list_entry(l, struct task, link));
    for (struct mail *m = mailbox_take_all(&s->ended), *next; m; m = next) {
        next = m->next;
        if (task_ask_of(m))
            task_ask_free(task_ask_of(m));
        else
            task_free_run((struct task *)m);
    }
    mailbox_close(&s->ended);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* ---- on the threads --------------------------------------------------------------------------- */

static void wait_answered(struct threads *s, struct task *t, struct asking *a, struct buf *request)
{
    t->asking = a;
    mailbox_put(&s->ended, &task_ask_new(t, request)->mail);
    while (!a->done && !t->told && !s->closing)
        pthread_cond_wait(&a->answered, &s->lock);
    t->asking = NULL;
}

static int ask(struct tern_job *j, struct buf *request, struct buf *ret)
{
    struct task *t = container_of(j, struct task, call);
    struct threads *s = t->pool;
    struct asking a = { .done = false };
    pthread_cond_init(&a.answered, NULL);
    pthread_mutex_lock(&s->lock);
    if (t->told || s->closing)
        buf_fini(request);
    else
        wait_answered(s, t, &a, request);
    pthread_mutex_unlock(&s->lock);
    pthread_cond_destroy(&a.answered);
    if (a.done)
        *ret = a.answer;
    return a.done ? 0 : -ECANCELED;
}

static void report(struct tern_job *j)
{
    struct task *t = container_of(j, struct task, call);
    struct threads *s = t->pool;
    struct task_ask *a = task_report_new(t);
    if (a)
        mailbox_put(&s->ended, &a->mail);
}

static __thread const struct task *running;

static const struct task *who_runs(const void *ctx)
{
    (void)ctx;
    return running;
}

/* Below it lies the guard. */
static const char *lowest_of_stack(void)
{
    pthread_attr_t attributes;
    void *p = NULL;
    size_t n = 0;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0)
        return NULL;
    int r = pthread_attr_getstack(&attributes, &p, &n);
    pthread_attr_destroy(&attributes);
    return r == 0 ? p : NULL;
}

static bool has_overflowed(const void *lowest, const void *address)
{
    uintptr_t at = (uintptr_t)address, low = (uintptr_t)lowest;
    return at < low + STACK_EDGE_BYTES && at + STACK_EDGE_BYTES >= low;
}

static void call(struct task *t)
{
    if (t->call.deadline_ms != NEVER)
        call_begin(&t->call, clock_now());
    struct usage before, after;
    usage_of_thread(&before);
    int64_t at_us = clock_mono_us();
    running = t;
    t->r = t->handler ? t->handler->blocking(&t->call) : part_call(t->run->part, &t->call);
    running = NULL;
    t->call.measured.wall_us = clock_mono_us() - at_us;
    usage_of_thread(&after);
    struct usage used = usage_between(&before, &after);
    t->call.measured.cpu_us = used.cpu_us;
    t->call.measured.ready_us = usage_ready_us(&used, t->call.measured.wall_us);
}

/* Each thread that is woken wakes the next one: where jobs are short, the first few do all of them. With the lock held. */
static void wake_one(struct threads *s)
{
    if (s->waking || !s->n_work || !s->n_free)
        return;
    s->waking = true;
    pthread_cond_signal(&s->changed);
}

/* The next task, or NULL: this thread is no longer wanted. With the lock held. */
static struct task *next_task(struct threads *s)
{
    s->n_free++;
    while (!s->n_work && !s->closing && s->n_threads <= s->n_wanted) {
        pthread_cond_wait(&s->changed, &s->lock);
        s->waking = false;
    }
    s->n_free--;
    if (s->closing || s->n_threads > s->n_wanted || !s->n_work)
        return NULL;
    s->n_work--;
    wake_one(s);
    return list_entry(list_pop(&s->work), struct task, link);
}

/* Hands t back. What its thread goes on to, or NULL. With the lock held, so that whoever sees t->next finds t in the
 * mailbox. */
static struct task *end_task(struct threads *s, struct task *t)
{
    bool goes_on = !t->told && !s->closing && !list_empty(&s->ahead);
    struct task *next = goes_on ? list_entry(list_pop(&s->ahead), struct task, link) : NULL;
    if (next) {
        next->slot = t->slot;
        next->number = t->number;
    }
    t->next = next;
    mailbox_put(&s->ended, &t->mail);
    return next;
}

static void name_thread(unsigned number)
{
    char name[16];
    snprintf(name, sizeof name, "tern-thread-%u", number % 1000);
    pthread_setname_np(pthread_self(), name);
}

static void *thread_main(void *arg)
{
    struct threads *s = arg;
    struct task *t;
    struct crash_place place = { who_runs, has_overflowed, lowest_of_stack() };
    crash_open(&place);
    pthread_mutex_lock(&s->lock);
    name_thread(s->n_started++);
    bool own_place = place_take_own();
    while ((t = next_task(s)))
        while (t) {
            pthread_mutex_unlock(&s->lock);
            call(t);
            if (own_place && !(t->handler && handler_is_built_in(t->handler->blocking)))
                place_restore();
            pthread_mutex_lock(&s->lock);
            t = end_task(s, t);
        }
    bool last = --s->n_threads == 0 && s->abandoned;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (last)
        free_all(s);
    crash_close();
    return NULL;
}

/* ---- on the link's thread --------------------------------------------------------------------- */

int threads_open(struct threads **ret, size_t n_wanted)
{
    struct threads *s = xcalloc(1, sizeof *s);
    int r = mailbox_open(&s->ended, true);
    if (r < 0) {
        free(s);
        return r;
    }
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&s->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&s->lock, NULL);
    list_init(&s->work);
    list_init(&s->ahead);
    place_note();
    s->n_wanted = n_wanted;
    *ret = s;
    return 0;
}

static int thread_start(struct threads *s)
{
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* inherited by the thread */
    int r = pthread_create(&thread, &attributes, thread_main, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -r;
}

/* Waits a little for what has been told to stop. With the lock held; true when all threads have
 * left. */
static bool wait_gone(struct threads *s)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += CLOSE_WAIT_MS / 1000;
    int r = 0;
    while (s->n_threads && r == 0)
        r = pthread_cond_timedwait(&s->changed, &s->lock, &until);
    return s->n_threads == 0;
}

void threads_close(struct threads *s, struct task *const *tasks, size_t n)
{
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < n; i++)
        for (struct task *t = tasks[i]; t; t = t->next)
            call_tell_stop(&t->call);
    s->closing = true;
    for (size_t i = 0; i < n; i++)
        for (struct task *t = tasks[i]; t; t = t->next)
            if (t->asking)
                pthread_cond_signal(&t->asking->answered);
    pthread_cond_broadcast(&s->changed);
    bool gone = wait_gone(s);
    s->abandoned = !gone;
    pthread_mutex_unlock(&s->lock);
    if (gone)
        free_all(s);
}

struct mailbox *threads_ended(struct threads *s) { return &s->ended; }

void threads_own(struct threads *s, struct task *t)
{
    t->pool = s;
    t->call.ask = ask;
    t->call.report = report;
}

/* Into the queue; true when a thread must be started for it, which counts already. */
static bool give_work(struct threads *s, struct task *t)
{
    pthread_mutex_lock(&s->lock);
    list_add_tail(&s->work, &t->link);
    s->n_work++;
    bool start = s->n_free < s->n_work && s->n_threads < s->n_wanted;
    s->n_threads += start;
    wake_one(s);
    pthread_mutex_unlock(&s->lock);
    return start;
}

/* No thread could be started. Fine as long as there is any; else nobody looks at the queue. */
static int do_without(struct threads *s, struct task *t, int r)
{
    pthread_mutex_lock(&s->lock);
    bool any = --s->n_threads > 0;
    if (!any) {
        list_remove(&t->link);
        s->n_work--;
    }
    pthread_mutex_unlock(&s->lock);
    if (any)
        return 0;
    return r;
}

int threads_give(struct threads *s, struct task *t)
{
    int r = give_work(s, t) ? thread_start(s) : 0;
    return r < 0 ? do_without(s, t, r) : 0;
}

void threads_give_ahead(struct threads *s, struct link *tasks)
{
    pthread_mutex_lock(&s->lock);
    list_take_all(&s->ahead, tasks);
    pthread_mutex_unlock(&s->lock);
}

void threads_recall(struct threads *s, struct link *ret_tasks)
{
    list_init(ret_tasks);
    pthread_mutex_lock(&s->lock);
    list_take_all(ret_tasks, &s->ahead);
    pthread_mutex_unlock(&s->lock);
}

void threads_tell_stop(struct threads *s, struct task *t)
{
    pthread_mutex_lock(&s->lock);
    t->told = true;
    call_tell_stop(&t->call);
    if (t->asking)
        pthread_cond_signal(&t->asking->answered);
    pthread_mutex_unlock(&s->lock);
}

bool threads_answer(struct threads *s, struct task *t, struct buf bytes)
{
    pthread_mutex_lock(&s->lock);
    struct asking *a = t->asking;
    bool waits = a && !a->done;
    if (waits) {
        a->answer = bytes;
        a->done = true;
        pthread_cond_signal(&a->answered);
    }
    pthread_mutex_unlock(&s->lock);
    return waits;
}

void threads_fit(struct threads *s, size_t n)
{
    pthread_mutex_lock(&s->lock);
    if (n < s->n_wanted)
        pthread_cond_broadcast(&s->changed);
    s->n_wanted = n;
    pthread_mutex_unlock(&s->lock);
}
