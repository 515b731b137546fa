/* test_link.c - the worker's side of sessions, leases and draining, driven with pools, a clock and
 * a broker that are made of arrays. */
#include "worker/link.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "proto/base/log.h"

/* ---- the fixture ----------------------------------------------------------------------------- */

#define MOST 128

struct fake_pool {
    size_t slots, stuck;
    struct run *waiting[MOST], *running[MOST]; /* owned */
    size_t n_waiting, n_running;
    enum reason stop_reason; /* of the last stop */
    int64_t stop_grace_ms;
    size_t stops;
};

struct fixture {
    struct link_options options;
    struct rng rng;
    struct now now;
    struct worker_link *link;
    struct fake_pool pools[N_POOLS];
    int64_t due_ms;
    /* what the link said in the last turn, decoded */
    struct message said[MOST];
    struct buf bytes[MOST];
    size_t n_said;
    bool refuse; /* the socket takes nothing */
    size_t refused;
    size_t reopened;
    uint64_t epoch, session; /* of the broker that we play */
};

static void begin_next(struct fixture *f, struct fake_pool *p)
{
    while (p->n_waiting && p->n_running < p->slots) {
        struct run *r = p->waiting[0];
        memmove(p->waiting, p->waiting + 1, --p->n_waiting * sizeof(r));
        p->running[p->n_running++] = r;
        r->state = RUN_RUNNING;
        link_on_started(f->link, r);
    }
}

static void give(void *ctx, enum pool_kind pool, struct run *r, struct now now)
{
    (void)now;
    struct fixture *f = ctx;
    struct fake_pool *p = &f->pools[pool];
    assert_true(p->n_waiting < MOST);
    p->waiting[p->n_waiting++] = r;
    begin_next(f, p);
}

static struct run *take_at(struct run **runs, size_t *n, size_t i)
{
    struct run *r = runs[i];
    memmove(runs + i, runs + i + 1, (--*n - i) * sizeof(r));
    return r;
}

static size_t index_of(struct run *const *runs, size_t n, uint64_t job, uint64_t attempt)
{
    size_t i = 0;
    while (i < n && (runs[i]->job.job != job || runs[i]->job.attempt != attempt))
        i++;
    return i;
}

static struct run *take_waiting(void *ctx, enum pool_kind pool, uint64_t job, uint64_t attempt)
{
    struct fake_pool *p = &((struct fixture *)ctx)->pools[pool];
    size_t i = index_of(p->waiting, p->n_waiting, job, attempt);
    return i < p->n_waiting ? take_at(p->waiting, &p->n_waiting, i) : NULL;
}

static struct run *take_any_waiting(void *ctx, enum pool_kind pool)
{
    struct fake_pool *p = &((struct fixture *)ctx)->pools[pool];
    return p->n_waiting ? take_at(p->waiting, &p->n_waiting, p->n_waiting - 1) : NULL;
}

static void stop(void *ctx, enum pool_kind pool, uint64_t job, uint64_t attempt, enum reason reason,
                 int64_t grace_ms, struct now now)
{
    (void)now;
    struct fake_pool *p = &((struct fixture *)ctx)->pools[pool];
    if (index_of(p->running, p->n_running, job, attempt) == p->n_running)
        return;
    p->stop_reason = reason;
    p->stop_grace_ms = grace_ms;
    p->stops++;
}

static struct pool_load load(void *ctx, enum pool_kind pool)
{
    struct fake_pool *p = &((struct fixture *)ctx)->pools[pool];
    return (struct pool_load){ pool, p->slots, p->n_running, p->stuck, p->n_waiting, 0, 0, 0 };
}

static void forget_said(struct fixture *f)
{
    for (size_t i = 0; i < f->n_said; i++) {
        message_fini(&f->said[i]);
        buf_fini(&f->bytes[i]);
    }
    f->n_said = 0;
}

static void hear(struct fixture *f, struct buf bytes)
{
    const char *why = NULL;
    assert_true(f->n_said < MOST);
    f->bytes[f->n_said] = bytes;
    assert_int_equal(message_decode(&f->said[f->n_said], bytes.p, bytes.n, &why), 0);
    f->n_said++;
}

/* The end of a turn: what the worker's loop does. */
static void turn(struct fixture *f)
{
    forget_said(f);
    link_tick(f->link, f->now);
    f->due_ms = link_flush(f->link, f->now);
    struct buf bytes;
    while (link_take_message(f->link, &bytes)) {
        if (!f->refuse) {
            hear(f, bytes);
            continue;
        }
        f->refused++;
        buf_fini(&bytes);
        link_on_unsent(f->link, f->now);
    }
    f->reopened += link_take_reopen(f->link);
}

static void pass(struct fixture *f, int64_t ms)
{
    f->now.mono_ms += ms;
    f->now.wall_ms += ms;
}

static const struct message *find_said(struct fixture *f, enum message_type type)
{
    for (size_t i = 0; i < f->n_said; i++)
        if (f->said[i].type == type)
            return &f->said[i];
    return NULL;
}

static size_t count_said(struct fixture *f, enum message_type type)
{
    size_t n = 0;
    for (size_t i = 0; i < f->n_said; i++)
        n += f->said[i].type == type;
    return n;
}

/* Passes time in small turns until the link says such a message; NULL when it does not within
 * ms. */
static const struct message *await(struct fixture *f, enum message_type type, int64_t ms)
{
    int64_t end_ms = f->now.mono_ms + ms;
    for (turn(f); !find_said(f, type) && f->now.mono_ms < end_ms; turn(f))
        pass(f, 10);
    return find_said(f, type);
}

/* Encoded and decoded, as on the wire, under the broker's session; then a turn. */
static void tell_only(struct fixture *f, struct message *m)
{
    struct buf bytes;
    struct message decoded;
    const char *why = NULL;
    m->epoch = f->epoch;
    m->session = f->session;
    buf_init(&bytes, LIMIT_MESSAGE_BYTES);
    assert_int_equal(message_encode(&bytes, m), 0);
    assert_int_equal(message_decode(&decoded, bytes.p, bytes.n, &why), 0);
    link_recv(f->link, &decoded, f->now);
    message_fini(&decoded);
    buf_fini(&bytes);
}

