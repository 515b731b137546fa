/* test_broker_children.c - the core with jobs that submit jobs: whose children they are, who hears of their ends, and what a
 * cancel reaches. */
#include "tests/broker_harness.h"

/* ---- talking ------------------------------------------------------------------------------------ */

/* A worker with room, that runs one job `cpu` of uid 1000: the parent. */
struct family {
    struct bench *t;
    struct conn client, worker;
    struct run_job parent;
};

static struct family family_of(void **state)
{
    struct family f = { .t = *state };
    f.client = bench_client(f.t, "cli-1", 1000);
    uint64_t id = bench_submit(f.t, &f.client, "cpu");
    f.worker = bench_worker(f.t, "wrk-1", 1, 0, 0);
    f.parent = bench_run(f.t, &f.worker);
    assert_int_equal(f.parent.job, id);
    return f;
}

static void ask_spawn(struct family *f, const struct conn *w, uint64_t attempt, struct job_spec *jobs, struct str *keys, size_t n,
                      bool detached)
{
    struct message m;
    message_init(&m, MSG_SPAWN);
    m.spawn.req = 7;
    m.spawn.job = f->parent.job;
    m.spawn.attempt = attempt;
    m.spawn.jobs = jobs;
    m.spawn.n_jobs = n;
    m.spawn.keys = keys;
    m.spawn.n_keys = n;
    m.spawn.detached = detached;
    bench_tell(f->t, w, &m);
    bench_turn(f->t);
}

static const struct msg_spawned *spawned(struct family *f, const struct conn *w)
{
    const struct msg_spawned *s = &bench_expect(f->t, w, MSG_SPAWNED)->spawned;
    assert_int_equal(s->req, 7);
    return s;
}

/* One child of the handler `io`, which nobody has room for. */
static uint64_t spawn(struct family *f, const char *key, bool detached, bool made)
{
    struct job_spec s = bench_spec("io");
    struct str k = str_of(key);
    ask_spawn(f, &f->worker, f->parent.attempt, &s, &k, 1, detached);
    const struct msg_spawned *m = spawned(f, &f->worker);
    assert_int_equal(m->code, 0);
    assert_int_equal(m->n_children, 1);
    assert_int_equal(m->children[0].made, made);
    return m->children[0].id;
}

static void expect_refused(struct family *f, const struct conn *w, enum error_code code, const char *part)
{
    const struct msg_spawned *m = spawned(f, w);
    cleanup(freep) char *text = xstrndup(m->text);
    assert_int_equal(m->code, code);
    assert_int_equal(m->n_children, 0);
    assert_non_null(strstr(text, part));
}

static void await(struct family *f, const struct conn *w, uint64_t attempt, uint64_t first, uint64_t last)
{
    struct range range = { first, last };
    struct message m;
    message_init(&m, MSG_AWAIT);
    m.await.req = 8;
    m.await.job = f->parent.job;
    m.await.attempt = attempt;
    m.await.ranges = &range;
    m.await.n_ranges = 1;
    bench_tell(f->t, w, &m);
    bench_turn(f->t);
}

static struct child_end told(struct family *f)
{
    const struct msg_awaited *m = &bench_expect(f->t, &f->worker, MSG_AWAITED)->awaited;
    assert_int_equal(m->job, f->parent.job);
    assert_int_equal(m->attempt, f->parent.attempt);
    assert_int_equal(m->code, 0);
    assert_int_equal(m->n_ended, 1);
    return m->ended[0];
}

static void expect_told(struct family *f, uint64_t id, enum job_state to, enum reason reason)
{
    struct child_end end = told(f);
    assert_int_equal(end.id, id);
    assert_int_equal(end.state, to);
    assert_int_equal(end.reason, reason);
}

static int64_t jobs(struct family *f) { return bench_number(f->t, "SELECT count(*) FROM job"); }

