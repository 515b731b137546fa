/* test_store_order.c - what the store gives in order and in slices, and what it lets go. */
#include "tests/store_rig.h"

#include "proto/base/rng.h"

static void heads_come_by_falling_priority_then_by_id(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 9);
    for (int i = 0; i < 300; i++)
        add((int64_t)rng_below(&rng, 5) - 2);
    struct head heads[200];
    assert_int_equal(store_heads(s, class, heads, 200), 200);
    for (int i = 1; i < 200; i++)
        assert_true(heads[i - 1].priority > heads[i].priority ||
                    (heads[i - 1].priority == heads[i].priority && heads[i - 1].id < heads[i].id));
    assert_int_equal(store_heads(s, class + 1, heads, 200), 0);
}

static void what_is_due_comes_in_slices_and_in_order(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        add_due(NOW + (7 * i) % 10, UNSET);
    assert_int_equal(store_next_due(s), NOW);
    struct due_job due[4];
    int64_t seen = 0;
    for (int n; (n = store_promote_due(s, NOW + 7, due, 4)) > 0;)
        for (int i = 0; i < n; i++, seen++)
            assert_int_equal(get(due[i].id).due_ms, NOW + seen);
    assert_int_equal(seen, 8);
    assert_int_equal(store_next_due(s), NOW + 8);
    store_commit(s);
    assert_counters_are_true();
}

static void what_expires_comes_in_slices_and_in_order(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        add_due(i % 2 ? NOW + 100 : UNSET, NOW + (3 * i) % 10);
    uint64_t ids[4];
    int64_t seen = 0;
    for (int n; (n = store_find_expired(s, NOW + 5, ids, 4)) > 0;)
        for (int i = 0; i < n; i++, seen++) {
            assert_int_equal(get(ids[i]).expire_at_ms, NOW + seen);
            assert_int_equal(store_end_waiting(s, ids[i], STATE_EXPIRED, NOW), 1);
        }
    assert_int_equal(seen, 6);
    assert_int_equal(store_next_expiry(s), NOW + 6);
}

static void the_oldest_that_waits_is_found_behind_higher_priorities(void **state)
{
    (void)state;
    assert_int_equal(store_oldest(s, class), UNSET);
    struct job_spec spec;
    record_init(RECORD_job_spec, &spec);
    for (int64_t i = 0; i < 20; i++) {
        spec.priority = i % 7;
        struct new_job j = { &spec, class, STATE_QUEUED, UNSET, UNSET, 0 };
        uint64_t id;
        assert_int_equal(store_add_jobs(s, &j, 1, str_of("uid:1"), NOW + i, &id), 0);
    }
    assert_int_equal(store_oldest(s, class), NOW);
    lease(1);
    assert_int_equal(store_oldest(s, class), NOW + 1);
}

static void a_session_remembers_its_last_sixteen_submits(void **state)
{
    (void)state;
    struct submit_row found;
    uint64_t last;
    for (uint64_t i = 1; i <= 40; i++) {
        struct submit_row row = { i, 100 * i, i };
        assert_int_equal(store_put_submit(s, str_of("o"), str_of("i"), &row, NOW), 0);
    }
    for (uint64_t i = 1; i <= 41; i++) {
        int r = store_find_submit(s, str_of("o"), str_of("i"), i, &found, &last);
        assert_int_equal(r, i > 24 && i <= 40 ? 0 : -ENOENT);
        assert_int_equal(last, 40);
        if (!r)
            assert_true(found.first_id == 100 * i && found.count == i && found.seq == i);
    }
    assert_int_equal(store_find_submit(s, str_of("other"), str_of("i"), 40, &found, &last),
                     -ENOENT);
    assert_int_equal(last, 0);
    struct swept_job none[1];
    assert_int_equal(store_sweep(s, 0, 10, NOW + 24ll * 3600000 + 1, none, 1), 0); /* a day later */
    assert_int_equal(store_find_submit(s, str_of("o"), str_of("i"), 40, &found, &last), -ENOENT);
    assert_int_equal(number("SELECT (SELECT count(*) FROM submit) + (SELECT count(*) FROM client)"),
                     0);
}

