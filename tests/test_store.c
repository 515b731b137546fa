/* test_store.c - the verbs of the store: turns that are true as a whole or not at all, ids, moves,
 * order, slices, a full disk; and a model that a few thousand random verbs are compared with. */
#include "broker/store_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/rng.h"

#define NOW 1700000000000

static char dir[64], path[80];
static struct store *s;
static uint32_t class;
static uint64_t worker;

static void reopen(int64_t ballast)
{
    struct store_options o = { .path = path, .quiet = true, .ballast_bytes = ballast };
    char *error = NULL;
    store_close(s);
    s = NULL;
    if (store_open(&s, &o, &error) < 0)
        fail_msg("%s", error);
}

static int make(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/tern-store-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/t.db", dir);
    reopen(0);
    struct class_row c = { .queue = str_of("default"), .handler = str_of("cpu") };
    assert_int_equal(store_add_class(s, &c, &class), 0);
    struct str instance = { "0123456789abcdef", 16 };
    assert_int_equal(store_worker(s, instance, str_of("w"), str_of("h"), str_of("uid:0"), NOW, &worker), 0);
    return store_commit(s);
}

static int unmake(void **state)
{
    (void)state;
    static const char *const ends[] = { "", "-wal", "-shm", ".lock", ".ballast" };
    s = store_close(s);
    for (size_t i = 0; i < ELEMENTS(ends); i++) {
        cleanup(freep) char *p = xasprintf("%s%s", path, ends[i]);
        unlink(p);
    }
    return rmdir(dir);
}

static int64_t number(const char *text)
{
    sqlite3_stmt *q;
    assert_int_equal(sqlite3_prepare_v2(s->db, text, -1, &q, NULL), SQLITE_OK);
    int64_t n = sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : -1;
    sqlite3_finalize(q);
    return n;
}

static const char *submitter = "uid:1";

static uint64_t add_spec(struct job_spec spec, int64_t due, int64_t expire)
{
    struct new_job j = {
        &spec, class, due == UNSET ? STATE_QUEUED : STATE_SCHEDULED, due, expire, 0
    };
    uint64_t id = 0;
    assert_int_equal(store_add_jobs(s, &j, 1, str_of(submitter), NOW, &id), 0);
    return id;
}

static uint64_t add(int64_t priority)
{
    struct job_spec spec;
    record_init(RECORD_job_spec, &spec);
    spec.priority = priority;
    return add_spec(spec, UNSET, UNSET);
}

static uint64_t add_due(int64_t due, int64_t expire)
{
    struct job_spec spec;
    record_init(RECORD_job_spec, &spec);
    return add_spec(spec, due, expire);
}

static struct job_row get(uint64_t id)
{
    struct job_row j;
    assert_int_equal(store_get(s, id, &j), 0);
    return j;
}

static bool lease(uint64_t id)
{
    struct lease_order o = { .id = id, .worker = worker, .pool = POOL_PROCESS };
    assert_int_equal(store_lease(s, &o, 1, NOW), 0);
    free(o.owned);
    return o.leased;
}

static bool end_at(uint64_t id, uint64_t attempt, enum job_state to, int64_t finished)
{
    struct outcome o;
    record_init(RECORD_outcome, &o);
    o.result = str_of("result");
    struct job_row j = { .owner = 0 };
    store_get(s, id, &j);
    struct attempt_end e = { .id = id,
                             .owner = j.owner,
                             .attempt = attempt,
                             .to = to,
                             .due_ms = to == STATE_SCHEDULED ? finished : UNSET,
                             .from_class = class,
                             .class = class,
                             .worker = worker,
                             .pool = POOL_PROCESS,
                             .started_ms = NOW,
                             .finished_ms = finished,
                             .outcome = &o };
    assert_int_equal(store_end_attempts(s, &e, 1), 0);
    return e.recorded;
}

static bool end(uint64_t id, uint64_t attempt, enum job_state to)
{
    return end_at(id, attempt, to, NOW);
}