/* The parent's attempt is tried again, on the same worker. */
static void try_again(struct family *f)
{
    bench_tell_outcome(f->t, &f->worker, bench_outcome(f->parent.job, f->parent.attempt, ENDING_LOST));
    bench_turn(f->t);
    f->parent = bench_run(f->t, &f->worker);
}

/* ---- whose they are ------------------------------------------------------------------------------- */

static void a_child_is_its_parents_owners_and_stands_in_its_queue(void **state)
{
    struct bench *t = *state;
    struct family f = { .t = t, .client = bench_client(t, "cli-1", 1000) };
    struct job_spec s = bench_spec("cpu");
    s.queue = str_of("films");
    s.priority = 5;
    bench_submit_spec(t, &f.client, s);
    f.worker = bench_worker(t, "wrk-1", 1, 0, 0);
    f.parent = bench_run(t, &f.worker);
    uint64_t id = spawn(&f, "#1", false, true);
    assert_int_equal(bench_job(t, id, "owner"), bench_job(t, f.parent.job, "owner"));
    assert_int_equal(bench_job(t, id, "priority"), 5);
    assert_int_equal(bench_job(t, id, "(SELECT queue = 'films' FROM class WHERE class.id = class)"), 1);
    assert_int_equal(bench_job(t, id, "(SELECT parent FROM spec WHERE job = id)"), f.parent.job);
    struct conn other = bench_client(t, "dli-2", 1001);
    bench_change_one(t, &other, MSG_CANCEL, id);
    bench_expect_error(t, &other, CODE_NOT_FOUND, "no such job");
}

static void a_key_finds_the_same_child_again_in_every_attempt_and_after_a_restart(void **state)
{
    struct family f = family_of(state);
    uint64_t first = spawn(&f, "#1", false, true), named = spawn(&f, "left.half", false, true);
    assert_int_equal(spawn(&f, "#1", false, false), first);
    try_again(&f);
    assert_int_equal(spawn(&f, "#1", false, false), first);
    bench_restart(f.t);
    struct held held = { f.parent.job, f.parent.attempt, HELD_RUNNING, POOL_PROCESS };
    bench_worker_hello(f.t, &f.worker, &held, 1);
    assert_int_equal(spawn(&f, "left.half", false, false), named);
    assert_int_equal(spawn(&f, "#1", false, false), first);
    assert_int_equal(jobs(&f), 3);
}

static void many_are_made_at_once_and_a_key_that_comes_twice_makes_one(void **state)
{
    struct family f = family_of(state);
    struct job_spec specs[3] = { bench_spec("io"), bench_spec("io"), bench_spec("io") };
    struct str keys[3] = { str_of("a"), str_of("b"), str_of("a") };
    ask_spawn(&f, &f.worker, f.parent.attempt, specs, keys, 3, false);
    const struct msg_spawned *m = spawned(&f, &f.worker);
    assert_int_equal(m->n_children, 3);
    assert_true(m->children[0].made && m->children[1].made && !m->children[2].made);
    assert_int_equal(m->children[2].id, m->children[0].id);
    assert_int_equal(jobs(&f), 3);
}

static void only_the_holder_of_the_parents_lease_may_spawn(void **state)
{
    struct family f = family_of(state);
    struct conn other = bench_worker(f.t, "vrk-2", 1, 0, 0);
    struct job_spec s = bench_spec("io");
    struct str key = str_of("#1");
    ask_spawn(&f, &other, f.parent.attempt, &s, &key, 1, false);
    expect_refused(&f, &other, CODE_REFUSED, "not this worker's");
    ask_spawn(&f, &f.worker, f.parent.attempt + 1, &s, &key, 1, false);
    expect_refused(&f, &f.worker, CODE_REFUSED, "not this worker's");
    bench_end(f.t, &f.worker, f.parent.job, f.parent.attempt, ENDING_DONE);
    ask_spawn(&f, &f.worker, f.parent.attempt, &s, &key, 1, false);
    expect_refused(&f, &f.worker, CODE_REFUSED, "not this worker's");
    ask_spawn(&f, &f.client, f.parent.attempt, &s, &key, 1, false);
    bench_expect_error(f.t, &f.client, CODE_PROTOCOL, "not for a client");
    assert_int_equal(jobs(&f), 1);
}

