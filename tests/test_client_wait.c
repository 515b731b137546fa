/* test_client_wait.c - libtern waits for jobs and reads lists, of a broker that follows a script. */
#include "tests/scripted_broker.h"

#include <stdio.h>
#include <unistd.h>

#include "proto/base/clock.h"

static void never_ends_the_wait(struct fake *b)
{
    welcome(b);
    expect(b, MSG_WAIT);
    insist(b->m.wait.n_ranges == 1 && b->m.wait.ranges[0].last == 9, "the range");
    uint64_t req = b->m.wait.req;
    expect(b, MSG_UNWAIT);
    insist(b->m.unwait.req == req, "gives up what it asked");
}

static void a_wait_that_times_out_is_given_up(void **state)
{
    (void)state;
    pid_t broker = start("never_ends_the_wait");
    struct tern_client *c = client();
    struct tern_range range = { 5, 9 };
    int64_t before = clock_mono_us();
    int r = tern_client_wait(c, &range, 1, false, 300, NULL);
    assert_int_equal(r, -ETIMEDOUT);
    assert_int_equal(tern_exit_status(r), 124);
    assert_in_range(clock_mono_us() - before, 299000, 2000000);
    finish(broker);
    tern_client_free(c);
}

static void expect_submit_that_waits(struct fake *b, uint64_t *ret_wait)
{
    expect(b, MSG_SUBMIT);
    *ret_wait = b->m.submit.wait;
    insist(*ret_wait && *ret_wait != b->m.submit.req && b->m.submit.what == WHAT_RESULT, "a number of its own for the wait");
}

static void acknowledge_wait(struct fake *b, uint64_t waits)
{
    struct message m;
    message_init(&m, MSG_SUBMITTED);
    m.submitted.req = b->m.submit.req;
    m.submitted.seq = b->m.submit.seq;
    m.submitted.first_id = 70;
    m.submitted.count = 1;
    m.submitted.waits = waits;
    answer(b, &m);
}

static void tell_end(struct fake *b, uint64_t req, uint64_t attempt)
{
    struct message m;
    message_init(&m, MSG_WAITED);
    m.waited.req = req;
    m.waited.attempt = attempt;
    m.waited.exit_code = attempt ? 0 : UNSET;
    m.waited.data = attempt ? str_of("told") : STR_UNSET;
    answer(b, &m);
}

static void tell_when_asked(struct fake *b)
{
    expect(b, MSG_FETCH);
    insist(b->m.fetch.job == 70 && b->m.fetch.what == WHAT_RESULT, "fetches the result of the job");
    struct message m;
    message_init(&m, MSG_FETCHED);
    m.fetched.req = b->m.fetch.req;
    m.fetched.state = STATE_DONE;
    m.fetched.attempt = 2;
    m.fetched.data = str_of("fetched");
    answer(b, &m);
}

static void runs_in_each_way(struct fake *b)
{
    uint64_t wait;
    welcome(b);
    expect_submit_that_waits(b, &wait); /* told by WAITED, which may come first */
    tell_end(b, wait, 1);
    acknowledge_wait(b, 1);

    expect_submit_that_waits(b, &wait); /* an older broker, or a busy one */
    acknowledge_wait(b, 0);
    expect(b, MSG_WAIT);
    insist(b->m.wait.req == wait && b->m.wait.n_ranges == 1 && b->m.wait.ranges[0].first == 70 &&
           b->m.wait.ranges[0].last == 70, "waits for the job by itself");
    tell_end(b, wait, 0);
    tell_when_asked(b);

    expect_submit_that_waits(b, &wait); /* forgotten before the submit is acknowledged, and after it */
    hello_again(b);
    welcome(b);
    expect_submit_that_waits(b, &wait);
    acknowledge_wait(b, 1);
    hello_again(b);
    welcome(b);
    expect(b, MSG_WAIT);
    insist(b->m.wait.req == wait, "the same wait in the new session");
    tell_end(b, wait, 0);
    tell_when_asked(b);
}

