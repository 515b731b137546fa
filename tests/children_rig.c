/* children_rig.c - a pool, and a broker for it. */
#include "tests/children_rig.h"

#include <poll.h>
#include <stdio.h>

#include "worker/asks.h"

/* ---- a pool, and the broker ------------------------------------------------------------------ */

static void on_started(void *ctx, struct run *r)
{
    struct rig *g = ctx;
    (void)r;
    g->n_started++;
}

static void end_of(const struct rig *g, uint64_t id, struct child_end *ret)
{
    const struct outcome *o = &g->finished[id]->outcome;
    *ret = (struct child_end){ id, o->ending == ENDING_DONE ? STATE_DONE : STATE_DEAD, o->reason, o->exit_code, o->signal };
}

static void tell_awaited(struct rig *g)
{
    list_each_safe(l, &g->awaited) {
        struct awaited *a = list_entry(l, struct awaited, link);
        struct child_end ends[16];
        struct message m;
        message_init(&m, MSG_AWAITED);
        m.awaited.req = a->req;
        m.awaited.ended = ends;
        for (size_t i = 0; i < a->n; i++)
            if (g->finished[a->ids[i]])
                end_of(g, a->ids[i], &ends[m.awaited.n_ended++]);
        if (m.awaited.n_ended < a->wanted)
            continue;
        list_remove(l);
        pool_answer(g->pool, a->job, 1, &m, clock_now());
        free(a);
    }
}

static void on_finished(void *ctx, struct run *r)
{
    struct rig *g = ctx;
    assert_null(g->finished[r->job.job]);
    g->finished[r->job.job] = r;
    g->n_finished++;
}

void give(struct rig *g, uint64_t id, struct str handler, struct str payload, int64_t timeout_ms)
{
    struct run_job j;
    record_init(RECORD_run_job, &j);
    j.job = id;
    j.attempt = 1;
    j.pool = g->kind;
    j.handler = handler;
    j.payload = payload;
    j.timeout_ms = timeout_ms;
    pool_give(g->pool, run_new(&j, clock_now()), clock_now());
}

static uint64_t find_child(const struct rig *g, uint64_t parent, const char *key)
{
    for (uint64_t id = FIRST_CHILD; id < g->next_child; id++)
        if (g->children[id].parent == parent && strcmp(g->children[id].key, key) == 0)
            return id;
    return 0;
}

static uint64_t add_child(struct rig *g, const struct msg_spawn *s, size_t i)
{
    char key[16];
    snprintf(key, sizeof key, "%.*s", (int)s->keys[i].n, s->keys[i].p);
    uint64_t id = find_child(g, s->job, key);
    if (id)
        return id;
    id = g->next_child++;
    assert_true(id < JOBS_MAX);
    g->children[id].parent = s->job;
    memcpy(g->children[id].key, key, sizeof key);
    if (!str_is(s->jobs[i].handler, "never"))
        give(g, id, s->jobs[i].handler, s->jobs[i].payload, UNSET);
    return id;
}

static void on_spawn(struct rig *g, const struct msg_spawn *s)
{
    struct child_ref children[16];
    struct message m;
    message_init(&m, MSG_SPAWNED);
    m.spawned.req = s->req;
    m.spawned.children = children;
    for (size_t i = 0; i < s->n_jobs; i++)
        children[m.spawned.n_children++] = (struct child_ref){ add_child(g, s, i), 1 };
    pool_answer(g->pool, s->job, 1, &m, clock_now());
}

static void on_await(struct rig *g, const struct msg_await *m)
{
    struct awaited *a = xcalloc(1, sizeof *a);
    a->job = m->job;
    a->req = m->req;
    a->wanted = m->number;
    for (size_t i = 0; i < m->n_ranges; i++)
        for (uint64_t id = m->ranges[i].first; id <= m->ranges[i].last; id++)
            a->ids[a->n++] = id;
    list_add_tail(&g->awaited, &a->link);
}

static void on_unwait(struct rig *g, const struct run *r, uint64_t req)
{
    list_each_safe(l, &g->awaited) {
        struct awaited *a = list_entry(l, struct awaited, link);
        struct message m;
        if (a->job != r->job.job || a->req != req)
            continue;
        list_remove(l);
        free(a);
        message_init(&m, MSG_AWAITED);
        m.awaited.req = req;
        m.awaited.code = CODE_REFUSED;
        pool_answer(g->pool, r->job.job, 1, &m, clock_now());
    }
}