static void tell(struct fixture *f, struct message *m)
{
    tell_only(f, m);
    turn(f);
}

static void tell_run_in(struct fixture *f, uint64_t job, uint64_t attempt, uint64_t pool,
                        const char *handler)
{
    struct run_job j;
    struct message m;
    record_init(RECORD_run_job, &j);
    j.job = job;
    j.attempt = attempt;
    j.pool = pool;
    j.queue = str_of("default");
    j.handler = str_of(handler);
    j.payload = str_of("payload");
    message_init(&m, MSG_RUN);
    m.run.jobs = &j;
    m.run.n_jobs = 1;
    tell(f, &m);
}

static void tell_run(struct fixture *f, uint64_t job, uint64_t attempt)
{
    tell_run_in(f, job, attempt, POOL_THREAD, "echo");
}

/* RECORDED, TAKE_BACK and STOP have the same shape. */
static void tell_of(struct fixture *f, enum message_type type, uint64_t job, uint64_t attempt)
{
    struct attempt_ref ref = { job, attempt };
    struct message m;
    message_init(&m, type);
    m.recorded.attempts = &ref;
    m.recorded.n_attempts = 1;
    tell(f, &m);
}

static void tell_welcome(struct fixture *f, struct attempt_ref *gone, size_t n_gone)
{
    struct message m;
    message_init(&m, MSG_WELCOME);
    m.welcome.version = PROTOCOL_VERSION;
    m.welcome.heartbeat_ms = 2000;
    m.welcome.lost_after_ms = 10000;
    m.welcome.gone = gone;
    m.welcome.n_gone = n_gone;
    tell(f, &m);
}

static void tell_bare(struct fixture *f, enum message_type type)
{
    struct message m;
    message_init(&m, type);
    tell(f, &m);
}

/* The broker answers each BEAT. */
static void answer_beats(struct fixture *f)
{
    uint64_t req = 0;
    for (size_t i = 0; i < f->n_said; i++)
        if (f->said[i].type == MSG_BEAT)
            req = f->said[i].beat.req;
    struct message m;
    message_init(&m, MSG_BEAT);
    m.beat.req = req;
    tell(f, &m);
}

static void restart_broker(struct fixture *f)
{
    f->epoch++;
    f->session = 1;
}

static void finish_as(struct fixture *f, uint64_t job, uint64_t attempt, enum ending ending,
                      enum reason reason, const char *result)
{
    struct fake_pool *p = &f->pools[POOL_THREAD];
    size_t i = index_of(p->running, p->n_running, job, attempt);
    assert_true(i < p->n_running);
    struct run *r = take_at(p->running, &p->n_running, i);
    struct outcome o;
    record_init(RECORD_outcome, &o);
    o.ending = ending;
    o.reason = reason;
    o.result = str_of(result);
    run_finish(r, &o, f->now.mono_ms * 1000);
    link_on_finished(f->link, r);
    begin_next(f, p);
}

static void finish(struct fixture *f, uint64_t job, uint64_t attempt)
{
    finish_as(f, job, attempt, ENDING_DONE, REASON_NONE, "result");
}

static bool is_over(struct fixture *f)
{
    int status = -1;
    bool over = link_is_over(f->link, &status);
    assert_true(!over || status == 0);
    return over;
}

static struct handler_info handlers[2];
static const struct str queues[] = { { "default", 7 } };

static int set_up(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    log_init("test_link", LOG_LEVEL_ERROR);
    for (size_t i = 0; i < ELEMENTS(handlers); i++)
        record_init(RECORD_handler_info, &handlers[i]);
    handlers[0].name = str_of("echo");
    handlers[1].name = str_of("sleep");
    rng_init(&f->rng, 1);
    f->now = (struct now){ 1700000000000, 1000000 };
    f->epoch = 7;
    f->session = 3;
    f->pools[POOL_THREAD].slots = 2;
    f->pools[POOL_PROCESS].slots = 1;
    f->options = (struct link_options){
        .name = "w1",
        .host = "here",
        .software = "tern 0",
        .pid = 42,
        .instance = "sixteen bytes!!",
        .queues = queues,
        .n_queues = 1,
        .handlers = handlers,
        .n_handlers = 2,
        .pool_on = { [POOL_THREAD] = true, [POOL_PROCESS] = true },
        .pools = { f, give, take_waiting, take_any_waiting, stop, load },
        .rng = &f->rng,
    };
    f->link = link_new(&f->options, f->now);
    *state = f;
    return 0;
}

static int set_up_welcome(void **state)
{
    set_up(state);
    turn(*state);
    tell_welcome(*state, NULL, 0);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    forget_said(f);
    for (size_t k = 0; k < N_POOLS; k++) {
        struct fake_pool *p = &f->pools[k];
        while (p->n_waiting)
            run_free(p->waiting[--p->n_waiting]);
        while (p->n_running)
            run_free(p->running[--p->n_running]);
    }
    link_free(f->link);
    free(f);
    return 0;
}

/* ---- sessions -------------------------------------------------------------------------------- */

static void hello_says_who_the_worker_is(void **state)
{
    struct fixture *f = *state;
    turn(f);
    const struct message *m = find_said(f, MSG_HELLO);
    assert_non_null(m);
    assert_int_equal(m->epoch, 0);
    assert_int_equal(m->session, 0);
    assert_true(str_is(m->hello.role, "worker"));
    assert_true(str_is(m->hello.name, "w1"));
    assert_true(str_is(m->hello.host, "here"));
    assert_int_equal(m->hello.pid, 42);
    assert_int_equal(m->hello.instance.n, 16);
    assert_int_equal(m->hello.n_queues, 1);
    assert_int_equal(m->hello.n_handlers, 2);
    assert_int_equal(m->hello.n_pools, 2);
    assert_int_equal(m->hello.pools[0].pool, POOL_PROCESS);
    assert_int_equal(m->hello.pools[1].slots, 2);
    assert_int_equal(m->hello.n_held, 0);
    assert_int_equal(f->n_said, 1);
}

