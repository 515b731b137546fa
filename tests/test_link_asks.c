/* test_link_asks.c - what handlers ask of the broker, on its way through the link: said in every session until it is answered. */
#include "worker/asks.h"
#include "worker/link.h"
#include "worker/number.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "proto/base/log.h"
#include "tests/idle_pools.h"

/* ---- one worker with one attempt that runs, and the broker ------------------------------------ */

struct rig {
    struct link_options options;
    struct rng rng;
    struct now now;
    struct worker_link *link;
    struct run *run;     /* of job 5, attempt 2; borrowed once it has finished */
    uint64_t session;
    struct message said; /* the last of the type that was looked for */
    struct buf bytes;
    bool has_said;
    struct message answer; /* what the handler was told */
    struct buf answer_bytes;
    size_t n_answers;
};

static void give(void *ctx, enum pool_kind pool, struct run *r, struct now now)
{
    struct rig *g = ctx;
    (void)pool, (void)now;
    g->run = r;
    r->state = RUN_RUNNING;
    link_on_started(g->link, run_ref(r));
}

static void forget_answer(struct rig *g)
{
    if (g->answer_bytes.n)
        message_fini(&g->answer);
    buf_fini(&g->answer_bytes);
}

static void answer(void *ctx, enum pool_kind pool, uint64_t job, uint64_t attempt, const struct message *m, struct now now)
{
    struct rig *g = ctx;
    const char *why;
    (void)pool, (void)now;
    assert_true(job == 5 && attempt == 2);
    forget_answer(g);
    buf_init(&g->answer_bytes, LIMIT_MESSAGE_BYTES);
    assert_int_equal(message_encode(&g->answer_bytes, m), 0);
    assert_int_equal(message_decode(&g->answer, g->answer_bytes.p, g->answer_bytes.n, &why), 0);
    g->n_answers++;
}

static void forget_said(struct rig *g)
{
    if (g->has_said)
        message_fini(&g->said);
    buf_fini(&g->bytes);
    g->has_said = false;
}

/* A turn; how many of this type were said, the last of which is g->said. */
static size_t turn(struct rig *g, enum message_type type)
{
    size_t n = 0;
    struct buf bytes;
    const char *why;
    forget_said(g);
    link_tick(g->link, g->now);
    link_flush(g->link, g->now);
    while (link_take_message(g->link, &bytes)) {
        struct message m;
        assert_int_equal(message_decode(&m, bytes.p, bytes.n, &why), 0);
        if (m.type != type) {
            message_fini(&m);
            buf_fini(&bytes);
            continue;
        }
        forget_said(g);
        g->said = m;
        g->bytes = bytes;
        g->has_said = true;
        n++;
    }
    return n;
}

static void tell(struct rig *g, struct message *m)
{
    m->epoch = 1;
    m->session = g->session;
    link_recv(g->link, m, g->now);
}

static void welcome(struct rig *g, bool knows)
{
    struct str all[] = { str_of(CAPABILITY_CHILDREN), str_of(CAPABILITY_CHECKPOINT), str_of(CAPABILITY_PROGRESS) };
    struct message m;
    g->session++;
    message_init(&m, MSG_WELCOME);
    m.welcome.heartbeat_ms = 2000;
    m.welcome.lost_after_ms = 10000;
    m.welcome.capabilities = all;
    m.welcome.n_capabilities = knows ? ELEMENTS(all) : 0;
    tell(g, &m);
}

static void tell_run(struct rig *g)
{
    struct run_job j;
    struct message m;
    record_init(RECORD_run_job, &j);
    j.job = 5;
    j.attempt = 2;
    j.handler = str_of("echo");
    j.pool = POOL_THREAD;
    message_init(&m, MSG_RUN);
    m.run.jobs = &j;
    m.run.n_jobs = 1;
    tell(g, &m);
}

/* The connection is lost, and there is a new session. */
static void begin_anew(struct rig *g, bool knows)
{
    struct message m;
    message_init(&m, MSG_HELLO_AGAIN);
    g->now.mono_ms += 200;
    tell(g, &m);
    assert_int_equal(turn(g, MSG_HELLO), 1);
    welcome(g, knows);
}

