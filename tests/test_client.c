/* test_client.c - libtern against a broker that follows a script: sessions, repeats, errors. */
#include "tests/scripted_broker.h"

#include <stdio.h>
#include <unistd.h>

#include "proto/base/clock.h"

static void forgets_the_client_once(struct fake *b)
{
    welcome(b);
    expect(b, MSG_SUBMIT);
    insist(b->m.submit.seq == 1 && b->m.submit.n_jobs == 1, "the first submit has number 1");
    hello_again(b);
    welcome(b);
    expect(b, MSG_SUBMIT);
    insist(b->m.submit.seq == 1 && str_is(b->m.submit.jobs[0].payload, "x"),
           "repeated with its number and its job");
    acknowledge(b, b->m.submit.req, 1, 70, 1);
}

static void a_submit_is_repeated_with_its_number_when_the_broker_forgot_the_client(void **state)
{
    (void)state;
    pid_t broker = start("forgets_the_client_once");
    struct tern_client *c = client();
    struct tern_job_spec job = echo();
    uint64_t id = 0;
    assert_int_equal(tern_client_submit(c, &job, 1, &id), 0);
    assert_int_equal(id, 70);
    finish(broker);
    tern_client_free(c);
}

static void is_busy_twice(struct fake *b)
{
    welcome(b);
    for (int i = 0; i < 2; i++) {
        expect(b, MSG_SUBMIT);
        insist(b->m.submit.seq == 1, "the same number after busy");
        say_error(b, CODE_BUSY, "busy: disk");
    }
    expect(b, MSG_SUBMIT);
    acknowledge(b, b->m.submit.req, b->m.submit.seq, 5, 1);
}

static void a_submit_is_repeated_when_the_broker_is_busy(void **state)
{
    (void)state;
    pid_t broker = start("is_busy_twice");
    struct tern_client *c = client();
    struct tern_job_spec job = echo();
    uint64_t id = 0;
    assert_int_equal(tern_client_submit(c, &job, 1, &id), 0);
    assert_int_equal(id, 5);
    finish(broker);
    tern_client_free(c);
}

static void is_always_busy(struct fake *b)
{
    welcome(b);
    for (;;) {
        next(b);
        if (b->m.type == MSG_BYE)
            return;
        say_error(b, CODE_BUSY, "busy: disk: it is full");
    }
}

static void busy_until_the_time_is_over_is_ebusy_with_the_brokers_reason(void **state)
{
    (void)state;
    pid_t broker = start("is_always_busy");
    struct tern_client *c = client();
    tern_client_set_timeouts(c, 500, 300);
    struct tern_job_spec job = echo();
    uint64_t id = 1;
    int r = tern_client_submit(c, &job, 1, &id);
    assert_int_equal(r, -EBUSY);
    assert_int_equal(tern_exit_status(r), 75);
    assert_int_equal(id, 0);
    assert_non_null(strstr(tern_client_error(c), "it is full"));
    tern_client_free(c);
    finish(broker);
}

/* No broker is needed for this: the request is answered here. */
static void after_busy_the_delays_double_up_to_a_second_each_with_half_of_it_at_random(void **state)
{
    (void)state;
    static const int64_t most[] = { 50, 100, 200, 400, 800, 1000, 1000, 1000, 1000, 1000, 1000, 1000 };
    struct tern_client *c = tern_client_new();
    struct request r;
    struct message m;
    bool differs = false;
    int64_t last = 0;
    message_init(&m, MSG_STATS);
    assert_int_equal(request_open(c, &r, &m), 0);
    message_init(&m, MSG_ERROR);
    m.error.req = r.req;
    m.error.code = CODE_BUSY;
    for (size_t i = 0; i < ELEMENTS(most); i++) {
        struct frame f = { 0 };
        int64_t before = client_mono_ms();
        assert_false(requests_answer(c, &m, &f));
        assert_false(r.done);
        int64_t after = client_mono_ms();
        assert_true(r.due_ms >= before + most[i] / 2);
        assert_true(r.due_ms <= after + most[i]);
        differs |= i > 5 && last != r.due_ms - after;
        last = r.due_ms - after;
    }
    assert_true(differs);
    request_fini(&r);
    tern_client_free(c);
}

static void always_has_too_many_peers(struct fake *b)
{
    for (int i = 0; i < 3; i++) {
        expect(b, MSG_HELLO);
        b->m.ok.req = 0; /* there is no request yet */
        say_error(b, CODE_BUSY, "busy: too many peers");
    }
}

static void has_too_many_peers(struct fake *b)
{
    always_has_too_many_peers(b);
    welcome(b);
}