static void nothing_but_hello_is_said_before_welcome(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 300; i++) {
        turn(f);
        assert_int_equal(f->n_said, count_said(f, MSG_HELLO));
        pass(f, 100);
    }
}

static void a_hello_that_the_socket_refuses_is_repeated_within_a_second_for_ever(void **state)
{
    struct fixture *f = *state;
    f->refuse = true;
    for (int minute = 0; minute < 5; minute++) {
        size_t before = f->refused;
        for (int i = 0; i < 6000; i++, pass(f, 10))
            turn(f);
        assert_in_range(f->refused - before, 60, minute ? 130 : 140);
    }
    f->refuse = false;
    assert_non_null(await(f, MSG_HELLO, 1000));
}

/* ZeroMQ tries again less and less often by itself. */
static void without_a_connection_the_socket_is_opened_anew_again_and_again(void **state)
{
    struct fixture *f = *state;
    f->refuse = true;
    for (int i = 0; i < 1000; i++, pass(f, 10))
        turn(f);
    assert_in_range(f->reopened, 2, 4);
}

static void a_hello_without_welcome_opens_a_new_connection(void **state)
{
    struct fixture *f = *state;
    turn(f);
    assert_null(await(f, MSG_BEAT, 3000));
    assert_in_range(f->reopened, 1, 3);
}

static void welcome_rules_the_heartbeat(void **state)
{
    struct fixture *f = *state;
    turn(f);
    struct message m;
    message_init(&m, MSG_WELCOME);
    m.welcome.heartbeat_ms = 300;
    m.welcome.lost_after_ms = 1500;
    tell(f, &m);
    int64_t from_ms = f->now.mono_ms;
    assert_non_null(await(f, MSG_BEAT, 2000));
    assert_int_equal(f->now.mono_ms - from_ms, 300);
    pass(f, 10);
    assert_non_null(await(f, MSG_BEAT, 2000));
    assert_int_equal(f->now.mono_ms - from_ms, 600);
}

static void a_beat_carries_epoch_session_and_load(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    tell_run(f, 2, 1);
    tell_run(f, 3, 1);
    const struct message *m = await(f, MSG_BEAT, 2000);
    assert_non_null(m);
    assert_int_equal(m->epoch, 7);
    assert_int_equal(m->session, 3);
    assert_int_equal(m->beat.n_pools, 2);
    assert_int_equal(m->beat.pools[1].pool, POOL_THREAD);
    assert_int_equal(m->beat.pools[1].slots, 2);
    assert_int_equal(m->beat.pools[1].used, 2);
    assert_int_equal(m->beat.pools[1].waiting, 1);
}

static void a_stuck_slot_is_told_at_once(void **state)
{
    struct fixture *f = *state;
    pass(f, 10);
    turn(f);
    assert_null(find_said(f, MSG_BEAT));
    f->pools[POOL_THREAD].stuck = 1;
    turn(f);
    assert_non_null(find_said(f, MSG_BEAT));
    turn(f);
    assert_null(find_said(f, MSG_BEAT));
}

static void the_next_turn_is_asked_for_when_the_beat_is_due(void **state)
{
    struct fixture *f = *state;
    turn(f);
    assert_int_equal(f->due_ms, f->now.mono_ms + 2000);
}

static void a_silent_broker_gets_a_new_connection_and_hello(void **state)
{
    struct fixture *f = *state;
    int64_t from_ms = f->now.mono_ms;
    assert_non_null(await(f, MSG_HELLO, 12000));
    assert_in_range(f->now.mono_ms - from_ms, 10000, 10500);
    assert_int_equal(f->reopened, 1);
}

static void a_broker_that_answers_beats_is_not_silent(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 30; i++) {
        assert_non_null(await(f, MSG_BEAT, 2000));
        answer_beats(f);
        pass(f, 10);
    }
    assert_int_equal(f->reopened, 0);
    assert_true(link_view(f->link).connected);
}

static void a_standstill_of_the_worker_itself_is_not_taken_for_a_silent_broker(void **state)
{
    struct fixture *f = *state;
    pass(f, 60000);
    turn(f);
    assert_int_equal(f->reopened, 0);
    assert_non_null(find_said(f, MSG_BEAT));
}

static void hello_again_is_answered_with_hello_but_not_in_a_storm(void **state)
{
    struct fixture *f = *state;
    pass(f, 1000);
    size_t hellos = 0;
    for (int i = 0; i < 100; i++) {
        tell_bare(f, MSG_HELLO_AGAIN);
        hellos += count_said(f, MSG_HELLO);
        if (find_said(f, MSG_HELLO)) {
            f->session++;
            tell_welcome(f, NULL, 0);
        }
        pass(f, 10);
    }
    assert_in_range(hellos, 9, 11);
}

static void hello_again_while_a_hello_is_under_way_is_the_answer_to_something_older(void **state)
{
    struct fixture *f = *state;
    pass(f, 1000);
    tell_bare(f, MSG_HELLO_AGAIN);
    assert_int_equal(count_said(f, MSG_HELLO), 1);
    tell_bare(f, MSG_HELLO_AGAIN);
    assert_int_equal(f->n_said, 0);
    f->session++;
    tell_welcome(f, NULL, 0);
    assert_true(link_view(f->link).connected);
    assert_int_equal(link_view(f->link).session, 4);
}

static void a_welcome_that_nobody_asked_for_is_ignored(void **state)
{
    struct fixture *f = *state;
    f->session = 99;
    tell_welcome(f, NULL, 0);
    assert_int_equal(link_view(f->link).session, 3);
}

static void a_worker_that_is_not_allowed_leaves_with_77(void **state)
{
    struct fixture *f = *state;
    struct message m;
    int status = 0;
    turn(f);
    log_init("test_link", (enum log_level)0);
    message_init(&m, MSG_ERROR);
    m.error.code = CODE_NOT_ALLOWED;
    m.error.text = str_of("no");
    tell(f, &m);
    assert_true(link_is_over(f->link, &status));
    assert_int_equal(status, 77);
}