static void what_makes_no_sense_is_refused_and_makes_nothing(void **state)
{
    struct family f = family_of(state);
    static const char *const bad[] = { "", "#", "#1x", "a b", "#-1" };
    struct job_spec s[2] = { bench_spec("io"), bench_spec("no such name") };
    struct str keys[2] = { str_of("#1"), str_of("#2") };
    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        struct str key = str_of(bad[i]);
        ask_spawn(&f, &f.worker, f.parent.attempt, s, &key, 1, false);
        expect_refused(&f, &f.worker, CODE_USAGE, "key must be");
    }
    ask_spawn(&f, &f.worker, f.parent.attempt, s, keys, 2, false);
    expect_refused(&f, &f.worker, CODE_USAGE, "handler");
    ask_spawn(&f, &f.worker, f.parent.attempt, s, keys, 0, false);
    expect_refused(&f, &f.worker, CODE_USAGE, "1 to 1000 jobs");
    char payload[2000] = { 0 };
    s[0].payload = (struct str){ payload, sizeof payload };
    ask_spawn(&f, &f.worker, f.parent.attempt, s, keys, 1, false);
    expect_refused(&f, &f.worker, CODE_REFUSED, "the payload has 2000 bytes");
    assert_int_equal(jobs(&f), 1);
}

static void a_job_has_at_most_so_many_children(void **state)
{
    struct family f = family_of(state);
    f.t->unchecked = true;
    static struct job_spec specs[LIMIT_SPAWN];
    static struct str keys[LIMIT_SPAWN];
    static char texts[LIMIT_SPAWN][16];
    for (size_t n = 0; n <= LIMIT_CHILDREN; n += LIMIT_SPAWN) {
        for (size_t i = 0; i < LIMIT_SPAWN; i++) {
            snprintf(texts[i], sizeof texts[i], "#%zu", n + i);
            keys[i] = str_of(texts[i]);
            specs[i] = bench_spec("io");
        }
        ask_spawn(&f, &f.worker, f.parent.attempt, specs, keys, LIMIT_SPAWN, false);
        if (n < LIMIT_CHILDREN)
            assert_int_equal(spawned(&f, &f.worker)->n_children, LIMIT_SPAWN);
    }
    expect_refused(&f, &f.worker, CODE_REFUSED, "at most 10000 children");
    snprintf(texts[0], sizeof texts[0], "#9");
    spawn(&f, texts[0], false, false); /* those that are there are found all the same */
    bench_restart(f.t);
    struct held held = { f.parent.job, f.parent.attempt, HELD_RUNNING, POOL_PROCESS };
    bench_worker_hello(f.t, &f.worker, &held, 1);
    keys[0] = str_of("one.more");
    ask_spawn(&f, &f.worker, f.parent.attempt, specs, keys, 1, false);
    expect_refused(&f, &f.worker, CODE_REFUSED, "at most 10000 children");
}

/* ---- who hears ------------------------------------------------------------------------------------ */

static void an_end_is_told_to_who_awaits_it(void **state)
{
    struct family f = family_of(state);
    struct conn second = bench_worker(f.t, "vrk-2", 0, 1, 0);
    uint64_t id = spawn(&f, "#1", false, true);
    struct run_job run = bench_run(f.t, &second);
    assert_int_equal(run.job, id);
    await(&f, &f.worker, f.parent.attempt, id, id);
    assert_null(bench_next(f.t, &f.worker, MSG_AWAITED));
    struct outcome o = bench_outcome(id, run.attempt, ENDING_FAILED);
    o.for_good = 1;
    o.reason = REASON_EXIT;
    o.exit_code = 3;
    bench_tell_outcome(f.t, &second, o);
    bench_turn(f.t);
    struct child_end end = told(&f);
    assert_true(end.id == id && end.state == STATE_DEAD && end.reason == REASON_EXIT && end.exit_code == 3);
    await(&f, &f.worker, f.parent.attempt, id, id); /* of what has ended it is told at once */
    end = told(&f);
    assert_true(end.id == id && end.state == STATE_DEAD && end.reason == REASON_EXIT && end.exit_code == 3);
}

