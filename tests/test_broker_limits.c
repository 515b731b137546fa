/* test_broker_limits.c - the core with peers that are keys: what all that share a key may use up together. */
#include "tests/keys_rig.h"

/* ---- limits ---------------------------------------------------------------------------------- */

static void sessions_of_a_key_are_bounded(void **state)
{
    struct bench *t = *state;
    struct grants *g = everybody(NULL);
    grant_in(g, ADA)->sessions = 2;
    know(t, g);
    struct conn a = client_of(t, "ada-1", ADA);
    client_of(t, "bda-2", ADA);
    struct conn third = keyed("cda-3", ADA);
    struct message m = bench_hello(&third, "client");
    bench_tell(t, &third, &m);
    bench_turn(t);
    bench_expect_error(t, &third, CODE_BUSY, "too many");
    client_of(t, "bob-1", BOB); /* another's are its own */
    message_init(&m, MSG_BYE);
    bench_tell(t, &a, &m);
    bench_turn(t);
    client_of(t, "cda-3", ADA);
}

static void who_is_one_too_many_at_its_next_hello_may_do_nothing(void **state)
{
    struct bench *t = *state;
    struct grants *g = everybody(BOB);
    grant_add(g, BOB, "ada", "client")->sessions = 1; /* a second key of hers */
    know(t, g);
    struct conn second = client_of(t, "ada-1", BOB);
    client_of(t, "bda-2", ADA);
    struct message m = bench_hello(&second, "client");
    bench_tell(t, &second, &m);
    bench_turn(t);
    bench_expect_error(t, &second, CODE_BUSY, "too many");
    struct job_spec s = bench_spec("exec");
    bench_ask_submit(t, &second, ++second.seq, &s, 1);
    bench_turn(t);
    bench_expect(t, &second, MSG_HELLO_AGAIN);
    assert_null(bench_next(t, &second, MSG_SUBMITTED));
}

static void a_rate_is_answered_with_busy_and_time_gives_it_back(void **state)
{
    struct bench *t = *state;
    struct grants *g = everybody(NULL);
    grant_in(g, ADA)->rate = 10;
    know(t, g);
    struct conn ada = client_of(t, "ada-1", ADA), twin = client_of(t, "bda-2", ADA);
    bench_submit_n(t, &ada, bench_spec("cpu"), 8);
    bench_submit_n(t, &twin, bench_spec("cpu"), 2);
    struct job_spec s = bench_spec("cpu");
    bench_ask_submit(t, &ada, ++ada.seq, &s, 1);
    bench_turn(t);
    bench_expect_error(t, &ada, CODE_BUSY, "10 jobs a second");
    bench_advance(t, 200);
    bench_ask_submit(t, &ada, ada.seq, &s, 1);
    bench_turn(t);
    bench_expect(t, &ada, MSG_SUBMITTED);
}

static void a_submit_larger_than_a_bucket_goes_through_when_it_is_full(void **state)
{
    struct bench *t = *state;
    struct grants *g = everybody(NULL);
    grant_in(g, ADA)->rate = 10;
    grant_in(g, BOB)->bytes = 100;
    know(t, g);
    struct conn ada = client_of(t, "ada-1", ADA), bob = client_of(t, "bob-1", BOB);
    bench_submit_n(t, &ada, bench_spec("cpu"), 50);
    struct job_spec s = bench_spec("cpu");
    bench_advance(t, 3000);
    bench_ask_submit(t, &ada, ++ada.seq, &s, 1);
    bench_turn(t);
    bench_expect_error(t, &ada, CODE_BUSY, "busy"); /* what it had beyond is owed */
    char payload[200] = "";
    s.payload = (struct str){ payload, sizeof payload };
    bench_submit_spec(t, &bob, s);
    bench_ask_submit(t, &bob, ++bob.seq, &s, 1);
    bench_turn(t);
    bench_expect_error(t, &bob, CODE_BUSY, "bytes of payload");
}

/* ---- open jobs ------------------------------------------------------------------------------- */

