/* libtern_advise.c - what was measured of handlers, page by page. */
#include "client/libtern.h"

static int tell(const struct advice *a, tern_advice_fn *fn, void *context)
{
    struct texts t = { 0 };
    struct tern_advice view = {
        .handler = texts_add(&t, a->handler),
        .program = texts_add(&t, a->program),
        .tag = name_or_null(a->tag, tag_name),
        .tag_by = name_or_null(a->tag_by, chosen_by_name),
        .pool = name_or_null(a->pool, pool_name),
        .runs = a->runs,
        .last_ms = a->last_ms,
        .wall_us = a->wall_us,
        .wall_p50_us = a->wall_p50_us,
        .wall_p99_us = a->wall_p99_us,
        .cpu_share = a->cpu_share,
        .wait_p50_us = a->wait_p50_us,
        .wait_p99_us = a->wait_p99_us,
        .memory_p50_kb = a->memory_p50_kb,
        .memory_p99_kb = a->memory_p99_kb,
        .verdict = texts_add(&t, a->verdict),
        .better = name_or_null(a->better, tag_name),
        .why = texts_add(&t, a->why),
        .gain = texts_add(&t, a->gain),
        .most_now = a->most_now,
        .most_then = a->most_then,
    };
    int enough = fn(context, &view);
    texts_fini(&t);
    return enough;
}

int tern_client_advise(struct tern_client *c, const char *handler, tern_advice_fn *fn, void *context)
{
    int r = client_begin(c);
    struct message m;
    message_init(&m, MSG_ADVISE);
    m.advise.handler = str_of(handler);
    bool more = true;
    while (r >= 0 && more) {
        struct request ask;
        r = request_call(c, &ask, &m, MSG_ADVICE, INT64_MAX);
        for (size_t i = 0; r >= 0 && more && i < ask.answer.advice.n_rows; i++)
            more = tell(&ask.answer.advice.rows[i], fn, context) == 0;
        if (r >= 0) {
            more = more && ask.answer.advice.next > m.advise.from;
            m.advise.from = ask.answer.advice.next;
        }
        request_fini(&ask);
    }
    return r;
}