static void a_worker_that_was_let_in_once_goes_on_when_it_is_not_allowed(void **state)
{
    struct fixture *f = *state;
    struct message m;
    tell_run(f, 1, 1);
    pass(f, 1000);
    tell_bare(f, MSG_HELLO_AGAIN);
    message_init(&m, MSG_ERROR);
    m.error.code = CODE_NOT_ALLOWED;
    tell(f, &m);
    assert_false(is_over(f));
    assert_non_null(await(f, MSG_HELLO, 1500));
    assert_int_equal(f->pools[POOL_THREAD].n_running, 1);
}

static void a_worker_whose_key_was_revoked_is_not_in_any_more_and_asks_again(void **state)
{
    struct fixture *f = *state;
    struct message m;
    tell_run(f, 1, 1);
    message_init(&m, MSG_ERROR);
    m.error.code = CODE_NOT_ALLOWED;
    m.error.req = 7; /* what was asked is refused, nothing else */
    tell(f, &m);
    assert_true(link_view(f->link).connected);
    m.error.req = 0;
    tell(f, &m);
    assert_false(link_view(f->link).connected);
    assert_non_null(await(f, MSG_HELLO, 1500));
    assert_int_equal(f->pools[POOL_THREAD].n_running, 1);
    tell_welcome(f, NULL, 0);
    assert_true(link_view(f->link).connected);
}

static void a_message_that_the_socket_refuses_ends_the_session(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    f->refuse = true;
    finish(f, 1, 1);
    turn(f);
    assert_false(link_view(f->link).connected);
    f->refuse = false;
    const struct message *m = await(f, MSG_HELLO, 1500);
    assert_non_null(m);
    assert_int_equal(m->hello.n_held, 1);
    assert_int_equal(m->hello.held[0].held, HELD_FINISHED);
}

static void the_brokers_goodbye_ends_the_session_and_nothing_else(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    tell_bare(f, MSG_BYE);
    assert_false(link_view(f->link).connected);
    assert_int_equal(f->pools[POOL_THREAD].n_running, 1);
    assert_non_null(await(f, MSG_HELLO, 1500));
}

/* ---- runs and results ------------------------------------------------------------------------ */

static void a_run_starts_and_is_reported(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    assert_int_equal(f->pools[POOL_THREAD].n_running, 1);
    const struct message *m = find_said(f, MSG_STARTED);
    assert_non_null(m);
    assert_int_equal(m->epoch, 7);
    assert_int_equal(m->session, 3);
    assert_int_equal(m->started.n_attempts, 1);
    assert_int_equal(m->started.attempts[0].job, 1);
    assert_int_equal(m->started.attempts[0].attempt, 1);
}

static void run_of_an_old_session_is_dropped(void **state)
{
    struct fixture *f = *state;
    f->session = 2;
    tell_run(f, 1, 1);
    f->session = 3;
    f->epoch = 6;
    tell_run(f, 1, 1);
    assert_int_equal(link_view(f->link).held, 0);
    assert_int_equal(f->n_said, 0);
}

static void run_is_dropped_while_a_hello_is_under_way(void **state)
{
    struct fixture *f = *state;
    pass(f, 1000);
    tell_bare(f, MSG_HELLO_AGAIN);
    tell_run(f, 1, 1);
    assert_int_equal(link_view(f->link).held, 0);
}

static void a_repeated_run_is_ignored(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    tell_run(f, 1, 1);
    assert_int_equal(f->pools[POOL_THREAD].n_running, 1);
    assert_int_equal(f->n_said, 0);
    finish(f, 1, 1);
    turn(f);
    tell_run(f, 1, 1);
    assert_int_equal(f->pools[POOL_THREAD].n_running, 0);
    assert_int_equal(link_view(f->link).held, 1);
}

static void two_attempts_of_one_job_are_held_apart(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    tell_run(f, 1, 2);
    finish(f, 1, 1);
    turn(f);
    assert_int_equal(find_said(f, MSG_RESULT)->result.outcomes[0].attempt, 1);
    tell_of(f, MSG_RECORDED, 1, 1);
    assert_int_equal(link_view(f->link).held, 1);
    finish(f, 1, 2);
    turn(f);
    assert_int_equal(find_said(f, MSG_RESULT)->result.outcomes[0].attempt, 2);
}

static void all_that_ended_in_one_turn_is_in_one_message(void **state)
{
    struct fixture *f = *state;
    f->pools[POOL_THREAD].slots = 10;
    for (uint64_t job = 1; job <= 10; job++)
        tell_run(f, job, 1);
    for (uint64_t job = 1; job <= 10; job++)
        finish(f, job, 1);
    pass(f, 5);
    turn(f);
    assert_int_equal(count_said(f, MSG_RESULT), 1);
    const struct message *m = find_said(f, MSG_RESULT);
    assert_int_equal(m->result.n_outcomes, 10);
    assert_int_equal(m->result.outcomes[0].job, 1);
    assert_int_equal(m->result.outcomes[9].ending, ENDING_DONE);
    assert_int_equal(m->result.outcomes[9].ago_us, 5000);
    assert_int_equal(m->result.outcomes[9].pool, POOL_THREAD);
    assert_true(str_is(m->result.outcomes[9].result, "result"));
}

static void what_started_and_ended_in_one_turn_is_told_once(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    f->pools[POOL_THREAD].slots = 1;
    tell_run(f, 2, 1);
    finish(f, 1, 1); /* job 2 starts */
    finish(f, 2, 1);
    turn(f);
    assert_null(find_said(f, MSG_STARTED));
    assert_int_equal(find_said(f, MSG_RESULT)->result.n_outcomes, 2);
}