static void a_client_that_finds_too_many_peers_says_hello_again_later(void **state)
{
    (void)state;
    pid_t broker = start("has_too_many_peers");
    struct tern_client *c = tern_client_new();
    tern_client_set_timeouts(c, 100, 10000); /* all of it takes longer than a broker may be silent */
    assert_int_equal(tern_client_connect(c, address), 0);
    finish(broker);
    tern_client_free(c);
}

static void too_many_peers_until_the_time_is_over_is_ebusy(void **state)
{
    (void)state;
    pid_t broker = start("always_has_too_many_peers");
    struct tern_client *c = tern_client_new();
    tern_client_set_timeouts(c, 100, 1500);
    assert_int_equal(tern_client_connect(c, address), -EBUSY);
    assert_non_null(strstr(tern_client_error(c), "too many peers"));
    tern_client_free(c);
    finish(broker);
}

static void answers_backwards(struct fake *b)
{
    uint64_t reqs[3];
    welcome(b);
    for (size_t i = 0; i < 3; i++) {
        expect(b, MSG_SUBMIT);
        insist(b->m.submit.seq == i + 1, "numbers count up");
        reqs[i] = b->m.submit.req;
    }
    for (size_t i = 3; i-- > 0;)
        acknowledge(b, reqs[i], i + 1, 100 * (i + 1), 1000 - 500 * (i == 2));
}

static void note_ids(void *context, uint64_t first_id, uint64_t count)
{
    char *text = context;
    size_t n = strlen(text);
    snprintf(text + n, 100 - n, "%d+%d ", (int)first_id, (int)count);
}

static void ids_are_told_in_the_order_of_the_jobs(void **state)
{
    (void)state;
    pid_t broker = start("answers_backwards");
    struct tern_client *c = client();
    struct tern_job_spec job = echo();
    char told[100] = "";
    tern_client_on_submitted(c, note_ids, told);
    for (int i = 0; i < 2500; i++)
        assert_int_equal(tern_client_submit_add(c, &job), 0);
    assert_int_equal(tern_client_submit_flush(c), 0);
    assert_string_equal(told, "100+1000 200+1000 300+500 ");
    finish(broker);
    tern_client_free(c);
}

static void wants_two_at_a_time(struct fake *b)
{
    static const size_t sizes[] = { 2, 2, 1, 5 };
    b->submit_jobs = 2;
    welcome(b);
    for (uint64_t i = 0; i < ELEMENTS(sizes); i++) {
        expect(b, MSG_SUBMIT);
        insist(b->m.submit.n_jobs == sizes[i], "as many jobs as the broker wants at once");
        acknowledge(b, b->m.submit.req, i + 1, 1 + 2 * i, sizes[i]);
    }
}

static void a_stream_is_cut_as_the_broker_says_but_not_what_is_all_or_nothing(void **state)
{
    (void)state;
    pid_t broker = start("wants_two_at_a_time");
    struct tern_client *c = client();
    struct tern_job_spec jobs[] = { echo(), echo(), echo(), echo(), echo() };
    uint64_t ids[5];
    for (int i = 0; i < 5; i++)
        assert_int_equal(tern_client_submit_add(c, &jobs[i]), 0);
    assert_int_equal(tern_client_submit_flush(c), 0);
    assert_int_equal(tern_client_submit(c, jobs, 5, ids), 0);
    assert_int_equal(ids[4], 11);
    finish(broker);
    tern_client_free(c);
}

/* Of four messages: taken, refused, taken, busy, which is not sent again. */
static void refuses_the_second(struct fake *b)
{
    uint64_t reqs[4];
    b->submit_jobs = 2;
    welcome(b);
    for (int i = 0; i < 4; i++) {
        expect(b, MSG_SUBMIT);
        reqs[i] = b->m.submit.req;
    }
    struct message m;
    message_init(&m, MSG_ERROR);
    acknowledge(b, reqs[0], 1, 1, 2);
    m.error = (struct msg_error){ .req = reqs[1], .code = CODE_NOT_ALLOWED, .text = str_of("not you"), .job = 2 };
    answer(b, &m);
    acknowledge(b, reqs[2], 3, 3, 2);
    m.error = (struct msg_error){ .req = reqs[3], .code = CODE_BUSY, .text = str_of("busy") };
    answer(b, &m);
    expect(b, MSG_BYE);
}

static char heard[200];

static void hear(const char *format, ...) printf_like(1, 2);
static void hear(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    size_t n = strlen(heard);
    vsnprintf(heard + n, sizeof heard - n, format, ap);
    va_end(ap);
}

static void hear_submitted(void *context, uint64_t first_id, uint64_t count)
{
    (void)context;
    hear("%d from %d; ", (int)count, (int)first_id);
}

static void hear_refused(void *context, uint64_t count, uint64_t job, const char *text)
{
    (void)context;
    hear("not %d (%d: %s); ", (int)count, (int)job, text);
}

