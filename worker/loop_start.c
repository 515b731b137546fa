/* loop_start.c - the tasks that a job on the loop starts. A task has a strand of its own until it ends; its handle stays
 * for as long as the job wants to ask for it. One strand at a time may wait for a task. */
#include "worker/loop_start.h"

#include "worker/loop_task.h"

struct tern_task {
    struct strand strand;
    struct link link;   /* in its job's list */
    int (*function)(struct tern_job *, void *);
    void *arg;          /* borrowed: the handler's */
    struct wait *wait;  /* borrowed: who waits for it; NULL: nobody */
    int r;              /* what the function returned; -EINPROGRESS before */
    bool kept;          /* the handler has its handle */
};

/* On the stack of who waits. */
struct wait {
    struct strand *strand;
    size_t n_left; /* tasks that have not ended */
    bool any;      /* the first one to end is enough */
};

static struct tern_task *task_of(struct strand *s) { return container_of(s, struct tern_task, strand); }
static bool has_ended(const struct tern_task *k) { return !k->strand.coroutine; }

static void task_free(struct tern_task *k)
{
    list_remove(&k->link);
    free(k);
}

static void run(struct strand *s)
{
    struct tern_task *k = task_of(s);
    k->r = k->function(&s->job->task.call, k->arg);
}

static void tell_waiter(struct tern_task *k)
{
    struct wait *w = TAKE(k->wait);
    if (!w)
        return;
    w->n_left--;
    if (w->any || w->n_left == 0 || k->r < 0)
        strand_ready(w->strand);
}

static void on_ended(struct strand *s)
{
    struct tern_task *k = task_of(s);
    struct loop_task *t = s->job;
    if (s->deaf) {
        strand_drop(s);
        t->is_deaf = true;
        k->r = -ECANCELED;
    }
    t->n_tasks--;
    t->looper->n_tasks--;
    tell_waiter(k);
    if (!k->kept)
        task_free(k);
    if (t->n_tasks == 0 && t->joining)
        strand_ready(&t->strand);
}

int loop_start(struct tern_job *j, struct tern_task **ret, int (*function)(struct tern_job *, void *), void *arg)
{
    struct loop_task *t = strand_of(j)->job;
    int r = strand_may_wait(strand_of(j));
    if (r == 0 && t->looper->n_tasks >= LOOP_TASKS_MAX)
        r = -EAGAIN;
    if (r < 0)
        return r;
    struct tern_task *k = xcalloc(1, sizeof *k);
    r = strand_init(&k->strand, t, run, on_ended);
    if (r < 0) {
        free(k);
        return r;
    }
    k->function = function;
    k->arg = arg;
    k->r = -EINPROGRESS;
    k->kept = ret != NULL;
    list_add_tail(&t->tasks, &k->link);
    t->n_tasks++;
    t->looper->n_tasks++;
    strand_ready(&k->strand);
    if (ret)
        *ret = k;
    return 0;
}

/* ---- waiting for them ------------------------------------------------------------------------- */

/* Of those that have ended the first that failed; n when none has. */
static size_t find_failed(struct tern_task *const *tasks, size_t n)
{
    size_t i = 0;
    while (i < n && (!has_ended(tasks[i]) || tasks[i]->r >= 0))
        i++;
    return i;
}

static size_t find_ended(struct tern_task *const *tasks, size_t n)
{
    size_t i = 0;
    while (i < n && !has_ended(tasks[i]))
        i++;
    return i;
}

/* -EBUSY: another one waits for one of them. -EDEADLK: it would wait for itself. */
static int check(const struct strand *s, struct tern_task *const *tasks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (&tasks[i]->strand == s)
            return -EDEADLK;
        if (tasks[i]->wait)
            return -EBUSY;
    }
    return 0;
}

/* Waits once: until it is woken. */
static int wait_for(struct strand *s, struct tern_task *const *tasks, size_t n, bool any)
{
    struct wait w = { .strand = s, .any = any };
    int r = check(s, tasks, n);
    if (r == 0)
        r = strand_may_wait(s);
    if (r < 0)
        return r;
    for (size_t i = 0; i < n; i++) {
        bool left = !has_ended(tasks[i]) && !tasks[i]->wait; /* one may stand there twice */
        tasks[i]->wait = left ? &w : tasks[i]->wait;
        w.n_left += left;
    }
    r = strand_wait(s);
    for (size_t i = 0; i < n; i++)
        tasks[i]->wait = NULL;
    return r;
}

static size_t n_unended(struct tern_task *const *tasks, size_t n)
{
    size_t left = 0;
    for (size_t i = 0; i < n; i++)
        left += !has_ended(tasks[i]);
    return left;
}

int loop_await_all(struct tern_job *j, struct tern_task *const *tasks, size_t n)
{
    int r = 0;
    size_t failed;
    while (r == 0 && (failed = find_failed(tasks, n)) == n && n_unended(tasks, n))
        r = wait_for(strand_of(j), tasks, n, false);
    failed = find_failed(tasks, n);
    return r == 0 && failed < n ? tasks[failed]->r : r;
}

int loop_await_any(struct tern_job *j, struct tern_task *const *tasks, size_t n)
{
    int r = n && n <= LOOP_TASKS_MAX ? 0 : -EINVAL;
    size_t ended = n;
    while (r == 0 && (ended = find_ended(tasks, n)) == n)
        r = wait_for(strand_of(j), tasks, n, true);
    return r < 0 ? r : (int)ended;
}

/* Whatever it is told meanwhile. */
static void wait_ended(struct strand *s, struct tern_task *k)
{
    while (!has_ended(k)) {
        struct wait w = { .strand = s, .any = true };
        k->wait = &w;
        strand_wait(s);
        k->wait = NULL;
    }
}

int loop_end(struct tern_job *j, struct tern_task *k)
{
    int r = has_ended(k) ? 0 : check(strand_of(j), &k, 1);
    if (r < 0)
        return r;
    if (!has_ended(k))
        strand_tell_stop(&k->strand);
    wait_ended(strand_of(j), k);
    r = k->r;
    task_free(k);
    return r;
}

int tern_task_result(const struct tern_task *task) { return task->r; }
void tern_task_stop(struct tern_task *task)
{
    if (!has_ended(task))
        strand_tell_stop(&task->strand);
}

/* ---- with their job --------------------------------------------------------------------------- */

void loop_start_tell_stop(struct loop_task *t)
{
    list_each(l, &t->tasks) {
        struct tern_task *k = list_entry(l, struct tern_task, link);
        if (!has_ended(k))
            strand_tell_stop(&k->strand);
    }
}

void loop_start_end_all(struct loop_task *t)
{
    loop_start_tell_stop(t);
    t->joining = true;
    while (t->n_tasks)
        strand_wait(&t->strand);
    t->joining = false;
    list_each_safe(l, &t->tasks)
        task_free(list_entry(l, struct tern_task, link));
}

int loop_end_all(struct tern_job *j)
{
    struct loop_task *t = strand_of(j)->job;
    if (strand_of(j) != &t->strand)
        return -EDEADLK;
    loop_start_end_all(t);
    return 0;
}

void loop_start_drop(struct loop_task *t)
{
    list_each_safe(l, &t->tasks) {
        struct tern_task *k = list_entry(l, struct tern_task, link);
        if (!has_ended(k)) {
            strand_drop(&k->strand);
            t->n_tasks--;
            t->looper->n_tasks--;
        }
        task_free(k);
    }
}
