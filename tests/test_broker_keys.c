/* test_broker_keys.c - the core with peers that are keys: what each role may, whose lease it is, what is left after a revocation. */
#include "tests/keys_rig.h"

/* ---- who may come in ------------------------------------------------------------------------- */

static void a_key_that_is_not_known_gets_one_answer_to_everything(void **state)
{
    struct bench *t = *state;
    struct conn c = keyed("xxx-1", STRANGER);
    expect_hello_refused(t, &c, "client", "not known");
    know(t, everybody(NULL));
    expect_hello_refused(t, &c, "worker", "not known");
    bench_tell_raw(t, &c, str_of("rubbish that would not even be a message"));
    bench_turn(t);
    bench_expect_error(t, &c, CODE_NOT_ALLOWED, "not known");
    assert_int_equal(t->broker->peers.by_routing_id.n, 0);
}

static void a_role_is_for_that_role_alone(void **state)
{
    struct bench *t = *state;
    know(t, everybody(NULL));
    struct conn ada = keyed("ada-1", ADA), chief = keyed("chf-1", CHIEF), w = keyed("wrk-1", W1);
    expect_hello_refused(t, &ada, "worker", "role worker");
    expect_hello_refused(t, &chief, "worker", "role worker");
    expect_hello_refused(t, &w, "client", "role client");
}

static void a_client_may_not_do_what_is_for_admins(void **state)
{
    struct bench *t = *state;
    know(t, everybody(NULL));
    struct conn ada = client_of(t, "ada-1", ADA), chief = client_of(t, "chf-1", CHIEF);
    bench_submit(t, &ada, "cpu");
    bench_ask_pause(t, &ada, "default");
    bench_turn(t);
    const struct message *e = bench_expect(t, &ada, MSG_ERROR);
    assert_int_equal(e->error.code, CODE_NOT_ALLOWED);
    assert_int_equal(e->error.req, 7);
    bench_ask_pause(t, &chief, "default");
    bench_turn(t);
    bench_expect(t, &chief, MSG_OK);
}

static void a_client_touches_its_own_jobs_an_admin_all(void **state)
{
    struct bench *t = *state;
    know(t, everybody(NULL));
    struct conn ada = client_of(t, "ada-1", ADA), bob = client_of(t, "bob-1", BOB), chief = client_of(t, "chf-1", CHIEF);
    uint64_t id = bench_submit(t, &ada, "cpu");
    bench_submit(t, &bob, "cpu");
    bench_change_one(t, &bob, MSG_CANCEL, id);
    bench_expect_error(t, &bob, CODE_NOT_FOUND, "no such job");
    assert_state(t, id, STATE_QUEUED);
    bench_change_one(t, &chief, MSG_CANCEL, id);
    bench_expect_changed(t, &chief, 1, 0, 0);
    assert_state(t, id, STATE_CANCELLED);
}

static void a_second_key_of_the_same_name_is_the_same_owner(void **state)
{
    struct bench *t = *state;
    struct grants *both = everybody(BOB);
    grant_add(both, BOB, "ada", "client");
    know(t, both);
    struct conn old = client_of(t, "ada-1", ADA);
    uint64_t id = bench_submit(t, &old, "cpu");
    struct conn fresh = client_of(t, "ada-2", BOB);
    bench_change_one(t, &fresh, MSG_CANCEL, id);
    bench_expect_changed(t, &fresh, 1, 0, 0);
}

/* ---- what a key is for ----------------------------------------------------------------------- */

static void a_client_submits_only_what_its_key_is_for(void **state)
{
    struct bench *t = *state;
    struct grants *g = everybody(NULL);
    grant_in(g, BOB)->queues = xstrdup("mail");
    grant_in(g, BOB)->exec = true;
    know(t, g);
    struct conn ada = client_of(t, "ada-1", ADA), bob = client_of(t, "bob-1", BOB);
    struct job_spec s = bench_spec("exec");
    bench_ask_submit(t, &ada, ++ada.seq, &s, 1);
    bench_turn(t);
    bench_expect_error(t, &ada, CODE_NOT_ALLOWED, "commands");
    bench_ask_submit(t, &bob, ++bob.seq, &s, 1);
    bench_turn(t);
    bench_expect_error(t, &bob, CODE_NOT_ALLOWED, "queue default");
    s.queue = str_of("mail");
    bench_submit_spec(t, &bob, s);
    bench_submit(t, &ada, "cpu");
}

static void a_job_that_its_key_may_not_run_any_more_is_not_retried(void **state)
{
    struct bench *t = *state;
    struct grants *g = everybody(NULL);
    grant_in(g, ADA)->exec = true;
    know(t, g);
    struct conn ada = client_of(t, "ada-1", ADA);
    uint64_t id = bench_submit(t, &ada, "exec");
    bench_change_one(t, &ada, MSG_CANCEL, id);
    know(t, everybody(NULL));
    ada = client_of(t, "ada-1", ADA);
    bench_change_one(t, &ada, MSG_RETRY, id);
    bench_expect_changed(t, &ada, 0, 0, 1);
    assert_state(t, id, STATE_CANCELLED);
}

