/* calling.h - calls a built-in handler as a thread calls it, or gives jobs to a loop pool and waits
 * for them: for the tests of handlers. */
#ifndef TERN_TESTS_CALLING_H
#define TERN_TESTS_CALLING_H

#include "worker/call.h"
#include "worker/handlers.h"
#include "worker/pool.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static inline int64_t now_ms(void) { return clock_now().mono_ms; }

struct called {
    struct run_job job;
    struct tern_job call;
    struct outcome outcome;
    int r;
};

static inline struct run_job job_of(const char *handler, struct str payload)
{
    struct run_job j;
    record_init(RECORD_run_job, &j);
    j.job = 1;
    j.attempt = 1;
    j.handler = str_of(handler);
    j.payload = payload;
    return j;
}

/* The blocking form, as a thread calls it. */
static inline struct called *call_job(struct run_job job, bool stop)
{
    struct called *c = xcalloc(1, sizeof *c);
    c->job = job;
    call_init(&c->call, &c->job, clock_now());
    if (stop)
        call_tell_stop(&c->call);
    int64_t from_us = clock_mono_us();
    c->r = handlers_find(job.handler)->blocking(&c->call);
    c->call.measured.wall_us = clock_mono_us() - from_us;
    call_outcome(&c->call, c->r, &c->outcome);
    return c;
}

static inline struct called *call(const char *handler, struct str payload) { return call_job(job_of(handler, payload), false); }

static inline void called_free(struct called *c)
{
    call_fini(&c->call);
    free(c);
}

static inline void assert_bytes(struct str s, const char *text)
{
    assert_non_null(s.p);
    assert_int_equal(s.n, strlen(text));
    assert_memory_equal(s.p, text, s.n);
}

/* The loop pool with all that was given to it. */
struct looped {
    struct pool *pool;
    struct link finished;
    size_t n_finished;
};

static inline void on_started(void *ctx, struct run *r) { (void)ctx, (void)r; }

static inline void on_finished(void *ctx, struct run *r)
{
    struct looped *l = ctx;
    list_add_tail(&l->finished, &r->link);
    l->n_finished++;
}

static inline struct looped *looped_new(size_t slots)
{
    struct looped *l = xcalloc(1, sizeof *l);
    list_init(&l->finished);
    struct pool_options o = { .kind = POOL_LOOP, .slots = slots, .on_started = on_started, .on_finished = on_finished,
                              .ctx = l };
    assert_int_equal(pool_open(&l->pool, &o), 0);
    return l;
}

static inline void looped_give(struct looped *l, uint64_t id, const char *handler, const char *payload)
{
    struct run_job j = job_of(handler, str_of(payload));
    struct now now = clock_now();
    j.job = id;
    j.pool = POOL_LOOP;
    pool_give(l->pool, run_new(&j, now), now);
}

static inline void looped_turn(struct looped *l)
{
    struct pollfd fd = { .fd = pool_fd(l->pool), .events = POLLIN };
    pool_tick(l->pool, clock_now());
    poll(&fd, 1, 20);
    pool_on_readable(l->pool, clock_now());
}

static inline void looped_finish(struct looped *l, size_t n)
{
    int64_t until_ms = now_ms() + 60000;
    while (l->n_finished < n && now_ms() < until_ms)
        looped_turn(l);
    assert_int_equal(l->n_finished, n);
}

static inline void looped_free(struct looped *l)
{
    pool_close(l->pool);
    for (struct link *k; (k = list_pop(&l->finished));)
        run_free(list_entry(k, struct run, link));
    free(l);
}

#endif
