/* test_broker_submit.c - the core and those who submit: numbers, what is refused, and a full disk. */
#include "tests/broker_harness.h"

/* ---- submit ---------------------------------------------------------------------------------- */

static void a_submit_is_acknowledged_after_its_commit_and_not_before(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    struct job_spec s = bench_spec("cpu");
    bench_forget_sent(t);
    bench_ask_submit(t, &c, 1, &s, 1);
    assert_int_equal(t->n_sent, 0);
    struct store_reader *reader;
    char *error = NULL;
    assert_int_equal(store_reader_open(&reader, t->path, &error), 0);
    broker_tick(t->broker, t->now);
    sqlite3 *other;
    assert_int_equal(sqlite3_open_v2(t->path, &other, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    sqlite3_stmt *q;
    assert_int_equal(sqlite3_prepare_v2(other, "SELECT count(*) FROM job", -1, &q, NULL),
                     SQLITE_OK);
    sqlite3_step(q);
    assert_int_equal(sqlite3_column_int(q, 0), 0);
    sqlite3_reset(q);
    assert_int_equal(broker_commit(t->broker, t->now), 0);
    sqlite3_step(q);
    assert_int_equal(sqlite3_column_int(q, 0), 1);
    sqlite3_finalize(q);
    sqlite3_close(other);
    store_reader_close(reader);
    broker_flush(t->broker, bench_take, t, t->now);
    assert_int_equal(bench_expect(t, &c, MSG_SUBMITTED)->submitted.first_id, 1);
}

static void what_was_acknowledged_is_there_after_a_restart(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    uint64_t id = bench_submit_n(t, &c, bench_spec("cpu"), 300);
    bench_restart(t);
    for (uint64_t i = 0; i < 300; i++)
        assert_state(t, id + i, STATE_QUEUED);
    bench_turn(t);
}

static void the_same_number_gets_the_same_ids_and_adds_nothing(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    uint64_t first = bench_submit_n(t, &c, bench_spec("cpu"), 3);
    struct job_spec jobs[3] = { bench_spec("cpu"), bench_spec("cpu"), bench_spec("cpu") };
    for (int round = 0; round < 2; round++) {
        bench_ask_submit(t, &c, 1, jobs, 3);
        bench_ask_submit(t, &c, 1, jobs, 3);
        bench_turn(t);
        for (int i = 0; i < 2; i++)
            assert_int_equal(bench_expect(t, &c, MSG_SUBMITTED)->submitted.first_id, first);
        bench_restart(t);
        struct message m = bench_hello(&c, "client");
        bench_tell(t, &c, &m);
        assert_int_equal(bench_welcome(t, &c)->welcome.last_seq, 1);
    }
    assert_int_equal(bench_number(t, "SELECT count(*) FROM job"), 3);
}

static void a_number_that_was_used_for_other_jobs_is_refused(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    bench_submit_n(t, &c, bench_spec("cpu"), 3);
    struct job_spec s = bench_spec("cpu");
    bench_ask_submit(t, &c, 1, &s, 1);
    bench_turn(t);
    bench_expect_error(t, &c, CODE_REFUSED, "other jobs");
}

/* What comes under a number that is known is answered without a look at its jobs. */
static void a_repeated_submit_is_answered_in_few_bytes_whatever_its_jobs_are(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    bench_submit_n(t, &c, bench_spec("cpu"), 4);
    size_t n = LIMIT_MESSAGE_BYTES / 4 - 30;
    cleanup(freep) char *long_name = xmalloc(n + 3);
    memset(long_name, 'a', n + 3);
    struct job_spec jobs[4];
    for (size_t i = 0; i < ELEMENTS(jobs); i++) {
        jobs[i] = bench_spec("cpu");
        jobs[i].handler = (struct str){ long_name, n + i };
    }
    bench_ask_submit(t, &c, 1, jobs, ELEMENTS(jobs));
    bench_turn(t);
    const struct message *m = bench_expect(t, &c, MSG_SUBMITTED);
    assert_int_equal(m->submitted.first_id, 1);
    assert_int_equal(m->submitted.n_notices, 0);
}

static void a_number_older_than_the_last_sixteen_is_refused(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    for (int i = 0; i < 17; i++)
        bench_submit(t, &c, "cpu");
    struct job_spec s = bench_spec("cpu");
    bench_ask_submit(t, &c, 1, &s, 1);
    bench_ask_submit(t, &c, 2, &s, 1);
    bench_turn(t);
    bench_expect_error(t, &c, CODE_REFUSED, "16");
    assert_int_equal(bench_expect(t, &c, MSG_SUBMITTED)->submitted.first_id, 2);
    assert_int_equal(bench_number(t, "SELECT count(*) FROM job"), 17);
}

static void numbers_belong_to_the_owner_and_the_session(void **state)
{
    struct bench *t = *state;
    struct conn a = bench_client(t, "cli-1", 1000), b = bench_client(t, "bli-2", 1000),
                d = bench_conn("cli-3", 1001);
    struct message m = bench_hello(&d, "client"); /* the same instance as a, another user */
    bench_tell(t, &d, &m);
    bench_welcome(t, &d);
    assert_int_equal(bench_submit(t, &a, "cpu"), 1);
    assert_int_equal(bench_submit(t, &b, "cpu"), 2);
    assert_int_equal(bench_submit(t, &d, "cpu"), 3);
}

static void bye_of_a_client_forgets_its_numbers(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    bench_submit(t, &c, "cpu");
    struct message m;
    message_init(&m, MSG_BYE);
    bench_tell(t, &c, &m);
    bench_turn(t);
    assert_int_equal(
        bench_number(t, "SELECT (SELECT count(*) FROM client) + (SELECT count(*) FROM submit)"), 0);
    assert_null(peers_find(&t->broker->peers, c.id));
    assert_state(t, 1, STATE_QUEUED);
}

/* A submit that is late on a connection of before must not be taken out of turn; nor, after BYE, become jobs once more. */
static void nothing_is_taken_from_a_former_connection_of_the_same_client(void **state)
{
    struct bench *t = *state;
    struct conn old = bench_client(t, "old-1", 1000), c = bench_conn("new-1", 1000);
    memcpy(c.instance, old.instance, sizeof c.instance);
    struct message m = bench_hello(&c, "client");
    bench_tell(t, &c, &m);
    bench_welcome(t, &c);
    struct job_spec s = bench_spec("cpu");
    bench_ask_submit(t, &old, 2, &s, 1);
    bench_turn(t);
    bench_expect(t, &old, MSG_HELLO_AGAIN);
    assert_int_equal(bench_submit(t, &c, "cpu"), 1);
    message_init(&m, MSG_BYE);
    bench_tell(t, &c, &m);
    bench_ask_submit(t, &old, 1, &s, 1);
    bench_turn(t);
    bench_expect(t, &old, MSG_HELLO_AGAIN);
    assert_int_equal(bench_number(t, "SELECT count(*) FROM job"), 1);
}

static void a_bad_job_is_refused_with_a_text_and_nothing_of_its_submit_is_inserted(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    static const char long_name[200] = { [0 ... 198] = 'x' };
    struct job_spec good = bench_spec("cpu");
    struct {
        struct job_spec s;
        const char *text;
    } bad[] = {
        { bench_spec(""), "handler" },
        { bench_spec("a b"), "handler" },
        { bench_spec(long_name), "handler" },
        { good, "queue" },
        { good, "tag" },
        { good, "priority" },
        { good, "delay" },
        { good, "retries" },
        { good, "backoff" },
        { good, "crash-limit" },
        { good, "memory" },
        { good, "timeout" },
        { good, "expire" },
    };
    bad[3].s.queue = str_of("a/b");
    bad[4].s.tag = 4;
    bad[5].s.priority = INT64_MAX;
    bad[6].s.delay_ms = -1;
    bad[7].s.retries = -1;
    bad[8].s.backoff_min_ms = 10;
    bad[8].s.backoff_max_ms = 5;
    bad[9].s.crash_limit = 0;
    bad[10].s.memory_bytes = 0;
    bad[11].s.timeout_ms = INT64_MAX;
    bad[12].s.expire_ms = -5;
    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        struct job_spec jobs[2] = { good, bad[i].s };
        bench_ask_submit(t, &c, 1, jobs, 2);
        bench_turn(t);
        bench_expect_error(t, &c, CODE_USAGE, bad[i].text);
        bench_ask_submit(t, &c, 1, &bad[i].s, 1);
        bench_turn(t);
        bench_expect_error(t, &c, CODE_USAGE, bad[i].text);
    }
    assert_int_equal(bench_number(t, "SELECT count(*) FROM job"), 0);
    assert_int_equal(bench_submit(t, &c, "cpu"), 1);
}

static void a_payload_over_the_limit_is_refused_naming_limit_and_size(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    char bytes[1001] = "";
    struct job_spec s = bench_spec("cpu");
    s.payload = (struct str){ bytes, 1001 };
    bench_ask_submit(t, &c, 1, &s, 1);
    bench_turn(t);
    bench_expect_error(t, &c, CODE_REFUSED, "1001 bytes, the limit is 1000");
    s.payload.n = 1000;
    bench_submit_spec(t, &c, s);
}

static void a_submit_without_jobs_or_with_a_number_that_is_none_is_refused(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    struct job_spec s = bench_spec("cpu");
    static const uint64_t numbers[] = { 0, (uint64_t)INT64_MAX + 1, (uint64_t)INT64_MAX + 2,
                                        UINT64_MAX };
    for (size_t i = 0; i < ELEMENTS(numbers); i++)
        for (int again = 0; again < 2; again++) {
            bench_ask_submit(t, &c, numbers[i], &s, 1);
            assert_int_equal(bench_turn(t), 0);
            bench_expect_error(t, &c, CODE_USAGE, "seq");
        }
    bench_ask_submit(t, &c, 1, NULL, 0);
    bench_turn(t);
    bench_expect_error(t, &c, CODE_USAGE, "jobs");
    assert_int_equal(bench_number(t, "SELECT count(*) FROM job"), 0);
}

static void a_handler_that_nobody_has_is_accepted_with_a_notice(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    bench_worker(t, "wrk-1", 1, 1, 1);
    struct job_spec jobs[2] = { bench_spec("cpu"), bench_spec("nobody") };
    bench_ask_submit(t, &c, 1, jobs, 2);
    bench_turn(t);
    const struct message *m = bench_expect(t, &c, MSG_SUBMITTED);
    assert_int_equal(m->submitted.n_notices, 1);
    assert_non_null(memmem(m->submitted.notices[0].p, m->submitted.notices[0].n, "nobody", 6));
}

/* ---- the disk -------------------------------------------------------------------------------- */

static void a_full_disk_answers_busy_acknowledges_nothing_and_goes_on(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "wrk-1", 1, 0, 0);
    uint64_t id = bench_submit(t, &c, "cpu");
    cleanup(freep) char *limit =
        xasprintf("PRAGMA max_page_count = %" PRId64, bench_number(t, "PRAGMA page_count"));
    bench_number(t, limit);
    char bytes[1000] = "";
    struct job_spec s = bench_spec("cpu");
    s.payload = (struct str){ bytes, sizeof bytes };
    struct job_spec jobs[100];
    for (size_t i = 0; i < ELEMENTS(jobs); i++)
        jobs[i] = s;
    struct job_spec small = bench_spec("cpu");
    bench_ask_submit(t, &c, 2, &small, 1); /* this one still fits, but its turn is lost too */
    bench_ask_submit(t, &c, 3, jobs, ELEMENTS(jobs));
    bench_beat(t, &c); /* no request: nothing is refused */
    assert_int_equal(bench_turn(t), 0);
    assert_null(bench_next(t, &c, MSG_SUBMITTED));
    bench_expect_error(t, &c, CODE_BUSY, "disk");
    bench_expect_error(t, &c, CODE_BUSY, "disk");
    assert_null(bench_next(t, &c, MSG_ERROR));
    bench_expect(t, &c, MSG_HELLO_AGAIN);
    bench_expect(t, &w, MSG_HELLO_AGAIN);
    assert_int_equal(bench_number(t, "SELECT count(*) FROM job"), 1);
    bench_number(t, "PRAGMA max_page_count = 1000000");
    struct held held = { id, 1, HELD_RUNNING, POOL_PROCESS };
    assert_int_equal(bench_worker_hello(t, &w, &held, 1)->welcome.n_gone, 0);
    bench_live(t, 2000); /* the disk is looked at */
    struct message m = bench_hello(&c, "client");
    bench_tell(t, &c, &m);
    assert_int_equal(bench_welcome(t, &c)->welcome.last_seq, 1);
    bench_ask_submit(t, &c, 2, jobs, ELEMENTS(jobs));
    bench_turn(t);
    assert_int_equal(bench_expect(t, &c, MSG_SUBMITTED)->submitted.first_id, 2);
    bench_end(t, &w, id, 1, ENDING_DONE);
    assert_state(t, id, STATE_DONE);
}

