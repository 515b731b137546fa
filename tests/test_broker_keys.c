/* test_broker_keys.c - the core with peers that are keys: what each role may, whose lease it is, what is left after a revocation,
 * and what all that share a key may use up together. */
#include "tests/broker_harness.h"

#define ADA "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define BOB "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define CHIEF "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define W1 "1111111111111111111111111111111111111111111111111111111111111111"
#define W2 "2222222222222222222222222222222222222222222222222222222222222222"
#define STRANGER "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"

static struct grant *grant_add(struct grants *all, const char *key, const char *name, const char *role)
{
    cleanup(freep) char *error = NULL;
    struct grant *g = xcalloc(1, sizeof *g);
    grant_init(g);
    g->name = xstrdup(name);
    g->role_text = xstrdup(role);
    g->key_text = xstrdup(key);
    assert_int_equal(grant_check(g, &error), 0);
    strmap_put(&all->by_key, str_of(g->digits), g);
    return g;
}

/* Everybody but those in without. */
static struct grants *everybody(const char *without)
{
    static const struct { const char *key, *name, *role;
    } all[] = { { ADA, "ada", "client" }, { BOB, "bob", "client" }, { CHIEF, "chief", "admin" },
                { W1, "w1", "worker" },   { W2, "w2", "worker" } };
    struct grants *g = xcalloc(1, sizeof *g);
    for (size_t i = 0; i < ELEMENTS(all); i++)
        if (!without || strcmp(all[i].key, without) != 0)
            grant_add(g, all[i].key, all[i].name, all[i].role);
    return g;
}

static struct grant *grant_in(struct grants *g, const char *key) { return strmap_find(&g->by_key, str_of(key)); }

static void know(struct bench *t, struct grants *g)
{
    broker_set_grants(t->broker, g, t->now);
    bench_turn(t);
}

static struct conn keyed(const char *id, const char *key)
{
    struct conn c = bench_conn(id, -1);
    c.key = key;
    return c;
}

static struct conn client_of(struct bench *t, const char *id, const char *key)
{
    struct conn c = keyed(id, key);
    struct message m = bench_hello(&c, "client");
    bench_tell(t, &c, &m);
    bench_welcome(t, &c);
    return c;
}

static struct conn worker_of(struct bench *t, const char *id, const char *key, const char *queue)
{
    struct conn c = keyed(id, key);
    c.name = id;
    c.slots[POOL_PROCESS] = c.slots[POOL_THREAD] = c.slots[POOL_LOOP] = 2;
    c.queue = queue;
    bench_worker_hello(t, &c, NULL, 0);
    return c;
}

static void expect_hello_refused(struct bench *t, struct conn *c, const char *role, const char *part)
{
    struct message m = bench_hello(c, role);
    m.hello.name = str_of("w");
    bench_tell(t, c, &m);
    bench_turn(t);
    bench_expect_error(t, c, CODE_NOT_ALLOWED, part);
}

/* ---- who may come in ------------------------------------------------------------------------------ */

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

/* ---- what a key is for ---------------------------------------------------------------------------- */

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

/* ---- whose lease it is ---------------------------------------------------------------------------- */

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

/* ---- revoked -------------------------------------------------------------------------------------- */

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

/* ---- limits --------------------------------------------------------------------------------------- */

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

/* ---- open jobs ------------------------------------------------------------------------------------ */

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
        bench_test(sessions_of_a_key_are_bounded),
        bench_test(who_is_one_too_many_at_its_next_hello_may_do_nothing),
        bench_test(a_rate_is_answered_with_busy_and_time_gives_it_back),
        bench_test(a_submit_larger_than_a_bucket_goes_through_when_it_is_full),
        bench_test(open_jobs_are_bounded_over_all_connections_and_become_fewer_by_ends_and_cancels),
        bench_test(a_submit_that_is_stored_is_answered_so_at_the_limit_too),
        bench_test(of_two_submits_in_one_turn_the_one_that_is_too_many_is_refused),
        bench_test(a_limit_that_is_new_counts_what_there_is_and_holds_after_a_start),
        bench_test(a_second_key_of_the_same_name_has_no_limit_of_its_own),
        bench_test(what_is_retried_and_what_a_job_spawns_counts_and_is_refused),
        bench_test(a_turn_that_the_full_disk_undoes_counts_for_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
