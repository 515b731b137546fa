/* send_result.c - outcomes, in batches, as many bytes at a time as the window allows; each is kept
 * until RECORDED. */
#include "worker/link_state.h"

static struct outcome as_sent(const struct run *r, struct now now)
{
    struct outcome o = r->outcome;
    o.ago_us = max_i64(now.mono_ms * 1000 - r->finished_us, 0);
    return o;
}

static void mark_sent(struct worker_link *l, struct holding *h, struct now now)
{
    list_remove(&h->said);
    list_add_tail(&l->sent, &h->said);
    h->sent_ms = now.mono_ms;
    l->window_bytes += h->result_bytes;
}

static int send_batch(struct worker_link *l, struct outcome *outcomes, size_t n)
{
    struct message m;
    message_init(&m, MSG_RESULT);
    m.result.outcomes = outcomes;
    m.result.n_outcomes = n;
    return link_send(l, &m);
}

/* One that is larger than a message may be: the broker must hear of its end all the same. */
static void send_without_bytes(struct worker_link *l, struct outcome *o)
{
    o->result = o->output = STR_UNSET;
    o->ending = ENDING_FAILED;
    o->reason = REASON_HANDLER_ERROR;
    o->for_good = true;
    o->error = str_of("its result and output are larger than a message may be");
    send_batch(l, o, 1);
}

/* The next message: as many outcomes as there is room for, and no more after LINK_RESULT_BYTES. */
static void send_next(struct worker_link *l, struct outcome *outcomes, size_t most, struct now now)
{
    size_t n = 0, bytes = 0;
    while (!list_empty(&l->unsent) && n < most) {
        struct holding *h = list_entry(l->unsent.next, struct holding, said);
        if (n && bytes + h->result_bytes > LINK_RESULT_BYTES)
            break;
        bytes += h->result_bytes;
        outcomes[n++] = as_sent(h->run, now);
        mark_sent(l, h, now);
    }
    if (send_batch(l, outcomes, n) < 0 && n == 1)
        send_without_bytes(l, outcomes);
}

void link_send_results(struct worker_link *l, struct now now)
{
    if (list_empty(&l->unsent))
        return;
    size_t most = min_size(l->held.n_finished, LIMIT_BATCH);
    cleanup(freep) struct outcome *outcomes = xcalloc(most, sizeof *outcomes);
    while (!list_empty(&l->unsent) && l->window_bytes < LINK_WINDOW_BYTES)
        send_next(l, outcomes, most, now);
}