static void finished_jobs_go_in_slices_by_age_and_by_number_the_oldest_first(void **state)
{
    (void)state;
    for (int64_t i = 0; i < 20; i++) {
        uint64_t id = add(0);
        lease(id);
        end_at(id, 1, i % 2 ? STATE_DONE : STATE_DEAD, NOW + i);
    }
    add(0);
    store_commit(s);
    struct swept_job swept[6];
    assert_int_equal(store_sweep(s, NOW + 10, 100, NOW, swept, 6), 6);
    assert_int_equal(swept[0].state, STATE_DEAD);
    assert_int_equal(swept[1].state, STATE_DONE);
    assert_int_equal(swept[5].class, class);
    assert_int_equal(store_sweep(s, NOW + 10, 100, NOW, swept, 6), 4);
    assert_int_equal(store_sweep(s, NOW + 10, 100, NOW, swept, 6), 0);
    assert_int_equal(store_sweep(s, 0, 7, NOW, swept, 6), 3);
    assert_int_equal(store_sweep(s, 0, 7, NOW, swept, 6), 0);
    assert_int_equal(number("SELECT min(finished_at) FROM job WHERE state >= 4"), NOW + 13);
    assert_int_equal(
        number("SELECT count(*) + count(result) FROM attempt"), 14);
    store_commit(s);
    assert_counters_are_true();
}

static void what_has_not_ended_stays_between_finished_jobs_that_go(void **state)
{
    (void)state;
    uint64_t first = add(0), waits = add(0), third = add(0), fourth = add_due(UNSET, NOW + 1000000);
    uint64_t ended[] = { fourth, first, third };
    for (size_t i = 0; i < ELEMENTS(ended); i++) {
        lease(ended[i]);
        end_at(ended[i], 1, STATE_DONE, NOW + (int64_t)i);
    }
    struct swept_job swept[6];
    assert_int_equal(store_sweep(s, NOW + 10, 100, NOW, swept, 6), 3);
    assert_int_equal(get(waits).state, STATE_QUEUED);
    assert_int_equal(number("SELECT count(*) FROM job"), 1);
    assert_int_equal(number("SELECT (SELECT count(*) FROM attempt) + (SELECT count(*) FROM expiry)"), 0);
    store_commit(s);
    assert_counters_are_true();
}

static void a_job_that_ran_past_its_expiry_expires_when_it_waits_again(void **state)
{
    (void)state;
    uint64_t ids[4], back = add_due(UNSET, NOW + 5), failed = add_due(UNSET, NOW + 6), done = add_due(UNSET, NOW + 7);
    lease(back);
    lease(failed);
    lease(done);
    assert_int_equal(store_find_expired(s, NOW + 10, ids, 4), 0);
    assert_true(store_next_expiry(s) == NEVER);
    end_at(done, 1, STATE_DONE, NOW + 11);
    assert_true(store_next_expiry(s) == NEVER);
    assert_int_equal(store_hand_back(s, back, 1, "why", str_of("w"), NOW + 11), 1);
    end_at(failed, 1, STATE_QUEUED, NOW + 11);
    assert_int_equal(store_next_expiry(s), NOW + 5);
    assert_int_equal(store_find_expired(s, NOW + 12, ids, 4), 2);
    assert_int_equal(ids[0], back);
    assert_int_equal(ids[1], failed);
}

static void a_job_that_is_tried_again_has_no_expiry_left(void **state)
{
    (void)state;
    uint64_t ids[4], id = add_due(UNSET, NOW + 5);
    assert_int_equal(store_end_waiting(s, id, STATE_CANCELLED, NOW), 1);
    assert_int_equal(store_retry(s, id, class, NOW), 1);
    assert_int_equal(store_find_expired(s, NOW + 10, ids, 4), 0);
    assert_int_equal(get(id).state, STATE_QUEUED);
}

