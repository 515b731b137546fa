/* test_broker_wait.c - who waits for jobs is told when they have ended; who asks is told why they have not. */
#include "tests/broker_harness.h"

/* ---- wait ------------------------------------------------------------------------------------ */

static uint64_t ask_wait(struct bench *t, struct conn *c, struct range *ranges, size_t n, bool any)
{
    struct message m;
    message_init(&m, MSG_WAIT);
    m.wait.req = ++c->req;
    m.wait.ranges = ranges;
    m.wait.n_ranges = n;
    m.wait.any = any;
    bench_tell(t, c, &m);
    bench_turn(t);
    return c->req;
}

static void a_wait_is_answered_in_the_turn_in_which_the_last_of_its_jobs_ends(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 10, 0, 0);
    bench_submit_n(t, &c, bench_spec("cpu"), 9);
    struct range ranges[4] = { { 7, 8 }, { 2, 4 }, { 3, 5 }, { 4, 4 } };
    uint64_t req = ask_wait(t, &c, ranges, 4, false);
    static const uint64_t order[] = { 4, 7, 9, 2, 8, 3, 1, 5 };
    for (size_t i = 0; i < ELEMENTS(order); i++) {
        assert_null(bench_next(t, &c, MSG_WAITED));
        bench_end(t, &w, order[i], 1, i % 2 ? ENDING_DONE : ENDING_FAILED);
    }
    assert_int_equal(bench_expect(t, &c, MSG_WAITED)->waited.req, req);
    ask_wait(t, &c, ranges, 4, false); /* all have ended: at once */
    bench_expect(t, &c, MSG_WAITED);
    assert_int_equal(t->broker->watched.n, 0);
}

/* Submits one job with a wait for its end, as request number 900 + req; the job's id. */
static uint64_t submit_and_wait(struct bench *t, struct conn *c, uint64_t seq, uint64_t what, bool *ret_waits)
{
    struct job_spec s = bench_spec("cpu");
    struct message m;
    message_init(&m, MSG_SUBMIT);
    m.submit.req = ++c->req;
    m.submit.seq = seq;
    m.submit.jobs = &s;
    m.submit.n_jobs = 1;
    m.submit.wait = 900 + c->req;
    m.submit.what = what;
    bench_tell(t, c, &m);
    bench_turn(t);
    const struct message *answer = bench_expect(t, c, MSG_SUBMITTED);
    *ret_waits = answer->submitted.waits;
    return answer->submitted.first_id;
}

static const struct msg_waited *expect_waited(struct bench *t, const struct conn *c)
{
    const struct msg_waited *w = &bench_expect(t, c, MSG_WAITED)->waited;
    assert_int_equal(w->req, 900 + c->req);
    return w;
}

static void a_submit_can_begin_the_wait_for_its_job_and_the_answer_tells_the_result(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 10, 0, 0);
    bool waits;
    uint64_t id = submit_and_wait(t, &c, 1, WHAT_RESULT, &waits);
    assert_true(waits);
    struct outcome o = bench_outcome(id, 1, ENDING_DONE);
    o.result = str_of("good");
    bench_tell_outcome(t, &w, o);
    assert_null(bench_next(t, &c, MSG_WAITED)); /* not before its commit */
    bench_turn(t);
    const struct msg_waited *told = expect_waited(t, &c);
    assert_int_equal(told->attempt, 1);
    assert_true(str_is(told->data, "good"));

    id = submit_and_wait(t, &c, 2, WHAT_OUTPUT, &waits);
    o = bench_outcome(id, 1, ENDING_DONE);
    o.exit_code = 0;
    o.output = str_of("chunks");
    bench_tell_outcome(t, &w, o);
    bench_turn(t);
    told = expect_waited(t, &c);
    assert_int_equal(told->exit_code, 0);
    assert_true(told->attempt == 1 && str_is(told->data, "chunks"));
    assert_int_equal(t->broker->watched.n, 0);
}

