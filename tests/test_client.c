/* test_client.c - libtern against a broker that follows a script: sessions, repeats, time-outs,
 * order.
 *
 * The scripted broker is this program anew, given the name of its script; it ends with 0 when it
 * heard what the script expects. */
#include "client/libtern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "proto/base/clock.h"
#include "proto/message.h"
#include "proto/socket.h"

#define HEARTBEAT_MS 50
#define LOST_AFTER_MS 200

static char address[64];

/* ---- the broker's side ---------------------------------------------------------------------- */

struct fake {
    struct socket *socket;
    char routing_id[ROUTING_ID_BYTES];
    char instance[16];
    uint64_t session;
    struct frame f;
    struct message m;
    bool has_message;
};

static void insist(bool good, const char *what)
{
    if (good)
        return;
    dprintf(STDERR_FILENO, "the scripted broker: %s\n", what);
    _exit(1);
}

static void forget(struct fake *b)
{
    if (b->has_message) {
        message_fini(&b->m);
        frame_fini(&b->f);
    }
    b->has_message = false;
}

static void answer(struct fake *b, struct message *m)
{
    struct buf out;
    buf_init(&out, LIMIT_MESSAGE_BYTES);
    m->epoch = 1;
    m->session = b->session;
    insist(message_encode(&out, m) >= 0, "cannot encode");
    socket_send_to(b->socket, b->routing_id, buf_str(&out));
    buf_fini(&out);
}

/* The next message but beats, which are answered: so long as this runs, the broker is alive. */
static void next(struct fake *b)
{
    const char *why = "";
    for (;;) {
        forget(b);
        int r = socket_recv(b->socket, &b->f);
        if (r == -EAGAIN) {
            insist(socket_poll(b->socket, NULL, 0, 10000) == 1, "heard nothing for 10 s");
            continue;
        }
        insist(r >= 0 && message_decode(&b->m, b->f.p, b->f.n, &why) >= 0, why);
        b->has_message = true;
        memcpy(b->routing_id, b->f.routing_id, ROUTING_ID_BYTES);
        if (b->m.type != MSG_BEAT)
            return;
        struct message beat;
        message_init(&beat, MSG_BEAT);
        beat.beat.req = b->m.beat.req;
        answer(b, &beat);
    }
}

static void expect(struct fake *b, enum message_type type)
{
    next(b);
    if (b->m.type != type)
        dprintf(STDERR_FILENO, "wanted %s, got %s\n", message_name(type), message_name(b->m.type));
    insist(b->m.type == type, "another message than the script says");
    insist(type == MSG_HELLO || b->m.session == b->session,
           "a session that is not the present one");
}

static void send_welcome(struct fake *b)
{
    struct message m;
    b->session++;
    message_init(&m, MSG_WELCOME);
    m.welcome.version = 1;
    m.welcome.heartbeat_ms = HEARTBEAT_MS;
    m.welcome.lost_after_ms = LOST_AFTER_MS;
    m.welcome.max_payload_bytes = 1000;
    answer(b, &m);
}

static void welcome(struct fake *b)
{
    expect(b, MSG_HELLO);
    insist(str_is(b->m.hello.role, "client") && b->m.hello.instance.n == 16,
           "HELLO without role or instance");
    insist(!b->session || memcmp(b->instance, b->m.hello.instance.p, 16) == 0,
           "another instance than before");
    memcpy(b->instance, b->m.hello.instance.p, 16);
    send_welcome(b);
}

static void hello_again(struct fake *b)
{
    struct message m;
    message_init(&m, MSG_HELLO_AGAIN);
    answer(b, &m);
}

static void say_error(struct fake *b, uint64_t code, const char *text)
{
    struct message m;
    message_init(&m, MSG_ERROR);
    m.error.req = b->m.ok.req;
    m.error.code = code;
    m.error.text = str_of(text);
    answer(b, &m);
}

static void acknowledge(struct fake *b, uint64_t req, uint64_t seq, uint64_t first_id,
                        uint64_t count)
{
    struct message m;
    message_init(&m, MSG_SUBMITTED);
    m.submitted.req = req;
    m.submitted.seq = seq;
    m.submitted.first_id = first_id;
    m.submitted.count = count;
    answer(b, &m);
}

