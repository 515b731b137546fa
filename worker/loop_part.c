/* loop_part.c - parts of jobs on the loop: in line, handed over, back. */
#include "worker/loop_part.h"

#include "worker/loop_task.h"

#define KILL_GRACE_MS 5000 /* as of a job that names none */

/* On the stack of who waits, but that the part itself may outlive it when the worker ends. */
struct part_wait {
    struct link link;        /* in its job's list, while it waits in line */
    struct strand *strand;
    struct part *part;
    const struct run_job *job;
    bool handed_over, ended, told;
};

struct part *loop_part_new(struct tern_job *j, enum part_kind kind, enum pool_kind pool)
{
    static uint64_t last; /* of this process */
    struct part *p = xcalloc(1, sizeof *p);
    *p = (struct part){ .kind = kind, .pool = pool, .number = PART_BIT | __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED), .of = j->job };
    p->slot = strand_of(j)->job->task.number;
    return p;
}

void loop_part_free(struct part *p)
{
    if (!p)
        return;
    run_free(p->run);
    free(p);
}

static void post(struct looper *l, struct part_note note)
{
    struct part_note *n = xmalloc(sizeof *n);
    *n = note;
    if (mailbox_put(&l->notes, &n->mail))
        mailbox_wake(&l->ended);
}

static void hand_over(struct looper *l, struct part_wait *w)
{
    struct part *p = w->part;
    l->lines[p->pool].n_out++;
    w->handed_over = true;
    p->run = run_new(w->job, clock_now());
    p->run->part = p;
    idmap_put(&l->parts, p->number, w);
    post(l, (struct part_note){ .what = NOTE_BEGIN, .part = p });
}

/* ---- the line --------------------------------------------------------------------------------- */

static void line_up(struct part_line *line, struct part_wait *w)
{
    struct loop_task *t = w->strand->job;
    struct in_line *in = &t->in_line[w->part->pool];
    if (list_empty(&in->waits))
        list_add_tail(&line->jobs, &in->link);
    list_add_tail(&in->waits, &w->link);
}

static void leave_line(struct part_wait *w)
{
    struct in_line *in = &w->strand->job->in_line[w->part->pool];
    list_remove(&w->link);
    if (list_empty(&in->waits))
        list_remove(&in->link);
}

/* The next job's turn. */
static void advance(struct looper *l, struct part_line *line)
{
    while (line->n_out < line->max && !list_empty(&line->jobs) && !l->closing) {
        struct in_line *in = list_entry(line->jobs.next, struct in_line, link);
        struct part_wait *w = list_entry(list_pop(&in->waits), struct part_wait, link);
        list_remove(&in->link);
        if (!list_empty(&in->waits))
            list_add_tail(&line->jobs, &in->link);
        hand_over(l, w);
    }
}

/* ---- waiting ---------------------------------------------------------------------------------- */

static void tell(struct looper *l, struct part_wait *w)
{
    const struct run_job *of = w->part->of;
    if (w->told)
        return;
    w->told = true;
    int64_t grace_ms = of->kill_grace_ms == UNSET ? KILL_GRACE_MS : of->kill_grace_ms;
    post(l, (struct part_note){ .what = NOTE_STOP, .pool = w->part->pool, .number = w->part->number, .grace_ms = grace_ms });
}

/* The pools are closed, and nobody will tell of it any more. A function that is still called has the use of this stack, which
 * then stays. What still has its run is on its way to the link's thread, whose it is. */
static void abandon(struct looper *l, struct part_wait *w, struct part **p)
{
    idmap_remove(&l->parts, w->part->number);
    if (w->part->kind == PART_FUNCTION && __atomic_load_n(&w->part->state, __ATOMIC_ACQUIRE) == PART_CALLED) {
        l->pinned = true;
        for (;;)
            coroutine_suspend(w->strand->coroutine);
    }
    if (w->part->run)
        *p = NULL;
}

static int await_end(struct looper *l, struct part_wait *w, struct part **p)
{
    while (!w->ended) {
        int r = strand_wait(w->strand);
        if (l->closing && !w->ended) {
            abandon(l, w, p);
            return -ECANCELED;
        }
        if (r < 0 && !w->ended)
            tell(l, w);
    }
    return 0;
}

int loop_part_await(struct tern_job *j, struct part **p, const struct run_job *job)
{
    struct part_wait w = { .strand = strand_of(j), .part = *p, .job = job };
    struct looper *l = w.strand->job->looper;
    struct part_line *line = &l->lines[(*p)->pool];
    int r = strand_may_wait(w.strand);
    if (r == 0 && !line->max)
        r = -EOPNOTSUPP;
    if (r < 0)
        return r;
    list_init(&w.link);
    line_up(line, &w);
    advance(l, line);
    while (r == 0 && !w.handed_over)
        r = strand_wait(w.strand);
    if (!w.handed_over) {
        leave_line(&w);
        return r;
    }
    if (r < 0)
        tell(l, &w);
    return await_end(l, &w, p);
}

void loop_part_ended(struct looper *l, struct part *p)
{
    struct part_wait *w = idmap_find(&l->parts, p->number);
    l->lines[p->pool].n_out--;
    if (!w) { /* it was abandoned */
        loop_part_free(p);
        return;
    }
    idmap_remove(&l->parts, p->number);
    w->ended = true;
    strand_ready(w->strand);
    advance(l, &l->lines[p->pool]);
}
