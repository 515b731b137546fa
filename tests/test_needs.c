/* test_needs.c - needs as text; and the core with workers that have labels and amounts: who gets what, what is held, when it is given
 * back. */
#include "tests/broker_harness.h"

#include "broker/needs.h"
#include "proto/need.h"

/* ---- text ------------------------------------------------------------------------------------- */

static void the_same_needs_in_any_order_are_the_same_text(void **state)
{
    (void)state;
    static const char *const orders[][3] = { { "licences=2", "gpu", "host=a" }, { "host=a", "licences=2", "gpu" } };
    for (size_t i = 0; i < ELEMENTS(orders); i++) {
        cleanup(freep) char *text = NULL, *error = NULL;
        assert_int_equal(needs_join(orders[i], 3, &text, &error), 0);
        assert_string_equal(text, "gpu,host=a,licences=2");
    }
    cleanup(freep) char *text = NULL, *error = NULL;
    static const char *const again[] = { "a=1", "a=1" };
    assert_int_equal(needs_join(again, 2, &text, &error), 0);
    assert_string_equal(text, "a=1");
}

static void needs_that_contradict_or_are_too_many_are_refused(void **state)
{
    (void)state;
    static const char *const two[] = { "host=a", "host=b" }, *const any[] = { "host=a", "host" };
    static const char *const nine[] = { "a", "b", "c", "d", "e", "f", "g", "h", "i" };
    static const struct {
        const char *const *each;
        size_t n;
    } bad[] = { { two, 2 }, { any, 2 }, { nine, 9 } };
    for (size_t i = 0; i < ELEMENTS(bad); i++) {
        char *text = NULL;
        cleanup(freep) char *error = NULL;
        assert_int_equal(needs_join(bad[i].each, bad[i].n, &text, &error), -EINVAL);
        assert_non_null(error);
    }
}

static void hostile_needs_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = { ",", "a,", ",a", "a,,b", "=1", "a=", "a b", "a=1=2", "b,a", "a,a", "a=1,a=2", "a\n",
                                       "a,b,c,d,e,f,g,h,i" };
    struct need needs[LIMIT_NEEDS];
    size_t n;
    for (size_t i = 0; i < ELEMENTS(bad); i++)
        if (!needs_read(str_of(bad[i]), needs, &n))
            fail_msg("\"%s\" was taken", bad[i]);
    char longest[LIMIT_NAME_BYTES + 2];
    memset(longest, 'a', sizeof longest);
    assert_non_null(needs_read((struct str){ longest, LIMIT_NAME_BYTES + 1 }, needs, &n));
    assert_null(needs_read((struct str){ longest, LIMIT_NAME_BYTES }, needs, &n));
    assert_null(needs_read(STR_UNSET, needs, &n));
    assert_int_equal(n, 0);
}

static void only_a_number_from_1_on_is_an_amount(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t amount;
    } read[] = { { "a", 1 }, { "a=3", 3 }, { "a=0", 0 }, { "a=x", 0 }, { "a=1x", 0 }, { "a=-1", 0 },
                 { "a=999999999999999", 999999999999999 }, { "a=9999999999999999", 0 } };
    for (size_t i = 0; i < ELEMENTS(read); i++) {
        struct need n;
        assert_null(need_read(str_of(read[i].text), &n));
        assert_int_equal(n.amount, read[i].amount);
    }
}

/* ---- who gets what ---------------------------------------------------------------------------- */

static struct conn worker_with(struct bench *t, const char *id, uint64_t slots, const char *label, const char *amount,
                               uint64_t total)
{
    struct conn c = bench_conn(id, OWN_UID);
    c.name = id;
    c.slots[POOL_PROCESS] = slots;
    c.label = label;
    c.amount = (struct amount){ str_of(amount), total, 0 };
    bench_worker_hello(t, &c, NULL, 0);
    return c;
}

static struct job_spec needing(const char *needs)
{
    struct job_spec s = bench_spec("cpu");
    s.needs = str_of(needs);
    return s;
}

static void a_job_runs_only_where_its_labels_are(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    struct conn plain = bench_worker(t, "a-wrk", 5, 0, 0), gpu = worker_with(t, "b-wrk", 5, "gpu=a100", NULL, 0);
    struct run_job runs[8];
    static const struct {
        const char *needs;
        bool runs;
    } asked[] = { { "gpu=a100", true }, { "gpu", true }, { "gpu=h100", false }, { "gpu=a100,tape", false },
                  { "gpu=a100,worker=b-wrk", true }, { "gpu=a100,worker=a-wrk", false } };
    for (size_t i = 0; i < ELEMENTS(asked); i++) {
        bench_submit_spec(t, &c, needing(asked[i].needs));
        assert_int_equal(bench_runs(t, &plain, runs, 8), 0);
        assert_int_equal(bench_runs(t, &gpu, runs, 8), asked[i].runs);
    }
}