static void a_run_is_told_by_one_answer_or_by_as_many_as_it_takes(void **state)
{
    (void)state;
    pid_t broker = start("runs_in_each_way");
    struct tern_client *c = client();
    struct tern_job_spec job = echo();
    static const char *const told[] = { "told", "fetched", "fetched" };
    for (size_t i = 0; i < ELEMENTS(told); i++) {
        struct tern_result result;
        uint64_t id = 0;
        assert_int_equal(tern_client_run(c, &job, false, &id, &result), 0);
        assert_int_equal(id, 70);
        assert_string_equal(result.data, told[i]);
        assert_string_equal(result.state, "done");
        assert_int_equal(result.attempt, i ? 2 : 1);
        tern_result_fini(&result);
    }
    finish(broker);
    tern_client_free(c);
}

static void never_ends_the_run(struct fake *b)
{
    uint64_t wait;
    welcome(b);
    expect_submit_that_waits(b, &wait);
    usleep(100000);
    acknowledge_wait(b, 1);
    expect(b, MSG_UNWAIT);
    insist(b->m.unwait.req == wait, "gives up its wait");
}

static void a_run_that_is_interrupted_knows_its_job_and_gives_up_the_wait(void **state)
{
    (void)state;
    pid_t broker = start("never_ends_the_run");
    struct tern_client *c = client();
    struct tern_job_spec job = echo();
    struct tern_result result;
    uint64_t id = 0;
    int always[2];
    assert_int_equal(pipe(always), 0);
    assert_int_equal(write(always[1], "x", 1), 1);
    tern_client_set_interrupt(c, always[0]);
    assert_int_equal(tern_client_run(c, &job, false, &id, &result), -EINTR);
    assert_int_equal(id, 70);
    finish(broker);
    tern_client_free(c);
    close(always[0]);
    close(always[1]);
}

static void falls_silent(struct fake *b)
{
    welcome(b);
    expect(b, MSG_WAIT);
    usleep(900000);
}

/* What it tells of beats is longer than any client here is patient. */
static void be_calm(struct fake *b)
{
    b->heartbeat_ms = 5000;
    b->lost_after_ms = 20000;
}

static void hangs(struct fake *b)
{
    be_calm(b);
    falls_silent(b);
}

static void has_nothing_to_say_for_long(struct fake *b)
{
    be_calm(b);
    welcome(b);
    expect(b, MSG_WAIT);
    uint64_t req = b->m.wait.req;
    for (int i = 0; i < 8; i++) {
        next_or_beat(b);
        insist(b->m.type == MSG_BEAT, "beats while it waits");
    }
    struct message m;
    message_init(&m, MSG_WAITED);
    m.waited.req = req;
    m.waited.ended = 7;
    answer(b, &m);
}

static void restarts(struct fake *b)
{
    char *error = NULL;
    welcome(b);
    expect(b, MSG_WAIT);
    socket_close(b->socket);
    usleep(100000);
    insist(socket_listen(&b->socket, address, &error) >= 0, "cannot listen again");
    /* What was sent for the old session is not understood, until there is a new one. */
    b->session = 100;
    do
        next(b);
    while (b->m.type != MSG_HELLO && (hello_again(b), true));
    insist(memcmp(b->instance, b->m.hello.instance.p, 16) == 0, "another instance than before");
    send_welcome(b);
    expect(b, MSG_WAIT);
    struct message m;
    message_init(&m, MSG_WAITED);
    m.waited.req = b->m.wait.req;
    m.waited.ended = 7;
    answer(b, &m);
}

static void a_wait_outlives_a_restart_of_the_broker(void **state)
{
    (void)state;
    pid_t broker = start("restarts");
    struct tern_client *c = client();
    struct tern_range range = { 1, UINT64_MAX };
    uint64_t ended = 0;
    tern_client_set_timeouts(c, 500, 8000);
    assert_int_equal(tern_client_wait(c, &range, 1, true, -1, &ended), 0);
    assert_int_equal(ended, 7);
    finish(broker);
    tern_client_free(c);
}

static void a_broker_that_is_lost_for_good_is_said_to_be(void **state)
{
    (void)state;
    pid_t broker = start("falls_silent");
    struct tern_client *c = client();
    struct tern_range range = { 1, 1 };
    tern_client_set_timeouts(c, 500, 600);
    int r = tern_client_wait(c, &range, 1, false, -1, NULL);
    assert_int_equal(r, -EHOSTUNREACH);
    assert_int_equal(tern_exit_status(r), 69);
    assert_non_null(strstr(tern_client_error(c), address));
    assert_non_null(strstr(tern_client_error(c), "lost"));
    finish(broker);
    tern_client_free(c);
}