/* Ada may have so many open jobs; 0: as many as she likes. */
static void limit_ada(struct bench *t, int64_t most)
{
    struct grants *g = everybody(NULL);
    grant_in(g, ADA)->open_jobs = most;
    know(t, g);
}

static void expect_submit_refused(struct bench *t, struct conn *c, uint64_t seq, size_t n, enum error_code code, const char *part)
{
    struct job_spec jobs[100];
    for (size_t i = 0; i < n; i++)
        jobs[i] = bench_spec("cpu");
    int64_t before = bench_number(t, "SELECT count(*) FROM job");
    bench_ask_submit(t, c, seq, jobs, n);
    bench_turn(t);
    bench_expect_error(t, c, code, part);
    assert_null(bench_next(t, c, MSG_SUBMITTED));
    assert_int_equal(bench_number(t, "SELECT count(*) FROM job"), before);
}

static void submit_again(struct bench *t, struct conn *c, uint64_t seq, uint64_t first)
{
    struct job_spec s = bench_spec("cpu");
    bench_ask_submit(t, c, seq, &s, 1);
    bench_turn(t);
    assert_int_equal(bench_expect(t, c, MSG_SUBMITTED)->submitted.first_id, first);
}

static void open_jobs_are_bounded_over_all_connections_and_become_fewer_by_ends_and_cancels(void **state)
{
    struct bench *t = *state;
    limit_ada(t, 5);
    struct conn ada = client_of(t, "ada-1", ADA), twin = client_of(t, "bda-2", ADA), bob = client_of(t, "bob-1", BOB);
    bench_submit_n(t, &ada, bench_spec("cpu"), 3);
    struct job_spec later = bench_spec("cpu");
    later.delay_ms = 100000;
    uint64_t scheduled = bench_submit_spec(t, &twin, later);
    expect_submit_refused(t, &ada, 2, 2, CODE_BUSY, "busy: key:ada may have 5 open jobs (open-jobs of its key) and has 4");
    expect_submit_refused(t, &twin, 2, 6, CODE_REFUSED, "6 jobs at once are too many");
    bench_submit_n(t, &bob, bench_spec("cpu"), 50);
    bench_change_one(t, &ada, MSG_CANCEL, scheduled);
    uint64_t first = bench_submit_n(t, &ada, bench_spec("cpu"), 2);
    assert_int_equal(ada.seq, 2);
    struct conn w = worker_of(t, "wk1-1", W1, NULL);
    struct run_job run[10];
    assert_int_equal(bench_runs(t, &w, run, 10), 2);
    expect_submit_refused(t, &twin, 3, 1, CODE_BUSY, "has 5"); /* what runs is open, too */
    bench_end(t, &w, run[0].job, run[0].attempt, ENDING_DONE);
    bench_tell_outcome(t, &w, bench_outcome(run[1].job, run[1].attempt, ENDING_FAILED));
    submit_again(t, &twin, 3, first + 2);
    assert_state(t, run[1].job, STATE_DEAD);
    submit_again(t, &twin, 4, first + 3);
    expect_submit_refused(t, &twin, 5, 1, CODE_BUSY, "has 5");
}

static void a_submit_that_is_stored_is_answered_so_at_the_limit_too(void **state)
{
    struct bench *t = *state;
    limit_ada(t, 1);
    struct conn ada = client_of(t, "ada-1", ADA);
    uint64_t id = bench_submit(t, &ada, "cpu");
    submit_again(t, &ada, 1, id);
    expect_submit_refused(t, &ada, 2, 1, CODE_BUSY, "has 1");
    submit_again(t, &ada, 1, id);
}

