/* link.c - the link's sessions and its turn. What each message does stands in recv_*.c and
 * send_*.c. */
#include "worker/link_state.h"

#include "proto/base/log.h"
#include "proto/numbered.h"

/* ---- the outbox ------------------------------------------------------------------------------ */

struct letter {
    struct link link;
    struct buf bytes;
};

int link_send(struct worker_link *l, struct message *m)
{
    struct buf bytes;
    uint64_t reports = l->reports;
    buf_init(&bytes, LIMIT_MESSAGE_BYTES);
    m->epoch = l->epoch;
    m->session = l->session;
    numbered_set(&l->reports, m);
    int r = message_encode(&bytes, m);
    if (r < 0) {
        l->reports = reports; /* this number was never said */
        buf_fini(&bytes);
        return r;
    }
    struct letter *letter = xcalloc(1, sizeof *letter);
    letter->bytes = bytes;
    list_add_tail(&l->out, &letter->link);
    return 0;
}

bool link_take_message(struct worker_link *l, struct buf *ret)
{
    struct link *first = list_pop(&l->out);
    if (!first)
        return false;
    struct letter *letter = list_entry(first, struct letter, link);
    *ret = letter->bytes;
    free(letter);
    return true;
}

static void empty_outbox(struct worker_link *l)
{
    struct buf bytes;
    while (link_take_message(l, &bytes))
        buf_fini(&bytes);
}

/* ---- sessions -------------------------------------------------------------------------------- */

int64_t link_wait_max(const struct worker_link *l, int64_t ms)
{
    return min_i64(ms, l->lost_after_ms / 4);
}

int64_t link_backoff(struct worker_link *l)
{
    int64_t half = l->backoff_ms / 2;
    l->backoff_ms = min_i64(l->backoff_ms * 2, link_wait_max(l, LINK_BACKOFF_MAX_MS));
    return half + (int64_t)rng_below(l->o.rng, (uint64_t)half + 1);
}

/* What was sent and not recorded is to be sent again, before what was never sent. */
static void unsend(struct worker_link *l)
{
    for (struct link *i = l->sent.prev; i != &l->sent; i = l->sent.prev) {
        list_remove(i);
        list_add_tail(l->unsent.next, i);
        list_entry(i, struct holding, said)->sent_ms = NEVER;
    }
    l->window_bytes = 0;
}

void link_leave(struct worker_link *l, int64_t wait_ms, struct now now)
{
    empty_outbox(l);
    unsend(l);
    link_unsay_asks(l);
    l->state = LINK_AWAY;
    l->epoch = l->session = 0;
    l->hello_at_ms = now.mono_ms + wait_ms;
}

void link_say_hello_again(struct worker_link *l, struct now now)
{
    int64_t spaced_ms = l->hello_ms + LINK_HELLO_SPACING_MS - now.mono_ms;
    link_leave(l, l->ever_hello ? max_i64(spaced_ms, 0) : 0, now);
}

static void reopen(struct worker_link *l, struct now now)
{
    l->reopen = true;
    l->opened_ms = now.mono_ms;
    link_leave(l, link_backoff(l), now);
}

/* A socket without a connection tries again less and less often by itself: too seldom where a
 * worker is soon taken for lost. */
void link_on_unsent(struct worker_link *l, struct now now)
{
    if (l->state == LINK_IN)
        log_warning("no connection to the broker any more; trying again until it is back, held=%zu",
                    l->held.n);
    if (l->state == LINK_AWAY)
        return;
    if (l->state == LINK_GREETING &&
        now.mono_ms - l->opened_ms >= link_wait_max(l, LINK_REOPEN_MS))
        reopen(l, now);
    else
        link_leave(l, link_backoff(l), now);
}

bool link_take_reopen(struct worker_link *l)
{
    bool reopen = l->reopen;
    l->reopen = false;
    return reopen;
}

/* After a long standstill of our own (SIGSTOP, a suspended machine) what the broker said meanwhile
 * is still to be read: it is not taken for silent. */
static void forgive_standstill(struct worker_link *l, struct now now)
{
    if (now.mono_ms - l->ticked_ms > l->lost_after_ms / 2)
        l->heard_ms = now.mono_ms;
    l->ticked_ms = now.mono_ms;
}