/* Starts it and waits until it listens. */
static pid_t start(const char *script)
{
    int ready[2];
    char byte = 0, fd[16];
    assert_int_equal(pipe(ready), 0);
    snprintf(fd, sizeof fd, "%d", ready[1]);
    pid_t pid = fork();
    if (pid == 0) {
        execl("/proc/self/exe", "test_client", script, address, fd, (char *)NULL);
        _exit(127);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static void finish(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- the client's side ---------------------------------------------------------------------- */

static struct tern_client *client(void)
{
    struct tern_client *c = tern_client_new();
    tern_client_set_timeouts(c, 500, 2000);
    assert_int_equal(tern_client_connect(c, address), 0);
    return c;
}

static struct tern_job_spec echo(void)
{
    struct tern_job_spec s;
    tern_job_spec_init(&s);
    s.handler = "echo";
    s.payload = "x";
    s.payload_bytes = 1;
    return s;
}

/* ---- cases ---------------------------------------------------------------------------------- */

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

/* ---- the program anew ----------------------------------------------------------------------- */

#define SCRIPTS(S)                                                                                 \
    S(forgets_the_client_once)                                                                     \
    S(is_busy_twice) S(is_always_busy) S(answers_backwards) S(waits_for_bye)                       \
        S(has_too_many_peers) S(always_has_too_many_peers)                                         \
        S(refuses_each_in_its_way) S(never_ends_the_wait) S(restarts) S(falls_silent)              \
            S(says_nothing) S(refuses_the_client) S(has_three_pages) S(runs_in_each_way) S(never_ends_the_run)

static int play(const char *script, int ready)
{
    static const struct {
        const char *name;
        void (*fn)(struct fake *b);
    } scripts[] = {
#define X(name) { #name, name },
        SCRIPTS(X)
#undef X
    };
    struct fake b = { 0 };
    char byte = 0, *error = NULL;
    alarm(30); /* never outlives a test that has failed */
    insist(socket_listen(&b.socket, address, &error) >= 0, "cannot listen");
    insist(write(ready, &byte, 1) == 1, "cannot say so");
    close(ready);
    for (size_t i = 0; i < ELEMENTS(scripts); i++)
        if (strcmp(scripts[i].name, script) == 0)
            scripts[i].fn(&b);
    forget(&b);
    usleep(50000); /* LINGER is 0: what was said last must leave */
    socket_close(b.socket);
    return 0;
}

static int make_address(void **state)
{
    (void)state;
    snprintf(address, sizeof address, "ipc:///tmp/test_client.%d.sock", (int)getpid());
    return 0;
}

static int remove_address(void **state)
{
    (void)state;
    unlink(address + strlen("ipc://"));
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4) {
        snprintf(address, sizeof address, "%s", argv[2]);
        return play(argv[1], (int)strtol(argv[3], NULL, 10));
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_submit_is_repeated_with_its_number_when_the_broker_forgot_the_client),
        cmocka_unit_test(a_submit_is_repeated_when_the_broker_is_busy),
        cmocka_unit_test(busy_until_the_time_is_over_is_ebusy_with_the_brokers_reason),
        cmocka_unit_test(after_busy_the_delays_double_up_to_a_second_each_with_half_of_it_at_random),
        cmocka_unit_test(a_client_that_finds_too_many_peers_says_hello_again_later),
        cmocka_unit_test(too_many_peers_until_the_time_is_over_is_ebusy),
        cmocka_unit_test(ids_are_told_in_the_order_of_the_jobs),
        cmocka_unit_test(a_payload_over_the_limit_is_refused_before_it_is_sent),
        cmocka_unit_test(errors_of_the_broker_have_their_codes_and_texts),
        cmocka_unit_test(a_wait_that_times_out_is_given_up),
        cmocka_unit_test(a_wait_outlives_a_restart_of_the_broker),
        cmocka_unit_test(a_run_is_told_by_one_answer_or_by_as_many_as_it_takes),
        cmocka_unit_test(a_run_that_is_interrupted_knows_its_job_and_gives_up_the_wait),
        cmocka_unit_test(a_broker_that_is_lost_for_good_is_said_to_be),
        cmocka_unit_test(silence_before_the_first_answer_ends_the_connect),
        cmocka_unit_test(a_socket_where_nobody_listens_fails_at_once),
        cmocka_unit_test(a_client_that_is_not_allowed_hears_why),
        cmocka_unit_test(a_list_is_read_page_by_page),
    };
    return cmocka_run_group_tests(tests, make_address, remove_address);
}