/* SQLite rolls a turn back by itself after some errors: then each statement would be a transaction of its own. */
static void after_an_error_nothing_more_is_written_in_its_turn(void **state)
{
    (void)state;
    add(0);
    store_commit(s);
    assert_int_equal(store_write(s), 0);
    assert_int_equal(sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    s->failed = -EIO;
    sqlite3_stmt *q = sql(s, SQL_OWNER_ADD);
    bind_text(q, 1, str_of("nobody"));
    assert_int_equal(sql_run(s, q), -EIO);
    struct submit_row row = { 1, 1, 1 };
    assert_int_equal(store_put_submit(s, str_of("uid:1"), (struct str){ "abcdefghijklmnop", 16 }, &row, NOW), -EIO);
    assert_int_equal(store_commit(s), -EIO);
    store_rollback(s);
    assert_int_equal(number("SELECT (SELECT count(*) FROM owner WHERE name = 'nobody') + (SELECT count(*) FROM submit)"), 0);
}

static void a_submit_that_is_put_again_changes_nothing(void **state)
{
    (void)state;
    struct str owner = str_of("uid:1"), instance = { "abcdefghijklmnop", 16 };
    struct submit_row row = { 1, 10, 5 }, found;
    uint64_t last;
    for (int i = 0; i < 2; i++)
        assert_int_equal(store_put_submit(s, owner, instance, &row, NOW), 0);
    assert_int_equal(store_find_submit(s, owner, instance, 1, &found, &last), 0);
    assert_int_equal(found.first_id, 10);
    assert_int_equal(last, 1);
}

static void no_job_keeps_more_than_its_newest_thousand_events(void **state)
{
    (void)state;
    uint64_t id = add(0), other = add(0);
    for (int64_t i = 0; i < 1100; i++) {
        assert_int_equal(store_event(s, id, 1, "x", STR_UNSET, STR_UNSET, NOW + i), 0);
        if (i < 3)
            assert_int_equal(store_event(s, other, 1, "x", STR_UNSET, STR_UNSET, NOW), 0);
    }
    assert_int_equal(number("SELECT count(*) FROM event WHERE job = 1"), 1000);
    assert_int_equal(number("SELECT min(at) FROM event WHERE job = 1"), NOW + 100);
    assert_int_equal(number("SELECT count(*) FROM event WHERE job = 2"), 3);
}

static void a_retry_keeps_when_the_job_was_cancelled(void **state)
{
    (void)state;
    uint64_t id = add(0);
    assert_int_equal(store_end_waiting(s, id, STATE_CANCELLED, NOW + 5), 1);
    assert_int_equal(store_retry(s, id, class, NOW + 9), 1);
    assert_int_equal(number("SELECT at FROM event WHERE event = 'cancelled'"), NOW + 5);
    assert_int_equal(number("SELECT at FROM event WHERE event = 'retried'"), NOW + 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(heads_come_by_falling_priority_then_by_id),
        test(what_is_due_comes_in_slices_and_in_order),
        test(what_expires_comes_in_slices_and_in_order),
        test(after_an_error_nothing_more_is_written_in_its_turn),
        test(a_job_that_ran_past_its_expiry_expires_when_it_waits_again),
        test(a_job_that_is_tried_again_has_no_expiry_left),
        test(what_has_not_ended_stays_between_finished_jobs_that_go),
        test(the_oldest_that_waits_is_found_behind_higher_priorities),
        test(a_session_remembers_its_last_sixteen_submits),
        test(a_submit_that_is_put_again_changes_nothing),
        test(no_job_keeps_more_than_its_newest_thousand_events),
        test(a_retry_keeps_when_the_job_was_cancelled),
        test(finished_jobs_go_in_slices_by_age_and_by_number_the_oldest_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