static void what_is_needed_in_vain_stands_in_nobodys_way(void **state)
{
    struct bench *t = *state;
    t->unchecked = true;
    struct conn c = bench_client(t, "cli-1", 1000);
    struct conn w = worker_with(t, "a-wrk", 1, NULL, "card", 1);
    struct job_spec s = needing("nobody=has-it");
    s.priority = 9;
    for (int i = 0; i < 10; i++)
        bench_submit_n(t, &c, s, 1000);
    s.needs = str_of("card=2");
    bench_submit_n(t, &c, s, 1000);
    uint64_t id = bench_submit(t, &c, "cpu");
    assert_int_equal(bench_run(t, &w).job, id);
    t->unchecked = false;
    bench_turn(t);
}

static int64_t held(struct bench *t, const char *name)
{
    return amounts_find(&t->options.shared, str_of(name))->held;
}

static void an_amount_of_the_broker_is_shared_by_all_workers(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    struct conn a = bench_worker(t, "a-wrk", 5, 0, 0), b = bench_worker(t, "b-wrk", 5, 0, 0);
    bench_submit_n(t, &c, needing("licence=2"), 4);
    struct run_job first[4], second[4];
    size_t n = bench_runs(t, &a, first, 4), m = bench_runs(t, &b, second, 4);
    assert_int_equal(n + m, 2);
    assert_int_equal(held(t, "licence"), 4);
    const struct conn *who = n ? &a : &b;
    struct run_job run = n ? first[0] : second[0];
    bench_end(t, who, run.job, run.attempt, ENDING_DONE);
    assert_int_equal(held(t, "licence"), 4); /* the next one has it */
    assert_int_equal(t->broker->leases.n, 2);
}

static void an_amount_of_a_worker_is_its_own(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    struct conn a = worker_with(t, "a-wrk", 5, NULL, "card", 3), b = worker_with(t, "b-wrk", 5, NULL, "card", 1);
    bench_submit_n(t, &c, needing("card"), 5);
    struct run_job runs[8];
    assert_int_equal(bench_runs(t, &a, runs, 8), 3);
    assert_int_equal(bench_runs(t, &b, runs + 3, 5), 1);
    bench_submit_n(t, &c, needing("card=2"), 1);
    assert_int_equal(t->broker->leases.n, 4);
    for (int i = 0; i < 3; i++)
        bench_end(t, &a, runs[i].job, runs[i].attempt, ENDING_DONE);
    assert_int_equal(t->broker->leases.n, 3); /* one of the five, and the sixth; and b-wrk's */
}

/* ---- given back ------------------------------------------------------------------------------- */

static void what_is_held_is_given_back_however_the_attempt_ends(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = bench_worker(t, "a-wrk", 1, 0, 0);
    static const enum ending endings[] = { ENDING_DONE, ENDING_FAILED, ENDING_EXPIRED, ENDING_LOST };
    for (size_t i = 0; i < ELEMENTS(endings); i++) {
        struct job_spec s = needing("licence=4");
        s.retries = 0;
        s.crash_limit = 1;
        bench_submit_spec(t, &c, s);
        struct run_job run = bench_run(t, &w);
        assert_int_equal(held(t, "licence"), 4);
        bench_tell_started(t, &w, run.job, run.attempt);
        bench_end(t, &w, run.job, run.attempt, endings[i]);
        assert_int_equal(held(t, "licence"), 0);
    }
}

static void what_a_lost_worker_held_is_given_back(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    bench_submit_spec(t, &c, needing("licence=4"));
    for (int started = 0; started < 2; started++) {
        struct conn w = bench_worker(t, "a-wrk", 1, 0, 0);
        struct run_job run = bench_run(t, &w);
        if (started)
            bench_tell_started(t, &w, run.job, run.attempt);
        assert_int_equal(held(t, "licence"), 4);
        bench_live(t, LOST_AFTER_MS + 1000);
        assert_int_equal(t->broker->leases.n, 0);
        assert_int_equal(held(t, "licence"), 0);
    }
}

static void what_is_held_is_counted_anew_after_a_restart(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = worker_with(t, "a-wrk", 5, NULL, "card", 2);
    uint64_t id = bench_submit_spec(t, &c, needing("card=2,licence=3"));
    struct run_job run = bench_run(t, &w);
    bench_restart(t);
    assert_int_equal(held(t, "licence"), 3);
    struct held list[] = { { run.job, run.attempt, HELD_RUNNING, run.pool } };
    bench_worker_hello(t, &w, list, 1);
    const struct worker *known = strmap_find(&t->broker->workers, (struct str){ (const char *)w.instance, 16 });
    assert_int_equal(amounts_find(&known->amounts, str_of("card"))->held, 2);
    c = bench_client(t, "d-cli", 1000);
    bench_submit_spec(t, &c, needing("card=1"));
    bench_submit_spec(t, &c, needing("licence=2"));
    assert_int_equal(t->broker->leases.n, 1);
    bench_end(t, &w, id, run.attempt, ENDING_DONE);
    assert_int_equal(t->broker->leases.n, 2);
    assert_int_equal(held(t, "licence"), 2);
}

