/* change.c - one verb for each of CANCEL, RETRY and REMOVE, and the walk over the ranges that they share. */
#include "broker/change.h"

#include "broker/children.h"
#include "broker/lease.h"
#include "broker/open_jobs.h"
#include "broker/ranges.h"

#define ROWS_A_TURN 1000
#define ROWS_A_SCAN 250
#define REFUSALS_MAX 100

void change_start(struct broker *b, struct peer *p, enum message_type verb, const struct msg_cancel *m)
{
    struct change *c = xcalloc(1, sizeof *c);
    c->peer = p;
    c->verb = verb;
    c->req = m->req;
    c->owner = ranges_owner_for(b, p);
    c->n_ranges = ranges_clamp(b, m->ranges, m->n_ranges, &c->ranges);
    c->refusals = xcalloc(REFUSALS_MAX, sizeof *c->refusals);
    list_add_tail(&p->changes, &c->of_peer);
    list_add_tail(&b->moving_changes, &c->link);
    p->n_open++;
}

void change_stop(struct change *c)
{
    c->peer->n_open--;
    list_remove(&c->of_peer);
    list_remove(&c->link);
    free(c->ranges);
    free(c->refusals);
    free(c);
}

/* ---- the verbs: NULL when it was done, else why it was not, static ----------------------------- */

static const char *cancel_running(struct broker *b, struct lease *l, struct now now)
{
    if (l->job.cancel_asked)
        return NULL;
    int r = store_ask_cancel(b->store, l->job.id, now.wall_ms);
    if (broker_failed(b, r))
        return NULL;
    l->job.cancel_asked = true;
    children_cancel(b, &l->job);
    if (l->worker->peer) /* else it is told when it says HELLO */
        refs_add(&l->worker->stops, l->job.id, l->job.attempt);
    return NULL;
}

const char *change_cancel(struct broker *b, const struct job_row *j, struct now now)
{
    if (state_is_terminal(j->state))
        return "it has finished already";
    if (j->state == STATE_RUNNING)
        return cancel_running(b, lease_of_job(b, j->id), now);
    int r = store_end_waiting(b->store, j->id, STATE_CANCELLED, now.wall_ms);
    struct class *class = classes_get(&b->classes, j->class);
    if (broker_failed(b, r) || r != 1)
        return NULL;
    job_moved(b, j->id, j->priority, class, j->state, class, STATE_CANCELLED, now);
    children_on_end(b, j, STATE_CANCELLED, NULL);
    children_cancel(b, j);
    return NULL;
}

/* A job that was under suspicion goes on in its ordinary class. */
static struct class *unsuspected(struct broker *b, struct class *c)
{
    struct class_key k = class_key(c);
    k.suspect = false;
    struct class *class = c;
    int r = c->suspect ? classes_intern(&b->classes, b->store, &k, &class) : 0;
    if (r < 0 && r != -E2BIG)
        broker_failed(b, r);
    return r < 0 ? c : class;
}

static const char *retry(struct broker *b, const struct peer *p, const struct job_row *j, struct now now)
{
    const struct class *of = classes_get(&b->classes, j->class);
    cleanup(freep) char *not_allowed = grant_refuses_job(p->grant, str_of(of->queue->name), str_of(of->handler));
    if (not_allowed)
        return "this key may not run it (any more)";
    if (j->state == STATE_DONE)
        return "it is done; submit it again";
    if (!state_is_terminal(j->state))
        return "it has not finished yet";
    if (!open_jobs_fit(open_jobs_account(b, j->owner), 1))
        return "its owner has as many open jobs as its key allows; try again when some have finished";
    struct class *from = classes_get(&b->classes, j->class), *class = unsuspected(b, from);
    if (b->failed)
        return NULL;
    int r = store_retry(b->store, j->id, class->id, now.wall_ms);
    if (!broker_failed(b, r) && r == 1)
        job_moved(b, j->id, j->priority, from, j->state, class, STATE_QUEUED, now);
    return NULL;
}

static const char *remove_job(struct broker *b, const struct job_row *j, struct now now)
{
    (void)now;
    if (!state_is_terminal(j->state))
        return "it has not finished yet; cancel it first";
    int r = store_remove(b->store, j->id);
    if (!broker_failed(b, r) && r == 1)
        classes_get(&b->classes, j->class)->jobs[j->state]--;
    return NULL;
}

/* ---- the walk --------------------------------------------------------------------------------- */

static const char *apply(struct broker *b, struct change *c, const struct job_row *j, struct now now)
{
    switch (c->verb) {
    case MSG_CANCEL:
        return change_cancel(b, j, now);
    case MSG_RETRY:
        return retry(b, c->peer, j, now);
    default:
        return remove_job(b, j, now);
    }
}

static void visit(struct broker *b, struct change *c, const struct job_row *j, bool named_singly, struct now now)
{
    if (c->owner && j->owner != c->owner)
        return;
    c->found++;
    const char *refused = apply(b, c, j, now);
    if (!refused)
        c->changed++;
    else if (named_singly && c->n_refusals < REFUSALS_MAX)
        c->refusals[c->n_refusals++] = (struct refusal){ j->id, CODE_REFUSED, str_of(refused) };
    else
        c->skipped++;
}

static void finish(struct broker *b, struct change *c)
{
    if (!c->found) {
        broker_send_error(b, c->peer, c->req, CODE_NOT_FOUND, "no such job");
    } else {
        struct message m;
        message_init(&m, MSG_CHANGED);
        m.changed.req = c->req;
        m.changed.changed = c->changed;
        m.changed.skipped = c->skipped;
        m.changed.refusals = c->refusals;
        m.changed.n_refusals = c->n_refusals;
        broker_send(b, c->peer, &m);
    }
    change_stop(c);
}

static int step(struct broker *b, struct change *c, struct now now)
{
    if (c->at_range == c->n_ranges) {
        finish(b, c);
        return 1;
    }
    struct job_row rows[ROWS_A_SCAN];
    const struct range *range = &c->ranges[c->at_range];
    uint64_t from = c->cursor > range->first ? c->cursor : range->first;
    int n = from > range->last ? 0 : store_scan(b->store, from, range->last, rows, ROWS_A_SCAN);
    if (broker_failed(b, n))
        return 0;
    for (int i = 0; i < n && !b->failed; i++)
        visit(b, c, &rows[i], range->first == range->last, now);
    bool more = n == ROWS_A_SCAN;
    c->cursor = more ? rows[n - 1].id + 1 : 0;
    c->at_range += !more;
    return n + 1;
}

bool change_tick(struct broker *b, struct now now)
{
    int budget = ROWS_A_TURN;
    while (budget > 0 && !b->failed && !list_empty(&b->moving_changes))
        budget -= step(b, list_entry(b->moving_changes.next, struct change, link), now);
    return !list_empty(&b->moving_changes);
}