static void what_becomes_of_a_stream_behind_a_refusal_is_told_in_order(void **state)
{
    (void)state;
    pid_t broker = start("refuses_the_second");
    struct tern_client *c = client();
    struct tern_job_spec job = echo();
    heard[0] = '\0';
    tern_client_on_submitted(c, hear_submitted, NULL);
    tern_client_on_refused(c, hear_refused, NULL);
    for (int i = 0; i < 8; i++)
        assert_int_equal(tern_client_submit_add(c, &job), 0);
    assert_int_equal(tern_client_submit_flush(c), -EACCES);
    assert_string_equal(tern_client_error(c), "job 2 of this submit: not you");
    assert_string_equal(heard, "2 from 1; not 2 (2: not you); 2 from 3; not 2 (0: ); ");
    tern_client_free(c);
    finish(broker);
}

static void takes_one_in_a_while(struct fake *b)
{
    b->submit_jobs = 1;
    welcome(b);
    for (uint64_t seq = 1; seq <= 4; seq++) {
        int64_t until = client_mono_ms() + 200;
        for (expect(b, MSG_SUBMIT); client_mono_ms() < until || b->m.submit.seq != seq; expect(b, MSG_SUBMIT))
            say_error(b, CODE_BUSY, "busy: as many as may be are open");
        acknowledge(b, b->m.submit.req, seq, seq, 1);
    }
}

static void a_stream_goes_on_while_some_of_it_is_taken(void **state)
{
    (void)state;
    pid_t broker = start("takes_one_in_a_while");
    struct tern_client *c = client();
    tern_client_set_timeouts(c, 500, 600);
    struct tern_job_spec job = echo();
    for (int i = 0; i < 4; i++)
        assert_int_equal(tern_client_submit_add(c, &job), 0);
    assert_int_equal(tern_client_submit_flush(c), 0);
    finish(broker);
    tern_client_free(c);
}

static void acknowledges_at_once(struct fake *b)
{
    b->heartbeat_ms = 5000;
    welcome(b);
    expect(b, MSG_SUBMIT);
    acknowledge(b, b->m.submit.req, 1, 1, 1);
    expect(b, MSG_BYE);
}

static void who_was_away_does_not_take_the_broker_for_lost(void **state)
{
    (void)state;
    pid_t broker = start("acknowledges_at_once");
    struct tern_client *c = client();
    tern_client_set_timeouts(c, 500, 200);
    struct tern_job_spec job = echo();
    assert_int_equal(tern_client_submit_add(c, &job), 0);
    assert_int_equal(tern_client_submit_attend(c, -1), 0);
    usleep(400000);
    assert_int_equal(tern_client_submit_flush(c), 0);
    tern_client_free(c);
    finish(broker);
}

static void waits_for_bye(struct fake *b)
{
    welcome(b);
    next(b);
    insist(b->m.type == MSG_BYE, "nothing was to be sent but BYE");
}

static void a_payload_over_the_limit_is_refused_before_it_is_sent(void **state)
{
    (void)state;
    pid_t broker = start("waits_for_bye");
    struct tern_client *c = client();
    char big[1001] = "";
    struct tern_job_spec job = echo();
    job.payload = big;
    job.payload_bytes = sizeof big;
    uint64_t id;
    int r = tern_client_submit(c, &job, 1, &id);
    assert_int_equal(r, -EMSGSIZE);
    assert_int_equal(tern_exit_status(r), 4);
    assert_non_null(strstr(tern_client_error(c), "1001"));
    assert_non_null(strstr(tern_client_error(c), "1000"));
    job = echo();
    job.name = "\xff";
    assert_int_equal(tern_client_submit(c, &job, 1, &id), -EINVAL);
    assert_int_equal(tern_client_pause(c, "a\xff", true), -EINVAL);
    tern_client_free(c);
    finish(broker);
}

static void refuses_each_in_its_way(struct fake *b)
{
    static const uint64_t codes[] = { CODE_USAGE, CODE_NOT_FOUND, CODE_REFUSED, CODE_NOT_ALLOWED };
    welcome(b);
    for (size_t i = 0; i < ELEMENTS(codes); i++) {
        expect(b, MSG_PAUSE);
        say_error(b, codes[i], "because");
    }
}

static void errors_of_the_broker_have_their_codes_and_texts(void **state)
{
    (void)state;
    static const int results[] = { -EINVAL, -ENOENT, -EPERM, -EACCES },
                     statuses[] = { 2, 3, 4, 77 };
    pid_t broker = start("refuses_each_in_its_way");
    struct tern_client *c = client();
    for (size_t i = 0; i < ELEMENTS(results); i++) {
        int r = tern_client_pause(c, "q", true);
        assert_int_equal(r, results[i]);
        assert_int_equal(tern_exit_status(r), statuses[i]);
        assert_string_equal(tern_client_error(c), "because");
    }
    finish(broker);
    tern_client_free(c);
}