static void nobody_is_told_who_has_not_asked_in_this_session(void **state)
{
    struct family f = family_of(state);
    struct conn second = bench_worker(f.t, "vrk-2", 0, 1, 0);
    uint64_t id = spawn(&f, "#1", false, true);
    struct run_job run = bench_run(f.t, &second);
    await(&f, &f.worker, f.parent.attempt, id, id);
    struct held held = { f.parent.job, f.parent.attempt, HELD_RUNNING, POOL_PROCESS };
    bench_worker_hello(f.t, &f.worker, &held, 1);
    bench_end(f.t, &second, id, run.attempt, ENDING_DONE);
    assert_null(bench_next(f.t, &f.worker, MSG_AWAITED));
    await(&f, &f.worker, f.parent.attempt, id, id);
    expect_told(&f, id, STATE_DONE, REASON_NONE);
}

static void a_child_that_is_cancelled_or_expired_or_removed_is_an_end(void **state)
{
    struct family f = family_of(state);
    uint64_t id = spawn(&f, "#1", false, true);
    struct job_spec s = bench_spec("io");
    struct str key = str_of("#2");
    s.expire_ms = 1000;
    ask_spawn(&f, &f.worker, f.parent.attempt, &s, &key, 1, false);
    uint64_t late = spawned(&f, &f.worker)->children[0].id;
    await(&f, &f.worker, f.parent.attempt, id, late);
    bench_change_one(f.t, &f.client, MSG_CANCEL, id);
    expect_told(&f, id, STATE_CANCELLED, REASON_CANCELLED);
    bench_advance(f.t, 1500);
    bench_beat(f.t, &f.worker);
    bench_turn(f.t);
    expect_told(&f, late, STATE_EXPIRED, REASON_EXPIRED);
    bench_change_one(f.t, &f.client, MSG_REMOVE, id);
    await(&f, &f.worker, f.parent.attempt, id, id);
    expect_told(&f, id, STATE_BLOCKED, REASON_NONE);
}

static void only_its_own_children_are_told_of_and_only_to_the_holder(void **state)
{
    struct family f = family_of(state);
    uint64_t stranger = bench_submit(f.t, &f.client, "nobody");
    await(&f, &f.worker, f.parent.attempt, stranger, stranger);
    expect_told(&f, stranger, STATE_BLOCKED, REASON_NONE);
    await(&f, &f.worker, f.parent.attempt + 1, 1, 1);
    assert_int_equal(bench_expect(f.t, &f.worker, MSG_AWAITED)->awaited.code, CODE_REFUSED);
    await(&f, &f.worker, f.parent.attempt, 1, UINT64_MAX);
    assert_int_equal(bench_expect(f.t, &f.worker, MSG_AWAITED)->awaited.code, CODE_USAGE);
    await(&f, &f.worker, f.parent.attempt, UINT64_MAX, UINT64_MAX);
    expect_told(&f, UINT64_MAX, STATE_BLOCKED, REASON_NONE);
}

static int take_question(void *ctx, const struct peer *p, uint64_t epoch, const struct message *m, struct str owner)
{
    (void)p, (void)epoch, (void)owner;
    *(uint64_t *)ctx = m->fetch.job;
    return 0;
}

static void fetch(struct family *f, uint64_t job, uint64_t attempt)
{
    struct message m;
    message_init(&m, MSG_FETCH);
    m.fetch.req = 9;
    m.fetch.job = job;
    m.fetch.parent = f->parent.job;
    m.fetch.parent_attempt = attempt;
    bench_tell(f->t, &f->worker, &m);
    bench_turn(f->t);
}

