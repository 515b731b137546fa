/* children.c - the ends of children go to the workers that run their parents; a cancel goes down to the children. */
#include "broker/children.h"

#include "broker/change.h"
#include "broker/lease.h"

#define CANCELS_A_TURN 250

/* ---- who is told ------------------------------------------------------------------------------------ */

static struct child_end end_of(uint64_t id, enum job_state state, const struct outcome *o)
{
    if (state == STATE_CANCELLED || state == STATE_EXPIRED || !o)
        return (struct child_end){ id, state, state == STATE_EXPIRED ? REASON_EXPIRED : REASON_CANCELLED, UNSET, UNSET };
    return (struct child_end){ id, state, o->reason, o->exit_code, o->signal };
}

void children_on_end(struct broker *b, const struct job_row *j, enum job_state state, const struct outcome *o)
{
    struct lease *parent = j->parent ? lease_of_job(b, j->parent) : NULL;
    if (!parent || !parent->awaits)
        return;
    struct child_ends *e = &parent->worker->ended;
    e->at = grow_array(e->at, &e->cap, e->n + 1, sizeof *e->at);
    e->at[e->n++] = (struct child_told){ parent->job.id, parent->job.attempt, end_of(j->id, state, o) };
}

static int by_parent(const void *a, const void *b)
{
    const struct child_told *x = a, *y = b;
    return (x->parent > y->parent) - (x->parent < y->parent);
}

static void send_awaited(struct broker *b, struct worker *w, const struct child_told *at, size_t n)
{
    struct child_end ended[LIMIT_SPAWN];
    struct message m;
    for (size_t i = 0; i < n; i++)
        ended[i] = at[i].end;
    message_init(&m, MSG_AWAITED);
    m.awaited.job = at->parent;
    m.awaited.attempt = at->attempt;
    m.awaited.ended = ended;
    m.awaited.n_ended = n;
    broker_send(b, w->peer, &m);
}

static void tell(struct broker *b, struct worker *w)
{
    struct child_ends *e = &w->ended;
    qsort(e->at, e->n, sizeof *e->at, by_parent);
    for (size_t i = 0, k; w->peer && i < e->n; i = k) {
        for (k = i + 1; k < e->n && k - i < LIMIT_SPAWN && e->at[k].parent == e->at[i].parent;)
            k++;
        if (lease_find(b, w, e->at[i].parent, e->at[i].attempt))
            send_awaited(b, w, &e->at[i], k - i);
    }
    e->n = 0;
}

void children_tell_workers(struct broker *b)
{
    struct worker *w;
    for (size_t i = 0; (w = strmap_next(&b->workers, &i));)
        if (w->ended.n)
            tell(b, w);
}

/* ---- cancelled with their parent ---------------------------------------------------------------------- */

void children_cancel(struct broker *b, const struct job_row *parent)
{
    if (!parent->attempt)
        return; /* it never ran */
    int r = store_begin_cascade(b->store, parent->id);
    b->cascades |= !broker_failed(b, r) && r > 0;
}

static void cancel_child(struct broker *b, const struct child_row *c, struct now now)
{
    struct job_row j;
    int r = c->detached ? -ENOENT : store_get(b->store, c->id, &j);
    if (r != -ENOENT && !broker_failed(b, r))
        change_cancel(b, &j, now); /* one that has ended stays as it is */
}

/* False: there is none. */
static bool find_cascade(struct broker *b)
{
    int64_t parent = b->cascade.parent ? (int64_t)b->cascade.parent : store_first_cascade(b->store);
    if (broker_failed(b, parent < 0 ? (int)parent : 0))
        return false;
    if ((uint64_t)parent != b->cascade.parent)
        b->cascade = (struct cascade){ .parent = (uint64_t)parent };
    b->cascades = parent > 0;
    return b->cascades;
}

bool children_tick(struct broker *b, struct now now)
{
    struct child_row rows[CANCELS_A_TURN];
    struct cascade *c = &b->cascade;
    if (!b->cascades || !find_cascade(b))
        return false;
    int n = store_children(b->store, c->parent, c->after, rows, ELEMENTS(rows));
    broker_failed(b, n);
    for (int i = 0; i < n && !b->failed; i++)
        cancel_child(b, &rows[i], now);
    if (b->failed)
        return false;
    if (n == ELEMENTS(rows)) {
        memcpy(c->after, rows[n - 1].key, sizeof c->after);
        return true;
    }
    broker_failed(b, store_end_cascade(b->store, c->parent));
    c->parent = 0;
    return true;
}
