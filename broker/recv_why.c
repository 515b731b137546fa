/* recv_why.c - why is this job not running? Told from the very gates that dispatch looks at. */
#include "broker/recv.h"

#include <inttypes.h>

#include "broker/dispatch.h"
#include "broker/lease.h"
#include "broker/ranges.h"
#include "broker/route.h"

#define REASONS_MAX 32

struct because {
    struct why_reason reasons[REASONS_MAX];
    char *texts[REASONS_MAX]; /* owned */
    size_t n;
};

static void say(struct because *y, const char *code, char *text)
{
    if (y->n == REASONS_MAX) {
        free(text);
        return;
    }
    y->texts[y->n] = text;
    y->reasons[y->n++] = (struct why_reason){ str_of(code), str_of(text) };
}

static void say_running(struct broker *b, struct because *y, const struct job_row *j, struct now now)
{
    const struct lease *l = lease_of_job(b, j->id);
    if (!l)
        return;
    const char *where = pool_name(l->pool);
    if (!l->worker->peer)
        say(y, "worker-away", xasprintf("worker %s holds it, and has not been heard of for %" PRId64 " ms; after %" PRId64
                                        " ms it is taken for lost and the job is queued again",
                                        l->worker->name, now.mono_ms - l->worker->heard_mono_ms, b->options.lost_after_ms));
    else if (l->started)
        say(y, "running", xasprintf("it is running: attempt %" PRIu64 " on worker %s, in the %s pool", j->attempt,
                                    l->worker->name, where));
    else
        say(y, "fetched-ahead", xasprintf("worker %s has it and starts it when a slot of its %s pool is free",
                                          l->worker->name, where));
    if (j->cancel_asked)
        say(y, "cancel-asked", xstrdup("it has been asked to stop"));
}

static char *need_text(const struct class_need *n)
{
    return xasprintf("%.*s%s%.*s", (int)n->need.name.n, n->need.name.p, n->need.value.p ? "=" : "", (int)n->need.value.n,
                     n->need.value.p ? n->need.value.p : "");
}

static char *short_text(const struct class_need *n, const struct worker *w)
{
    const struct amount_held *a = needs_amount(n, w);
    cleanup(freep) char *text = need_text(n);
    int64_t left = max_i64(a->total - a->held, 0);
    if (n->shared)
        return xasprintf("needs %s: %" PRId64 " of the broker's %" PRId64 " are free", text, left, a->total);
    return xasprintf("needs %s: %" PRId64 " of the %" PRId64 " of worker %s are free", text, left, a->total, w->name);
}

/* What this worker has instead. */
static char *has_text(const struct class_need *n, const struct worker *w)
{
    const struct amount_held *a = needs_amount(n, w);
    const char *value;
    if (a)
        return xasprintf("%s%s has %" PRId64 " in all", n->shared ? "the broker" : "worker ", n->shared ? "" : w->name, a->total);
    if (!needs_find_label(w, n->need.name, &value))
        return xasprintf("worker %s has no label %.*s", w->name, (int)n->need.name.n, n->need.name.p);
    return xasprintf("worker %s has %.*s%s%s", w->name, (int)n->need.name.n, n->need.name.p, value ? "=" : " without a value",
                     value ? value : "");
}

static char *unmet_text(const struct class_need *n, const struct worker *w)
{
    cleanup(freep) char *text = need_text(n), *has = has_text(n, w);
    return xasprintf("needs %s: %s", text, has);
}

static void say_gate(struct because *y, const struct class *c, const struct worker *w)
{
    enum pool_kind pool = POOL_PROCESS;
    switch (dispatch_gate(c, w, &pool)) {
    case GATE_OPEN:
        if (!c->queue->paused)
            say(y, "next", xasprintf("worker %s has room: it starts in the next turn", w->name));
        break;
    case GATE_OFFLINE:
        say(y, "worker-away", xasprintf("worker %s is not connected", w->name));
        break;
    case GATE_DRAINING:
        say(y, "draining", xasprintf("worker %s is draining", w->name));
        break;
    case GATE_QUEUE:
        say(y, "queue-not-served", xasprintf("worker %s does not serve the queue %s", w->name, c->queue->name));
        break;
    case GATE_HANDLER:
        say(y, "no-handler", xasprintf("worker %s does not have the handler %s", w->name, c->handler));
        break;
    case GATE_NEEDS:
        say(y, "needs", unmet_text(needs_unmet(&c->needs, w), w));
        break;
    case GATE_AMOUNT:
        say(y, "amount-held", short_text(needs_short(&c->needs, w), w));
        break;
    case GATE_FORM:
        say(y, "no-form", xasprintf("the handler %s of worker %s has no form that a pool could run", c->handler, w->name));
        break;
    case GATE_POOL_OFF:
        say(y, "pool-off", xasprintf("the %s pool of worker %s has no slots", pool_name(pool), w->name));
        break;
    case GATE_SUSPECT:
        say(y, "suspect", xasprintf("a worker was lost under it, so few like it run at a time"));
        break;
    case GATE_FULL:
        say(y, "pool-full", xasprintf("the %s pool of worker %s is full: %zu of %zu slots", pool_name(pool), w->name,
                                      w->pools[pool].leased, w->pools[pool].slots));
        break;
    }
}