static void a_worker_may_fetch_what_came_of_a_child_and_of_no_other_job(void **state)
{
    struct family f = family_of(state);
    uint64_t asked = 0;
    f.t->broker->options.ask_reader = take_question;
    f.t->broker->options.ctx = &asked;
    uint64_t id = spawn(&f, "#1", false, true), stranger = bench_submit(f.t, &f.client, "nobody");
    fetch(&f, id, f.parent.attempt);
    assert_int_equal(asked, id);
    asked = 0;
    fetch(&f, stranger, f.parent.attempt);
    bench_expect_error(f.t, &f.worker, CODE_NOT_FOUND, "no such child");
    fetch(&f, id, f.parent.attempt + 1);
    bench_expect_error(f.t, &f.worker, CODE_NOT_FOUND, "no such child");
    assert_int_equal(asked, 0);
}

/* ---- what a cancel reaches ------------------------------------------------------------------------ */

static void a_cancel_goes_down_to_all_that_are_not_detached(void **state)
{
    struct family f = family_of(state);
    uint64_t ids[600];
    char key[16];
    for (size_t i = 0; i < ELEMENTS(ids); i++) {
        snprintf(key, sizeof key, "#%zu", i + 1);
        ids[i] = spawn(&f, key, i == 7, true);
    }
    bench_change_one(f.t, &f.client, MSG_CANCEL, f.parent.job);
    bench_restart(f.t); /* in the midst of it */
    for (int i = 0; i < 5; i++)
        bench_turn(f.t);
    for (size_t i = 0; i < ELEMENTS(ids); i++)
        assert_state(f.t, ids[i], i == 7 ? STATE_QUEUED : STATE_CANCELLED);
    assert_int_equal(bench_number(f.t, "SELECT count(*) FROM cascade"), 0);
}

static void what_is_being_cancelled_spawns_no_more(void **state)
{
    struct family f = family_of(state);
    bench_change_one(f.t, &f.client, MSG_CANCEL, f.parent.job);
    struct job_spec s = bench_spec("io");
    struct str key = str_of("#1");
    ask_spawn(&f, &f.worker, f.parent.attempt, &s, &key, 1, false);
    expect_refused(&f, &f.worker, CODE_REFUSED, "being cancelled");
}

static void a_cancel_goes_down_to_grandchildren(void **state)
{
    struct family f = family_of(state);
    struct conn second = bench_worker(f.t, "vrk-2", 0, 1, 0);
    uint64_t id = spawn(&f, "#1", false, true);
    struct family g = { f.t, f.client, second, bench_run(f.t, &second) };
    assert_int_equal(g.parent.job, id);
    uint64_t grandchild = spawn(&g, "#1", false, true);
    bench_change_one(f.t, &f.client, MSG_CANCEL, f.parent.job);
    for (int i = 0; i < 5; i++)
        bench_turn(f.t);
    assert_int_equal(bench_job(f.t, id, "cancel"), 1);
    assert_state(f.t, grandchild, STATE_CANCELLED);
}

static void children_outlive_a_parent_that_is_done_or_dead(void **state)
{
    struct family f = family_of(state);
    uint64_t id = spawn(&f, "#1", false, true);
    bench_end(f.t, &f.worker, f.parent.job, f.parent.attempt, ENDING_FAILED);
    assert_state(f.t, f.parent.job, STATE_DEAD);
    assert_state(f.t, id, STATE_QUEUED);
}

