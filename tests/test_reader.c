/* test_reader.c - answers to LIST, FETCH and HISTORY, straight from the store's reader, and from
 * the thread that asks it. */
#include "broker/reader.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/store_internal.h"
#include "proto/output.h"

#define NOW 1700000000000

static char dir[64], path[80];
static struct store *s;
static struct store_reader *reader;
static uint32_t classes[3]; /* queue a, queue b, commands in a */
static uint64_t worker;
static struct buf bytes;
static struct message answer;
static bool answered;

static uint32_t add_class(const char *queue, const char *handler)
{
    struct class_row c = { .queue = str_of(queue), .handler = str_of(handler) };
    uint32_t id;
    assert_int_equal(store_add_class(s, &c, &id), 0);
    return id;
}

static int make(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/tern-reader-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/t.db", dir);
    struct store_options o = { .path = path, .quiet = true };
    char *error = NULL;
    if (store_open(&s, &o, &error) < 0 || store_reader_open(&reader, path, &error) < 0)
        fail_msg("%s", error);
    classes[0] = add_class("a", "cpu");
    classes[1] = add_class("b", "cpu");
    classes[2] = add_class("a", "exec");
    struct str instance = { "0123456789abcdef", 16 };
    assert_int_equal(store_worker(s, instance, str_of("w"), str_of("h"), str_of("uid:0"), NOW, &worker), 0);
    buf_init(&bytes, LIMIT_MESSAGE_BYTES);
    return store_commit(s);
}

static void forget_answer(void)
{
    if (answered)
        message_fini(&answer);
    answered = false;
    buf_clear(&bytes);
}

static int unmake(void **state)
{
    (void)state;
    static const char *const ends[] = { "", "-wal", "-shm", ".lock" };
    forget_answer();
    buf_fini(&bytes);
    reader = store_reader_close(reader);
    s = store_close(s);
    for (size_t i = 0; i < ELEMENTS(ends); i++) {
        cleanup(freep) char *p = xasprintf("%s%s", path, ends[i]);
        unlink(p);
    }
    return rmdir(dir);
}

static uint64_t add(uint32_t class, size_t n, const char *owner, struct str payload)
{
    struct job_spec spec;
    record_init(RECORD_job_spec, &spec);
    spec.payload = payload;
    struct new_job *jobs = xcalloc(n, sizeof *jobs);
    for (size_t i = 0; i < n; i++)
        jobs[i] = (struct new_job){ &spec, class, STATE_QUEUED, UNSET, UNSET, 0 };
    uint64_t id = 0;
    assert_int_equal(store_add_jobs(s, jobs, n, str_of(owner), NOW, &id), 0);
    assert_int_equal(store_commit(s), 0);
    free(jobs);
    return id;
}

static void lease_at(uint64_t id, int64_t now)
{
    struct lease_order o = { .id = id, .worker = worker, .pool = POOL_PROCESS };
    assert_int_equal(store_lease(s, &o, 1, now), 0);
    assert_true(o.leased);
    free(o.owned);
    assert_int_equal(store_commit(s), 0);
}

static void end_at(uint64_t id, uint32_t class, uint64_t attempt, enum job_state to,
                   struct outcome *o, int64_t now)
{
    struct attempt_end e = { .id = id,
                             .attempt = attempt,
                             .to = to,
                             .due_ms = to == STATE_SCHEDULED ? now + 500 : UNSET,
                             .from_class = class,
                             .class = class,
                             .worker = worker,
                             .pool = POOL_PROCESS,
                             .started_ms = now - 10,
                             .finished_ms = now,
                             .outcome = o };
    assert_int_equal(store_end_attempts(s, &e, 1), 0);
    assert_true(e.recorded);
    assert_int_equal(store_commit(s), 0);
}

static const struct message *ask_as(const struct message *m, const char *owner)
{
    forget_answer();
    const char *why;
    assert_int_equal(store_reader_answer(reader, m, str_of(owner), &bytes), 0);
    assert_int_equal(message_decode(&answer, bytes.p, bytes.n, &why), 0);
    answered = true;
    assert_int_equal(answer.list.req, m->list.req);
    return &answer;
}

static const struct message *ask(const struct message *m) { return ask_as(m, NULL); }

static struct message list(void)
{
    struct message m;
    message_init(&m, MSG_LIST);
    m.list.req = 77;
    return m;
}