static void of_two_submits_in_one_turn_the_one_that_is_too_many_is_refused(void **state)
{
    struct bench *t = *state;
    limit_ada(t, 3);
    struct conn ada = client_of(t, "ada-1", ADA);
    struct job_spec jobs[] = { bench_spec("cpu"), bench_spec("cpu") };
    bench_ask_submit(t, &ada, 1, jobs, 2);
    bench_ask_submit(t, &ada, 2, jobs, 2);
    bench_turn(t);
    assert_int_equal(bench_expect(t, &ada, MSG_SUBMITTED)->submitted.count, 2);
    bench_expect_error(t, &ada, CODE_BUSY, "has 2");
    assert_int_equal(bench_number(t, "SELECT count(*) FROM job"), 2);
}

static void a_limit_that_is_new_counts_what_there_is_and_holds_after_a_start(void **state)
{
    struct bench *t = *state;
    limit_ada(t, 0);
    struct conn ada = client_of(t, "ada-1", ADA);
    bench_submit_n(t, &ada, bench_spec("cpu"), 9000);
    assert_int_equal(bench_number(t, "SELECT count(*) FROM account"), 0);
    struct grants *g = everybody(NULL);
    grant_in(g, ADA)->open_jobs = 9001;
    broker_set_grants(t->broker, g, t->now);
    ada = client_of(t, "ada-1", ADA); /* one turn: 2,000 are counted */
    ada.seq = 1;
    expect_submit_refused(t, &ada, 2, 1, CODE_BUSY, "are being counted");
    for (int i = 0; i < 3; i++)
        bench_turn(t);
    bench_submit(t, &ada, "cpu");
    expect_submit_refused(t, &ada, 3, 1, CODE_BUSY, "has 9001");
    bench_restart(t);
    g = everybody(NULL);
    grant_in(g, ADA)->open_jobs = 9002;
    broker_set_grants(t->broker, g, t->now);
    ada = client_of(t, "ada-1", ADA);
    ada.seq = 2;
    bench_submit(t, &ada, "cpu"); /* at once */
    expect_submit_refused(t, &ada, 4, 1, CODE_BUSY, "has 9002");
    limit_ada(t, 0);
    assert_int_equal(bench_number(t, "SELECT count(*) FROM account"), 0);
    ada = client_of(t, "ada-1", ADA);
    ada.seq = 3;
    bench_submit(t, &ada, "cpu");
}

static void a_second_key_of_the_same_name_has_no_limit_of_its_own(void **state)
{
    struct bench *t = *state;
    struct grants *g = everybody(BOB);
    grant_in(g, ADA)->open_jobs = 2;
    grant_add(g, BOB, "ada", "client"); /* without */
    know(t, g);
    struct conn second = client_of(t, "bob-1", BOB);
    bench_submit_n(t, &second, bench_spec("cpu"), 2);
    expect_submit_refused(t, &second, 2, 1, CODE_BUSY, "has 2");
}

/* What WELCOME says of a SUBMIT's jobs to this key. */
static uint64_t told_at_once(struct bench *t, const char *key)
{
    struct conn c = keyed("new-1", key);
    struct message m = bench_hello(&c, "client");
    bench_tell(t, &c, &m);
    return bench_welcome(t, &c)->welcome.submit_jobs;
}

static void who_has_a_limit_is_told_to_submit_parts_of_it(void **state)
{
    struct bench *t = *state;
    limit_ada(t, 300);
    assert_int_equal(told_at_once(t, ADA), 37);
    assert_int_equal(told_at_once(t, BOB), 0);
    limit_ada(t, 3);
    assert_int_equal(told_at_once(t, ADA), 1);
    limit_ada(t, 0);
    assert_int_equal(told_at_once(t, ADA), 0);
}

