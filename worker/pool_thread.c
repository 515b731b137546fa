/* pool_thread.c - the thread pool: tasks for threads (threads.c), slot by slot.
 *
 * While no slot is free, what waits is ahead, in a queue of the threads' behind that one: a thread whose task has ended goes
 * on to the next without waiting for the link's thread. What no thread has gone on to can be recalled at any time. */
#include "worker/pool_kind.h"

#include "worker/handlers.h"
#include "worker/threads.h"

struct pool_thread {
    struct threads *threads;
    struct task **tasks; /* owned array, by number of their slot; the tasks are the threads' until they come back */
    size_t n_tasks;
    size_t n_fit;        /* threads wanted, as it was said last */
};

static void task_free(struct task *t)
{
    task_fini(t);
    free(t);
}

static void recall(struct pool *p)
{
    struct pool_thread *s = p->state;
    struct link tasks;
    if (!p->n_ahead)
        return;
    threads_recall(s->threads, &tasks);
    while (!list_empty(&tasks)) { /* the last one first: each becomes the first that waits */
        struct task *t = list_entry(tasks.prev, struct task, link);
        list_remove(&t->link);
        pool_take_back(p, t->run);
        task_free(t);
    }
}

static int thread_pool_open(struct pool *p)
{
    struct pool_thread *s = xcalloc(1, sizeof *s);
    int r = threads_open(&s->threads, p->options.slots);
    if (r < 0) {
        free(s);
        return r;
    }
    s->n_fit = p->options.slots;
    s->n_tasks = p->n_slots;
    s->tasks = xcalloc(s->n_tasks, sizeof(struct task *));
    p->state = s;
    return 0;
}

static void thread_pool_close(struct pool *p)
{
    recall(p);
    struct pool_thread *s = TAKE(p->state);
    threads_close(s->threads, s->tasks, s->n_tasks);
    free(s->tasks);
    free(s);
}

/* A part has no handler. */
static bool may_run(const struct tern_handler *h) { return !h || (h->blocking && !h->not_thread_safe); }

static int thread_pool_begin(struct pool *p, struct slot *slot, struct now now)
{
    struct pool_thread *s = p->state;
    struct task *t = xcalloc(1, sizeof *t);
    int r = task_init_of_slot(t, p, slot, now);
    if (r == 0 && !may_run(t->handler)) {
        task_fini(t);
        r = -EOPNOTSUPP;
    }
    if (r < 0) {
        free(t);
        return r;
    }
    assert(t->number < s->n_tasks && !s->tasks[t->number]);
    threads_own(s->threads, t);
    s->tasks[t->number] = t;
    r = threads_give(s->threads, t);
    if (r < 0) {
        s->tasks[t->number] = NULL;
        task_free(t);
    }
    return r;
}

static void thread_pool_tell_stop(struct pool *p, struct slot *slot)
{
    struct pool_thread *s = p->state;
    struct task *t = s->tasks[pool_slot_index(p, slot)];
    if (t)
        threads_tell_stop(s->threads, t);
}

static void thread_pool_answer(struct pool *p, struct slot *slot, const struct message *m)
{
    struct pool_thread *s = p->state;
    struct task *t = s->tasks[pool_slot_index(p, slot)];
    struct buf bytes;
    buf_init(&bytes, LIMIT_MESSAGE_BYTES);
    message_encode(&bytes, m);
    if (!t || !threads_answer(s->threads, t, bytes))
        buf_fini(&bytes);
}

static int thread_pool_fd(const struct pool *p) { return threads_ended(((struct pool_thread *)p->state)->threads)->fd; }

/* A thread for each slot that is in use or may be: more than slots while handlers are stuck or parked. */
static void fit_threads(struct pool *p)
{
    struct pool_thread *s = p->state;
    size_t n = p->n_idle + p->n_busy + p->n_stuck + p->n_slots_parked;
    if (s->n_fit == n)
        return;
    s->n_fit = n;
    threads_fit(s->threads, n);
}

static void thread_pool_on_readable(struct pool *p, struct now now)
{
    struct pool_thread *s = p->state;
    for (struct mail *m = mailbox_take_all(threads_ended(s->threads)), *next; m; m = next) {
        next = m->next;
        struct task *t = (struct task *)m;
        struct outcome o;
        if (task_ask_of(m)) {
            task_ask_post(task_ask_of(m), p, now);
            continue;
        }
        call_outcome(&t->call, t->r, &o);
        s->tasks[t->number] = t->next;
        if (t->next) {
            pool_slot_went_on(p, t->slot, &o, t->next->run, now);
        } else {
            recall(p); /* its slot is free: what is ahead has waited longest */
            pool_slot_ended(p, t->slot, &o, now);
        }
        task_free(t);
    }
    fit_threads(p);
}

static void look(struct pool *p, struct slot *slot, struct now now)
{
    (void)slot;
    thread_pool_on_readable(p, now);
}

/* What fill would refuse stays where it is. */
static struct task *next_ahead(struct pool *p, struct now now)
{
    const struct run *first = list_entry(p->waiting.next, const struct run, link);
    const struct run_job *job = &first->job;
    if (!p->n_waiting || handler_is_exec(job->handler) || job->memory_bytes != UNSET)
        return NULL;
    const struct tern_handler *h = first->part ? NULL : handlers_find(job->handler);
    if (!first->part && (!h || !may_run(h)))
        return NULL;
    struct run *r = pool_give_ahead(p);
    if (!r)
        return NULL;
    struct task *t = xcalloc(1, sizeof *t);
    task_init(t, r, now); /* its handler is there */
    threads_own(((struct pool_thread *)p->state)->threads, t);
    return t;
}

/* While no slot is free, all that waits is ahead. */
static int64_t thread_pool_tick(struct pool *p, struct now now)
{
    struct pool_thread *s = p->state;
    struct link tasks;
    struct task *t;
    list_init(&tasks);
    if (p->n_idle)
        recall(p); /* a command's slot is free, of which no thread knows */
    while (!p->n_idle && (t = next_ahead(p, now)))
        list_add_tail(&tasks, &t->link);
    if (list_empty(&tasks))
        return NEVER;
    threads_give_ahead(s->threads, &tasks);
    return NEVER;
}

static int thread_pool_replace(struct pool *p)
{
    fit_threads(p);
    recall(p); /* there is a free slot again */
    return 0;
}

const struct pool_kind_ops pool_thread_ops = {
    .open = thread_pool_open,
    .close = thread_pool_close,
    .begin = thread_pool_begin,
    .tell_stop = thread_pool_tell_stop,
    .fd = thread_pool_fd,
    .on_readable = thread_pool_on_readable,
    .replace = thread_pool_replace,
    .answer = thread_pool_answer,
    .resize = fit_threads,
    .recall = recall,
    .look = look,
    .tick = thread_pool_tick,
};
