/* libtern_wait.c - waiting for the end of jobs, and changing them: the requests that name ranges.
 */
#include "client/libtern.h"

#define WAIT_LEAST_MS                                                                              \
    100 /* what has ended already is told so, however short the time: the question takes a turn */

static int check_ranges(struct tern_client *c, const struct tern_range *ranges, size_t n)
{
    if (n > LIMIT_RANGES)
        return client_fail(c, -EINVAL, "%zu ranges of jobs; the limit is %u", n, LIMIT_RANGES);
    for (size_t i = 0; i < n; i++)
        if (!ranges[i].first || ranges[i].last < ranges[i].first)
            return client_fail(c, -EINVAL,
                               "a range of jobs begins at 1, and does not end before it begins");
    return n ? client_begin(c) : client_fail(c, -EINVAL, "no jobs are named");
}

static struct range *to_wire(const struct tern_range *ranges, size_t n)
{
    struct range *r = xcalloc(n, sizeof *r);
    for (size_t i = 0; i < n; i++)
        r[i] = (struct range){ ranges[i].first, ranges[i].last };
    return r;
}

void wait_give_up(struct tern_client *c, uint64_t req)
{
    struct message m;
    message_init(&m, MSG_UNWAIT);
    m.unwait.req = req;
    if (c->state == SESSION_WELCOME)
        session_send(c, &m);
}

int tern_client_wait(struct tern_client *c, const struct tern_range *ranges, size_t n, bool any,
                     int64_t timeout_ms, uint64_t *ret_ended)
{
    int r = check_ranges(c, ranges, n);
    if (r < 0)
        return r;
    cleanup(freep) struct range *wire = to_wire(ranges, n);
    struct message m;
    message_init(&m, MSG_WAIT);
    m.wait.ranges = wire;
    m.wait.n_ranges = n;
    m.wait.any = any;
    int64_t until;
    if (timeout_ms < 0 ||
        __builtin_add_overflow(client_mono_ms(), max_i64(timeout_ms, WAIT_LEAST_MS), &until))
        until = INT64_MAX;
    struct request ask;
    r = request_call(c, &ask, &m, MSG_WAITED, until);
    if (r >= 0 && ret_ended)
        *ret_ended = ask.answer.waited.ended;
    if (r < 0 && !ask.done)
        wait_give_up(c, ask.req);
    request_fini(&ask);
    return r;
}

static void tell_refusals(const struct msg_changed *m, tern_refusal_fn *refused, void *context)
{
    for (size_t i = 0; refused && i < m->n_refusals; i++) {
        cleanup(freep) char *text = xstrndup(m->refusals[i].text);
        refused(context, m->refusals[i].job,
                (int)min_i64((int64_t)(m->refusals[i].code & 0xff), 255), text ? text : "");
    }
}

static int change(struct tern_client *c, enum message_type type, const struct tern_range *ranges,
                  size_t n, tern_refusal_fn *refused, void *context, struct tern_changed *ret)
{
    int r = check_ranges(c, ranges, n);
    if (r < 0)
        return r;
    cleanup(freep) struct range *wire = to_wire(ranges, n);
    struct message m;
    message_init(&m, type);
    m.cancel.ranges = wire; /* the three have the same fields */
    m.cancel.n_ranges = n;
    struct request ask;
    r = request_call(c, &ask, &m, MSG_CHANGED, INT64_MAX);
    if (r >= 0) {
        tell_refusals(&ask.answer.changed, refused, context);
        if (ret)
            *ret = (struct tern_changed){ ask.answer.changed.changed, ask.answer.changed.skipped };
    }
    request_fini(&ask);
    return r;
}

int tern_client_cancel(struct tern_client *c, const struct tern_range *ranges, size_t n,
                       tern_refusal_fn *refused, void *context, struct tern_changed *ret)
{
    return change(c, MSG_CANCEL, ranges, n, refused, context, ret);
}

int tern_client_retry(struct tern_client *c, const struct tern_range *ranges, size_t n,
                      tern_refusal_fn *refused, void *context, struct tern_changed *ret)
{
    return change(c, MSG_RETRY, ranges, n, refused, context, ret);
}

int tern_client_remove(struct tern_client *c, const struct tern_range *ranges, size_t n,
                       tern_refusal_fn *refused, void *context, struct tern_changed *ret)
{
    return change(c, MSG_REMOVE, ranges, n, refused, context, ret);
}

static int ask_ok(struct tern_client *c, struct message *m)
{
    struct request ask;
    int r = request_call(c, &ask, m, MSG_OK, INT64_MAX);
    request_fini(&ask);
    return r;
}

int tern_client_pause(struct tern_client *c, const char *queue, bool paused)
{
    int r = client_begin(c);
    if (r < 0)
        return r;
    struct message m;
    message_init(&m, MSG_PAUSE);
    m.pause.queue = str_of(queue);
    m.pause.paused = paused;
    return ask_ok(c, &m);
}

int tern_client_drain(struct tern_client *c, const char *worker)
{
    int r = client_begin(c);
    if (r < 0)
        return r;
    struct message m;
    message_init(&m, MSG_DRAIN);
    m.drain.worker = str_of(worker);
    return ask_ok(c, &m);
}
