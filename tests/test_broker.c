/* test_broker.c - the core with its clients: sessions, owners, bad input, advice. */
#include "tests/broker_harness.h"

/* ---- sessions -------------------------------------------------------------------------------- */

static void who_is_not_known_or_speaks_for_another_session_is_asked_to_say_hello(void **state)
{
    struct bench *t = *state;
    struct conn stranger = bench_conn("cli-9", 1000), c = bench_client(t, "cli-1", 1000);
    struct conn other_session = c, other_epoch = c;
    other_session.session++;
    other_epoch.epoch--;
    bench_beat(t, &stranger);
    bench_beat(t, &other_session);
    bench_beat(t, &other_epoch);
    bench_turn(t);
    bench_expect(t, &stranger, MSG_HELLO_AGAIN);
    bench_expect(t, &c, MSG_HELLO_AGAIN);
    bench_expect(t, &c, MSG_HELLO_AGAIN);
    assert_null(bench_next(t, &c, MSG_BEAT));
    bench_beat(t, &c);
    bench_turn(t);
    assert_int_equal(bench_expect(t, &c, MSG_BEAT)->beat.req, c.req);
}

static void a_hello_of_another_version_or_without_an_instance_is_refused(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_conn("cli-1", 1000);
    struct message m = bench_hello(&c, "client");
    m.hello.min_version = 2;
    bench_tell(t, &c, &m);
    m = bench_hello(&c, "client");
    m.hello.instance.n = 15;
    bench_tell(t, &c, &m);
    m = bench_hello(&c, "king");
    bench_tell(t, &c, &m);
    bench_turn(t);
    bench_expect_error(t, &c, CODE_PROTOCOL, "version");
    bench_expect_error(t, &c, CODE_PROTOCOL, "instance");
    bench_expect_error(t, &c, CODE_PROTOCOL, "role");
    assert_int_equal(t->broker->peers.by_routing_id.n, 0);
}

static void a_worker_of_another_user_is_not_allowed(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_conn("wrk-1", 1000);
    struct message m = bench_hello(&c, "worker");
    m.hello.name = str_of("w");
    bench_tell(t, &c, &m);
    bench_turn(t);
    bench_expect_error(t, &c, CODE_NOT_ALLOWED, "worker");
    assert_int_equal(t->broker->workers.n, 0);
}

static void a_message_of_the_other_side_is_refused(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 1, 1, 1);
    uint64_t id = bench_submit(t, &c, "cpu");
    bench_tell_outcome(t, &c, bench_outcome(id, 1, ENDING_DONE));
    struct job_spec s = bench_spec("cpu");
    bench_ask_submit(t, &w, 1, &s, 1);
    struct message m;
    message_init(&m, MSG_WELCOME);
    bench_tell(t, &c, &m);
    bench_turn(t);
    bench_expect_error(t, &c, CODE_PROTOCOL, "RESULT");
    bench_expect_error(t, &c, CODE_PROTOCOL, "WELCOME");
    bench_expect_error(t, &w, CODE_PROTOCOL, "SUBMIT");
    assert_state(t, id, STATE_RUNNING);
}

static void hostile_bytes_are_counted_and_disturb_nothing(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), evil = bench_conn("evl-1", 1001);
    uint64_t id = bench_submit(t, &c, "cpu");
    struct rng rng;
    rng_init(&rng, 3);
    char bytes[64];
    uint64_t before = t->broker->counts.bad_messages;
    for (int i = 0; i < 5000; i++) {
        size_t n = (size_t)rng_below(&rng, sizeof bytes);
        for (size_t k = 0; k < n; k++)
            bytes[k] = (char)rng_next(&rng);
        bench_tell_raw(t, i % 2 ? &evil : &c, (struct str){ bytes, n });
        if (i % 500 == 0)
            bench_turn(t);
    }
    assert_int_equal(bench_turn(t), 0);
    assert_true(t->broker->counts.bad_messages > before + 4900);
    assert_state(t, id, STATE_QUEUED);
    bench_beat(t, &c);
    bench_turn(t);
    bench_expect(t, &c, MSG_BEAT);
}

