/* pool_park.c - a handler that waits for its job's children gives its slot back, and another job runs meanwhile: so a pool full of
 * parents cannot lock itself up. What it is told waits here until there is a slot for it again, which it gets before new jobs. */
#include "worker/pool_internal.h"

#include "worker/asks.h"
#include "worker/launcher.h"

#define LOOP_PARENTS_MAX 8000 /* each has its stack */

struct pool_answer {
    struct link link;
    struct buf bytes;
};

size_t pool_parents_max(const struct pool_options *o)
{
    size_t most = LIMIT_PARKED * o->slots;
    return o->kind == POOL_LOOP ? min_size(most, LOOP_PARENTS_MAX) : most;
}

static void resize(struct pool *p)
{
    if (p->ops->resize)
        p->ops->resize(p);
}

static void hand(struct pool *p, struct slot *s, const struct message *answer)
{
    if (s->launcher)
        launcher_answer(s->launcher, answer);
    else
        p->ops->answer(p, s, answer);
}

/* ---- parking ---------------------------------------------------------------------------------- */

/* A slot that stands by takes its place. What is ahead has waited longest. */
static void park(struct pool *p, struct slot *s)
{
    pool_recall(p);
    slot_move(s, SLOT_PARKED);
    pool_gate_leave(p, s->run);
    list_remove(&s->link);
    list_add_tail(&p->slots_parked, &s->link);
    p->n_busy--;
    p->n_slots_parked++;
    struct link *l = p->n_idle + p->n_busy < p->options.slots ? list_pop(&p->spare) : NULL;
    if (l) {
        list_add_tail(&p->idle, l);
        p->n_idle++;
    }
    resize(p);
}

/* Back among those that run. Its room is that of an idle slot; it may have none. */
void pool_unpark(struct pool *p, struct slot *s)
{
    slot_move(s, SLOT_RUNNING);
    pool_gate_pass(p, s->run);
    list_remove(&s->link);
    list_add_tail(&p->busy, &s->link);
    p->n_slots_parked--;
    p->n_busy++;
    struct link *l = p->n_idle + p->n_busy > p->options.slots && p->n_idle ? p->idle.prev : NULL;
    if (l) {
        list_remove(l);
        list_add_tail(p->spare.next, l); /* the first to stand in again: it is warm */
        p->n_idle--;
    }
    resize(p);
}

static void tell(struct pool *p, struct slot *s, struct str bytes)
{
    struct message m;
    const char *why;
    if (message_decode(&m, bytes.p, bytes.n, &why) < 0)
        return; /* it was encoded here */
    hand(p, s, &m);
    message_fini(&m);
}

void pool_resume(struct pool *p)
{
    struct slot *s = list_entry(p->to_resume.next, struct slot, link);
    pool_unpark(p, s);
    for (struct link *l; (l = list_pop(&s->answers));) {
        struct pool_answer *a = list_entry(l, struct pool_answer, link);
        tell(p, s, buf_str(&a->bytes));
        buf_fini(&a->bytes);
        free(a);
    }
    if (s->n_awaits)
        park(p, s);
}

void pool_forget_parent(struct pool *p, struct slot *s)
{
    for (struct link *l; (l = list_pop(&s->answers));) {
        buf_fini(&list_entry(l, struct pool_answer, link)->bytes);
        free(list_entry(l, struct pool_answer, link));
    }
    p->n_parents -= s->is_parent;
    s->is_parent = false;
    s->n_awaits = 0;
}

/* ---- asks and answers ------------------------------------------------------------------------- */

static void refuse(struct pool *p, struct slot *s, const struct message *ask, enum error_code code, const char *text)
{
    struct message m;
    ask_refuse(ask, code, text, &m);
    hand(p, s, &m);
}

/* All its parents may come to wait at a time. */
static bool may_be_parent(struct pool *p, struct slot *s)
{
    if (!s->is_parent && p->n_parents >= p->parents_max)
        return false;
    p->n_parents += !s->is_parent;
    s->is_parent = true;
    return true;
}

void pool_slot_asked(struct pool *p, struct slot *s, const struct message *ask, struct now now)
{
    if (s->state != SLOT_RUNNING && s->state != SLOT_PARKED)
        return; /* it was told to stop, and does not wait for an answer */
    if (ask->type == MSG_PROGRESS || ask->type == MSG_UNWAIT) {
        if (p->options.on_asked && !s->run->part)
            p->options.on_asked(p->options.ctx, s->run, ask, now);
        return;
    }
    if (!p->options.on_asked || s->run->part) {
        refuse(p, s, ask, CODE_REFUSED, s->run->part ? "children and checkpoints are for the handler to ask for, not for what it has "
                                                       "others do for it"
                                                     : "nobody here can ask a broker");
        return;
    }
    if (ask->type != MSG_CHECKPOINT && !may_be_parent(p, s)) {
        cleanup(freep) char *text = xasprintf("%zu jobs of this worker's %s pool have children and have not ended: more would be too "
                                              "many", p->n_parents, pool_name(p->options.kind));
        refuse(p, s, ask, CODE_BUSY, text);
        return;
    }
    s->n_awaits += ask->type == MSG_AWAIT;
    if (s->n_awaits && s->state == SLOT_RUNNING)
        park(p, s);
    p->options.on_asked(p->options.ctx, s->run, ask, now);
    pool_fill(p, now);
}

/* Kept until it has a slot again; with it, all that comes meanwhile. */
static void keep(struct pool *p, struct slot *s, const struct message *m)
{
    struct pool_answer *a = xcalloc(1, sizeof *a);
    buf_init(&a->bytes, LIMIT_MESSAGE_BYTES);
    message_encode(&a->bytes, m);
    list_add_tail(&s->answers, &a->link);
    list_remove(&s->link);
    list_add_tail(&p->to_resume, &s->link);
}

void pool_answer(struct pool *p, uint64_t job, uint64_t attempt, const struct message *m, struct now now)
{
    struct run *r = pool_find(p, job, attempt);
    struct slot *s = r && r->state == RUN_RUNNING ? r->slot : NULL;
    if (!s || (s->state != SLOT_RUNNING && s->state != SLOT_PARKED))
        return;
    s->n_awaits -= s->n_awaits && m->type == MSG_AWAITED;
    if (s->state == SLOT_RUNNING || s->n_awaits) {
        hand(p, s, m); /* on the loop a job may wait for several things: it is parked until the last of them */
        return;
    }
    keep(p, s, m);
    pool_fill(p, now);
}