static void what_is_retried_and_what_a_job_spawns_counts_and_is_refused(void **state)
{
    struct bench *t = *state;
    limit_ada(t, 2);
    struct conn ada = client_of(t, "ada-1", ADA), chief = client_of(t, "chf-1", CHIEF);
    uint64_t cancelled = bench_submit(t, &ada, "cpu");
    bench_change_one(t, &ada, MSG_CANCEL, cancelled);
    bench_submit(t, &ada, "cpu");
    struct conn w = worker_of(t, "wk1-1", W1, NULL);
    struct run_job run = bench_run(t, &w);
    struct job_spec children[] = { bench_spec("io"), bench_spec("io") };
    struct str keys[] = { str_of("a"), str_of("b") };
    struct message m;
    message_init(&m, MSG_SPAWN);
    m.spawn.req = 7;
    m.spawn.job = run.job;
    m.spawn.attempt = run.attempt;
    m.spawn.jobs = children;
    m.spawn.keys = keys;
    m.spawn.n_jobs = m.spawn.n_keys = 2;
    bench_tell(t, &w, &m);
    bench_turn(t);
    assert_int_equal(bench_expect(t, &w, MSG_SPAWNED)->spawned.code, CODE_REFUSED);
    assert_int_equal(bench_number(t, "SELECT count(*) FROM job"), 2);
    m.spawn.n_jobs = m.spawn.n_keys = 1;
    for (int i = 0; i < 2; i++) { /* the second time it finds what it has made */
        bench_tell(t, &w, &m);
        bench_turn(t);
        assert_int_equal(bench_expect(t, &w, MSG_SPAWNED)->spawned.code, 0);
    }
    assert_int_equal(bench_number(t, "SELECT count(*) FROM job"), 3);
    bench_change_one(t, &chief, MSG_RETRY, cancelled);
    bench_expect_changed(t, &chief, 0, 0, 1);
    assert_state(t, cancelled, STATE_CANCELLED);
    bench_end(t, &w, run.job, run.attempt, ENDING_DONE);
    bench_change_one(t, &chief, MSG_RETRY, cancelled);
    bench_expect_changed(t, &chief, 1, 0, 0);
    expect_submit_refused(t, &ada, 3, 1, CODE_BUSY, "has 2");
}

static void a_turn_that_the_full_disk_undoes_counts_for_nothing(void **state)
{
    struct bench *t = *state;
    limit_ada(t, 100);
    struct conn ada = client_of(t, "ada-1", ADA);
    bench_submit(t, &ada, "cpu");
    cleanup(freep) char *limit = xasprintf("PRAGMA max_page_count = %" PRId64, bench_number(t, "PRAGMA page_count"));
    bench_number(t, limit);
    char bytes[1000] = "";
    struct job_spec jobs[90];
    for (size_t i = 0; i < ELEMENTS(jobs); i++) {
        jobs[i] = bench_spec("cpu");
        jobs[i].payload = (struct str){ bytes, sizeof bytes };
    }
    bench_ask_submit(t, &ada, 2, jobs, ELEMENTS(jobs));
    bench_turn(t);
    bench_expect_error(t, &ada, CODE_BUSY, "disk");
    bench_number(t, "PRAGMA max_page_count = 1000000");
    bench_live(t, 2000); /* the disk is looked at */
    ada = client_of(t, "ada-1", ADA);
    ada.seq = 1;
    bench_submit_n(t, &ada, bench_spec("cpu"), 99);
    expect_submit_refused(t, &ada, 3, 1, CODE_BUSY, "has 100");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        bench_test(sessions_of_a_key_are_bounded),
        bench_test(who_is_one_too_many_at_its_next_hello_may_do_nothing),
        bench_test(a_rate_is_answered_with_busy_and_time_gives_it_back),
        bench_test(a_submit_larger_than_a_bucket_goes_through_when_it_is_full),
        bench_test(open_jobs_are_bounded_over_all_connections_and_become_fewer_by_ends_and_cancels),
        bench_test(a_submit_that_is_stored_is_answered_so_at_the_limit_too),
        bench_test(of_two_submits_in_one_turn_the_one_that_is_too_many_is_refused),
        bench_test(a_limit_that_is_new_counts_what_there_is_and_holds_after_a_start),
        bench_test(a_second_key_of_the_same_name_has_no_limit_of_its_own),
        bench_test(who_has_a_limit_is_told_to_submit_parts_of_it),
        bench_test(what_is_retried_and_what_a_job_spawns_counts_and_is_refused),
        bench_test(a_turn_that_the_full_disk_undoes_counts_for_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