static void assert_counters_are_true(void)
{
    assert_int_equal(
        number("SELECT count(*) FROM (SELECT class, state, count(*) AS n FROM job GROUP BY 1, 2) j "
               "FULL JOIN "
               "(SELECT * FROM counter WHERE n <> 0) c USING (class, state) WHERE j.n IS NOT c.n"),
        0);
    assert_int_equal(number("SELECT count(*) FROM job WHERE state >= 4"), s->n_finished);
}

/* ---- turns ---------------------------------------------------------------------------------- */

static void a_rollback_undoes_everything_and_the_ids_too(void **state)
{
    (void)state;
    uint64_t first = add(0);
    assert_int_equal(store_commit(s), 0);
    add(0);
    lease(first);
    end(first, 1, STATE_DONE);
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

/* ---- moves ---------------------------------------------------------------------------------- */

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
    assert_false(end(id, 0, STATE_DONE));
    assert_false(end(id, 2, STATE_DONE));
    assert_int_equal(store_hand_back(s, id, 2, "x", STR_UNSET, NOW), 0);
    assert_int_equal(store_started(s, id, 2, NOW + 50), 0);
    assert_int_equal(get(id).started_ms, NOW);
    assert_int_equal(get(id).state, STATE_RUNNING);
    assert_true(end(id, 1, STATE_DONE));
    assert_false(end(id, 1, STATE_DEAD));
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
    end(id, 1, STATE_DONE);
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

/* ---- order and slices ----------------------------------------------------------------------- */

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

/* ---- the disk ------------------------------------------------------------------------------- */

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

/* ---- the model ------------------------------------------------------------------------------ */

#define MODEL_JOBS 3000

struct model {
    struct model_job {
        bool there;
        enum job_state state;
        uint64_t attempt;
        int64_t due;
    } jobs[MODEL_JOBS + 1]; /* by id */
    uint64_t next;
};

static const char *const owners[] = { "uid:1", "key:ada", "key:bob" };

/* Some of them have a limit from now on. Nothing here holds to it: it is what makes them be counted. */
static void step_limit(struct rng *rng)
{
    struct open_limit limits[ELEMENTS(owners)];
    size_t n = 0;
    for (size_t i = 0; i < ELEMENTS(owners); i++)
        if (rng_below(rng, 2))
            limits[n++] = (struct open_limit){ str_of(owners[i]), 1 + (int64_t)rng_below(rng, 100) };
    assert_int_equal(store_limit_open(s, limits, n), 0);
}

static void step_add(struct model *m, struct rng *rng)
{
    submitter = owners[rng_below(rng, ELEMENTS(owners))];
    bool later = rng_below(rng, 3) == 0;
    int64_t due = later ? NOW + (int64_t)rng_below(rng, 100) : UNSET;
    if (m->next > MODEL_JOBS)
        return;
    assert_int_equal(add_due(due, UNSET), m->next);
    m->jobs[m->next++] = (struct model_job){ true, later ? STATE_SCHEDULED : STATE_QUEUED, 0, due };
}

static void step_promote(struct model *m, struct rng *rng)
{
    struct due_job due[5];
    int64_t now = NOW + (int64_t)rng_below(rng, 100);
    int n = store_promote_due(s, now, due, 5);
    assert_true(n >= 0);
    for (int i = 0; i < n; i++) {
        struct model_job *j = &m->jobs[due[i].id];
        assert_true(j->there && j->state == STATE_SCHEDULED && j->due <= now);
        j->state = STATE_QUEUED;
    }
}

static void step_end(struct model_job *j, uint64_t id, struct rng *rng)
{
    static const enum job_state to[] = { STATE_DONE,    STATE_DEAD,   STATE_CANCELLED,
                                         STATE_EXPIRED, STATE_QUEUED, STATE_SCHEDULED };
    enum job_state next = to[rng_below(rng, ELEMENTS(to))];
    uint64_t attempt = rng_below(rng, 4) ? j->attempt : j->attempt - 1;
    bool right = j->there && j->state == STATE_RUNNING && attempt == j->attempt;
    assert_int_equal(end_at(id, attempt, next, NOW + 50), right);
    if (!right)
        return;
    j->state = next;
    j->due = next == STATE_SCHEDULED ? NOW + 50 : j->due;
}

static void step(struct model *m, struct rng *rng)
{
    uint64_t verb = rng_below(rng, 12), id = 1 + rng_below(rng, m->next);
    struct model_job none = { 0 }, *j = id < m->next ? &m->jobs[id] : &none;
    bool right;
    switch (verb) {
    case 0:
    case 1:
        step_add(m, rng);
        break;
    case 2:
        step_promote(m, rng);
        break;
    case 3:
    case 4:
        right = j->there && j->state == STATE_QUEUED;
        assert_int_equal(lease(id), right);
        if (right)
            *j = (struct model_job){ true, STATE_RUNNING, j->attempt + 1, j->due };
        break;
    case 5:
    case 6:
        step_end(j, id, rng);
        break;
    case 7:
        right = j->there && j->state < STATE_RUNNING;
        assert_int_equal(store_end_waiting(s, id, STATE_CANCELLED, NOW), right);
        j->state = right ? STATE_CANCELLED : j->state;
        break;
    case 8:
        right = j->there && j->state > STATE_DONE;
        assert_int_equal(store_retry(s, id, class, NOW), right);
        j->state = right ? STATE_QUEUED : j->state;
        break;
    case 9:
        if (rng_below(rng, 8) == 0)
            step_limit(rng);
        break;
    case 10:
        assert_true(store_count_open(s, 1 + rng_below(rng, 20)) >= 0);
        break;
    default:
        right = j->there && state_is_terminal(j->state);
        assert_int_equal(store_remove(s, id), right);
        j->there = j->there && !right;
    }
}

static int64_t count_open(int64_t owner)
{
    cleanup(freep) char *text = xasprintf("SELECT count(*) FROM job WHERE state < 4 AND owner = %d", (int)owner);
    return number(text);
}

static void assert_accounts_are_true(void)
{
    const struct account *a;
    for (size_t i = 0; (a = idmap_next(&s->accounts, &i));)
        if (a->known && a->open != count_open(a->owner))
            fail_msg("owner %d has %d open jobs; its account says %d", (int)a->owner, (int)count_open(a->owner), (int)a->open);
    assert_int_equal(number("SELECT count(*) FROM account a WHERE open <> (SELECT count(*) FROM job j WHERE j.owner = a.owner "
                            "AND state < 4)"), 0);
}

static void compare(const struct model *m)
{
    assert_accounts_are_true();
    int64_t there = 0;
    for (uint64_t id = 1; id < m->next; id++) {
        struct job_row j;
        int r = store_get(s, id, &j);
        assert_int_equal(r, m->jobs[id].there ? 0 : -ENOENT);
        there += r == 0;
        if (!r && (j.state != m->jobs[id].state || j.attempt != m->jobs[id].attempt))
            fail_msg("job %d is %s, attempt %d; the model says %s, %d", (int)id,
                     state_name(j.state), (int)j.attempt, state_name(m->jobs[id].state),
                     (int)m->jobs[id].attempt);
    }
    assert_int_equal(number("SELECT count(*) FROM job"), there);
    assert_counters_are_true();
}

static void random_verbs_rollbacks_and_reopenings_do_what_the_model_does(void **state)
{
    (void)state;
    struct model *now = xcalloc(2, sizeof *now), *committed = now + 1;
    struct rng rng;
    const char *seed = getenv("SEED");
    rng_init(&rng, seed ? strtoull(seed, NULL, 10) : 42);
    now->next = 1;
    *committed = *now;
    for (int turn = 0; turn < 600; turn++) {
        for (uint64_t n = 1 + rng_below(&rng, 14); n > 0; n--)
            step(now, &rng);
        uint64_t what = rng_below(&rng, 20);
        if (what < 4) {
            store_rollback(s);
            *now = *committed;
        } else if (what == 4) {
            reopen(0);
            *now = *committed;
        } else {
            assert_int_equal(store_commit(s), 0);
            *committed = *now;
        }
        if (turn % 20 == 0)
            compare(now);
    }
    compare(now);
    free(now);
}

/* ---- open jobs of an owner ------------------------------------------------------------------------- */

static void limit(const char *owner, int64_t most)
{
    struct open_limit l = { str_of(owner), most };
    assert_int_equal(store_limit_open(s, &l, 1), 0);
}

static const struct account *account_of(const char *owner) { return store_account(s, store_owner(s, str_of(owner))); }

static void who_has_no_limit_has_no_account(void **state)
{
    (void)state;
    int changes = sqlite3_total_changes(s->db);
    assert_int_equal(store_limit_open(s, NULL, 0), 0);
    assert_int_equal(store_count_open(s, 1000), 0);
    assert_int_equal(sqlite3_total_changes(s->db), changes);
    limit("key:ada", 5);
    add(0);
    assert_null(account_of("uid:1"));
    assert_int_equal(store_commit(s), 0);
    assert_int_equal(number("SELECT count(*) FROM account"), 1);
}

static void an_owner_that_has_jobs_is_counted_in_slices_while_they_come_and_go(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        add(0);
    store_commit(s);
    limit("uid:1", 100);
    assert_int_equal(store_count_open(s, 4), 1);
    assert_false(account_of("uid:1")->known);
    assert_int_equal(store_end_waiting(s, 2, STATE_CANCELLED, NOW), 1); /* is counted already */
    assert_int_equal(store_end_waiting(s, 9, STATE_CANCELLED, NOW), 1); /* is not yet */
    add(0);
    assert_int_equal(store_count_open(s, 4), 1);
    assert_int_equal(store_count_open(s, 4), 0);
    assert_true(account_of("uid:1")->known);
    assert_int_equal(account_of("uid:1")->open, 9);
    store_commit(s);
    assert_accounts_are_true();
}

static void an_account_goes_with_the_turn_and_is_there_after_a_start(void **state)
{
    (void)state;
    limit("uid:1", 100);
    uint64_t id = add(0);
    store_commit(s);
    lease(id);
    end(id, 1, STATE_DONE);
    add(0);
    add(0);
    assert_int_equal(account_of("uid:1")->open, 2);
    store_rollback(s);
    assert_null(account_of("uid:1")); /* its limit is to be told again */
    limit("uid:1", 100);
    assert_int_equal(account_of("uid:1")->open, 1);
    add(0);
    store_commit(s);
    reopen(0);
    add(0); /* by a broker that does not know of a limit */
    store_commit(s);
    limit("uid:1", 100);
    assert_true(account_of("uid:1")->known);
    assert_int_equal(account_of("uid:1")->open, 3);
    limit("uid:2", 100);
    store_commit(s);
    assert_int_equal(number("SELECT count(*) FROM account WHERE open > 0"), 0); /* who has none any more is not kept */
}

static void of_two_limits_of_an_owner_the_least_counts(void **state)
{
    (void)state;
    struct open_limit l[] = { { str_of("key:ada"), 7 }, { str_of("key:ada"), 5 }, { str_of("key:ada"), 9 } };
    assert_int_equal(store_limit_open(s, l, ELEMENTS(l)), 0);
    assert_int_equal(account_of("key:ada")->most, 5);
}

#define test(f) cmocka_unit_test_setup_teardown(f, make, unmake)

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
        test(a_full_disk_undoes_the_turn_frees_the_ballast_and_the_store_goes_on),
        test(who_has_no_limit_has_no_account),
        test(an_owner_that_has_jobs_is_counted_in_slices_while_they_come_and_go),
        test(an_account_goes_with_the_turn_and_is_there_after_a_start),
        test(of_two_limits_of_an_owner_the_least_counts),
        test(random_verbs_rollbacks_and_reopenings_do_what_the_model_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