static void large_results_are_split_into_messages_and_wait_for_the_window(void **state)
{
    struct fixture *f = *state;
    cleanup(freep) char *large = xmalloc((1u << 20) + 1);
    memset(large, 'x', 1u << 20);
    large[1u << 20] = '\0';
    f->pools[POOL_THREAD].slots = 100;
    for (uint64_t job = 1; job <= 80; job++)
        tell_run(f, job, 1);
    for (uint64_t job = 1; job <= 80; job++)
        finish_as(f, job, 1, ENDING_DONE, REASON_NONE, large);
    turn(f);
    size_t sent = 0;
    for (size_t i = 0; i < f->n_said; i++) {
        if (f->said[i].type != MSG_RESULT)
            continue;
        assert_in_range(f->said[i].result.n_outcomes, 1, 4);
        sent += f->said[i].result.n_outcomes;
    }
    assert_in_range(sent, 60, 70);
    for (uint64_t job = 1; job <= 20; job++) {
        tell_of(f, MSG_RECORDED, job, 1);
        for (size_t i = 0; i < f->n_said; i++)
            sent += f->said[i].type == MSG_RESULT ? f->said[i].result.n_outcomes : 0;
    }
    assert_int_equal(sent, 80);
}

static void an_outcome_is_kept_until_it_is_recorded(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    finish(f, 1, 1);
    turn(f);
    assert_int_equal(link_view(f->link).unrecorded, 1);
    tell_of(f, MSG_RECORDED, 1, 1);
    assert_int_equal(link_view(f->link).held, 0);
    assert_null(await(f, MSG_RESULT, 1500));
}

static void an_outcome_that_is_not_recorded_is_sent_again_after_10_s(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    finish(f, 1, 1);
    turn(f);
    int64_t from_ms = f->now.mono_ms;
    while (f->now.mono_ms - from_ms < 9990) {
        pass(f, 10);
        turn(f);
        assert_null(find_said(f, MSG_RESULT));
        if (find_said(f, MSG_BEAT))
            answer_beats(f);
    }
    pass(f, 10);
    turn(f);
    assert_int_equal(count_said(f, MSG_RESULT), 1);
}

static void a_finished_outcome_survives_a_broker_restart_and_is_delivered_once_more(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    finish(f, 1, 1);
    turn(f);
    assert_non_null(find_said(f, MSG_RESULT));
    restart_broker(f);
    pass(f, 1000);
    tell_bare(f, MSG_HELLO_AGAIN);
    const struct message *m = find_said(f, MSG_HELLO);
    assert_int_equal(m->hello.n_held, 1);
    assert_int_equal(m->hello.held[0].job, 1);
    assert_int_equal(m->hello.held[0].held, HELD_FINISHED);
    tell_welcome(f, NULL, 0);
    m = find_said(f, MSG_RESULT);
    assert_non_null(m);
    assert_int_equal(m->epoch, 8);
    assert_int_equal(m->session, 1);
    assert_int_equal(m->result.n_outcomes, 1);
    assert_int_equal(m->result.outcomes[0].ago_us, 1000000);
    tell_of(f, MSG_RECORDED, 1, 1);
    assert_null(await(f, MSG_RESULT, 9000));
}

static void hello_lists_what_waits_runs_and_is_finished(void **state)
{
    struct fixture *f = *state;
    for (uint64_t job = 1; job <= 4; job++)
        tell_run(f, job, job + 10);
    finish(f, 2, 12);
    turn(f);
    pass(f, 1000);
    tell_bare(f, MSG_HELLO_AGAIN);
    const struct message *m = find_said(f, MSG_HELLO);
    static const uint64_t want[] = { HELD_RUNNING, HELD_FINISHED, HELD_RUNNING, HELD_WAITING };
    assert_int_equal(m->hello.n_held, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(m->hello.held[i].job, i + 1);
        assert_int_equal(m->hello.held[i].attempt, i + 11);
        assert_int_equal(m->hello.held[i].held, want[i]);
        assert_int_equal(m->hello.held[i].pool, POOL_THREAD);
    }
}

static void a_worker_without_a_broker_goes_on_and_delivers_later(void **state)
{
    struct fixture *f = *state;
    for (uint64_t job = 1; job <= 3; job++)
        tell_run(f, job, 1);
    f->refuse = true;
    for (int i = 0; i < 6000; i++, pass(f, 100))
        turn(f);
    assert_int_equal(f->pools[POOL_THREAD].n_running, 2);
    finish(f, 1, 1);
    finish(f, 2, 1);
    for (int i = 0; i < 600; i++, pass(f, 100))
        turn(f);
    f->refuse = false;
    restart_broker(f);
    assert_int_equal(await(f, MSG_HELLO, 1500)->hello.n_held, 3);
    tell_welcome(f, NULL, 0);
    assert_int_equal(find_said(f, MSG_RESULT)->result.n_outcomes, 2);
    assert_int_equal(f->pools[POOL_THREAD].n_running, 1);
}

static void gone_attempts_are_stopped_and_their_results_dropped(void **state)
{
    struct fixture *f = *state;
    for (uint64_t job = 1; job <= 5; job++)
        tell_run(f, job, 1);
    finish(f, 1, 1); /* 2 and 3 run, 4 and 5 wait */
    turn(f);
    pass(f, 1000);
    tell_bare(f, MSG_HELLO_AGAIN);
    restart_broker(f);
    struct attempt_ref gone[] = { { 1, 1 }, { 2, 1 }, { 4, 1 }, { 77, 1 } };
    tell_welcome(f, gone, 4);
    assert_null(find_said(f, MSG_RESULT));
    assert_int_equal(f->pools[POOL_THREAD].stops, 1);
    assert_int_equal(f->pools[POOL_THREAD].n_waiting, 1);
    finish(f, 2, 1);
    turn(f);
    assert_null(find_said(f, MSG_RESULT));
    assert_null(find_said(f, MSG_GIVEN));
    assert_int_equal(link_view(f->link).held, 2); /* 3 and 5 */
}

static void a_gone_attempt_that_still_runs_is_not_listed_and_not_taken_anew(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    pass(f, 1000);
    tell_bare(f, MSG_HELLO_AGAIN);
    tell_welcome(f, &(struct attempt_ref){ 1, 1 }, 1);
    tell_run(f, 1, 1);
    assert_int_equal(find_said(f, MSG_GIVEN)->given.n_attempts, 1);
    pass(f, 1000);
    tell_bare(f, MSG_HELLO_AGAIN);
    assert_int_equal(find_said(f, MSG_HELLO)->hello.n_held, 0);
}