/* Of what is not plainly done, of a retried or a large result only the end is told, once it is the end. */
static void a_wait_that_begins_with_a_submit_leaves_all_but_the_plain_case_to_fetch(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 10, 0, 0);
    static char large[(64 << 10) + 1];
    memset(large, 'x', sizeof large);
    struct outcome cases[] = {
        bench_outcome(0, 1, ENDING_FAILED), bench_outcome(0, 1, ENDING_DONE), bench_outcome(0, 1, ENDING_DONE),
        bench_outcome(0, 1, ENDING_DONE),
    };
    cases[1].result = (struct str){ large, sizeof large };
    cases[2].error = str_of("but");
    cases[3].output = str_of("of which the result is a part");
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        bool waits;
        cases[i].job = submit_and_wait(t, &c, i + 1, WHAT_RESULT, &waits);
        assert_true(waits);
        bench_tell_outcome(t, &w, cases[i]);
        bench_turn(t);
        assert_int_equal(expect_waited(t, &c)->attempt, 0);
    }
    bool waits;
    uint64_t id = submit_and_wait(t, &c, 5, WHAT_RESULT, &waits);
    bench_change_one(t, &c, MSG_CANCEL, id);
    bench_end(t, &w, id, 1, ENDING_CANCELLED);
    assert_int_equal(bench_expect(t, &c, MSG_WAITED)->waited.attempt, 0);
}

static void a_repeated_submit_begins_its_wait_again_also_when_the_job_has_ended(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 10, 0, 0);
    bool waits;
    uint64_t id = submit_and_wait(t, &c, 1, WHAT_RESULT, &waits);
    struct message hello = bench_hello(&c, "client"); /* a new session: the wait is gone with the old one */
    bench_tell(t, &c, &hello);
    bench_welcome(t, &c);
    assert_int_equal(t->broker->watched.n, 0);
    assert_int_equal(submit_and_wait(t, &c, 1, WHAT_RESULT, &waits), id);
    assert_true(waits);
    bench_end(t, &w, id, 1, ENDING_DONE);
    assert_int_equal(expect_waited(t, &c)->attempt, 0);
    assert_int_equal(submit_and_wait(t, &c, 1, WHAT_RESULT, &waits), id);
    expect_waited(t, &c);
}

static void a_submit_begins_no_wait_past_those_that_may_be_open_nor_for_many_jobs(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    bool waits;
    for (uint64_t i = 1; i <= LIMIT_REQUESTS_OPEN + 1; i++) {
        submit_and_wait(t, &c, i, WHAT_RESULT, &waits);
        assert_int_equal(waits, i <= LIMIT_REQUESTS_OPEN);
    }
    struct conn d = bench_client(t, "dli-1", 1000);
    struct job_spec two[] = { bench_spec("cpu"), bench_spec("cpu") };
    struct message m;
    message_init(&m, MSG_SUBMIT);
    m.submit.req = m.submit.seq = 1;
    m.submit.jobs = two;
    m.submit.n_jobs = 2;
    m.submit.wait = 2;
    bench_tell(t, &d, &m);
    bench_turn(t);
    assert_int_equal(bench_expect(t, &d, MSG_SUBMITTED)->submitted.waits, 0);
}

static void a_wait_for_any_is_answered_by_the_first_that_ends(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 10, 0, 0);
    bench_submit_n(t, &c, bench_spec("cpu"), 5);
    struct range ranges[2] = { { 4, 5 }, { 2, 4 } };
    ask_wait(t, &c, ranges, 2, true);
    bench_end(t, &w, 1, 1, ENDING_DONE);
    assert_null(bench_next(t, &c, MSG_WAITED));
    bench_end(t, &w, 3, 1, ENDING_DONE);
    assert_int_equal(bench_expect(t, &c, MSG_WAITED)->waited.ended, 3);
    ask_wait(t, &c, ranges, 2, true);
    assert_int_equal(bench_expect(t, &c, MSG_WAITED)->waited.ended, 3);
}