static void a_wait_is_longer_than_the_brokers_silence_may_be(void **state)
{
    (void)state;
    pid_t broker = start("has_nothing_to_say_for_long");
    struct tern_client *c = client();
    struct tern_range range = { 1, UINT64_MAX };
    uint64_t ended = 0;
    tern_client_set_timeouts(c, 500, 200);
    assert_int_equal(tern_client_wait(c, &range, 1, true, -1, &ended), 0);
    assert_int_equal(ended, 7);
    finish(broker);
    tern_client_free(c);
}

static void a_broker_that_hangs_is_noticed_in_time_however_seldom_it_wants_beats(void **state)
{
    (void)state;
    pid_t broker = start("hangs");
    struct tern_client *c = client();
    struct tern_range range = { 1, 1 };
    tern_client_set_timeouts(c, 500, 300);
    int64_t began = client_mono_ms();
    assert_int_equal(tern_client_wait(c, &range, 1, false, -1, NULL), -EHOSTUNREACH);
    int64_t took = client_mono_ms() - began;
    assert_true(took >= 300 && took < 800);
    finish(broker);
    tern_client_free(c);
}

static void page(struct fake *b, uint64_t from, uint64_t n, uint64_t following)
{
    expect(b, MSG_LIST);
    insist(b->m.list.from == from, "the page that was named as the next");
    struct job_view *jobs = xcalloc(n, sizeof *jobs);
    for (uint64_t i = 0; i < n; i++) {
        record_init(RECORD_job_view, &jobs[i]);
        jobs[i].id = from + i + 1;
        jobs[i].state = STATE_QUEUED;
        jobs[i].queue = str_of("q");
    }
    struct message m;
    message_init(&m, MSG_JOBS);
    m.jobs.req = b->m.list.req;
    m.jobs.jobs = jobs;
    m.jobs.n_jobs = n;
    m.jobs.next = following;
    answer(b, &m);
    free(jobs);
}

static void has_three_pages(struct fake *b)
{
    welcome(b);
    page(b, 0, 3, 3);
    page(b, 3, 3, 6);
    page(b, 6, 1, 0);
    page(b, 0, 3, 3);
}

static int add_id(void *context, const struct tern_job_view *job)
{
    char *text = context;
    size_t n = strlen(text);
    snprintf(text + n, 100 - n, "%d ", (int)job->id);
    assert_string_equal(job->state, "queued");
    assert_string_equal(job->queue, "q");
    assert_null(job->name);
    assert_true(job->exit_code == TERN_UNSET);
    return job->id == 2 && strlen(text) > 20;
}

static void a_list_is_read_page_by_page(void **state)
{
    (void)state;
    pid_t broker = start("has_three_pages");
    struct tern_client *c = client();
    char ids[100] = "";
    struct tern_filter all = { 0 }, two = { .limit = 2 };
    assert_int_equal(tern_client_list(c, &all, add_id, ids), 0);
    assert_string_equal(ids, "1 2 3 4 5 6 7 ");
    ids[0] = '\0';
    assert_int_equal(tern_client_list(c, &two, add_id, ids), 0);
    assert_string_equal(ids, "1 2 ");
    finish(broker);
    tern_client_free(c);
}

static const struct script scripts[] = {
    SCRIPT(never_ends_the_wait), SCRIPT(restarts), SCRIPT(falls_silent), SCRIPT(has_three_pages),
    SCRIPT(hangs), SCRIPT(has_nothing_to_say_for_long), SCRIPT(runs_in_each_way), SCRIPT(never_ends_the_run),
};

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wait_that_times_out_is_given_up),
        cmocka_unit_test(a_wait_outlives_a_restart_of_the_broker),
        cmocka_unit_test(a_run_is_told_by_one_answer_or_by_as_many_as_it_takes),
        cmocka_unit_test(a_run_that_is_interrupted_knows_its_job_and_gives_up_the_wait),
        cmocka_unit_test(a_broker_that_is_lost_for_good_is_said_to_be),
        cmocka_unit_test(a_wait_is_longer_than_the_brokers_silence_may_be),
        cmocka_unit_test(a_broker_that_hangs_is_noticed_in_time_however_seldom_it_wants_beats),
        cmocka_unit_test(a_list_is_read_page_by_page),
    };
    return scripted_main(argc, argv, scripts, ELEMENTS(scripts), tests, ELEMENTS(tests));
}