static uint64_t add_child(uint64_t parent, const char *key)
{
    struct job_spec spec;
    record_init(RECORD_job_spec, &spec);
    struct new_job j = { &spec, classes[0], STATE_QUEUED, UNSET, UNSET, parent };
    uint64_t id;
    assert_int_equal(store_add_child(s, &j, str_of(key), false, 1, NOW, &id), 1);
    assert_int_equal(store_commit(s), 0);
    return id;
}

static void assert_not_found(const struct message *m)
{
    assert_int_equal(m->type, MSG_ERROR);
    assert_int_equal(m->error.code, CODE_NOT_FOUND);
}

/* ---- LIST ----------------------------------------------------------------------------------- */

/* All ids that the pages of a list give, in order. */
static size_t walk(struct message m, uint64_t *ret, size_t max)
{
    size_t n = 0, pages = 0;
    do {
        const struct message *page = ask(&m);
        assert_int_equal(page->type, MSG_JOBS);
        assert_true(pages++ < 1000);
        for (size_t i = 0; i < page->jobs.n_jobs; i++) {
            assert_true(n < max);
            ret[n++] = page->jobs.jobs[i].id;
        }
        m.list.from = page->jobs.next;
    } while (m.list.from);
    return n;
}

static void pages_by_key_give_every_job_once_in_both_directions(void **state)
{
    (void)state;
    add(classes[0], 103, "uid:1", STR_UNSET);
    uint64_t ids[200];
    for (uint64_t down = 0; down < 2; down++)
        for (uint64_t limit = 1; limit <= 104; limit += 17) {
            struct message m = list();
            m.list.newest_first = down;
            m.list.limit = limit;
            assert_int_equal(walk(m, ids, 200), 103);
            for (uint64_t i = 0; i < 103; i++)
                assert_int_equal(ids[i], down ? 103 - i : i + 1);
        }
}

static void ranges_in_any_order_and_overlapping_give_every_job_once(void **state)
{
    (void)state;
    add(classes[0], 40, "uid:1", STR_UNSET);
    struct range ranges[] = { { 30, 35 }, { 10, 20 },         { 15, 25 }, { 12, 13 },
                              { 0, 2 },   { 39, UINT64_MAX }, { 7, 6 } };
    uint64_t ids[100], want[100];
    size_t n = 0;
    for (uint64_t id = 1; id <= 40; id++)
        if (id <= 2 || (id >= 10 && id <= 25) || (id >= 30 && id <= 35) || id >= 39)
            want[n++] = id;
    for (uint64_t down = 0; down < 2; down++)
        for (uint64_t limit = 1; limit < 30; limit += 4) {
            struct message m = list();
            m.list.ranges = ranges;
            m.list.n_ranges = ELEMENTS(ranges);
            m.list.newest_first = down;
            m.list.limit = limit;
            assert_int_equal(walk(m, ids, 100), n);
            for (size_t i = 0; i < n; i++)
                assert_int_equal(ids[i], want[down ? n - 1 - i : i]);
        }
}

static void state_queue_and_owner_filter(void **state)
{
    (void)state;
    uint64_t in_a = add(classes[0], 5, "uid:1", STR_UNSET),
             in_b = add(classes[1], 5, "uid:2", STR_UNSET);
    store_end_waiting(s, in_a, STATE_CANCELLED, NOW);
    store_end_waiting(s, in_b, STATE_CANCELLED, NOW);
    store_commit(s);
    uint64_t ids[20];
    struct message m = list();
    m.list.states = 1u << STATE_CANCELLED;
    assert_int_equal(walk(m, ids, 20), 2);
    m.list.queue = str_of("b");
    assert_int_equal(walk(m, ids, 20), 1);
    assert_int_equal(ids[0], in_b);
    m.list.queue = str_of("none");
    assert_int_equal(walk(m, ids, 20), 0);
    m = list();
    assert_int_equal(ask_as(&m, "uid:1")->jobs.n_jobs, 5);
    assert_int_equal(answer.jobs.jobs[4].id, 5);
    assert_true(str_is(answer.jobs.jobs[0].owner, "uid:1") &&
                str_is(answer.jobs.jobs[0].queue, "a"));
    assert_int_equal(ask_as(&m, "uid:3")->jobs.n_jobs, 0);
    struct range of_another = { in_b, in_b }, beyond = { (uint64_t)INT64_MAX + 2, UINT64_MAX };
    m.list.ranges = &of_another;
    m.list.n_ranges = 1;
    assert_not_found(ask_as(&m, "uid:1"));
    m.list.ranges = &beyond;
    assert_not_found(ask(&m));
}