static void nobody_fetches_ahead_what_others_could_run_with(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000), w = worker_with(t, "a-wrk", 2, NULL, "card", 100);
    for (int i = 0; i < 20; i++) { /* short ones: others like them are fetched ahead */
        bench_submit_spec(t, &c, needing("card"));
        struct run_job run = bench_run(t, &w);
        bench_end(t, &w, run.job, run.attempt, ENDING_DONE);
    }
    bench_submit_n(t, &c, needing("card"), 10);
    assert_int_equal(t->broker->leases.n, 2);
}

/* ---- why -------------------------------------------------------------------------------------- */

static const char *why(struct bench *t, struct conn *c, uint64_t job)
{
    bench_ask_why(t, c, job);
    bench_turn(t);
    const struct message *answer = bench_expect(t, c, MSG_BECAUSE);
    assert_true(answer->because.n_reasons > 0);
    static char text[LIMIT_TEXT_BYTES];
    struct str s = answer->because.reasons[0].text;
    snprintf(text, sizeof text, "%.*s", (int)s.n, s.p);
    return text;
}

static void why_says_what_is_missing(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    struct conn one = worker_with(t, "a-wrk", 5, "gpu=a100", "card", 2);
    bench_worker(t, "b-wrk", 1, 0, 0);
    bench_submit_spec(t, &c, needing("card=1,licence=3"));
    bench_run(t, &one);
    static const struct {
        const char *needs, *why;
    } asked[] = {
        { "tape", "needs tape: no connected worker has label tape; 2 workers connected" },
        { "gpu=h100", "needs gpu=h100: worker a-wrk has gpu=a100" },
        { "card=3", "needs card=3: worker a-wrk has 2 in all" },
        { "licence=5", "needs licence=5: the broker has 4 in all" },
        { "licence=2", "needs licence=2: 1 of the broker's 4 are free" },
        { "host=x", "needs host=x: worker " },
    };
    for (size_t i = 0; i < ELEMENTS(asked); i++) {
        uint64_t id = bench_submit_spec(t, &c, needing(asked[i].needs));
        const char *text = why(t, &c, id);
        if (strncmp(text, asked[i].why, strlen(asked[i].why)) != 0)
            fail_msg("\"%s\", not \"%s\"", text, asked[i].why);
    }
}

/* ---- limits ----------------------------------------------------------------------------------- */

static void a_submit_with_wrong_needs_is_refused(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_client(t, "cli-1", 1000);
    struct job_spec s = needing("b,a");
    bench_ask_submit(t, &c, ++c.seq, &s, 1);
    bench_turn(t);
    bench_expect_error(t, &c, CODE_USAGE, "order of their names");
}

static void a_worker_with_too_many_labels_is_refused(void **state)
{
    struct bench *t = *state;
    struct conn c = bench_conn("a-wrk", OWN_UID);
    struct str labels[LIMIT_LABELS + 1];
    for (size_t i = 0; i < ELEMENTS(labels); i++)
        labels[i] = str_of("a=1");
    struct message m = bench_hello(&c, "worker");
    m.hello.name = str_of("a-wrk");
    m.hello.labels = labels;
    m.hello.n_labels = ELEMENTS(labels);
    bench_tell(t, &c, &m);
    bench_turn(t);
    bench_expect_error(t, &c, CODE_PROTOCOL, "too many labels");
}

static int set_up(void **state)
{
    int r = bench_setup(state);
    struct bench *t = *state;
    amounts_add(&t->options.shared, str_of("licence"), 4);
    bench_restart(t);
    return r;
}

static int tear_down(void **state)
{
    struct amounts shared = ((struct bench *)*state)->options.shared;
    int r = bench_teardown(state);
    amounts_fini(&shared);
    return r;
}

#define needs_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_needs_in_any_order_are_the_same_text),
        cmocka_unit_test(needs_that_contradict_or_are_too_many_are_refused),
        cmocka_unit_test(hostile_needs_are_refused),
        cmocka_unit_test(only_a_number_from_1_on_is_an_amount),
        needs_test(a_job_runs_only_where_its_labels_are),
        needs_test(what_is_needed_in_vain_stands_in_nobodys_way),
        needs_test(an_amount_of_the_broker_is_shared_by_all_workers),
        needs_test(an_amount_of_a_worker_is_its_own),
        needs_test(what_is_held_is_given_back_however_the_attempt_ends),
        needs_test(what_a_lost_worker_held_is_given_back),
        needs_test(what_is_held_is_counted_anew_after_a_restart),
        needs_test(nobody_fetches_ahead_what_others_could_run_with),
        needs_test(why_says_what_is_missing),
        needs_test(a_submit_with_wrong_needs_is_refused),
        needs_test(a_worker_with_too_many_labels_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