/* A true message with a few bytes changed gets through decoding more often. */
static void broken_messages_never_break_the_broker(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 2, 2, 2);
    struct rng rng;
    rng_init(&rng, 11);
    struct buf b;
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    for (int i = 0; i < 3000; i++) {
        struct job_spec s = bench_spec(i % 3 ? "cpu" : "io");
        struct outcome o =
            bench_outcome(rng_below(&rng, 20) + 1, 1, (enum ending)rng_below(&rng, 5));
        struct range range = { 1, rng_below(&rng, 40) };
        static const enum message_type types[] = { MSG_SUBMIT, MSG_RESULT, MSG_CANCEL, MSG_RETRY,
                                                   MSG_REMOVE, MSG_WAIT,   MSG_WHY };
        enum message_type type = types[rng_below(&rng, ELEMENTS(types))];
        struct conn *from = type == MSG_RESULT ? &w : &c;
        struct message m;
        message_init(&m, type);
        m.cancel.req = (uint64_t)i;
        if (type == MSG_SUBMIT) {
            m.submit.seq = ++c.seq;
            m.submit.jobs = &s;
            m.submit.n_jobs = 1;
        } else if (type == MSG_RESULT) {
            m.result.outcomes = &o;
            m.result.n_outcomes = 1;
        } else if (type == MSG_WHY) {
            m.why.job = rng_below(&rng, 40);
        } else {
            m.cancel.ranges = &range;
            m.cancel.n_ranges = 1;
        }
        m.epoch = from->epoch;
        m.session = from->session;
        buf_clear(&b);
        assert_int_equal(message_encode(&b, &m), 0);
        for (uint64_t k = rng_below(&rng, 3); k > 0; k--)
            b.p[3 + rng_below(&rng, b.n - 3)] = (char)rng_next(&rng);
        bench_tell_raw(t, from, buf_str(&b));
        if (i % 4 == 0)
            assert_int_equal(bench_turn(t), 0);
    }
    buf_fini(&b);
    bench_turn(t);
    assert_true(bench_number(t, "SELECT count(*) FROM job") > 10);
}

static void more_peers_than_the_limit_get_busy(void **state)
{
    struct bench *t = *state;
    for (unsigned i = 0; i < LIMIT_PEERS + 1; i++) {
        char id[16] = "";
        snprintf(id, sizeof id, "%05u", i);
        struct conn c = bench_conn(id, 1000);
        memcpy(c.instance, id, sizeof id); /* a client each */
        struct message m = bench_hello(&c, "client");
        bench_tell(t, &c, &m);
        if (i % 1000 == 999 || i == LIMIT_PEERS)
            bench_turn(t);
    }
    struct conn last = bench_conn("10000", 1000);
    bench_expect_error(t, &last, CODE_BUSY, "peers");
    assert_int_equal(t->broker->peers.by_routing_id.n, LIMIT_PEERS);
}

static void more_queues_than_may_be_are_refused_and_the_broker_goes_on(void **state)
{
    struct bench *t = *state;
    t->unchecked = true;
    struct conn c = bench_client(t, "cli-1", 1000);
    const size_t a_submit = 5000;
    struct job_spec *jobs = xcalloc(a_submit, sizeof *jobs);
    char (*names)[16] = xcalloc(a_submit, sizeof *names);
    bool refused = false;
    for (size_t k = 0; k < 5; k++) {
        for (size_t i = 0; i < a_submit; i++) {
            snprintf(names[i], sizeof names[i], "q%zu", k * a_submit + i);
            jobs[i] = bench_spec("cpu");
            jobs[i].queue = str_of(names[i]);
        }
        bench_ask_submit(t, &c, k + 1, jobs, a_submit);
        assert_int_equal(bench_turn(t), 0);
        const struct message *m = bench_next(t, &c, MSG_ERROR);
        if (!m)
            continue;
        refused = true;
        assert_int_equal(m->error.code, CODE_REFUSED);
    }
    assert_true(refused);
    assert_null(bench_next(t, &c, MSG_HELLO_AGAIN));
    struct job_spec s = bench_spec("cpu");
    s.queue = str_of("q1");
    bench_ask_submit(t, &c, 9, &s, 1);
    bench_turn(t);
    bench_expect(t, &c, MSG_SUBMITTED);
    free(jobs);
    free(names);
}

