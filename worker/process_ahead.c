/* process_ahead.c - what a process of the process pool has ahead, behind the run that its slot knows of: how much it gets, and
 * what is taken back. */
#include "worker/process.h"

#define AHEAD_MOST 32
#define AHEAD_BYTES (64u << 10) /* the largest job that is given ahead */
#define AHEAD_US 2000
#define JOB_US 10 /* what a job costs that takes no time */
#define LOOK_MS 1

static bool is_plain(const struct run *r)
{
    size_t bytes = r->job.payload.n + r->job.checkpoint.n + r->job.handler.n + r->job.queue.n;
    return !r->runner && !run_is_limited(&r->job) && bytes <= AHEAD_BYTES;
}

/* How many it should have ahead. */
static size_t ahead_wanted(const struct process *c)
{
    size_t most = c->pool->options.jobs_per_child, left = most ? most - min_size(most, c->n_jobs + 1) : AHEAD_MOST;
    if (!process_is_working(c) || c->slot->state != SLOT_RUNNING || c->told || c->outdated || c->garbled ||
        !is_plain(c->slot->run))
        return 0;
    return c->job_us == UNSET ? 0 : min_size((size_t)(AHEAD_US / (c->job_us + JOB_US)), min_size(left, AHEAD_MOST));
}

void process_look_later(struct process *c, struct now now)
{
    list_remove(&c->to_look);
    if (!c->n_ahead)
        return;
    c->look_at_ms = now.mono_ms + LOOK_MS;
    list_add_tail(&processes_of(c->pool)->to_look, &c->to_look);
}

static void set_hungry(struct process *c, bool hungry)
{
    struct processes *s = processes_of(c->pool);
    if (hungry && list_empty(&c->to_feed)) {
        list_add_tail(&s->to_feed, &c->to_feed);
        s->n_to_feed++;
    } else if (!hungry && !list_empty(&c->to_feed)) {
        list_remove(&c->to_feed);
        s->n_to_feed--;
    }
}

void process_note_hunger(struct process *c) { set_hungry(c, ahead_wanted(c) > c->n_ahead); }
void process_feed_no_more(struct process *c) { set_hungry(c, false); }

/* Places of its ring that it has passed, less one for what begins when all that is ahead has been taken back. */
static size_t places_left(const struct process *c)
{
    uint64_t n = c->n_given - c->n_passed + 1;
    return n < RING_PLACES ? (size_t)(RING_PLACES - n) : 0;
}

/* An equal share of what waits. */
void process_feed(struct process *c, struct now now)
{
    struct pool *p = c->pool;
    size_t share = (p->n_waiting + processes_of(p)->n_to_feed - 1) / processes_of(p)->n_to_feed;
    size_t wanted = ahead_wanted(c), n = wanted > c->n_ahead ? min_size(wanted - c->n_ahead, share) : 0;
    n = min_size(n, places_left(c));
    struct run *r;
    for (; n && is_plain(list_entry(p->waiting.next, struct run, link)) && (r = pool_give_ahead(p)); n--) {
        if (process_put(c, r) < 0) {
            pool_take_back(p, r);
            break;
        }
        list_add_tail(&c->ahead, &r->link);
        c->n_ahead++;
    }
    set_hungry(c, false);
    process_look_later(c, now);
}

/* What has begun stays: its turn comes when the outcome before it is heard, which has been said. */
void process_recall(struct process *c, bool all)
{
    for (struct link *l = c->ahead.prev, *before; l != &c->ahead; l = before) {
        struct run *r = list_entry(l, struct run, link);
        before = l->prev;
        if (!ring_take(c->ring, r->place) && !all)
            return;
        pool_take_back(c->pool, r);
        c->n_ahead--;
    }
    list_remove(&c->to_look);
}