static void over_the_disk_limit_only_submits_get_busy(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    uint64_t id = bench_submit(t, &c, "cpu");
    t->broker->disk_busy = true;
    struct job_spec s = bench_spec("cpu");
    bench_ask_submit(t, &c, 2, &s, 1);
    bench_ask_submit(t, &c, 1, &s, 1);
    bench_turn(t);
    bench_expect_error(t, &c, CODE_BUSY, "disk");
    assert_int_equal(bench_expect(t, &c, MSG_SUBMITTED)->submitted.first_id, id);
    bench_change_one(t, &c, MSG_CANCEL, id);
    bench_expect_changed(t, &c, 1, 0, 0);
}

static uint64_t in_as(struct bench *t, struct conn *c, uint64_t seq)
{
    struct job_spec s = bench_spec("cpu");
    bench_ask_submit(t, c, seq, &s, 1);
    bench_turn(t);
    const struct message *m = bench_expect(t, c, MSG_SUBMITTED);
    assert_int_equal(m->submitted.seq, seq);
    return m->submitted.first_id;
}

static void expect_busy(struct bench *t, struct conn *c, uint64_t seq, const char *text)
{
    struct job_spec s = bench_spec("cpu");
    bench_ask_submit(t, c, seq, &s, 1);
    bench_turn(t);
    bench_expect_error(t, c, CODE_BUSY, text);
}