static void a_worker_is_handed_only_what_its_key_is_for(void **state)
{
    struct bench *t = *state;
    struct grants *g = everybody(NULL);
    grant_in(g, W1)->queues = xstrdup("mail");
    grant_in(g, W1)->handlers = xstrdup("cpu");
    know(t, g);
    struct conn c = bench_client(t, "cli-1", 1000), greedy = keyed("wrk-2", W1);
    uint64_t secret = bench_submit(t, &c, "cpu");
    struct job_spec s = bench_spec("exec");
    s.queue = str_of("mail");
    bench_submit_spec(t, &c, s);
    s = bench_spec("cpu");
    s.queue = str_of("mail");
    uint64_t mine = bench_submit_spec(t, &c, s);
    struct str queue = str_of("default");
    struct message m = bench_hello(&greedy, "worker");
    m.hello.name = str_of("w");
    m.hello.queues = &queue;
    m.hello.n_queues = 1;
    bench_tell(t, &greedy, &m);
    bench_turn(t);
    bench_expect_error(t, &greedy, CODE_NOT_ALLOWED, "queues");
    struct conn w = worker_of(t, "wrk-1", W1, NULL);
    assert_int_equal(bench_run(t, &w).job, mine);
    assert_state(t, secret, STATE_QUEUED);
}

/* ---- whose lease it is ----------------------------------------------------------------------- */

static void nobody_ends_what_another_worker_holds(void **state)
{
    struct bench *t = *state;
    know(t, everybody(NULL));
    struct conn c = bench_client(t, "cli-1", 1000), w = worker_of(t, "wrk-1", W1, NULL);
    uint64_t id = bench_submit(t, &c, "cpu");
    struct run_job run = bench_run(t, &w);
    struct conn thief = worker_of(t, "xrk-2", W2, "other");
    bench_end(t, &thief, run.job, run.attempt, ENDING_DONE); /* acknowledged, so that it lets go; not recorded */
    assert_state(t, id, STATE_RUNNING);
    assert_int_equal(t->broker->counts.refused_results, 1);
    bench_end(t, &w, run.job, run.attempt, ENDING_DONE);
    assert_state(t, id, STATE_DONE);
}

static int note_asker(void *ctx, const struct peer *p, uint64_t epoch, const struct message *m, struct str owner)
{
    (void)p, (void)epoch;
    *(uint64_t *)ctx = m->fetch.job;
    assert_null(owner.p); /* the child is its parent's owner's, not the worker's */
    return 0;
}

static void a_worker_may_fetch_what_came_of_a_child_of_somebody_elses_job(void **state)
{
    struct bench *t = *state;
    know(t, everybody(NULL));
    uint64_t asked = 0;
    t->broker->options.ask_reader = note_asker;
    t->broker->options.ctx = &asked;
    struct conn ada = client_of(t, "ada-1", ADA), w = worker_of(t, "wrk-1", W1, NULL);
    uint64_t parent = bench_submit(t, &ada, "cpu");
    struct run_job run = bench_run(t, &w);
    assert_int_equal(run.job, parent);
    struct job_spec child = bench_spec("nobody");
    struct str key = str_of("#1");
    struct message m;
    message_init(&m, MSG_SPAWN);
    m.spawn = (struct msg_spawn){ .req = 1, .job = run.job, .attempt = run.attempt, .jobs = &child, .n_jobs = 1, .keys = &key,
                                  .n_keys = 1 };
    bench_tell(t, &w, &m);
    bench_turn(t);
    uint64_t id = bench_expect(t, &w, MSG_SPAWNED)->spawned.children[0].id;
    message_init(&m, MSG_FETCH);
    m.fetch.req = 2;
    m.fetch.job = id;
    m.fetch.parent = run.job;
    m.fetch.parent_attempt = run.attempt;
    bench_tell(t, &w, &m);
    bench_turn(t);
    assert_int_equal(asked, id);
}

static void nobody_comes_in_anothers_place(void **state)
{
    struct bench *t = *state;
    know(t, everybody(NULL));
    struct conn c = bench_client(t, "cli-1", 1000), w = worker_of(t, "wrk-1", W1, NULL);
    uint64_t id = bench_submit(t, &c, "cpu");
    bench_run(t, &w);
    struct conn thief = keyed("xrk-2", W2);
    memcpy(thief.instance, w.instance, sizeof thief.instance);
    expect_hello_refused(t, &thief, "worker", "another worker");
    bench_restart(t); /* and not after a restart either, before the true one is back */
    know(t, everybody(NULL));
    expect_hello_refused(t, &thief, "worker", "another worker");
    assert_state(t, id, STATE_RUNNING);
    struct held held = { id, 1, HELD_RUNNING, POOL_PROCESS };
    bench_worker_hello(t, &w, &held, 1);
    bench_end(t, &w, id, 1, ENDING_DONE);
    assert_state(t, id, STATE_DONE);
}

