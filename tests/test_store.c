/* test_store.c - the verbs of the store: turns that are true as a whole or not at all, ids, moves, a full disk. */
#include "tests/store_rig.h"

#include <sys/stat.h>

/* ---- turns ----------------------------------------------------------------------------------- */

static void a_rollback_undoes_everything_and_the_ids_too(void **state)
{
    (void)state;
    uint64_t first = add(0);
    assert_int_equal(store_commit(s), 0);
    add(0);
    lease(first);
    end_now(first, 1, STATE_DONE);
    struct class_row c = { .queue = str_of("q"), .handler = str_of("h") };
    uint32_t id;
    store_add_class(s, &c, &id);
    store_set_paused(s, str_of("default"), true);
    struct submit_row row = { 1, 2, 3 }, found;
    uint64_t last;
    store_put_submit(s, str_of("uid:1"), str_of("i"), &row, NOW);
    store_rollback(s);
    assert_int_equal(get(first).state, STATE_QUEUED);
    assert_int_equal(store_last_id(s), first);
    assert_int_equal(store_find_submit(s, str_of("uid:1"), str_of("i"), 1, &found, &last), -ENOENT);
    assert_int_equal(number("SELECT (SELECT count(*) FROM queue) + (SELECT count(*) FROM attempt)"),
                     0);
    assert_int_equal(number("SELECT count(*) FROM class"), 1);
    uint64_t next = add(0);
    assert_int_equal(next, first + 1);
    assert_int_equal(store_commit(s), 0);
    assert_counters_are_true();
}

static void an_owner_that_was_rolled_back_is_not_remembered(void **state)
{
    (void)state;
    add(0);
    assert_true(store_owner(s, str_of("uid:1")) > 0);
    store_rollback(s);
    assert_int_equal(store_owner(s, str_of("uid:1")), 0);
    uint64_t id = add(0);
    assert_int_equal(store_commit(s), 0);
    assert_int_equal(get(id).owner, store_owner(s, str_of("uid:1")));
    assert_int_equal(number("SELECT count(*) FROM owner"), 1);
}

static void what_was_not_committed_is_gone_after_close(void **state)
{
    (void)state;
    add(0);
    store_commit(s);
    add(0);
    reopen(0);
    assert_int_equal(store_last_id(s), 1);
}

static void a_turn_that_writes_nothing_touches_no_disk(void **state)
{
    (void)state;
    int64_t before = number("PRAGMA data_version");
    int changes = sqlite3_total_changes(s->db);
    uint64_t ids[4];
    struct due_job due[4];
    struct swept_job swept[4];
    assert_int_equal(store_promote_due(s, NOW, due, 4), 0);
    assert_int_equal(store_find_expired(s, NOW, ids, 4), 0);
    assert_int_equal(store_sweep(s, NOW, 10, NOW, swept, 4), 0);
    assert_false(s->in_turn);
    assert_int_equal(store_commit(s), 0);
    assert_int_equal(sqlite3_total_changes(s->db), changes);
    assert_int_equal(number("PRAGMA data_version"), before);
}

static void ids_count_up_and_are_never_used_again(void **state)
{
    (void)state;
    uint64_t last = 0;
    for (int i = 0; i < 5; i++) {
        uint64_t id = add(0);
        assert_true(id > last);
        last = id;
        assert_int_equal(store_end_waiting(s, id, STATE_CANCELLED, NOW), 1);
        assert_int_equal(store_commit(s), 0);
        assert_int_equal(store_remove(s, id), 1);
        assert_int_equal(store_commit(s), 0);
        if (i % 2)
            reopen(0);
    }
    assert_int_equal(store_last_id(s), 0);
}

/* ---- moves ----------------------------------------------------------------------------------- */

static void only_what_is_queued_can_be_leased_and_once(void **state)
{
    (void)state;
    uint64_t id = add(0), later = add_due(NOW + 1, UNSET);
    assert_true(lease(id));
    assert_false(lease(id));
    assert_false(lease(later));
    assert_false(lease(999));
    assert_int_equal(get(id).attempt, 1);
}

static void another_attempts_token_changes_nothing(void **state)
{
    (void)state;
    uint64_t id = add(0);
    lease(id);
    assert_false(end_now(id, 0, STATE_DONE));
    assert_false(end_now(id, 2, STATE_DONE));
    assert_int_equal(store_hand_back(s, id, 2, "x", STR_UNSET, NOW), 0);
    assert_int_equal(store_started(s, id, 2, NOW + 50), 0);
    assert_int_equal(get(id).started_ms, NOW);
    assert_int_equal(get(id).state, STATE_RUNNING);
    assert_true(end_now(id, 1, STATE_DONE));
    assert_false(end_now(id, 1, STATE_DEAD));
    assert_int_equal(get(id).state, STATE_DONE);
    assert_int_equal(number("SELECT count(*) FROM attempt"), 1);
    store_commit(s);
    assert_counters_are_true();
}

