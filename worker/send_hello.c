/* send_hello.c - who this worker is and all that it holds. What a message of an older session
 * would have said is in there: what has started, and by its absence what was given back. */
#include "worker/link_state.h"

static uint64_t held_state(const struct holding *h)
{
    return h->finished ? HELD_FINISHED : h->started ? HELD_RUNNING : HELD_WAITING;
}

static size_t list_held(const struct worker_link *l, struct held *ret)
{
    size_t n = 0;
    list_each(i, &l->held.all) {
        const struct holding *h = list_entry(i, struct holding, all);
        if (!h->dropped)
            ret[n++] = (struct held){ h->job, h->attempt, held_state(h), h->pool };
    }
    return n;
}

void link_send_hello(struct worker_link *l, struct now now)
{
    struct pool_load loads[N_POOLS];
    cleanup(freep) struct held *held = xcalloc(l->held.n + 1, sizeof *held);
    struct message m;
    message_init(&m, MSG_HELLO);
    m.hello.version = m.hello.min_version = PROTOCOL_VERSION;
    m.hello.role = str_of("worker");
    m.hello.software = str_of(l->o.software);
    m.hello.instance = (struct str){ (const char *)l->o.instance, sizeof l->o.instance };
    m.hello.host = str_of(l->o.host);
    m.hello.pid = l->o.pid;
    m.hello.name = str_of(l->o.name);
    m.hello.queues = (struct str *)l->o.queues;
    m.hello.n_queues = l->o.n_queues;
    m.hello.pools = loads;
    m.hello.n_pools = link_tell_loads(l, loads);
    m.hello.handlers = (struct handler_info *)l->o.handlers;
    m.hello.n_handlers = l->o.n_handlers;
    m.hello.notices = (struct str *)l->o.notices;
    m.hello.n_notices = l->o.n_notices;
    m.hello.held = held;
    m.hello.n_held = list_held(l, held);
    m.hello.draining = l->draining;
    m.hello.labels = (struct str *)l->o.labels;
    m.hello.n_labels = l->o.n_labels;
    m.hello.amounts = (struct amount *)l->o.amounts;
    m.hello.n_amounts = l->o.n_amounts;
    m.hello.count = ++l->hello_count;
    m.hello.isolation = str_of(l->o.isolation);
    int r = link_send(l, &m);
    assert(r == 0); /* all of it is bounded far below a message's limit */
    l->state = LINK_GREETING;
    l->started.n = l->given.n = 0;
    l->ever_hello = true;
    l->hello_ms = now.mono_ms;
    l->welcome_by_ms = now.mono_ms + l->welcome_wait_ms;
}