static void says_nothing(struct fake *b)
{
    expect(b, MSG_HELLO);
    usleep(600000);
}

static void silence_before_the_first_answer_ends_the_connect(void **state)
{
    (void)state;
    pid_t broker = start("says_nothing");
    struct tern_client *c = tern_client_new();
    tern_client_set_timeouts(c, 300, 30000);
    int64_t before = clock_mono_us();
    assert_int_equal(tern_client_connect(c, address), -EHOSTUNREACH);
    assert_in_range(clock_mono_us() - before, 299000, 2000000);
    finish(broker);
    tern_client_free(c);
}

static void a_socket_where_nobody_listens_fails_at_once(void **state)
{
    (void)state;
    struct tern_client *c = tern_client_new();
    int64_t before = clock_mono_us();
    assert_int_equal(tern_client_connect(c, "ipc:///nonexistent/broker.sock"), -EHOSTUNREACH);
    assert_non_null(strstr(tern_client_error(c), "ipc:///nonexistent/broker.sock"));
    assert_non_null(strstr(tern_client_error(c), "tern up"));
    assert_int_equal(tern_client_connect(c, "tcp://127.0.0.1:1"), -EHOSTUNREACH);
    assert_int_equal(tern_client_connect(c, "nonsense"), -EINVAL);
    assert_true(clock_mono_us() - before < 1000000);
    struct tern_range range = { 1, 1 };
    assert_int_equal(tern_client_wait(c, &range, 1, false, -1, NULL), -EHOSTUNREACH);
    tern_client_free(c);
}

static void refuses_the_client(struct fake *b)
{
    expect(b, MSG_HELLO);
    struct message m;
    message_init(&m, MSG_ERROR);
    m.error.code = CODE_NOT_ALLOWED;
    m.error.text = str_of("no such user here");
    answer(b, &m);
}

static void a_client_that_is_not_allowed_hears_why(void **state)
{
    (void)state;
    pid_t broker = start("refuses_the_client");
    struct tern_client *c = tern_client_new();
    assert_int_equal(tern_client_connect(c, address), -EACCES);
    assert_non_null(strstr(tern_client_error(c), "no such user here"));
    finish(broker);
    tern_client_free(c);
}

static const struct script scripts[] = {
    SCRIPT(forgets_the_client_once), SCRIPT(is_busy_twice), SCRIPT(is_always_busy), SCRIPT(answers_backwards),
    SCRIPT(wants_two_at_a_time), SCRIPT(refuses_the_second), SCRIPT(takes_one_in_a_while), SCRIPT(acknowledges_at_once),
    SCRIPT(waits_for_bye), SCRIPT(has_too_many_peers), SCRIPT(always_has_too_many_peers),
    SCRIPT(refuses_each_in_its_way), SCRIPT(says_nothing), SCRIPT(refuses_the_client),
};

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_submit_is_repeated_with_its_number_when_the_broker_forgot_the_client),
        cmocka_unit_test(a_submit_is_repeated_when_the_broker_is_busy),
        cmocka_unit_test(busy_until_the_time_is_over_is_ebusy_with_the_brokers_reason),
        cmocka_unit_test(after_busy_the_delays_double_up_to_a_second_each_with_half_of_it_at_random),
        cmocka_unit_test(a_client_that_finds_too_many_peers_says_hello_again_later),
        cmocka_unit_test(too_many_peers_until_the_time_is_over_is_ebusy),
        cmocka_unit_test(ids_are_told_in_the_order_of_the_jobs),
        cmocka_unit_test(a_stream_is_cut_as_the_broker_says_but_not_what_is_all_or_nothing),
        cmocka_unit_test(what_becomes_of_a_stream_behind_a_refusal_is_told_in_order),
        cmocka_unit_test(a_stream_goes_on_while_some_of_it_is_taken),
        cmocka_unit_test(who_was_away_does_not_take_the_broker_for_lost),
        cmocka_unit_test(a_payload_over_the_limit_is_refused_before_it_is_sent),
        cmocka_unit_test(errors_of_the_broker_have_their_codes_and_texts),
        cmocka_unit_test(silence_before_the_first_answer_ends_the_connect),
        cmocka_unit_test(a_socket_where_nobody_listens_fails_at_once),
        cmocka_unit_test(a_client_that_is_not_allowed_hears_why),
    };
    return scripted_main(argc, argv, scripts, ELEMENTS(scripts), tests, ELEMENTS(tests));
}