/* ---- revoked --------------------------------------------------------------------------------- */

static void a_revoked_client_can_send_nothing_more(void **state)
{
    struct bench *t = *state;
    know(t, everybody(NULL));
    struct conn ada = client_of(t, "ada-1", ADA);
    bench_submit(t, &ada, "cpu");
    know(t, everybody(ADA));
    bench_expect_error(t, &ada, CODE_NOT_ALLOWED, "not known");
    struct job_spec s = bench_spec("cpu");
    bench_ask_submit(t, &ada, ++ada.seq, &s, 1);
    bench_turn(t);
    bench_expect_error(t, &ada, CODE_NOT_ALLOWED, "not known");
    assert_int_equal(bench_number(t, "SELECT count(*) FROM job"), 1);
    know(t, everybody(NULL)); /* let in again, it begins anew */
    ada = client_of(t, "ada-1", ADA);
    bench_submit(t, &ada, "cpu");
}

static void what_a_revoked_worker_held_is_queued_again_uncounted(void **state)
{
    struct bench *t = *state;
    know(t, everybody(NULL));
    struct conn c = bench_client(t, "cli-1", 1000), w = worker_of(t, "wrk-1", W1, NULL);
    uint64_t id = bench_submit(t, &c, "cpu");
    struct run_job run = bench_run(t, &w);
    bench_tell_started(t, &w, run.job, run.attempt);
    know(t, everybody(W1));
    bench_expect_error(t, &w, CODE_NOT_ALLOWED, "not known");
    assert_state(t, id, STATE_QUEUED);
    assert_int_equal(bench_job(t, id, "crashes"), 0);
    bench_tell_outcome(t, &w, bench_outcome(run.job, run.attempt, ENDING_DONE));
    bench_turn(t);
    bench_expect_error(t, &w, CODE_NOT_ALLOWED, "not known");
    assert_state(t, id, STATE_QUEUED);
    assert_int_equal(t->broker->workers.n, 0);
    struct conn other = worker_of(t, "xrk-2", W2, NULL);
    assert_int_equal(bench_run(t, &other).attempt, run.attempt + 1);
}

static void what_a_revoked_worker_holds_that_is_away_is_queued_again_too(void **state)
{
    struct bench *t = *state;
    know(t, everybody(NULL));
    struct conn c = bench_client(t, "cli-1", 1000), w = worker_of(t, "wrk-1", W1, NULL);
    uint64_t id = bench_submit(t, &c, "cpu");
    bench_run(t, &w);
    broker_drop_peer(t->broker, peers_find(&t->broker->peers, w.id));
    know(t, everybody(W1));
    assert_state(t, id, STATE_QUEUED);
}

static void whose_rights_change_begins_anew_and_nobody_else_notices(void **state)
{
    struct bench *t = *state;
    know(t, everybody(NULL));
    struct conn ada = client_of(t, "ada-1", ADA), bob = client_of(t, "bob-1", BOB);
    struct grants *g = everybody(NULL);
    grant_in(g, ADA)->queues = xstrdup("mail");
    know(t, g);
    bench_expect(t, &ada, MSG_HELLO_AGAIN);
    assert_null(bench_next(t, &bob, MSG_HELLO_AGAIN));
    bench_submit(t, &bob, "cpu");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        bench_test(a_key_that_is_not_known_gets_one_answer_to_everything),
        bench_test(a_role_is_for_that_role_alone),
        bench_test(a_client_may_not_do_what_is_for_admins),
        bench_test(a_client_touches_its_own_jobs_an_admin_all),
        bench_test(a_second_key_of_the_same_name_is_the_same_owner),
        bench_test(a_client_submits_only_what_its_key_is_for),
        bench_test(a_job_that_its_key_may_not_run_any_more_is_not_retried),
        bench_test(a_worker_is_handed_only_what_its_key_is_for),
        bench_test(nobody_ends_what_another_worker_holds),
        bench_test(a_worker_may_fetch_what_came_of_a_child_of_somebody_elses_job),
        bench_test(nobody_comes_in_anothers_place),
        bench_test(a_revoked_client_can_send_nothing_more),
        bench_test(what_a_revoked_worker_held_is_queued_again_uncounted),
        bench_test(what_a_revoked_worker_holds_that_is_away_is_queued_again_too),
        bench_test(whose_rights_change_begins_anew_and_nobody_else_notices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