static void complain(struct worker_link *l, int64_t silent_ms)
{
    if (l->state == LINK_IN || !l->complained)
        log_warning("the broker has been silent for %lld ms; trying again until it answers, "
                    "held=%zu",
                    (long long)silent_ms, l->held.n);
    l->complained = true;
}

/* While away nothing is expected: the next HELLO comes when the back-off says so, and has a time
 * limit of its own. */
static void judge_broker(struct worker_link *l, struct now now)
{
    int64_t silent_ms = now.mono_ms - l->heard_ms;
    bool unanswered = l->state == LINK_GREETING && now.mono_ms >= l->welcome_by_ms;
    bool silent = l->state == LINK_IN && silent_ms >= l->lost_after_ms;
    if (!unanswered && !silent)
        return;
    if (silent_ms >= l->lost_after_ms)
        complain(l, silent_ms);
    if (unanswered)
        l->welcome_wait_ms = link_wait_max(l, l->welcome_wait_ms * 2);
    reopen(l, now);
}

void link_set_queues(struct worker_link *l, const struct str *queues, size_t n, struct now now)
{
    l->o.queues = queues;
    l->o.n_queues = n;
    if (l->state != LINK_AWAY)
        link_leave(l, 0, now);
}

static void know_handlers(struct worker_link *l)
{
    strmap_fini(&l->handlers);
    l->handlers = (struct strmap){ 0 };
    for (size_t i = 0; i < l->o.n_handlers; i++)
        strmap_put(&l->handlers, l->o.handlers[i].name, (void *)&l->o.handlers[i]);
}

void link_set_handlers(struct worker_link *l, const struct handler_info *handlers, size_t n, const struct str *notices,
                       size_t n_notices, struct now now)
{
    l->o.handlers = handlers;
    l->o.n_handlers = n;
    l->o.notices = notices;
    l->o.n_notices = n_notices;
    know_handlers(l);
    link_give_back_strangers(l);
    if (l->state != LINK_AWAY)
        link_leave(l, 0, now);
}

/* ---- the turn -------------------------------------------------------------------------------- */

struct receiver {
    link_recv_fn *recv;
    bool any_session;
};

static const struct receiver receivers[MESSAGE_TYPES] = {
    [MSG_WELCOME] = { link_recv_welcome, true },
    [MSG_HELLO_AGAIN] = { link_recv_hello_again, true },
    [MSG_ERROR] = { link_recv_error, true },
    [MSG_BYE] = { link_recv_bye, false },
    [MSG_BEAT] = { link_recv_beat, false },
    [MSG_DRAIN] = { link_recv_drain, false },
    [MSG_RUN] = { link_recv_run, false },
    [MSG_RECORDED] = { link_recv_recorded, false },
    [MSG_TAKE_BACK] = { link_recv_take_back, false },
    [MSG_STOP] = { link_recv_stop, false },
    [MSG_CHECKPOINTED] = { link_recv_checkpointed, false },
    [MSG_SPAWNED] = { link_recv_spawned, false },
    [MSG_AWAITED] = { link_recv_awaited, false },
    [MSG_FETCHED] = { link_recv_fetched, false },
};

/* False for an order that was obeyed before; and for what comes after a lost one, which ends the session. */
static bool is_in_order(struct worker_link *l, const struct message *m, struct now now)
{
    enum numbered n = numbered_check(&l->orders, m);
    if (n == NUMBERED_GAP) {
        log_warning("something the broker said before this %s is missing; beginning a new session", message_name(m->type));
        link_say_hello_again(l, now);
    }
    return n == NUMBERED_NEXT;
}

void link_recv(struct worker_link *l, const struct message *m, struct now now)
{
    const struct receiver *to = &receivers[m->type % MESSAGE_TYPES];
    bool current = l->state == LINK_IN && m->epoch == l->epoch && m->session == l->session;
    if (!to->recv || (!to->any_session && !current)) {
        log_debug("dropped %s of epoch %llu session %llu", message_name(m->type),
                  (unsigned long long)m->epoch, (unsigned long long)m->session);
        return;
    }
    l->heard_ms = now.mono_ms;
    if (!current || is_in_order(l, m, now))
        to->recv(l, m, now);
}