/* ---- owners ---------------------------------------------------------------------------------- */

static void a_client_sees_and_changes_its_own_jobs_alone(void **state)
{
    struct bench *t = *state;
    struct conn a = bench_client(t, "ali-1", 1000), b = bench_client(t, "bli-1", 1001);
    uint64_t of_a = bench_submit(t, &a, "cpu");
    bench_ask_why(t, &b, of_a);
    bench_turn(t);
    bench_expect_error(t, &b, CODE_NOT_FOUND, "no such job");
    static const enum message_type verbs[] = { MSG_CANCEL, MSG_RETRY, MSG_REMOVE, MSG_WAIT };
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < ELEMENTS(verbs); i++) {
            bench_change_one(t, &b, verbs[i], of_a);
            bench_expect_error(t, &b, CODE_NOT_FOUND, "no such job");
        }
        bench_submit(t, &b, "cpu");
    }
    assert_state(t, of_a, STATE_QUEUED);
    struct range all = { 1, UINT64_MAX };
    bench_change(t, &b, MSG_CANCEL, &all, 1);
    bench_expect_changed(t, &b, 2, 0, 0);
    assert_state(t, of_a, STATE_QUEUED);
    struct conn root = bench_client(t, "rut-1", 0);
    bench_ask_why(t, &root, of_a);
    bench_change(t, &root, MSG_CANCEL, &all, 1);
    bench_expect(t, &root, MSG_BECAUSE);
    bench_expect_changed(t, &root, 1, 2, 0);
}

static void pause_and_drain_are_for_admins(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 1, 0, 0);
    bench_submit(t, &c, "nobody");
    struct message m;
    message_init(&m, MSG_PAUSE);
    m.pause.queue = str_of("default");
    m.pause.paused = 1;
    bench_tell(t, &c, &m);
    message_init(&m, MSG_DRAIN);
    m.drain.worker = str_of(w.name);
    bench_tell(t, &c, &m);
    bench_turn(t);
    bench_expect_error(t, &c, CODE_NOT_ALLOWED, "root");
    bench_expect_error(t, &c, CODE_NOT_ALLOWED, "root");
    assert_int_equal(bench_number(t, "SELECT count(*) FROM queue"), 0);
    assert_null(bench_next(t, &w, MSG_DRAIN));
}

static void a_text_that_was_cut_is_still_a_text(void **state)
{
    struct bench *t = *state;
    struct conn root = bench_client(t, "rut-1", 0);
    char name[140];
    memset(name, 'a', 127);
    memcpy(name + 127, "\xc3\xa9\xc3\xa9", 5);
    struct message m;
    message_init(&m, MSG_DRAIN);
    m.drain.worker = str_of(name);
    bench_tell(t, &root, &m);
    message_init(&m, MSG_PAUSE);
    m.pause.queue = str_of(name);
    bench_tell(t, &root, &m);
    bench_turn(t); /* decodes what was sent */
    bench_expect_error(t, &root, CODE_NOT_FOUND, "no connected worker");
    bench_expect_error(t, &root, CODE_NOT_FOUND, "no such queue");
}

static void a_client_that_is_silent_for_long_is_forgotten_with_all_that_it_waits_for(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    uint64_t id = bench_submit(t, &c, "nobody");
    bench_change_one(t, &c, MSG_WAIT, id);
    bench_live(t, 75000);
    assert_int_equal(t->broker->peers.by_routing_id.n, 0);
    assert_int_equal(t->broker->watched.n, 0);
    assert_state(t, id, STATE_QUEUED);
}

/* ---- advice ---------------------------------------------------------------------------------- */