static int set_up(void **state)
{
    static struct handler_info handler;
    struct rig *g = xcalloc(1, sizeof *g);
    log_init("test_link_asks", LOG_LEVEL_ERROR);
    record_init(RECORD_handler_info, &handler);
    handler.name = str_of("echo");
    rng_init(&g->rng, 1);
    g->now = (struct now){ 1700000000000, 1000000 };
    g->options = (struct link_options){ .name = "w", .host = "h", .software = "t", .handlers = &handler, .n_handlers = 1,
                                        .pool_on = { [POOL_THREAD] = true }, .rng = &g->rng, .pools = idle_pools(g, give) };
    g->options.pools.answer = answer;
    g->link = link_new(&g->options, g->now);
    assert_int_equal(turn(g, MSG_HELLO), 1);
    welcome(g, true);
    tell_run(g);
    *state = g;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *g = *state;
    link_free(g->link);
    run_free(g->run);
    forget_said(g);
    forget_answer(g);
    free(g);
    return 0;
}

/* ---- asking ------------------------------------------------------------------------------------ */

static void ask_spawn(struct rig *g)
{
    struct job_spec spec;
    struct str key = str_of("#1");
    struct message m;
    record_init(RECORD_job_spec, &spec);
    spec.handler = str_of("echo");
    message_init(&m, MSG_SPAWN);
    m.spawn.req = 77;
    m.spawn.job = number_of(3, 5); /* as the pools call it */
    m.spawn.attempt = 2;
    m.spawn.jobs = &spec;
    m.spawn.keys = &key;
    m.spawn.n_jobs = m.spawn.n_keys = 1;
    link_on_asked(g->link, run_ref(g->run), &m, g->now);
}

static void ask_await(struct rig *g, uint64_t wanted)
{
    struct range ranges[2] = { { 10, 11 }, { 20, 20 } };
    struct message m;
    message_init(&m, MSG_AWAIT);
    m.await.req = 78;
    m.await.job = 5;
    m.await.attempt = 2;
    m.await.ranges = ranges;
    m.await.n_ranges = 2;
    m.await.number = wanted;
    link_on_asked(g->link, run_ref(g->run), &m, g->now);
}

static void ask_fetch(struct rig *g)
{
    struct message m;
    message_init(&m, MSG_FETCH);
    m.fetch.req = 79;
    m.fetch.job = 10;
    m.fetch.parent = 5;
    m.fetch.parent_attempt = 2;
    link_on_asked(g->link, run_ref(g->run), &m, g->now);
}

static void tell_spawned(struct rig *g, uint64_t req, uint64_t code)
{
    struct child_ref child = { 10, 1 };
    struct message m;
    message_init(&m, MSG_SPAWNED);
    m.spawned.req = req;
    m.spawned.code = code;
    m.spawned.children = &child;
    m.spawned.n_children = !code;
    tell(g, &m);
}

static void tell_ended(struct rig *g, uint64_t id)
{
    struct child_end end = { id, STATE_DONE, REASON_NONE, UNSET, UNSET };
    struct message m;
    message_init(&m, MSG_AWAITED);
    m.awaited.job = 5;
    m.awaited.attempt = 2;
    m.awaited.ended = &end;
    m.awaited.n_ended = 1;
    tell(g, &m);
}

static void end_run(struct rig *g)
{
    struct outcome o;
    record_init(RECORD_outcome, &o);
    run_finish(g->run, &o, g->now.mono_ms * 1000);
    link_on_finished(g->link, g->run);
    g->run = NULL; /* the link's */
}

/* ---- cases ------------------------------------------------------------------------------------- */

static void a_spawn_is_said_in_every_session_until_it_is_answered(void **state)
{
    struct rig *g = *state;
    ask_spawn(g);
    assert_int_equal(turn(g, MSG_SPAWN), 1);
    uint64_t req = g->said.spawn.req;
    assert_true(g->said.spawn.job == 5 && g->said.spawn.attempt == 2 && str_is(g->said.spawn.keys[0], "#1"));
    assert_int_equal(turn(g, MSG_SPAWN), 0);
    begin_anew(g, true);
    assert_int_equal(turn(g, MSG_SPAWN), 1);
    assert_int_equal(g->said.spawn.req, req);
    tell_spawned(g, req + 1, 0); /* of another one */
    assert_int_equal(g->n_answers, 0);
    tell_spawned(g, req, 0);
    assert_int_equal(g->n_answers, 1);
    assert_true(g->answer.spawned.req == 77 && g->answer.spawned.children[0].id == 10);
    begin_anew(g, true);
    assert_int_equal(turn(g, MSG_SPAWN), 0);
}

