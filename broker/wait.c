/* wait.c - waits are answered in the turn in which it happens. */
#include "broker/wait.h"

#include "broker/ranges.h"

#define ROWS_A_TURN 4000
#define ROWS_A_SCAN 256
#define TELL_BYTES (64u << 10) /* a result that is larger is to be fetched: FETCH is answered by another thread */

static void unwatch(struct broker *b, struct wait *w)
{
    list_remove(&w->link);
    struct watch *watch = w->cursor ? idmap_find(&b->watched, w->cursor) : NULL;
    if (watch && list_empty(&watch->waits)) {
        idmap_remove(&b->watched, w->cursor);
        free(watch);
    }
}

void wait_stop(struct broker *b, struct wait *w)
{
    unwatch(b, w);
    list_remove(&w->of_peer);
    w->peer->n_open--;
    free(w->ranges);
    free(w);
}

static void answer(struct broker *b, struct wait *w, uint64_t ended)
{
    struct message m;
    message_init(&m, MSG_WAITED);
    m.waited.req = w->req;
    m.waited.ended = ended;
    broker_send(b, w->peer, &m);
    wait_stop(b, w);
}

/* What FETCH would tell of the attempt that is being recorded. False: that is more than WAITED can say. */
static bool answer_told(struct broker *b, struct wait *w)
{
    const struct outcome *o = b->recorded;
    bool output = w->what == WHAT_OUTPUT;
    struct str data = output ? o->output : o->result;
    bool plain = o->ending == ENDING_DONE && o->reason == REASON_NONE && o->signal == UNSET && !o->error.n;
    if (!plain || w->what > WHAT_OUTPUT || data.n > TELL_BYTES || (!output && o->output.n))
        return false;
    struct message m;
    message_init(&m, MSG_WAITED);
    m.waited.req = w->req;
    m.waited.attempt = o->attempt;
    m.waited.exit_code = o->exit_code;
    m.waited.data = data.n ? data : STR_UNSET; /* as it is stored */
    broker_send(b, w->peer, &m);
    wait_stop(b, w);
    return true;
}

static void answer_none(struct broker *b, struct wait *w)
{
    broker_send_error(b, w->peer, w->req, CODE_NOT_FOUND, "no such job");
    wait_stop(b, w);
}

static void watch_job(struct broker *b, struct wait *w, uint64_t id)
{
    struct watch *watch = idmap_find(&b->watched, id);
    if (!watch) {
        watch = xcalloc(1, sizeof *watch);
        list_init(&watch->waits);
        idmap_put(&b->watched, id, watch);
    }
    w->cursor = id;
    list_remove(&w->link);
    list_add_tail(&watch->waits, &w->link);
}

static struct wait *start(struct broker *b, struct peer *p, const struct msg_wait *m)
{
    struct wait *w = xcalloc(1, sizeof *w);
    w->peer = p;
    w->req = m->req;
    w->any = m->any;
    w->owner = ranges_owner_for(b, p);
    w->n_ranges = ranges_clamp(b, m->ranges, m->n_ranges, &w->ranges);
    w->cursor = 0;
    list_init(&w->link);
    list_add_tail(&p->waits, &w->of_peer);
    list_add_tail(&b->moving_waits, &w->link);
    p->n_open++;
    return w;
}

void wait_start(struct broker *b, struct peer *p, const struct msg_wait *m) { start(b, p, m); }

void wait_start_new(struct broker *b, struct peer *p, uint64_t req, uint64_t what, uint64_t id)
{
    struct range range = { id, id };
    struct wait *w = start(b, p, &(struct msg_wait){ .req = req, .ranges = &range, .n_ranges = 1 });
    w->found = w->tells = true;
    w->what = what;
    watch_job(b, w, id);
}

/* Looks at one job; true when the wait has stopped moving: it was answered, or watches the job. */
static bool look_at(struct broker *b, struct wait *w, const struct glance *j)
{
    if (w->owner && j->owner != w->owner)
        return false;
    w->found = true;
    if (w->any && state_is_terminal(j->state)) {
        answer(b, w, j->id);
        return true;
    }
    if (w->any || state_is_terminal(j->state))
        return false;
    watch_job(b, w, j->id);
    return true;
}

/* The end of all ranges: everything has ended, or (any) nothing has yet. */
static void reach_end(struct broker *b, struct wait *w)
{
    if (!w->found) {
        answer_none(b, w);
    } else if (w->any) {
        w->cursor = 0;
        list_remove(&w->link);
        list_add_tail(&b->any_waits, &w->link);
    } else {
        answer(b, w, 0);
    }
}

/* Moves one wait on by one scan. Returns the rows that it cost. */
static int move(struct broker *b, struct wait *w)
{
    if (w->at_range == w->n_ranges) {
        reach_end(b, w);
        return 1;
    }
    struct glance rows[ROWS_A_SCAN];
    const struct range *range = &w->ranges[w->at_range];
    uint64_t from = w->cursor > range->first ? w->cursor : range->first;
    int n = from > range->last ? 0 : store_scan_states(b->store, from, range->last, rows, ROWS_A_SCAN);
    if (broker_failed(b, n))
        return 0;
    for (int i = 0; i < n; i++)
        if (look_at(b, w, &rows[i]))
            return n;
    bool more = n == ROWS_A_SCAN;
    w->cursor = more ? rows[n - 1].id + 1 : 0;
    w->at_range += !more;
    return n + 1;
}

bool wait_tick(struct broker *b)
{
    int budget = ROWS_A_TURN;
    while (budget > 0 && !b->failed && !list_empty(&b->moving_waits))
        budget -= move(b, list_entry(b->moving_waits.next, struct wait, link));
    return !list_empty(&b->moving_waits);
}

static void answer_any(struct broker *b, struct link *waits, uint64_t id)
{
    struct job_row j = { .id = 0 };
    list_each_safe(l, waits) {
        struct wait *w = list_entry(l, struct wait, link);
        if (!w->any || !ranges_contain(w->ranges, w->n_ranges, id))
            continue;
        if (!j.id && broker_failed(b, store_get(b->store, id, &j)))
            return;
        if (!w->owner || w->owner == j.owner)
            answer(b, w, id);
    }
}

void wait_on_end(struct broker *b, uint64_t id)
{
    struct watch *watch = idmap_remove(&b->watched, id);
    for (struct link *l; watch && (l = list_pop(&watch->waits));) {
        struct wait *w = list_entry(l, struct wait, link);
        if (!w->tells || !b->recorded || !answer_told(b, w))
            list_add_tail(&b->moving_waits, l);
    }
    free(watch);
    answer_any(b, &b->any_waits, id);
    answer_any(b, &b->moving_waits, id); /* the cursor may be past this job already */
}