static void what_is_handed_back_is_queued_again_without_an_attempt_but_with_an_event(void **state)
{
    (void)state;
    uint64_t id = add(0);
    lease(id);
    assert_int_equal(store_hand_back(s, id, 1, "why", str_of("w"), NOW), 1);
    struct job_row j = get(id);
    assert_int_equal(j.state, STATE_QUEUED);
    assert_int_equal(j.failures + j.crashes + j.worker, 0);
    assert_int_equal(number("SELECT count(*) FROM attempt"), 0);
    assert_int_equal(
        number("SELECT count(*) FROM event WHERE event = 'handed-back' AND text = 'why'"), 1);
    assert_true(lease(id));
    assert_int_equal(get(id).attempt, 2);
}

static void each_move_wants_the_state_that_it_starts_from(void **state)
{
    (void)state;
    uint64_t id = add(0);
    assert_int_equal(store_ask_cancel(s, id, NOW), 0);
    assert_int_equal(store_retry(s, id, class, NOW), 0);
    assert_int_equal(store_remove(s, id), 0);
    lease(id);
    assert_int_equal(store_end_waiting(s, id, STATE_CANCELLED, NOW), 0);
    assert_int_equal(store_ask_cancel(s, id, NOW), 1);
    assert_true(get(id).cancel_asked);
    assert_int_equal(store_remove(s, id), 0);
    end_now(id, 1, STATE_DONE);
    assert_int_equal(store_retry(s, id, class, NOW), 0); /* done stays done */
    assert_int_equal(store_end_waiting(s, id, STATE_EXPIRED, NOW), 0);
    static const enum job_state ends[] = { STATE_CANCELLED, STATE_EXPIRED };
    for (size_t i = 0; i < ELEMENTS(ends); i++) {
        uint64_t other = add_due(NOW + 5, NOW + 9);
        assert_int_equal(store_end_waiting(s, other, ends[i], NOW), 1);
        assert_int_equal(store_end_waiting(s, other, ends[i], NOW), 0);
        assert_int_equal(store_retry(s, other, class, NOW), 1);
        struct job_row j = get(other);
        assert_int_equal(j.state, STATE_QUEUED);
        assert_int_equal(j.expire_at_ms, UNSET);
        assert_int_equal(j.due_ms, UNSET);
    }
    assert_int_equal(store_end_waiting(s, 999, STATE_CANCELLED, NOW), 0);
    assert_int_equal(store_remove(s, 999), 0);
    store_commit(s);
    assert_counters_are_true();
}

/* ---- the disk -------------------------------------------------------------------------------- */

static bool ballast_is_there(void)
{
    cleanup(freep) char *p = xasprintf("%s.ballast", path);
    struct stat st;
    return stat(p, &st) == 0 && st.st_size == 1 << 20;
}

static void a_full_disk_undoes_the_turn_frees_the_ballast_and_the_store_goes_on(void **state)
{
    (void)state;
    reopen(1 << 20);
    assert_true(ballast_is_there());
    uint64_t id = add(0);
    assert_int_equal(store_commit(s), 0);
    cleanup(freep) char *limit =
        xasprintf("PRAGMA max_page_count = %d", (int)number("PRAGMA page_count"));
    number(limit);
    char body[5000] = "";
    struct job_spec spec;
    record_init(RECORD_job_spec, &spec);
    spec.payload = (struct str){ body, sizeof body };
    struct new_job j = { &spec, class, STATE_QUEUED, UNSET, UNSET, 0 };
    uint64_t first;
    int r = 0;
    for (int i = 0; i < 100 && r >= 0; i++)
        r = store_add_jobs(s, &j, 1, str_of("uid:1"), NOW, &first);
    assert_int_equal(r, -ENOSPC);
    assert_int_equal(store_add_jobs(s, &j, 1, str_of("uid:1"), NOW, &first),
                     -ENOSPC); /* nothing more in this turn */
    assert_int_equal(store_commit(s), -ENOSPC);
    assert_false(ballast_is_there());
    store_rollback(s);
    assert_int_equal(store_last_id(s), id);
    assert_true(lease(id)); /* needs no new page */
    assert_int_equal(store_commit(s), 0);
    number("PRAGMA max_page_count = 1000000");
    assert_int_equal(store_add_jobs(s, &j, 1, str_of("uid:1"), NOW, &first), 0);
    assert_int_equal(first, id + 1);
    assert_int_equal(store_commit(s), 0);
    store_restore_ballast(s);
    assert_true(ballast_is_there());
    assert_counters_are_true();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(a_rollback_undoes_everything_and_the_ids_too),
        test(an_owner_that_was_rolled_back_is_not_remembered),
        test(what_was_not_committed_is_gone_after_close),
        test(a_turn_that_writes_nothing_touches_no_disk),
        test(ids_count_up_and_are_never_used_again),
        test(only_what_is_queued_can_be_leased_and_once),
        test(another_attempts_token_changes_nothing),
        test(what_is_handed_back_is_queued_again_without_an_attempt_but_with_an_event),
        test(each_move_wants_the_state_that_it_starts_from),
        test(a_full_disk_undoes_the_turn_frees_the_ballast_and_the_store_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
