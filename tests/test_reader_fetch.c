/* test_reader_fetch.c - answers to FETCH and HISTORY, straight from the store's reader. */
#include "tests/reader_rig.h"

#include "proto/output.h"

static const struct message *fetch(uint64_t job, int64_t attempt, uint64_t what)
{
    struct message m;
    message_init(&m, MSG_FETCH);
    m.fetch.req = 5;
    m.fetch.job = job;
    m.fetch.attempt = attempt;
    m.fetch.what = what;
    return ask(&m);
}

static void result_and_output_of_each_attempt_can_be_fetched(void **state)
{
    (void)state;
    uint64_t id = add(classes[0], 1, "uid:1", STR_UNSET);
    assert_int_equal(fetch(id, UNSET, WHAT_RESULT)->fetched.state, STATE_QUEUED);
    assert_null(answer.fetched.data.p);
    lease_at(id, NOW);
    struct outcome o = outcome(ENDING_FAILED);
    o.reason = REASON_EXIT;
    o.exit_code = 3;
    o.error = str_of("no");
    o.output = str_of("first output");
    end_at(id, classes[0], 1, STATE_QUEUED, &o, NOW + 10);
    lease_at(id, NOW + 20);
    o = outcome(ENDING_DONE);
    o.result = (struct str){ "a\0b", 3 };
    end_at(id, classes[0], 2, STATE_DONE, &o, NOW + 30);
    const struct message *m = fetch(id, UNSET, WHAT_RESULT);
    assert_int_equal(m->fetched.attempt, 2);
    assert_int_equal(m->fetched.state, STATE_DONE);
    assert_true(str_equal(m->fetched.data, o.result));
    m = fetch(id, 1, WHAT_OUTPUT);
    assert_true(str_is(m->fetched.data, "first output") && str_is(m->fetched.error, "no"));
    assert_int_equal(m->fetched.exit_code, 3);
    assert_not_found(fetch(id, 3, WHAT_RESULT));
    assert_not_found(fetch(999, UNSET, WHAT_RESULT));
    assert_not_found(fetch((uint64_t)INT64_MAX + 1 + id, UNSET, WHAT_RESULT));
    struct message of_another;
    message_init(&of_another, MSG_FETCH);
    of_another.fetch.job = id;
    assert_not_found(ask_as(&of_another, "uid:2"));
}

static void the_result_of_a_command_is_its_standard_output(void **state)
{
    (void)state;
    struct str argv[2] = { str_of("echo"), str_of("x") };
    struct command c;
    record_init(RECORD_command, &c);
    c.argv = argv;
    c.n_argv = 2;
    struct buf payload, output;
    buf_init(&payload, 10000);
    buf_init(&output, 10000);
    assert_int_equal(record_encode(&payload, RECORD_command, &c), 0);
    output_add(&output, OUTPUT_STDOUT, "one ", 4);
    output_add(&output, OUTPUT_STDERR, "noise", 5);
    output_add(&output, OUTPUT_STDOUT, "two", 3);
    uint64_t id = add(classes[2], 1, "uid:1", buf_str(&payload));
    lease_at(id, NOW);
    struct outcome o = outcome(ENDING_DONE);
    o.output = buf_str(&output);
    end_at(id, classes[2], 1, STATE_DONE, &o, NOW);
    assert_true(str_is(fetch(id, UNSET, WHAT_RESULT)->fetched.data, "one two"));
    assert_true(str_equal(fetch(id, UNSET, WHAT_OUTPUT)->fetched.data, buf_str(&output)));
    struct message m = list();
    assert_int_equal(ask(&m)->jobs.jobs[0].n_command, 2);
    assert_true(str_is(answer.jobs.jobs[0].command[0], "echo"));
    buf_fini(&payload);
    buf_fini(&output);
}

static void history_tells_a_life_with_retries(void **state)
{
    (void)state;
    uint64_t id = add(classes[0], 1, "uid:1", STR_UNSET);
    lease_at(id, NOW + 10);
    store_hand_back(s, id, 1, "the worker left", str_of("w"), NOW + 20);
    lease_at(id, NOW + 30);
    struct outcome o = outcome(ENDING_FAILED);
    o.reason = REASON_SIGNAL;
    o.signal = 6;
    end_at(id, classes[0], 2, STATE_SCHEDULED, &o, NOW + 60);
    struct due_job due;
    assert_int_equal(store_promote_due(s, NOW + 1000, &due, 1), 1);
    lease_at(id, NOW + 1000);
    o = outcome(ENDING_DONE);
    end_at(id, classes[0], 3, STATE_DONE, &o, NOW + 1100);
    struct message m;
    message_init(&m, MSG_HISTORY);
    m.history.job = id;
    const struct message *h = ask(&m);
    assert_int_equal(h->type, MSG_EVENTS);
    static const char *const want[] = { "submitted", "handed-back", "running", "failed",
                                        "scheduled", "running",     "done" };
    size_t at = 0;
    for (size_t i = 0; i < h->events.n_events; i++) {
        assert_true(i == 0 || h->events.events[i].at_ms >= h->events.events[i - 1].at_ms);
        if (at < ELEMENTS(want) && str_is(h->events.events[i].event, want[at]))
            at++;
    }
    assert_int_equal(at, ELEMENTS(want));
    assert_not_found(ask_as(&m, "uid:2"));
    m.history.job = 999;
    assert_not_found(ask(&m));
}

/* A job whose worker is lost is often handed to another one in the same turn. */
static void of_one_moment_the_end_of_an_attempt_comes_before_the_next(void **state)
{
    (void)state;
    uint64_t id = add(classes[0], 1, "uid:1", STR_UNSET);
    lease_at(id, NOW + 10);
    struct outcome o = outcome(ENDING_LOST);
    end_at(id, classes[0], 1, STATE_QUEUED, &o, NOW + 60);
    lease_at(id, NOW + 60);
    struct message m;
    message_init(&m, MSG_HISTORY);
    m.history.job = id;
    const struct message *h = ask(&m);
    static const char *const want[] = { "submitted", "running", "lost", "queued", "running" };
    assert_int_equal(h->events.n_events, ELEMENTS(want));
    for (size_t i = 0; i < ELEMENTS(want); i++)
        assert_true(str_is(h->events.events[i].event, want[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(result_and_output_of_each_attempt_can_be_fetched),
        test(the_result_of_a_command_is_its_standard_output),
        test(history_tells_a_life_with_retries),
        test(of_one_moment_the_end_of_an_attempt_comes_before_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
