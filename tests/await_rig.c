/* await_rig.c - all three pools, without a link. */
#include "tests/await_rig.h"

#include <poll.h>

static void rig_on_started(void *ctx, struct run *r) { (void)r, ((struct rig *)ctx)->n_started++; }

static void rig_on_finished(void *ctx, struct run *r)
{
    struct rig *g = ctx;
    list_add_tail(&g->finished, &r->link);
    g->n_finished++;
}

struct rig *rig_new(size_t slots)
{
    struct rig *g = xcalloc(1, sizeof *g);
    list_init(&g->finished);
    assert_int_equal(launcher_open(&g->launcher, zygote, 2 * slots), 0);
    for (enum pool_kind k = 0; k < N_POOLS; k++) {
        struct pool_options o = {
            .kind = k,
            .slots = k == POOL_LOOP ? 1000 : slots,
            .zygote = zygote,
            .launcher = g->launcher,
            .pools = g->pools,
            .stuck_max = 4,
            .on_started = rig_on_started,
            .on_finished = rig_on_finished,
            .ctx = g,
        };
        assert_int_equal(pool_open(&g->pools[k], &o), 0);
    }
    return g;
}

void rig_free(struct rig *g)
{
    for (enum pool_kind k = 0; k < N_POOLS; k++)
        pool_close(g->pools[k]);
    launcher_close(g->launcher);
    for (struct link *l; (l = list_pop(&g->finished));)
        run_free(list_entry(l, struct run, link));
    free(g);
}

struct run_job rig_job(uint64_t id, const char *handler, const char *payload)
{
    struct run_job j;
    record_init(RECORD_run_job, &j);
    j.job = id;
    j.attempt = 1;
    j.pool = POOL_LOOP;
    j.queue = str_of("default");
    j.handler = str_of(handler);
    j.payload = str_of(payload);
    return j;
}

void rig_give_job(struct rig *g, const struct run_job *j)
{
    struct now now = clock_now();
    pool_give(g->pools[j->pool], run_new(j, now), now);
}

void rig_give(struct rig *g, uint64_t id, const char *handler, const char *payload)
{
    struct run_job j = rig_job(id, handler, payload);
    rig_give_job(g, &j);
}

void rig_turn(struct rig *g, int64_t until_ms)
{
    struct now now = clock_now();
    size_t n_before = g->n_finished;
    struct pollfd fds[N_POOLS + 2];
    for (enum pool_kind k = 0; k < N_POOLS; k++) {
        until_ms = min_i64(until_ms, pool_tick(g->pools[k], now));
        fds[k] = (struct pollfd){ .fd = pool_fd(g->pools[k]), .events = POLLIN };
    }
    if (g->n_finished > n_before)
        return;
    fds[N_POOLS] = (struct pollfd){ .fd = zygote_fd(zygote), .events = POLLIN };
    fds[N_POOLS + 1] = (struct pollfd){ .fd = launcher_fd(g->launcher), .events = POLLIN };
    poll(fds, ELEMENTS(fds), (int)max_i64(0, min_i64(until_ms - now.mono_ms, 1000)));
    now = clock_now();
    zygote_on_readable(zygote, now);
    launcher_on_readable(g->launcher, now);
    for (enum pool_kind k = 0; k < N_POOLS; k++)
        pool_on_readable(g->pools[k], now);
}

void rig_turns(struct rig *g, int64_t ms)
{
    int64_t until_ms = clock_now().mono_ms + ms;
    while (clock_now().mono_ms < until_ms)
        rig_turn(g, until_ms);
}

void rig_finish(struct rig *g, size_t n)
{
    int64_t until_ms = clock_now().mono_ms + 60000;
    while (g->n_finished < n && clock_now().mono_ms < until_ms)
        rig_turn(g, until_ms);
    assert_int_equal(g->n_finished, n);
}

void rig_begin(struct rig *g, size_t n)
{
    int64_t until_ms = clock_now().mono_ms + 60000;
    while (g->n_started < n && clock_now().mono_ms < until_ms)
        rig_turn(g, until_ms);
    assert_int_equal(g->n_started, n);
}

void rig_wait_load(struct rig *g, enum pool_kind k, size_t used, size_t waiting)
{
    int64_t until_ms = clock_now().mono_ms + 60000;
    while ((pool_load(g->pools[k]).used < used || pool_load(g->pools[k]).waiting < waiting) && clock_now().mono_ms < until_ms)
        rig_turn(g, clock_now().mono_ms + 20);
    assert_true(clock_now().mono_ms < until_ms);
}

void rig_wait_unused(struct rig *g)
{
    int64_t until_ms = clock_now().mono_ms + 60000;
    for (enum pool_kind k = 0; k < N_POOLS; k++)
        while ((pool_load(g->pools[k]).used || pool_load(g->pools[k]).stuck) && clock_now().mono_ms < until_ms)
            rig_turn(g, clock_now().mono_ms + 20);
    assert_true(clock_now().mono_ms < until_ms);
}

const struct outcome *rig_outcome(const struct rig *g, uint64_t job)
{
    const struct outcome *found = NULL;
    list_each(l, &g->finished) {
        const struct run *r = list_entry(l, const struct run, link);
        if (r->job.job != job)
            continue;
        assert_null(found); /* exactly once */
        found = &r->outcome;
    }
    assert_non_null(found);
    return found;
}

static void rig_assert_text(struct str s, const char *text)
{
    cleanup(freep) char *copy = xstrndup(s.p ? s : str_of("(none)"));
    assert_string_equal(copy, text);
}

void rig_assert_done(const struct rig *g, uint64_t job)
{
    const struct outcome *o = rig_outcome(g, job);
    if (o->ending != ENDING_DONE)
        print_error("%.*s\n%.*s\n", (int)o->error.n, o->error.p ? o->error.p : "", (int)o->output.n,
                    o->output.p ? o->output.p : "");
    assert_int_equal(o->ending, ENDING_DONE);
}

void rig_assert_failed(const struct rig *g, uint64_t job, const char *error)
{
    assert_int_equal(rig_outcome(g, job)->ending, ENDING_FAILED);
    rig_assert_text(rig_outcome(g, job)->error, error);
}

int rig_main(int argc, char **argv, const struct tern_module *own, const struct CMUnitTest *tests, size_t n_tests)
{
    static const struct tern_handler *const all[] = { &handler_exec, NULL };
    struct module *module;
    char *error = NULL;
    if (handlers_init_from(all, NULL, true, &error) < 0 || module_new(&module, "await", own, &error) < 0 ||
        handlers_add_module(module, &error) < 0)
        abort();
    int status = own_zygote_main(argc, argv, tests, n_tests);
    module_free(module);
    return status;
}
