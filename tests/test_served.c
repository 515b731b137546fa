/* test_served.c - two brokers that give out the same numbers, served with one pool: what either says is done to its own job, and what
 * it hears is of its own. The pool is a real one, of threads; the brokers are played here. */
#include "worker/served.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "worker/handlers.h"
#include "worker/number.h"

#define PATIENCE_MS 20000
#define HEARD_MOST 64

/* What one of them has heard last of each type, and of its job. */
struct heard {
    size_t n[MESSAGE_TYPES];
    struct ending_of {
        uint64_t job, ending;
        char result[32];
    } ended[HEARD_MOST];
    size_t n_ended;
    uint64_t started[HEARD_MOST], given[HEARD_MOST], held[HEARD_MOST]; /* held: as the last HELLO lists */
    size_t n_started, n_given, n_held;
};

struct rig {
    struct broker_list list;
    struct rng rng;
    struct pool *pools[N_POOLS];
    struct served served[2];
    struct heard heard[2];
};

static struct served *served_of(struct rig *g, const struct run *r) { return &g->served[number_place(r->job.job)]; }
static void on_started(void *ctx, struct run *r) { served_on_started(served_of(ctx, r), r); }
static void on_finished(void *ctx, struct run *r) { served_on_finished(served_of(ctx, r), r); }

static void on_asked(void *ctx, struct run *r, const struct message *ask, struct now now)
{
    served_on_asked(served_of(ctx, r), r, ask, now);
}

/* ---- the brokers' side ------------------------------------------------------------------------- */

static void hear_result(struct heard *h, const struct msg_result *m)
{
    for (size_t i = 0; i < m->n_outcomes; i++) {
        const struct outcome *o = &m->outcomes[i];
        struct ending_of *e = &h->ended[h->n_ended++];
        assert_true(h->n_ended < HEARD_MOST);
        *e = (struct ending_of){ .job = o->job, .ending = o->ending };
        if (o->result.p)
            memcpy(e->result, o->result.p, min_size(o->result.n, sizeof e->result - 1));
    }
}

static void hear(struct heard *h, const struct message *m)
{
    h->n[m->type]++;
    if (m->type == MSG_RESULT)
        hear_result(h, &m->result);
    for (size_t i = 0; m->type == MSG_STARTED && i < m->started.n_attempts; i++)
        h->started[h->n_started++] = m->started.attempts[i].job;
    for (size_t i = 0; m->type == MSG_GIVEN && i < m->given.n_attempts; i++)
        h->given[h->n_given++] = m->given.attempts[i].job;
    for (size_t i = 0; m->type == MSG_HELLO && i < m->hello.n_held; i++)
        h->held[i] = m->hello.held[i].job;
    if (m->type == MSG_HELLO)
        h->n_held = m->hello.n_held;
}

static void turn(struct rig *g)
{
    struct pollfd fd = { pool_fd(g->pools[POOL_THREAD]), POLLIN, 0 };
    poll(&fd, 1, 1);
    struct now now = clock_now();
    pool_on_readable(g->pools[POOL_THREAD], now);
    pool_tick(g->pools[POOL_THREAD], now);
    int64_t due_ms;
    served_divide(g->served, 2, now, &due_ms);
    for (size_t i = 0; i < 2; i++) {
        struct buf bytes;
        struct message m;
        const char *why;
        link_tick(g->served[i].link, now);
        link_flush(g->served[i].link, now);
        while (link_take_message(g->served[i].link, &bytes)) {
            assert_int_equal(message_decode(&m, bytes.p, bytes.n, &why), 0);
            hear(&g->heard[i], &m);
            message_fini(&m);
            buf_fini(&bytes);
        }
    }
}

static void tell(struct rig *g, size_t place, struct message *m)
{
    m->epoch = 1 + place;
    m->session = 10 + place;
    link_recv(g->served[place].link, m, clock_now());
}

static void welcome(struct rig *g, size_t place)
{
    struct message m;
    message_init(&m, MSG_WELCOME);
    m.welcome.version = PROTOCOL_VERSION;
    tell(g, place, &m);
}

static void run(struct rig *g, size_t place, uint64_t job, const char *handler, const char *payload)
{
    struct run_job j;
    struct message m;
    record_init(RECORD_run_job, &j);
    j.job = job;
    j.attempt = 1;
    j.pool = POOL_THREAD;
    j.queue = str_of("default");
    j.handler = str_of(handler);
    j.payload = str_of(payload);
    message_init(&m, MSG_RUN);
    m.run.jobs = &j;
    m.run.n_jobs = 1;
    tell(g, place, &m);
}

/* RECORDED, TAKE_BACK and STOP have the same shape. */
static void tell_of(struct rig *g, size_t place, enum message_type type, uint64_t job)
{
    struct attempt_ref ref = { job, 1 };
    struct message m;
    message_init(&m, type);
    m.recorded.attempts = &ref;
    m.recorded.n_attempts = 1;
    tell(g, place, &m);
}

