/* test_reader.c - answers to LIST, straight from the store's reader, and from the thread that asks it. */
#include "tests/reader_rig.h"

#include <poll.h>

/* ---- LIST ------------------------------------------------------------------------------------ */

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

/* ---- the thread ------------------------------------------------------------------------------ */

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
        test(many_questions_are_answered_each_to_who_asked),
        test(more_questions_than_may_wait_get_busy_until_answers_are_taken),
        test(one_connection_does_not_take_the_place_of_all_others),
        test(a_reader_of_no_database_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