static void an_unknown_handler_fails_with_a_text(void **state)
{
    struct fixture *f = *state;
    log_init("test_link", LOG_LEVEL_ERROR);
    tell_run_in(f, 1, 1, POOL_THREAD, "nobody");
    const struct message *m = find_said(f, MSG_RESULT);
    assert_non_null(m);
    assert_int_equal(m->result.outcomes[0].ending, ENDING_FAILED);
    assert_int_equal(m->result.outcomes[0].reason, REASON_HANDLER_ERROR);
    assert_true(str_is(m->result.outcomes[0].error, "worker w1 has no handler nobody"));
    assert_int_equal(link_view(f->link).unrecorded, 1);
}

static void what_waits_for_a_handler_that_is_gone_is_not_listed_in_the_next_hello(void **state)
{
    struct fixture *f = *state;
    const struct str notices[] = { str_of("module x.so refused") };
    tell_run_in(f, 1, 1, POOL_THREAD, "sleep");
    tell_run(f, 2, 1);
    tell_run_in(f, 3, 1, POOL_THREAD, "sleep"); /* waits, as the next */
    tell_run(f, 4, 1);
    link_set_handlers(f->link, handlers, 1, notices, 1, f->now);
    turn(f);
    const struct msg_hello *h = &find_said(f, MSG_HELLO)->hello;
    assert_int_equal(h->n_handlers, 1);
    assert_true(str_is(h->notices[0], "module x.so refused"));
    assert_int_equal(h->n_held, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_not_equal(h->held[i].job, 3);
}

static void a_pool_that_is_off_fails_with_a_text(void **state)
{
    struct fixture *f = *state;
    tell_run_in(f, 1, 1, POOL_LOOP, "echo");
    assert_true(
        str_is(find_said(f, MSG_RESULT)->result.outcomes[0].error, "worker w1 has no loop pool"));
    tell_run_in(f, 2, 1, 1234567, "echo");
    assert_true(
        str_is(find_said(f, MSG_RESULT)->result.outcomes[0].error, "worker w1 has no ? pool"));
}

static void take_back_of_what_waits_is_given(void **state)
{
    struct fixture *f = *state;
    for (uint64_t job = 1; job <= 3; job++)
        tell_run(f, job, 1);
    tell_of(f, MSG_TAKE_BACK, 3, 1);
    const struct message *m = find_said(f, MSG_GIVEN);
    assert_non_null(m);
    assert_int_equal(m->given.attempts[0].job, 3);
    assert_int_equal(m->given.attempts[0].started, 0);
    assert_int_equal(link_view(f->link).held, 2);
}

static void take_back_of_what_runs_is_answered_with_started(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    tell_of(f, MSG_TAKE_BACK, 1, 1);
    assert_null(find_said(f, MSG_GIVEN));
    assert_int_equal(find_said(f, MSG_STARTED)->started.attempts[0].job, 1);
    tell_of(f, MSG_TAKE_BACK, 9, 1);
    assert_int_equal(f->n_said, 0);
}

static void stop_ends_what_waits_at_once_as_cancelled(void **state)
{
    struct fixture *f = *state;
    for (uint64_t job = 1; job <= 3; job++)
        tell_run(f, job, 1);
    tell_of(f, MSG_STOP, 3, 1);
    const struct message *m = find_said(f, MSG_RESULT);
    assert_int_equal(m->result.outcomes[0].ending, ENDING_CANCELLED);
    assert_int_equal(m->result.outcomes[0].reason, REASON_CANCELLED);
    assert_int_equal(f->pools[POOL_THREAD].n_waiting, 0);
}

static void stop_tells_what_runs_with_its_grace(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    tell_of(f, MSG_STOP, 1, 1);
    assert_int_equal(f->pools[POOL_THREAD].stops, 1);
    assert_int_equal(f->pools[POOL_THREAD].stop_reason, REASON_CANCELLED);
    assert_int_equal(f->pools[POOL_THREAD].stop_grace_ms, 5000);
    finish_as(f, 1, 1, ENDING_CANCELLED, REASON_CANCELLED, NULL);
    turn(f);
    assert_int_equal(find_said(f, MSG_RESULT)->result.outcomes[0].ending, ENDING_CANCELLED);
    tell_of(f, MSG_STOP, 1, 1);
    tell_of(f, MSG_STOP, 2, 1);
    assert_int_equal(f->pools[POOL_THREAD].stops, 1);
}

static void a_crash_is_a_result_and_not_given_back(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    finish_as(f, 1, 1, ENDING_LOST, REASON_SIGNAL, NULL);
    turn(f);
    assert_null(find_said(f, MSG_GIVEN));
    assert_int_equal(find_said(f, MSG_RESULT)->result.outcomes[0].ending, ENDING_LOST);
}

/* ---- quiet and drain ------------------------------------------------------------------------- */

static void a_quiet_worker_gives_back_what_waits_and_takes_nothing(void **state)
{
    struct fixture *f = *state;
    for (uint64_t job = 1; job <= 3; job++)
        tell_run(f, job, 1);
    link_quiet(f->link, f->now);
    turn(f);
    assert_int_equal(find_said(f, MSG_GIVEN)->given.attempts[0].job, 3);
    assert_int_equal(find_said(f, MSG_BEAT)->beat.pools[1].slots, 0);
    tell_run(f, 4, 1);
    assert_int_equal(find_said(f, MSG_GIVEN)->given.attempts[0].job, 4);
    assert_int_equal(f->pools[POOL_THREAD].n_running, 2);
    link_resume(f->link, f->now);
    turn(f);
    assert_int_equal(find_said(f, MSG_BEAT)->beat.pools[1].slots, 2);
    tell_run(f, 5, 1);
    assert_int_equal(f->pools[POOL_THREAD].n_waiting, 1);
    assert_false(is_over(f));
}

static void draining_gives_back_what_waits_and_lets_the_rest_finish(void **state)
{
    struct fixture *f = *state;
    for (uint64_t job = 1; job <= 4; job++)
        tell_run(f, job, 1);
    link_drain(f->link, f->now.mono_ms + 60000, f->now);
    turn(f);
    const struct message *m = find_said(f, MSG_GIVEN);
    assert_int_equal(m->given.n_attempts, 2);
    assert_int_equal(m->given.attempts[0].started, 0);
    assert_int_equal(find_said(f, MSG_BEAT)->beat.pools[1].slots, 0);
    answer_beats(f);
    finish(f, 1, 1);
    finish(f, 2, 1);
    turn(f);
    assert_int_equal(find_said(f, MSG_RESULT)->result.n_outcomes, 2);
    assert_int_equal(f->pools[POOL_THREAD].stops, 0);
    tell_of(f, MSG_RECORDED, 1, 1);
    assert_false(is_over(f));
    tell_of(f, MSG_RECORDED, 2, 1);
    assert_non_null(find_said(f, MSG_BYE));
    assert_true(is_over(f));
}

static void at_the_deadline_what_runs_is_stopped_and_given_back(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    link_drain(f->link, f->now.mono_ms + 1000, f->now);
    turn(f);
    assert_int_equal(f->due_ms, f->now.mono_ms + 1000);
    pass(f, 990);
    turn(f);
    assert_int_equal(f->pools[POOL_THREAD].stops, 0);
    pass(f, 10);
    turn(f);
    assert_int_equal(f->pools[POOL_THREAD].stops, 1);
    assert_int_equal(f->pools[POOL_THREAD].stop_reason, REASON_NONE);
    finish_as(f, 1, 1, ENDING_LOST, REASON_NONE, NULL);
    turn(f);
    const struct message *m = find_said(f, MSG_GIVEN);
    assert_int_equal(m->given.attempts[0].started, 1);
    assert_true(str_is(m->given.attempts[0].text, "worker drained"));
    assert_false(is_over(f)); /* until the broker is known to have read it */
    answer_beats(f);
    assert_true(is_over(f));
}

static void a_second_term_stops_all_without_grace(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    link_drain(f->link, f->now.mono_ms + 60000, f->now);
    turn(f);
    link_drain_at_once(f->link, f->now);
    assert_int_equal(f->pools[POOL_THREAD].stops, 1);
    assert_int_equal(f->pools[POOL_THREAD].stop_grace_ms, 0);
}

static void a_drain_asked_for_at_the_broker_has_no_deadline(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    tell_bare(f, MSG_DRAIN);
    assert_int_equal(find_said(f, MSG_BEAT)->beat.pools[1].slots, 0);
    for (int i = 0; i < 10000; i++) {
        pass(f, 1000);
        turn(f);
        answer_beats(f);
    }
    assert_int_equal(f->pools[POOL_THREAD].stops, 0);
    finish(f, 1, 1);
    turn(f);
    tell_of(f, MSG_RECORDED, 1, 1);
    assert_true(is_over(f));
}

static void a_worker_that_holds_nothing_drains_at_once(void **state)
{
    struct fixture *f = *state;
    link_drain(f->link, f->now.mono_ms + 60000, f->now);
    turn(f);
    assert_non_null(find_said(f, MSG_BYE));
    assert_true(is_over(f));
}

static void a_worker_that_never_met_a_broker_drains_at_once(void **state)
{
    struct fixture *f = *state;
    f->refuse = true;
    turn(f);
    link_drain(f->link, f->now.mono_ms + 60000, f->now);
    turn(f);
    assert_true(is_over(f));
}

static void draining_without_a_broker_waits_5_s_for_the_last_results(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    f->refuse = true;
    finish(f, 1, 1);
    turn(f);
    link_drain(f->link, f->now.mono_ms + 60000, f->now);
    int64_t from_ms = f->now.mono_ms;
    for (turn(f); !is_over(f); turn(f))
        pass(f, 10);
    assert_int_equal(f->now.mono_ms - from_ms, 5000);
}

static void hello_of_a_draining_worker_says_so(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    link_drain(f->link, f->now.mono_ms + 60000, f->now);
    turn(f);
    pass(f, 1000);
    tell_bare(f, MSG_HELLO_AGAIN);
    const struct message *m = find_said(f, MSG_HELLO);
    assert_int_equal(m->hello.draining, 1);
    assert_int_equal(m->hello.pools[1].slots, 0);
}

static void what_was_given_back_between_hello_and_welcome_is_given_after_it(void **state)
{
    struct fixture *f = *state;
    for (uint64_t job = 1; job <= 3; job++)
        tell_run(f, job, 1);
    pass(f, 1000);
    tell_bare(f, MSG_HELLO_AGAIN);
    assert_int_equal(find_said(f, MSG_HELLO)->hello.n_held, 3);
    link_drain(f->link, NEVER, f->now);
    turn(f);
    assert_int_equal(f->n_said, 0);
    f->session++;
    tell_welcome(f, NULL, 0);
    assert_int_equal(find_said(f, MSG_GIVEN)->given.attempts[0].job, 3);
}

/* ---- anything at all ------------------------------------------------------------------------- */

static void tell_anything(struct fixture *f, struct rng *rng)
{
    static const enum message_type of_one[] = { MSG_RECORDED, MSG_TAKE_BACK, MSG_STOP };
    struct attempt_ref ref = { rng_below(rng, 8), rng_below(rng, 3) };
    switch (rng_below(rng, 12)) {
    case 0:
        f->session = rng_below(rng, 6) ? f->session + 1 : f->session;
        tell_welcome(f, &ref, rng_below(rng, 2));
        break;
    case 1:
        tell_bare(f, rng_below(rng, 3) ? MSG_HELLO_AGAIN : MSG_BYE);
        break;
    case 2:
        answer_beats(f);
        break;
    case 3:
    case 4:
        tell_run_in(f, ref.job, ref.attempt, rng_below(rng, 4),
                    rng_below(rng, 9) ? "echo" : "nobody");
        break;
    case 5:
        tell_bare(f, (enum message_type)(1 + rng_below(rng, 2) * 33));
        break;
    default:
        tell_of(f, of_one[rng_below(rng, 3)], ref.job, ref.attempt);
    }
}

static void finish_anything(struct fixture *f, struct rng *rng)
{
    struct fake_pool *p = &f->pools[POOL_THREAD];
    if (!p->n_running)
        return;
    struct run *r = p->running[rng_below(rng, p->n_running)];
    finish_as(f, r->job.job, r->job.attempt, (enum ending)rng_below(rng, 5),
              rng_below(rng, 2) ? REASON_NONE : REASON_EXIT, "result");
}

static void no_order_of_messages_loses_count_of_what_is_held(void **state)
{
    struct fixture *f = *state;
    struct rng rng;
    rng_init(&rng, 4711);
    log_init("test_link", (enum log_level)0);
    f->pools[POOL_LOOP].slots = 1;
    for (int i = 0; i < 20000; i++) {
        f->refuse = rng_below(&rng, 20) == 0;
        tell_anything(f, &rng);
        if (rng_below(&rng, 3) == 0)
            finish_anything(f, &rng);
        if (rng_below(&rng, 50) == 0)
            link_quiet(f->link, f->now);
        else if (rng_below(&rng, 10) == 0)
            link_resume(f->link, f->now);
        pass(f, (int64_t)rng_below(&rng, 300));
        turn(f);
        size_t in_pools = 0;
        for (size_t k = 0; k < N_POOLS; k++)
            in_pools += f->pools[k].n_waiting + f->pools[k].n_running;
        assert_int_equal(link_view(f->link).unfinished, in_pools);
    }
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define IN_SESSION(f) cmocka_unit_test_setup_teardown(f, set_up_welcome, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(hello_says_who_the_worker_is),
        CASE(nothing_but_hello_is_said_before_welcome),
        CASE(a_hello_that_the_socket_refuses_is_repeated_within_a_second_for_ever),
        CASE(without_a_connection_the_socket_is_opened_anew_again_and_again),
        CASE(a_hello_without_welcome_opens_a_new_connection),
        CASE(welcome_rules_the_heartbeat),
        IN_SESSION(a_beat_carries_epoch_session_and_load),
        IN_SESSION(a_stuck_slot_is_told_at_once),
        IN_SESSION(the_next_turn_is_asked_for_when_the_beat_is_due),
        IN_SESSION(a_silent_broker_gets_a_new_connection_and_hello),
        IN_SESSION(a_broker_that_answers_beats_is_not_silent),
        IN_SESSION(a_standstill_of_the_worker_itself_is_not_taken_for_a_silent_broker),
        IN_SESSION(hello_again_is_answered_with_hello_but_not_in_a_storm),
        IN_SESSION(hello_again_while_a_hello_is_under_way_is_the_answer_to_something_older),
        IN_SESSION(a_welcome_that_nobody_asked_for_is_ignored),
        CASE(a_worker_that_is_not_allowed_leaves_with_77),
        IN_SESSION(a_worker_that_was_let_in_once_goes_on_when_it_is_not_allowed),
        IN_SESSION(a_worker_whose_key_was_revoked_is_not_in_any_more_and_asks_again),
        IN_SESSION(a_message_that_the_socket_refuses_ends_the_session),
        IN_SESSION(the_brokers_goodbye_ends_the_session_and_nothing_else),
        IN_SESSION(a_run_starts_and_is_reported),
        IN_SESSION(run_of_an_old_session_is_dropped),
        IN_SESSION(run_is_dropped_while_a_hello_is_under_way),
        IN_SESSION(a_repeated_run_is_ignored),
        IN_SESSION(two_attempts_of_one_job_are_held_apart),
        IN_SESSION(all_that_ended_in_one_turn_is_in_one_message),
        IN_SESSION(what_started_and_ended_in_one_turn_is_told_once),
        IN_SESSION(large_results_are_split_into_messages_and_wait_for_the_window),
        IN_SESSION(an_outcome_is_kept_until_it_is_recorded),
        IN_SESSION(an_outcome_that_is_not_recorded_is_sent_again_after_10_s),
        IN_SESSION(a_finished_outcome_survives_a_broker_restart_and_is_delivered_once_more),
        IN_SESSION(hello_lists_what_waits_runs_and_is_finished),
        IN_SESSION(a_worker_without_a_broker_goes_on_and_delivers_later),
        IN_SESSION(gone_attempts_are_stopped_and_their_results_dropped),
        IN_SESSION(a_gone_attempt_that_still_runs_is_not_listed_and_not_taken_anew),
        IN_SESSION(an_unknown_handler_fails_with_a_text),
        IN_SESSION(what_waits_for_a_handler_that_is_gone_is_not_listed_in_the_next_hello),
        IN_SESSION(a_pool_that_is_off_fails_with_a_text),
        IN_SESSION(take_back_of_what_waits_is_given),
        IN_SESSION(take_back_of_what_runs_is_answered_with_started),
        IN_SESSION(stop_ends_what_waits_at_once_as_cancelled),
        IN_SESSION(stop_tells_what_runs_with_its_grace),
        IN_SESSION(a_crash_is_a_result_and_not_given_back),
        IN_SESSION(a_quiet_worker_gives_back_what_waits_and_takes_nothing),
        IN_SESSION(draining_gives_back_what_waits_and_lets_the_rest_finish),
        IN_SESSION(at_the_deadline_what_runs_is_stopped_and_given_back),
        IN_SESSION(a_second_term_stops_all_without_grace),
        IN_SESSION(a_drain_asked_for_at_the_broker_has_no_deadline),
        IN_SESSION(a_worker_that_holds_nothing_drains_at_once),
        CASE(a_worker_that_never_met_a_broker_drains_at_once),
        IN_SESSION(draining_without_a_broker_waits_5_s_for_the_last_results),
        IN_SESSION(hello_of_a_draining_worker_says_so),
        IN_SESSION(what_was_given_back_between_hello_and_welcome_is_given_after_it),
        IN_SESSION(no_order_of_messages_loses_count_of_what_is_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