#define WAIT_FOR(g, condition)                                                                     \
    do {                                                                                           \
        int64_t until_ms = clock_now().mono_ms + PATIENCE_MS;                                      \
        while (!(condition) && clock_now().mono_ms < until_ms)                                     \
            turn(g);                                                                               \
        assert_true(condition);                                                                    \
    } while (0)

/* ---- the rig ----------------------------------------------------------------------------------- */

static void open_served(struct rig *g, size_t place)
{
    static const struct str queues[1];
    static const struct amount cards[] = { { { "cards", 5 }, 5, 0 }, { { "one", 3 }, 1, 0 } };
    size_t n;
    char *error = NULL;
    struct link_options o = { .name = "w1", .host = "h", .software = "test", .isolation = "", .queues = queues, .rng = &g->rng,
                              .amounts = cards, .n_amounts = ELEMENTS(cards) };
    o.handlers = handlers_info(&n);
    o.n_handlers = n;
    o.pool_on[POOL_THREAD] = true;
    assert_int_equal(served_open(&g->served[place], &g->list, place, g->pools, &o, clock_now(), &error), 0);
}

static int set_up(void **state)
{
    struct rig *g = xcalloc(1, sizeof *g);
    char *error = NULL;
    int status;
    struct broker_words words = { .addresses = "ipc:///nowhere/a, ipc:///nowhere/b" };
    assert_int_equal(broker_list_read(&g->list, &words, &status, &error), 0);
    rng_init(&g->rng, 1);
    assert_int_equal(handlers_init(NULL, false, &error), 0);
    struct pool_options o = { .kind = POOL_THREAD, .slots = 4, .pools = g->pools, .stuck_max = 4, .on_started = on_started,
                              .on_finished = on_finished, .on_asked = on_asked, .ctx = g };
    assert_int_equal(pool_open(&g->pools[POOL_THREAD], &o), 0);
    for (size_t i = 0; i < 2; i++)
        open_served(g, i);
    turn(g);
    for (size_t i = 0; i < 2; i++)
        welcome(g, i);
    *state = g;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *g = *state;
    for (size_t i = 0; i < 2; i++)
        link_drain_at_once(g->served[i].link, clock_now());
    WAIT_FOR(g, link_view(g->served[0].link).unfinished + link_view(g->served[1].link).unfinished == 0);
    pool_close(g->pools[POOL_THREAD]);
    for (size_t i = 0; i < 2; i++)
        served_close(&g->served[i]);
    broker_list_fini(&g->list);
    free(g);
    return 0;
}

/* ---- tests ------------------------------------------------------------------------------------- */

static void each_hears_of_its_own_by_its_own_number(void **state)
{
    struct rig *g = *state;
    run(g, 0, 7, "echo", "of a");
    run(g, 1, 7, "echo", "of b");
    WAIT_FOR(g, g->heard[0].n_ended && g->heard[1].n_ended);
    assert_int_equal(g->heard[0].ended[0].job, 7);
    assert_string_equal(g->heard[0].ended[0].result, "of a");
    assert_int_equal(g->heard[1].ended[0].job, 7);
    assert_string_equal(g->heard[1].ended[0].result, "of b");
    for (size_t i = 0; i < 2; i++)
        tell_of(g, i, MSG_RECORDED, 7);
    assert_int_equal(link_view(g->served[0].link).held + link_view(g->served[1].link).held, 0);
}

static void what_one_stops_is_its_own(void **state)
{
    struct rig *g = *state;
    for (size_t i = 0; i < 2; i++)
        run(g, i, 7, "sleep", "60s");
    WAIT_FOR(g, g->heard[0].n_started == 1 && g->heard[1].n_started == 1);
    assert_int_equal(g->heard[1].started[0], 7);
    tell_of(g, 1, MSG_STOP, 7);
    WAIT_FOR(g, g->heard[1].n_ended == 1);
    assert_int_equal(g->heard[1].ended[0].ending, ENDING_CANCELLED);
    for (int i = 0; i < 20; i++)
        turn(g);
    assert_int_equal(g->heard[0].n_ended, 0);
    assert_int_equal(link_view(g->served[0].link).unfinished, 1);
}

/* Fills the slots with 1 to 4 of the first. */
static void fill(struct rig *g)
{
    for (uint64_t job = 1; job <= 4; job++)
        run(g, 0, job, "sleep", "60s");
    WAIT_FOR(g, g->heard[0].n_started == 4);
}