static void on_fetch(struct rig *g, const struct msg_fetch *f)
{
    struct message m;
    message_init(&m, MSG_FETCHED);
    m.fetched.req = f->req;
    m.fetched.state = g->finished[f->job]->outcome.ending == ENDING_DONE ? STATE_DONE : STATE_DEAD;
    m.fetched.data = g->finished[f->job]->outcome.result;
    pool_answer(g->pool, f->parent, 1, &m, clock_now());
}

static void on_progress(struct rig *g, const struct msg_progress *p)
{
    assert_int_equal(p->n_attempts, 1);
    assert_false(g->finished[p->attempts[0].job]);
    assert_true(p->attempts[0].percent >= min_i64(g->percent, 99));
    g->percent = p->attempts[0].percent;
    g->n_reports++;
}

static void on_asked(void *ctx, struct run *r, const struct message *m, struct now now)
{
    struct rig *g = ctx;
    (void)now;
    if (m->type == MSG_SPAWN)
        on_spawn(g, &m->spawn);
    else if (m->type == MSG_AWAIT)
        on_await(g, &m->await);
    else if (m->type == MSG_PROGRESS)
        on_progress(g, &m->progress);
    else if (m->type == MSG_UNWAIT)
        on_unwait(g, r, m->unwait.req);
    else
        on_fetch(g, &m->fetch);
}

struct rig *rig_new(void **state, size_t slots)
{
    struct rig *g = xcalloc(1, sizeof *g);
    g->kind = *(const enum pool_kind *)*state;
    g->next_child = FIRST_CHILD;
    list_init(&g->awaited);
    struct pool_options o = { .kind = g->kind, .slots = slots, .zygote = zygote, .stuck_max = 4, .on_started = on_started,
                              .on_finished = on_finished, .on_asked = on_asked, .ctx = g };
    assert_int_equal(pool_open(&g->pool, &o), 0);
    return g;
}

void rig_free(struct rig *g)
{
    pool_close(g->pool);
    for (struct link *l; (l = list_pop(&g->awaited));)
        free(list_entry(l, struct awaited, link));
    for (size_t i = 0; i < JOBS_MAX; i++)
        run_free(g->finished[i]);
    free(g);
}

void turn(struct rig *g)
{
    struct now now = clock_now();
    int64_t due_ms = pool_tick(g->pool, now);
    tell_awaited(g);
    struct pool_load load = pool_load(g->pool);
    g->most_used = load.used > g->most_used ? load.used : g->most_used;
    g->most_parked = load.parked > g->most_parked ? load.parked : g->most_parked;
    struct pollfd fds[] = { { .fd = pool_fd(g->pool), .events = POLLIN }, { .fd = zygote_fd(zygote), .events = POLLIN } };
    poll(fds, ELEMENTS(fds), (int)max_i64(0, min_i64(due_ms - now.mono_ms, 20)));
    now = clock_now();
    zygote_on_readable(zygote, now);
    pool_on_readable(g->pool, now);
    tell_awaited(g);
}

void until_finished(struct rig *g, size_t n)
{
    int64_t until_ms = clock_now().mono_ms + 60000;
    while (g->n_finished < n && clock_now().mono_ms < until_ms)
        turn(g);
    assert_int_equal(g->n_finished, n);
}

void until_parked(struct rig *g, size_t n)
{
    int64_t until_ms = clock_now().mono_ms + 60000;
    while (pool_load(g->pool).parked != n && clock_now().mono_ms < until_ms)
        turn(g);
    assert_int_equal(pool_load(g->pool).parked, n);
}

void give_id(struct rig *g, uint64_t id, const char *handler, const char *payload)
{
    give(g, id, str_of(handler), str_of(payload), UNSET);
}

const struct outcome *outcome_of(const struct rig *g, uint64_t id)
{
    assert_non_null(g->finished[id]);
    return &g->finished[id]->outcome;
}

void assert_done(const struct rig *g, uint64_t id, const char *result)
{
    const struct outcome *o = outcome_of(g, id);
    if (o->ending != ENDING_DONE)
        fail_msg("job %d: %.*s", (int)id, (int)o->error.n, o->error.p ? o->error.p : "");
    if (!str_is(o->result, result))
        fail_msg("job %d: %.*s, not %s", (int)id, (int)o->result.n, o->result.p ? o->result.p : "", result);
}