static void a_job_that_is_retried_by_hand_keeps_the_children_that_are_well(void **state)
{
    struct family f = family_of(state);
    struct conn second = bench_worker(f.t, "vrk-2", 0, 1, 0);
    uint64_t done = spawn(&f, "#1", false, true);
    bench_end(f.t, &second, done, bench_run(f.t, &second).attempt, ENDING_DONE);
    uint64_t cancelled = spawn(&f, "#2", false, true);
    bench_change_one(f.t, &f.client, MSG_CANCEL, cancelled);
    bench_tell_outcome(f.t, &second, bench_outcome(cancelled, 1, ENDING_CANCELLED));
    bench_turn(f.t);
    assert_state(f.t, cancelled, STATE_CANCELLED);
    bench_end(f.t, &f.worker, f.parent.job, f.parent.attempt, ENDING_FAILED);
    bench_change_one(f.t, &f.client, MSG_RETRY, f.parent.job);
    f.parent = bench_run(f.t, &f.worker);
    assert_int_equal(spawn(&f, "#1", false, false), done);
    assert_int_not_equal(spawn(&f, "#2", false, true), cancelled);
}

static void what_a_job_knew_of_its_children_goes_with_it(void **state)
{
    struct family f = family_of(state);
    spawn(&f, "#1", false, true);
    bench_end(f.t, &f.worker, f.parent.job, f.parent.attempt, ENDING_DONE);
    bench_change_one(f.t, &f.client, MSG_REMOVE, f.parent.job);
    bench_expect_changed(f.t, &f.client, 1, 0, 0);
    assert_int_equal(bench_number(f.t, "SELECT count(*) FROM child"), 0);
}

/* ---- credit ----------------------------------------------------------------------------------------- */

static void beat(struct family *f, uint64_t slots, uint64_t parked)
{
    struct pool_load load = { .pool = POOL_PROCESS, .slots = slots, .parked = parked };
    struct message m;
    message_init(&m, MSG_BEAT);
    m.beat.req = 1;
    m.beat.pools = &load;
    m.beat.n_pools = 1;
    bench_tell(f->t, &f->worker, &m);
    bench_turn(f->t);
}

static void a_parked_attempt_makes_room_for_another(void **state)
{
    struct family f = family_of(state);
    uint64_t next = bench_submit(f.t, &f.client, "cpu");
    beat(&f, 1, 1); /* what has not started does not wait for children */
    assert_null(bench_next(f.t, &f.worker, MSG_RUN));
    bench_tell_started(f.t, &f.worker, f.parent.job, f.parent.attempt);
    beat(&f, 1, 0);
    assert_null(bench_next(f.t, &f.worker, MSG_RUN));
    beat(&f, 1, 1);
    assert_int_equal(bench_run(f.t, &f.worker).job, next);
    bench_submit(f.t, &f.client, "cpu");
    beat(&f, 1, 1000000);
    assert_null(bench_next(f.t, &f.worker, MSG_RUN)); /* one has started, so one is parked at most */
    assert_int_equal(f.t->broker->leases.n, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        bench_test(a_child_is_its_parents_owners_and_stands_in_its_queue),
        bench_test(a_key_finds_the_same_child_again_in_every_attempt_and_after_a_restart),
        bench_test(many_are_made_at_once_and_a_key_that_comes_twice_makes_one),
        bench_test(only_the_holder_of_the_parents_lease_may_spawn),
        bench_test(what_makes_no_sense_is_refused_and_makes_nothing),
        bench_test(a_job_has_at_most_so_many_children),
        bench_test(an_end_is_told_to_who_awaits_it),
        bench_test(nobody_is_told_who_has_not_asked_in_this_session),
        bench_test(a_child_that_is_cancelled_or_expired_or_removed_is_an_end),
        bench_test(only_its_own_children_are_told_of_and_only_to_the_holder),
        bench_test(a_worker_may_fetch_what_came_of_a_child_and_of_no_other_job),
        bench_test(a_cancel_goes_down_to_all_that_are_not_detached),
        bench_test(what_is_being_cancelled_spawns_no_more),
        bench_test(a_cancel_goes_down_to_grandchildren),
        bench_test(children_outlive_a_parent_that_is_done_or_dead),
        bench_test(a_job_that_is_retried_by_hand_keeps_the_children_that_are_well),
        bench_test(what_a_job_knew_of_its_children_goes_with_it),
        bench_test(a_parked_attempt_makes_room_for_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