static bool has_name(const struct class_need *n, const struct worker *w)
{
    const char *value;
    return needs_amount(n, w) || needs_find_label(w, n->need.name, &value);
}

/* Where no connected worker meets a need, that says it. */
static void say_need_of_all(struct broker *b, struct because *y, const struct class_need *n, size_t connected)
{
    const struct worker *other = NULL;
    struct worker *w;
    for (size_t i = 0; (w = strmap_next(&b->workers, &i));) {
        if (w->peer && needs_can_meet(n, w))
            return;
        other = w->peer && has_name(n, w) ? w : other;
    }
    if (other) {
        say(y, "needs", unmet_text(n, other));
        return;
    }
    cleanup(freep) char *text = need_text(n);
    say(y, "needs", xasprintf("needs %s: no connected worker has label %.*s; %zu worker%s connected", text,
                              (int)n->need.name.n, n->need.name.p, connected, connected == 1 ? "" : "s"));
}

/* When no worker at all is in the way of a certain gate, one line says it better than many. */
static bool say_for_all(struct broker *b, struct because *y, const struct class *c)
{
    size_t said = y->n, connected = 0, with_handler = 0, serving = 0;
    struct worker *w;
    for (size_t i = 0; (w = strmap_next(&b->workers, &i));) {
        connected += w->peer != NULL;
        with_handler += w->peer && worker_find_handler(w, c->handler);
        serving += w->peer && worker_serves_queue(w, c->queue->name);
    }
    if (!connected)
        say(y, "no-worker", xstrdup("no worker is connected: start one with tern-worker, or tern up"));
    else if (!with_handler)
        say(y, "no-handler", xasprintf("no connected worker has the handler %s", c->handler));
    else if (!serving)
        say(y, "queue-not-served", xasprintf("no connected worker serves the queue %s", c->queue->name));
    else
        for (size_t i = 0; i < c->needs.n; i++)
            say_need_of_all(b, y, &c->needs.at[i], connected);
    return y->n > said;
}

static void say_queued(struct broker *b, struct because *y, const struct job_row *j)
{
    struct class *c = classes_get(&b->classes, j->class);
    if (c->queue->paused)
        say(y, "paused", xasprintf("the queue %s is paused: tern resume %s", c->queue->name, c->queue->name));
    if (say_for_all(b, y, c))
        return;
    struct worker *w;
    for (size_t i = 0; (w = strmap_next(&b->workers, &i));)
        say_gate(y, c, w);
    int r;
    const struct head *h = class_head(c, b->store, &r);
    if (!broker_failed(b, r) && h && h->id != j->id)
        say(y, "order", xasprintf("%" PRIu64 " jobs like it wait; job %" PRIu64 " (priority %" PRId64 ") is the first",
                                  c->jobs[STATE_QUEUED], h->id, h->priority));
}

static void explain(struct broker *b, struct because *y, const struct job_row *j, struct now now)
{
    switch (j->state) {
    case STATE_BLOCKED:
        say(y, "blocked", xstrdup("it waits for other jobs"));
        break;
    case STATE_SCHEDULED:
        say(y, j->failures ? "backoff" : "not-due",
            xasprintf("%s: due in %" PRId64 ".%03" PRId64 " s", j->failures ? "it failed and is tried again" : "it was asked for later",
                      max_i64(j->due_ms - now.wall_ms, 0) / 1000, max_i64(j->due_ms - now.wall_ms, 0) % 1000));
        break;
    case STATE_QUEUED:
        say_queued(b, y, j);
        break;
    case STATE_RUNNING:
        say_running(b, y, j, now);
        break;
    default:
        say(y, "finished", xasprintf("it has finished: %s", state_name(j->state)));
    }
}

void recv_why(struct broker *b, struct peer *p, const struct message *m, struct now now)
{
    struct job_row j;
    int r = store_get(b->store, m->why.job, &j);
    int64_t owner = ranges_owner_for(b, p);
    if (r == -ENOENT || (r >= 0 && owner && owner != j.owner)) {
        broker_send_error(b, p, m->why.req, CODE_NOT_FOUND, "no such job: %" PRIu64, m->why.job);
        return;
    }
    if (broker_failed(b, r))
        return;
    struct because y = { .n = 0 };
    explain(b, &y, &j, now);
    struct message answer;
    message_init(&answer, MSG_BECAUSE);
    answer.because.req = m->why.req;
    answer.because.job = j.id;
    answer.because.state = j.state;
    answer.because.reasons = y.reasons;
    answer.because.n_reasons = y.n;
    broker_send(b, p, &answer);
    for (size_t i = 0; i < y.n; i++)
        free(y.texts[i]);
}