static void what_one_takes_back_or_drains_is_its_own(void **state)
{
    struct rig *g = *state;
    fill(g);
    for (size_t i = 0; i < 2; i++) {
        run(g, i, 8, "echo", "x");
        run(g, i, 9, "echo", "x");
    }
    tell_of(g, 0, MSG_TAKE_BACK, 8);
    WAIT_FOR(g, g->heard[0].n_given == 1);
    assert_int_equal(g->heard[0].given[0], 8);
    assert_int_equal(link_view(g->served[1].link).unfinished, 2);
    link_drain(g->served[1].link, NEVER, clock_now());
    WAIT_FOR(g, g->heard[1].n_given == 2);
    assert_int_equal(g->heard[0].n_given, 1);
    assert_int_equal(link_view(g->served[0].link).unfinished, 5);
    /* What has not begun ends in its place as well. */
    tell_of(g, 0, MSG_STOP, 9);
    WAIT_FOR(g, g->heard[0].n_ended == 1);
    assert_int_equal(g->heard[0].ended[0].job, 9);
}

static void hello_lists_own_numbers(void **state)
{
    struct rig *g = *state;
    run(g, 1, 7, "sleep", "60s");
    run(g, 1, 8, "echo", "x");
    WAIT_FOR(g, g->heard[1].n_ended == 1);
    link_set_queues(g->served[1].link, NULL, 0, clock_now());
    WAIT_FOR(g, g->heard[1].n[MSG_HELLO] == 2);
    assert_int_equal(g->heard[1].n_held, 2);
    assert_int_equal(g->heard[1].held[0], 7);
    assert_int_equal(g->heard[1].held[1], 8);
}

static void a_number_that_none_can_have_is_refused(void **state)
{
    struct rig *g = *state;
    run(g, 0, NUMBER_OWN_MAX + 1 + 7, "echo", "x"); /* it would be the second one's 7 */
    run(g, 0, 1ull << 63 | 7, "echo", "x");         /* or a part */
    WAIT_FOR(g, g->heard[0].n_ended == 2);
    assert_int_equal(g->heard[0].ended[0].ending, ENDING_FAILED);
    assert_true(g->heard[0].ended[0].job == NUMBER_OWN_MAX + 1 + 7);
    assert_int_equal(g->heard[1].n_ended, 0);
}

static void slots_are_offered_as_they_are_divided(void **state)
{
    struct rig *g = *state;
    fill(g);
    int64_t due_ms;
    served_divide(g->served, 2, clock_now(), &due_ms);
    assert_int_equal(g->served[0].share[POOL_THREAD].offered, 4);
    assert_int_equal(g->served[1].share[POOL_THREAD].offered, 1);
    assert_int_equal(g->served[0].share[POOL_THREAD].runs, 4);
    run(g, 1, 1, "sleep", "60s");
    served_divide(g->served, 2, clock_now(), &due_ms);
    assert_int_equal(g->served[0].share[POOL_THREAD].offered, 2);
    assert_int_equal(g->served[1].share[POOL_THREAD].waits, 1);
}

static void of_an_amount_each_gives_out_its_part(void **state)
{
    struct rig *g = *state;
    assert_int_equal(g->served[0].amounts[0].total, 3);
    assert_int_equal(g->served[1].amounts[0].total, 2);
    assert_int_equal(g->served[0].amounts[1].total, 1);
    assert_null(g->served[1].amounts[1].name.p); /* there is but one: it is not offered here */
}

static void the_first_that_waits_does_not_wait_for_many_of_another_broker(void **state)
{
    struct rig *g = *state;
    for (uint64_t job = 1; job <= 40; job++)
        run(g, 0, job, "sleep", "200ms");
    run(g, 1, 1, "echo", "soon");
    int64_t until_ms = clock_now().mono_ms + PATIENCE_MS;
    while (!g->heard[1].n_ended && clock_now().mono_ms < until_ms)
        turn(g);
    assert_int_equal(g->heard[1].n_ended, 1);
    assert_in_range(g->heard[0].n_ended, 0, 10);
}

/* One that always has one waiting gives it each time as its first. */
static void firsts_that_wait_take_turns(void **state)
{
    struct rig *g = *state;
    uint64_t given = 0;
    while (given < 3) /* so that one slot is left to take turns on */
        run(g, 1, ++given, "sleep", "30s");
    run(g, 1, ++given, "sleep", "20ms");
    run(g, 0, 1, "echo", "soon");
    int64_t until_ms = clock_now().mono_ms + PATIENCE_MS;
    while (!g->heard[0].n_ended && given < HEARD_MOST - 1 && clock_now().mono_ms < until_ms) {
        struct link_tally t = link_tally(g->served[1].link, POOL_THREAD);
        if (t.held == t.started)
            run(g, 1, ++given, "sleep", "20ms");
        turn(g);
    }
    assert_int_equal(g->heard[0].n_ended, 1);
    assert_in_range(given, 5, 14);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(each_hears_of_its_own_by_its_own_number),
        CASE(what_one_stops_is_its_own),
        CASE(what_one_takes_back_or_drains_is_its_own),
        CASE(hello_lists_own_numbers),
        CASE(a_number_that_none_can_have_is_refused),
        CASE(slots_are_offered_as_they_are_divided),
        CASE(of_an_amount_each_gives_out_its_part),
        CASE(the_first_that_waits_does_not_wait_for_many_of_another_broker),
        CASE(firsts_that_wait_take_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