static void submits_that_got_busy_are_taken_in_the_order_of_their_numbers_however_they_come_again(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    t->broker->disk_busy = true;
    for (uint64_t seq = 1; seq <= 16; seq++)
        expect_busy(t, &c, seq, "disk");
    t->broker->disk_busy = false;
    expect_busy(t, &c, 5, "submit 1 ");
    assert_int_equal(in_as(t, &c, 1), 1);
    expect_busy(t, &c, 5, "submit 2 ");
    expect_busy(t, &c, 17, "submit 2 ");
    struct job_spec bad = bench_spec("not a name");
    bench_ask_submit(t, &c, 2, &bad, 1); /* it will never be in */
    bench_turn(t);
    bench_expect_error(t, &c, CODE_USAGE, "handler");
    for (uint64_t seq = 3; seq <= 17; seq++) {
        expect_busy(t, &c, 18, "comes first");
        assert_int_equal(in_as(t, &c, seq), seq - 1);
    }
    assert_int_equal(in_as(t, &c, 18), 17);
}

static void of_more_submits_at_once_than_may_be_open_the_rest_gets_busy(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    struct job_spec s = bench_spec("cpu");
    for (uint64_t seq = 1; seq <= LIMIT_SUBMITS_OPEN + 2; seq++)
        bench_ask_submit(t, &c, seq, &s, 1);
    bench_turn(t);
    for (uint64_t seq = 1; seq <= LIMIT_SUBMITS_OPEN; seq++)
        assert_int_equal(bench_expect(t, &c, MSG_SUBMITTED)->submitted.first_id, seq);
    bench_expect_error(t, &c, CODE_BUSY, "more than 16 submits");
    bench_expect_error(t, &c, CODE_BUSY, "more than 16 submits");
    expect_busy(t, &c, LIMIT_SUBMITS_OPEN + 2, "submit 17 ");
    assert_int_equal(in_as(t, &c, LIMIT_SUBMITS_OPEN + 1), LIMIT_SUBMITS_OPEN + 1);
    assert_int_equal(in_as(t, &c, LIMIT_SUBMITS_OPEN + 2), LIMIT_SUBMITS_OPEN + 2);
}