static void a_wait_for_any_of_very_many_misses_nothing_while_it_is_still_looking(void **state)
{
    struct bench *t = *state;
    t->unchecked = true;
    struct conn c = bench_client(t, "cli-1", 1000);
    bench_submit_n(t, &c, bench_spec("nobody"), 9000);
    struct range all = { 1, 9000 };
    ask_wait(t, &c, &all, 1, true);
    bench_change_one(t, &c, MSG_CANCEL, 3); /* its cursor is past it */
    assert_int_equal(bench_expect(t, &c, MSG_WAITED)->waited.ended, 3);
    for (int i = 0; i < 4; i++)
        bench_turn(t);
    assert_null(bench_next(t, &c, MSG_WAITED));
    assert_true(list_empty(&t->broker->any_waits) && list_empty(&t->broker->moving_waits));
}

static void a_wait_for_jobs_that_do_not_exist_says_so_and_unwait_ends_one(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    struct range unknown = { 5, 9 }, one = { 1, 1 };
    ask_wait(t, &c, &unknown, 1, false);
    bench_expect_error(t, &c, CODE_NOT_FOUND, "no such job");
    ask_wait(t, &c, NULL, 0, false);
    bench_expect_error(t, &c, CODE_USAGE, "range");
    bench_submit(t, &c, "nobody");
    for (int any = 0; any < 2; any++) {
        struct message m;
        message_init(&m, MSG_UNWAIT);
        m.unwait.req = ask_wait(t, &c, &one, 1, any);
        bench_tell(t, &c, &m);
        bench_turn(t);
    }
    bench_change_one(t, &c, MSG_CANCEL, 1);
    assert_null(bench_next(t, &c, MSG_WAITED));
    assert_int_equal(t->broker->watched.n, 0);
}

static void more_open_waits_than_may_be_get_busy(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    uint64_t id = bench_submit(t, &c, "nobody");
    struct range one = { id, id };
    for (unsigned i = 0; i < LIMIT_REQUESTS_OPEN; i++)
        ask_wait(t, &c, &one, 1, i % 2);
    ask_wait(t, &c, &one, 1, false);
    bench_expect_error(t, &c, CODE_BUSY, "64");
    bench_change_one(t, &c, MSG_CANCEL, id); /* that too is a request */
    bench_expect_error(t, &c, CODE_BUSY, "64");
    struct conn d = bench_client(t, "dli-1", 1000);
    bench_change_one(t, &d, MSG_CANCEL, id);
    for (unsigned i = 0; i < LIMIT_REQUESTS_OPEN; i++)
        bench_expect(t, &c, MSG_WAITED);
}

/* ---- why ------------------------------------------------------------------------------------- */

static void expect_why(struct bench *t, struct conn *c, uint64_t id, const char *code)
{
    bench_ask_why(t, c, id);
    bench_turn(t);
    const struct message *y = bench_expect(t, c, MSG_BECAUSE);
    for (size_t i = 0; i < y->because.n_reasons; i++)
        if (str_is(y->because.reasons[i].code, code))
            return;
    fail_msg("why says nothing of %s, but %.*s", code,
             y->because.n_reasons ? (int)y->because.reasons[0].code.n : 0,
             y->because.n_reasons ? y->because.reasons[0].code.p : "");
}