static void the_children_of_one_job_are_listed_alone_page_by_page(void **state)
{
    (void)state;
    uint64_t parent = add(classes[0], 2, "uid:1", STR_UNSET), mine[5], ids[10];
    static const char *const keys[] = { "e", "d", "c", "b", "a" };
    for (size_t i = 0; i < 5; i++) {
        mine[i] = add_child(parent, keys[i]);
        add_child(parent + 1, keys[i]);
    }
    struct message m = list();
    m.list.parent = parent;
    for (m.list.limit = 1; m.list.limit < 7; m.list.limit++) {
        m.list.newest_first = 0;
        assert_int_equal(walk(m, ids, 10), 5);
        assert_memory_equal(ids, mine, sizeof mine);
        m.list.newest_first = 1;
        assert_int_equal(walk(m, ids, 10), 5);
        for (size_t i = 0; i < 5; i++)
            assert_int_equal(ids[i], mine[4 - i]);
    }
    struct range some[] = { { mine[3], mine[4] }, { 1, mine[0] } };
    m.list.ranges = some;
    m.list.n_ranges = 2;
    m.list.newest_first = 0;
    assert_int_equal(walk(m, ids, 10), 3);
    assert_int_equal(ids[1], mine[3]);
    m.list.parent = mine[0]; /* has none: an empty page, and no error */
    assert_int_equal(walk(m, ids, 10), 0);
    assert_int_equal(ask_as(&m, "uid:2")->type, MSG_JOBS);
}

static void what_runs_is_listed_without_what_does_not(void **state)
{
    (void)state;
    uint64_t first = add(classes[0], 30, "uid:1", STR_UNSET), ids[40];
    for (uint64_t i = 0; i < 10; i++)
        lease_at(first + 3 * i, NOW);
    for (uint64_t down = 0; down < 2; down++)
        for (uint64_t limit = 1; limit < 12; limit += 3) {
            struct message m = list();
            m.list.states = 1u << STATE_RUNNING;
            m.list.newest_first = down;
            m.list.limit = limit;
            assert_int_equal(walk(m, ids, 40), 10);
            for (uint64_t i = 0; i < 10; i++)
                assert_int_equal(ids[i], first + 3 * (down ? 9 - i : i));
        }
}

static void commands_with_much_input_come_in_smaller_pages(void **state)
{
    (void)state;
    static char input[1000000];
    struct str argv[] = { { "cat", 3 } };
    struct command command = { .argv = argv, .n_argv = 1, .input = { input, sizeof input } };
    struct buf payload;
    buf_init(&payload, LIMIT_MESSAGE_BYTES);
    assert_int_equal(record_encode(&payload, RECORD_command, &command), 0);
    add(classes[2], 60, "uid:1", buf_str(&payload));
    struct message m = list();
    uint64_t ids[60];
    assert_int_equal(walk(m, ids, 60), 60);
    assert_in_range(ask(&m)->jobs.n_jobs, 2, 30);
    buf_fini(&payload);
}

static void what_cannot_be_read_is_an_error_and_never_just_missing(void **state)
{
    (void)state;
    uint64_t id = add(classes[0], 3, "uid:1", STR_UNSET);
    assert_int_equal(sqlite3_exec(s->db, "DROP TABLE attempt", NULL, NULL, NULL), SQLITE_OK);
    struct message asked[3] = { list() };
    message_init(&asked[1], MSG_FETCH);
    asked[1].fetch.job = id;
    message_init(&asked[2], MSG_HISTORY);
    asked[2].history.job = id;
    for (size_t i = 0; i < ELEMENTS(asked); i++) {
        assert_int_equal(ask(&asked[i])->type, MSG_ERROR);
        assert_int_equal(answer.error.code, CODE_REFUSED);
    }
}

static void a_search_is_bounded_and_says_where_to_go_on(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        add(classes[0], 9000, "uid:1", STR_UNSET);
    uint64_t wanted = add(classes[1], 1, "uid:1", STR_UNSET), ids[2];
    struct message m = list();
    m.list.queue = str_of("b");
    const struct message *page = ask(&m);
    assert_int_equal(page->jobs.n_jobs, 0);
    assert_true(page->jobs.next > 1 && page->jobs.next < wanted);
    assert_int_equal(walk(m, ids, 2), 1);
    assert_int_equal(ids[0], wanted);
}

/* ---- FETCH, HISTORY ------------------------------------------------------------------------- */

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