static void repeat_results(struct worker_link *l, struct now now)
{
    while (!list_empty(&l->sent)) {
        struct holding *h = list_entry(l->sent.next, struct holding, said);
        if (now.mono_ms - h->sent_ms < LINK_REPEAT_MS)
            return;
        l->window_bytes -= h->result_bytes;
        h->sent_ms = NEVER;
        list_remove(&h->said);
        list_add_tail(&l->unsent, &h->said);
    }
}

void link_tick(struct worker_link *l, struct now now)
{
    if (l->over)
        return;
    forgive_standstill(l, now);
    judge_broker(l, now);
    repeat_results(l, now);
    link_repeat_asks(l, now);
    link_stop_at_deadline(l, now);
}

static void say(struct worker_link *l, struct now now)
{
    link_send_started(l);
    link_send_results(l, now);
    link_send_given(l);
    link_say_asks(l, now);
    link_send_progress(l, now);
    if (l->say_drain)
        link_send_drain(l);
    if (l->say_beat || now.mono_ms >= l->beat_at_ms || link_load_changed(l))
        link_send_beat(l, now);
}

static int64_t when(const struct worker_link *l)
{
    int64_t due = min_i64(l->beat_at_ms, l->heard_ms + l->lost_after_ms);
    if (l->state != LINK_IN)
        due = l->state == LINK_AWAY ? l->hello_at_ms : l->welcome_by_ms;
    else
        due = min_i64(due, min_i64(link_asks_when(l), link_progress_when(l)));
    if (!list_empty(&l->sent)) {
        const struct holding *oldest = list_entry(l->sent.next, struct holding, said);
        due = min_i64(due, oldest->sent_ms + LINK_REPEAT_MS);
    }
    if (l->draining && !l->stopped_all)
        due = min_i64(due, l->drain_at_ms);
    if (l->ended_ms != NEVER)
        due = min_i64(due, l->ended_ms + LINK_LAST_WAIT_MS);
    return due;
}

int64_t link_flush(struct worker_link *l, struct now now)
{
    if (l->over)
        return NEVER;
    if (l->state == LINK_AWAY && now.mono_ms >= l->hello_at_ms)
        link_send_hello(l, now);
    if (l->state == LINK_IN)
        say(l, now);
    link_end_when_drained(l, now);
    return when(l);
}

/* ---- life ------------------------------------------------------------------------------------ */

bool link_is_over(const struct worker_link *l, int *ret_status)
{
    if (l->over)
        *ret_status = l->status;
    return l->over;
}

struct link_view link_view(const struct worker_link *l)
{
    return (struct link_view){
        .connected = l->state == LINK_IN,
        .quiet = l->quiet,
        .draining = l->draining,
        .refused = l->shut_out && !l->ever_welcome,
        .epoch = l->epoch,
        .session = l->session,
        .held = l->held.n,
        .unfinished = l->held.n - l->held.n_finished,
        .unrecorded = l->held.n_finished,
    };
}

struct worker_link *link_new(const struct link_options *o, struct now now)
{
    struct worker_link *l = xcalloc(1, sizeof *l);
    l->o = *o;
    know_handlers(l);
    l->heartbeat_ms = LINK_HEARTBEAT_MS;
    l->lost_after_ms = LINK_LOST_AFTER_MS;
    l->heard_ms = l->ticked_ms = l->opened_ms = l->hello_at_ms = now.mono_ms;
    l->welcome_wait_ms = LINK_WELCOME_WAIT_MS;
    l->backoff_ms = LINK_BACKOFF_MIN_MS;
    l->drain_at_ms = l->ended_ms = NEVER;
    holding_init(&l->held);
    list_init(&l->unsent);
    list_init(&l->sent);
    list_init(&l->out);
    list_init(&l->asks);
    list_init(&l->asked);
    list_init(&l->fetching);
    list_init(&l->to_report);
    return l;
}

struct worker_link *link_free(struct worker_link *l)
{
    if (!l)
        return NULL;
    empty_outbox(l);
    list_each(i, &l->held.all)
        link_drop_asks(l, list_entry(i, struct holding, all));
    idmap_fini(&l->asks_by_req);
    holding_fini(&l->held);
    strmap_fini(&l->handlers);
    free(l->started.at);
    free(l->given.at);
    free(l);
    return NULL;
}