static void why_says_each_gate(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), root = bench_client(t, "rut-1", 0);
    struct job_spec later = bench_spec("cpu"), elsewhere = bench_spec("cpu"),
                    tagged = bench_spec("net");
    later.delay_ms = 100000;
    elsewhere.queue = str_of("elsewhere");
    tagged.priority = 1;
    expect_why(t, &c, bench_submit(t, &c, "cpu"), "no-worker");
    expect_why(t, &c, bench_submit_spec(t, &c, later), "not-due");
    struct conn w = bench_conn("wrk-1", OWN_UID);
    w.name = "w";
    w.queue = "default";
    w.slots[POOL_PROCESS] = 1;
    bench_worker_hello(t, &w, NULL, 0);
    expect_why(t, &c, 1, "fetched-ahead");
    bench_tell_started(t, &w, 1, 1);
    expect_why(t, &c, 1, "running");
    uint64_t full = bench_submit(t, &c, "cpu"), next = bench_submit(t, &c, "cpu");
    expect_why(t, &c, full, "pool-full");
    expect_why(t, &c, next, "order");
    expect_why(t, &c, bench_submit(t, &c, "nobody"), "no-handler");
    expect_why(t, &c, bench_submit_spec(t, &c, elsewhere), "queue-not-served");
    expect_why(t, &c, bench_submit_spec(t, &c, tagged), "pool-off");
    bench_change_one(t, &c, MSG_CANCEL, 1);
    expect_why(t, &c, 1, "cancel-asked");
    struct message m;
    message_init(&m, MSG_PAUSE);
    m.pause.queue = str_of("default");
    m.pause.paused = 1;
    bench_tell(t, &root, &m);
    expect_why(t, &c, full, "paused");
    message_init(&m, MSG_DRAIN);
    m.drain.worker = str_of("w");
    bench_tell(t, &root, &m);
    expect_why(t, &c, full, "draining");
    bench_end(t, &w, 1, 1, ENDING_CANCELLED);
    expect_why(t, &c, 1, "finished");
    struct message none;
    message_init(&none, MSG_WHY);
    none.why.job = (uint64_t)INT64_MAX + 2; /* not job 1 */
    bench_tell(t, &c, &none);
    bench_turn(t);
    bench_expect_error(t, &c, CODE_NOT_FOUND, "no such job");
}

static void why_tells_of_a_backoff_and_of_a_worker_that_is_away(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 0, 1, 0);
    uint64_t id = bench_submit(t, &c, "io");
    bench_end(t, &w, id, 1, ENDING_FAILED);
    expect_why(t, &c, id, "backoff");
    id = bench_submit(t, &c, "io");
    bench_restart(t);
    struct message m = bench_hello(&c, "client");
    bench_tell(t, &c, &m);
    bench_welcome(t, &c);
    expect_why(t, &c, id, "worker-away");
}

static void queues_tell_the_oldest_and_the_counts(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    int64_t first = t->now.wall_ms;
    bench_submit(t, &c, "nobody");
    bench_advance(t, 1000);
    struct job_spec s = bench_spec("nobody");
    s.priority = 7;
    bench_submit_spec(t, &c, s);
    struct message m;
    message_init(&m, MSG_QUEUES);
    bench_tell(t, &c, &m);
    bench_turn(t);
    const struct message *q = bench_expect(t, &c, MSG_QUEUE_LIST);
    assert_int_equal(q->queue_list.n_queues, 1);
    assert_int_equal(q->queue_list.queues[0].oldest_ms, first);
    assert_int_equal(q->queue_list.queues[0].counts[STATE_QUEUED].jobs, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        bench_test(a_wait_is_answered_in_the_turn_in_which_the_last_of_its_jobs_ends),
        bench_test(a_submit_can_begin_the_wait_for_its_job_and_the_answer_tells_the_result),
        bench_test(a_wait_that_begins_with_a_submit_leaves_all_but_the_plain_case_to_fetch),
        bench_test(a_repeated_submit_begins_its_wait_again_also_when_the_job_has_ended),
        bench_test(a_submit_begins_no_wait_past_those_that_may_be_open_nor_for_many_jobs),
        bench_test(a_wait_for_any_is_answered_by_the_first_that_ends),
        bench_test(a_wait_for_any_of_very_many_misses_nothing_while_it_is_still_looking),
        bench_test(a_wait_for_jobs_that_do_not_exist_says_so_and_unwait_ends_one),
        bench_test(more_open_waits_than_may_be_get_busy),
        bench_test(why_says_each_gate),
        bench_test(why_tells_of_a_backoff_and_of_a_worker_that_is_away),
        bench_test(queues_tell_the_oldest_and_the_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