static struct outcome outcome(enum ending ending)
{
    struct outcome o;
    record_init(RECORD_outcome, &o);
    o.ending = ending;
    return o;
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

/* ---- the thread ----------------------------------------------------------------------------- */

static struct reader *start(void)
{
    struct reader *r;
    char *error = NULL;
    if (reader_start(&r, path, &error) < 0)
        fail_msg("%s", error);
    return r;
}

static void many_questions_are_answered_each_to_who_asked(void **state)
{
    (void)state;
    add(classes[0], 50, "uid:1", STR_UNSET);
    struct reader *r = start();
    unsigned asked = 0, taken = 0;
    struct buf b;
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    while (taken < 2000) {
        char id[ROUTING_ID_BYTES] = "", from[ROUTING_ID_BYTES];
        struct message m = list();
        m.list.req = asked;
        m.list.limit = 3;
        memcpy(id, &asked, sizeof asked);
        if (asked < 2000 && reader_ask(r, id, 4, asked, &m, STR_UNSET) == 0) {
            asked++;
            continue;
        }
        struct pollfd fd = { .fd = reader_fd(r), .events = POLLIN };
        assert_int_equal(poll(&fd, 1, 20000), 1);
        for (; reader_take(r, from, &b); taken++, buf_clear(&b)) {
            struct message got;
            const char *why;
            assert_int_equal(message_decode(&got, b.p, b.n, &why), 0);
            assert_int_equal(got.type, MSG_JOBS);
            assert_int_equal(got.jobs.req, taken);
            assert_int_equal(got.session, taken);
            assert_int_equal(got.epoch, 4);
            assert_memory_equal(from, &taken, sizeof taken);
            message_fini(&got);
        }
    }
    buf_fini(&b);
    reader_stop(r);
}

static void more_questions_than_may_wait_get_busy_until_answers_are_taken(void **state)
{
    (void)state;
    struct reader *r = start();
    struct message m = list();
    struct buf b;
    char id[ROUTING_ID_BYTES] = "abcd";
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    for (int i = 0; i < 256; i++) {
        id[0] = (char)i;
        assert_int_equal(reader_ask(r, id, 1, 1, &m, STR_UNSET), 0);
    }
    assert_int_equal(reader_ask(r, id, 1, 1, &m, STR_UNSET), -EBUSY);
    struct pollfd fd = { .fd = reader_fd(r), .events = POLLIN };
    assert_int_equal(poll(&fd, 1, 20000), 1);
    assert_true(reader_take(r, id, &b));
    assert_int_equal(reader_ask(r, id, 1, 1, &m, STR_UNSET), 0);
    buf_fini(&b);
    reader_stop(r); /* with questions and answers that wait */
    assert_null(reader_stop(NULL));
}

static void one_connection_does_not_take_the_place_of_all_others(void **state)
{
    (void)state;
    struct reader *r = start();
    struct message m = list();
    int taken = 0;
    for (int i = 0; i < 200; i++)
        taken += reader_ask(r, "abcd", 1, 1, &m, STR_UNSET) == 0;
    assert_in_range(taken, LIMIT_QUERIES_OPEN, 199); /* meanwhile some are answered */
    assert_int_equal(reader_ask(r, "efgh", 1, 1, &m, STR_UNSET), 0);
    reader_stop(r);
}

static void a_reader_of_no_database_says_so(void **state)
{
    (void)state;
    struct reader *r;
    char *error = NULL;
    assert_true(reader_start(&r, "/nonexistent/t.db", &error) < 0);
    assert_non_null(strstr(error, "/nonexistent/t.db"));
    free(error);
}

#define test(f) cmocka_unit_test_setup_teardown(f, make, unmake)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(pages_by_key_give_every_job_once_in_both_directions),
        test(ranges_in_any_order_and_overlapping_give_every_job_once),
        test(state_queue_and_owner_filter),
        test(the_children_of_one_job_are_listed_alone_page_by_page),
        test(what_runs_is_listed_without_what_does_not),
        test(commands_with_much_input_come_in_smaller_pages),
        test(what_cannot_be_read_is_an_error_and_never_just_missing),
        test(a_search_is_bounded_and_says_where_to_go_on),
        test(result_and_output_of_each_attempt_can_be_fetched),
        test(the_result_of_a_command_is_its_standard_output),
        test(history_tells_a_life_with_retries),
        test(many_questions_are_answered_each_to_who_asked),
        test(more_questions_than_may_wait_get_busy_until_answers_are_taken),
        test(one_connection_does_not_take_the_place_of_all_others),
        test(a_reader_of_no_database_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