static void a_submit_that_got_busy_and_does_not_come_again_holds_up_the_later_ones_for_a_while_only(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    t->broker->disk_busy = true;
    expect_busy(t, &c, 1, "disk");
    t->broker->disk_busy = false;
    expect_busy(t, &c, 2, "submit 1 ");
    bench_advance(t, 10001);
    assert_int_equal(in_as(t, &c, 2), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        bench_test(a_submit_is_acknowledged_after_its_commit_and_not_before),
        bench_test(what_was_acknowledged_is_there_after_a_restart),
        bench_test(the_same_number_gets_the_same_ids_and_adds_nothing),
        bench_test(a_number_that_was_used_for_other_jobs_is_refused),
        bench_test(a_repeated_submit_is_answered_in_few_bytes_whatever_its_jobs_are),
        bench_test(a_number_older_than_the_last_sixteen_is_refused),
        bench_test(numbers_belong_to_the_owner_and_the_session),
        bench_test(bye_of_a_client_forgets_its_numbers),
        bench_test(nothing_is_taken_from_a_former_connection_of_the_same_client),
        bench_test(a_bad_job_is_refused_with_a_text_and_nothing_of_its_submit_is_inserted),
        bench_test(a_payload_over_the_limit_is_refused_naming_limit_and_size),
        bench_test(a_submit_without_jobs_or_with_a_number_that_is_none_is_refused),
        bench_test(a_handler_that_nobody_has_is_accepted_with_a_notice),
        bench_test(a_full_disk_answers_busy_acknowledges_nothing_and_goes_on),
        bench_test(over_the_disk_limit_only_submits_get_busy),
        bench_test(submits_that_got_busy_are_taken_in_the_order_of_their_numbers_however_they_come_again),
        bench_test(of_more_submits_at_once_than_may_be_open_the_rest_gets_busy),
        bench_test(a_submit_that_got_busy_and_does_not_come_again_holds_up_the_later_ones_for_a_while_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