static void assert_tally(const struct rig *g, size_t held, size_t started, size_t parked)
{
    struct link_tally t = link_tally(g->link, POOL_THREAD);
    assert_true(t.held == held && t.started == started && t.parked == parked);
}

static void who_waits_for_children_is_counted_as_parked(void **state)
{
    struct rig *g = *state;
    assert_tally(g, 1, 1, 0);
    ask_await(g, 1);
    assert_tally(g, 1, 1, 1);
    turn(g, MSG_AWAIT);
    tell_ended(g, 10);
    assert_tally(g, 1, 1, 0);
    ask_await(g, 3);
    ask_await(g, 3);
    assert_tally(g, 1, 1, 1);
    end_run(g);
    assert_tally(g, 0, 0, 0);
}

static void report(struct rig *g, int64_t percent)
{
    struct attempt_progress p = { 5, 2, percent };
    struct message m;
    message_init(&m, MSG_PROGRESS);
    m.progress.attempts = &p;
    m.progress.n_attempts = 1;
    link_on_asked(g->link, run_ref(g->run), &m, g->now);
}

static void expect_said(struct rig *g, int64_t percent)
{
    assert_int_equal(turn(g, MSG_PROGRESS), 1);
    assert_int_equal(g->said.progress.n_attempts, 1);
    const struct attempt_progress *a = &g->said.progress.attempts[0];
    assert_true(a->job == 5 && a->attempt == 2 && a->percent == percent);
}

static void progress_is_said_about_once_a_second_the_latest_and_again_in_a_new_session(void **state)
{
    struct rig *g = *state;
    report(g, 1);
    expect_said(g, 1);
    for (int64_t i = 2; i < 50; i++) {
        report(g, i);
        assert_int_equal(turn(g, MSG_PROGRESS), 0);
        g->now.mono_ms += 10;
    }
    assert_in_range(link_flush(g->link, g->now) - g->now.mono_ms, 1, 1000);
    g->now.mono_ms += 600;
    expect_said(g, 49);
    g->now.mono_ms += 1100;
    assert_int_equal(turn(g, MSG_PROGRESS), 0);
    begin_anew(g, true);
    g->now.mono_ms += 1000;
    expect_said(g, 49);
}

static void progress_is_not_said_to_a_broker_that_does_not_know_it_nor_of_what_has_ended(void **state)
{
    struct rig *g = *state;
    begin_anew(g, false);
    report(g, 10);
    assert_int_equal(turn(g, MSG_PROGRESS), 0);
    begin_anew(g, true);
    expect_said(g, 10);
    report(g, 20);
    end_run(g);
    g->now.mono_ms += 1500;
    assert_int_equal(turn(g, MSG_PROGRESS), 0);
}

static void busy_is_asked_again_a_little_later(void **state)
{
    struct rig *g = *state;
    ask_spawn(g);
    assert_int_equal(turn(g, MSG_SPAWN), 1);
    tell_spawned(g, g->said.spawn.req, CODE_BUSY);
    assert_int_equal(turn(g, MSG_SPAWN), 0);
    g->now.mono_ms += 1000;
    assert_int_equal(turn(g, MSG_SPAWN), 1);
    assert_int_equal(g->n_answers, 0);
}

static void ends_are_gathered_over_sessions_until_there_are_enough(void **state)
{
    struct rig *g = *state;
    ask_await(g, 3);
    assert_int_equal(turn(g, MSG_AWAIT), 1);
    assert_int_equal(g->said.await.n_ranges, 2);
    tell_ended(g, 11);
    tell_ended(g, 11); /* again */
    tell_ended(g, 12); /* nobody awaits it */
    begin_anew(g, true);
    assert_int_equal(turn(g, MSG_AWAIT), 1);
    assert_int_equal(g->said.await.n_ranges, 2); /* without what is known */
    assert_true(g->said.await.ranges[0].first == 10 && g->said.await.ranges[0].last == 10);
    tell_ended(g, 20);
    assert_int_equal(g->n_answers, 0);
    tell_ended(g, 10);
    assert_int_equal(g->n_answers, 1);
    assert_true(g->answer.awaited.req == 78 && g->answer.awaited.n_ended == 3 && g->answer.awaited.ended[0].id == 10);
}