static const struct message *ask_advice(struct bench *t, struct conn *c, const char *handler, uint64_t from)
{
    struct message m;
    message_init(&m, MSG_ADVISE);
    m.advise.req = ++c->req;
    m.advise.handler = str_of(handler);
    m.advise.from = from;
    bench_tell(t, c, &m);
    bench_turn(t);
    return bench_expect(t, c, MSG_ADVICE);
}

static void run_one(struct bench *t, struct conn *c, struct conn *w, struct job_spec s)
{
    bench_submit_spec(t, c, s);
    struct run_job run = bench_run(t, w);
    bench_end(t, w, run.job, run.attempt, ENDING_DONE);
}

static void what_ran_is_told_also_after_a_restart_and_programs_to_admins_only(void **state)
{
    struct bench *t = *state;
    struct conn admin = bench_client(t, "cli-1", OWN_UID), other = bench_client(t, "cli-2", 1000);
    struct conn w = bench_worker(t, "wrk-1", 2, 2, 2);
    struct job_spec command = bench_spec("exec");
    command.program = str_of("make");
    for (int i = 0; i < 3; i++) {
        run_one(t, &admin, &w, bench_spec("io"));
        run_one(t, &admin, &w, command);
    }
    const struct message *m = ask_advice(t, &other, NULL, 0);
    assert_int_equal(m->advice.n_rows, 1);
    assert_true(str_is(m->advice.rows[0].handler, "io") && str_is(m->advice.rows[0].verdict, "unknown"));
    assert_int_equal(m->advice.rows[0].tag_by, CHOSEN_BY_HANDLER);
    assert_int_equal(m->advice.rows[0].wall_us, 1500);
    m = ask_advice(t, &admin, "make", 0);
    assert_int_equal(m->advice.n_rows, 1);
    assert_int_equal(m->advice.rows[0].runs, 3);
    assert_int_equal(m->advice.rows[0].tag, TAG_AUTO);
    t->now.mono_ms += 1000; /* now it is saved */
    bench_turn(t);
    bench_restart(t);
    bench_forget_sent(t);
    struct conn again = bench_client(t, "cli-3", OWN_UID);
    m = ask_advice(t, &again, NULL, 0);
    assert_int_equal(m->advice.n_rows, 2);
    assert_int_equal(m->advice.rows[0].runs, 3);
    assert_int_equal(ask_advice(t, &again, NULL, UINT64_MAX)->advice.n_rows, 0);
}

static void advice_comes_in_pages(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", OWN_UID);
    char name[16];
    for (int i = 0; i < 450; i++) {
        snprintf(name, sizeof name, "h%d", i);
        struct measures *all = &t->broker->classes.measures;
        measure_run(all, measures_intern(all, str_of(name), STR_UNSET), &(struct run_measured){ .wall_us = 1, .cpu_us = 1 });
    }
    size_t n = 0;
    uint64_t from = 0;
    int pages = 0;
    do {
        const struct message *m = ask_advice(t, &c, NULL, from);
        n += m->advice.n_rows;
        from = m->advice.next;
        pages++;
    } while (from);
    assert_int_equal(n, 450);
    assert_int_equal(pages, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        bench_test(who_is_not_known_or_speaks_for_another_session_is_asked_to_say_hello),
        bench_test(a_hello_of_another_version_or_without_an_instance_is_refused),
        bench_test(a_worker_of_another_user_is_not_allowed),
        bench_test(a_message_of_the_other_side_is_refused),
        bench_test(hostile_bytes_are_counted_and_disturb_nothing),
        bench_test(broken_messages_never_break_the_broker),
        bench_test(more_peers_than_the_limit_get_busy),
        bench_test(more_queues_than_may_be_are_refused_and_the_broker_goes_on),
        bench_test(a_client_sees_and_changes_its_own_jobs_alone),
        bench_test(pause_and_drain_are_for_admins),
        bench_test(a_text_that_was_cut_is_still_a_text),
        bench_test(a_client_that_is_silent_for_long_is_forgotten_with_all_that_it_waits_for),
        bench_test(what_ran_is_told_also_after_a_restart_and_programs_to_admins_only),
        bench_test(advice_comes_in_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