static void one_end_may_be_enough(void **state)
{
    struct rig *g = *state;
    ask_await(g, 1);
    turn(g, MSG_AWAIT);
    tell_ended(g, 20);
    assert_int_equal(g->n_answers, 1);
    assert_true(g->answer.awaited.n_ended == 1 && g->answer.awaited.ended[0].id == 20);
}

static void what_nobody_waits_for_any_more_is_forgotten(void **state)
{
    struct rig *g = *state;
    struct message m;
    ask_await(g, 3);
    turn(g, MSG_AWAIT);
    message_init(&m, MSG_UNWAIT);
    m.unwait.req = 79; /* which it never asked */
    link_on_asked(g->link, run_ref(g->run), &m, g->now);
    assert_int_equal(g->n_answers, 0);
    m.unwait.req = 78;
    link_on_asked(g->link, run_ref(g->run), &m, g->now);
    assert_int_equal(g->n_answers, 1); /* by which its pool knows */
    assert_true(g->answer.awaited.req == 78 && g->answer.awaited.code == CODE_REFUSED);
    begin_anew(g, true);
    assert_int_equal(turn(g, MSG_AWAIT), 0);
}

static void a_fetch_without_its_answer_is_repeated_and_an_error_is_one(void **state)
{
    struct rig *g = *state;
    struct message m;
    ask_fetch(g);
    assert_int_equal(turn(g, MSG_FETCH), 1);
    assert_true(g->said.fetch.job == 10 && g->said.fetch.parent == 5 && g->said.fetch.parent_attempt == 2);
    for (int i = 0; i < 5; i++) { /* it is awake all the while, and the broker says something now and then */
        g->now.mono_ms += 2000;
        tell_ended(g, 1);
        if (i < 4)
            turn(g, MSG_BEAT);
    }
    assert_int_equal(turn(g, MSG_FETCH), 1);
    message_init(&m, MSG_ERROR);
    m.error.req = g->said.fetch.req;
    m.error.code = CODE_NOT_FOUND;
    m.error.text = str_of("no such child");
    tell(g, &m);
    assert_int_equal(g->n_answers, 1);
    assert_true(g->answer.fetched.state == 0 && str_is(g->answer.fetched.error, "no such child"));
}

static void what_an_attempt_asked_ends_with_it(void **state)
{
    struct rig *g = *state;
    ask_spawn(g);
    ask_await(g, 3);
    turn(g, MSG_AWAIT);
    end_run(g);
    begin_anew(g, true);
    assert_int_equal(turn(g, MSG_AWAIT), 0);
    tell_ended(g, 10);
    assert_int_equal(g->n_answers, 0);
}

static void an_older_broker_is_asked_nothing(void **state)
{
    struct rig *g = *state;
    ask_spawn(g);
    begin_anew(g, false);
    assert_int_equal(turn(g, MSG_SPAWN), 0);
    assert_int_equal(g->n_answers, 1);
    assert_int_equal(g->answer.spawned.code, CODE_REFUSED);
    ask_await(g, 1);
    assert_int_equal(g->n_answers, 2);
    assert_int_equal(g->answer.awaited.code, CODE_REFUSED);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_spawn_is_said_in_every_session_until_it_is_answered),
        CASE(progress_is_said_about_once_a_second_the_latest_and_again_in_a_new_session),
        CASE(progress_is_not_said_to_a_broker_that_does_not_know_it_nor_of_what_has_ended),
        CASE(busy_is_asked_again_a_little_later),
        CASE(ends_are_gathered_over_sessions_until_there_are_enough),
        CASE(one_end_may_be_enough),
        CASE(what_nobody_waits_for_any_more_is_forgotten),
        CASE(a_fetch_without_its_answer_is_repeated_and_an_error_is_one),
        CASE(what_an_attempt_asked_ends_with_it),
        CASE(who_waits_for_children_is_counted_as_parked),
        CASE(an_older_broker_is_asked_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
