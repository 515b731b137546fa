/* test_broker_checkpoint.c - the core with attempts that leave something to the next one. */
#include "tests/broker_harness.h"

static void tell(struct bench_scene *s, const struct conn *w, uint64_t attempt, struct str body)
{
    struct message m;
    message_init(&m, MSG_CHECKPOINT);
    m.checkpoint.req = 9;
    m.checkpoint.job = s->job;
    m.checkpoint.attempt = attempt;
    m.checkpoint.body = body;
    bench_tell(s->t, w, &m);
    bench_turn(s->t);
}

static void keep(struct bench_scene *s, const char *text)
{
    tell(s, &s->worker, s->attempt, str_of(text));
    const struct msg_checkpointed *c = &bench_expect(s->t, &s->worker, MSG_CHECKPOINTED)->checkpointed;
    assert_int_equal(c->req, 9);
    assert_int_equal(c->code, 0);
}

static void expect_refused(struct bench_scene *s, const struct conn *w, enum error_code code)
{
    assert_int_equal(bench_expect(s->t, w, MSG_CHECKPOINTED)->checkpointed.code, code);
}

/* The attempt fails; what the next one is handed is the text, or nothing. */
static void expect_next(struct bench_scene *s, const char *text)
{
    bench_end(s->t, &s->worker, s->job, s->attempt, ENDING_FAILED);
    bench_advance(s->t, 1000);
    bench_turn(s->t);
    const struct message *m = bench_expect(s->t, &s->worker, MSG_RUN);
    assert_int_equal(m->run.jobs[0].job, s->job);
    assert_int_equal(m->run.jobs[0].attempt, s->attempt + 1);
    assert_true(text ? str_is(m->run.jobs[0].checkpoint, text) : !m->run.jobs[0].checkpoint.p);
    s->attempt++;
}

static int64_t kept(const struct bench_scene *s) { return bench_number(s->t, "SELECT count(*) FROM checkpoint"); }

static void the_next_attempt_is_handed_the_last_one(void **state)
{
    struct bench_scene s = bench_scene(*state);
    expect_next(&s, NULL);
    keep(&s, "one");
    keep(&s, "two");
    expect_next(&s, "two");
    expect_next(&s, "two"); /* whoever keeps none leaves what there was */
}

static void it_is_there_after_a_restart_of_the_broker(void **state)
{
    struct bench_scene s = bench_scene(*state);
    keep(&s, "one");
    bench_restart(s.t);
    bench_live(s.t, 60000); /* its worker is lost */
    s.worker = bench_worker(s.t, "wrk-2", 1, 0, 0);
    const struct message *run = bench_expect(s.t, &s.worker, MSG_RUN);
    assert_true(str_is(run->run.jobs[0].checkpoint, "one"));
}

static void only_the_holder_of_the_lease_may_keep_one(void **state)
{
    struct bench_scene s = bench_scene(*state);
    struct conn second = bench_worker(s.t, "vrk-2", 1, 0, 0);
    keep(&s, "one");
    tell(&s, &second, s.attempt, str_of("foreign"));
    expect_refused(&s, &second, CODE_REFUSED);
    tell(&s, &s.worker, s.attempt + 1, str_of("early"));
    expect_refused(&s, &s.worker, CODE_REFUSED);
    expect_next(&s, "one");
    tell(&s, &s.worker, s.attempt - 1, str_of("late"));
    expect_refused(&s, &s.worker, CODE_REFUSED);
    expect_next(&s, "one");
}

static void one_that_is_too_large_is_refused_and_leaves_what_there_was(void **state)
{
    struct bench_scene s = bench_scene(*state);
    cleanup(freep) char *large = xcalloc(LIMIT_CHECKPOINT_BYTES + 1, 1);
    keep(&s, "one");
    tell(&s, &s.worker, s.attempt, (struct str){ large, LIMIT_CHECKPOINT_BYTES + 1 });
    expect_refused(&s, &s.worker, CODE_USAGE);
    tell(&s, &s.worker, s.attempt, STR_UNSET);
    expect_refused(&s, &s.worker, CODE_USAGE);
    expect_next(&s, "one");
    tell(&s, &s.worker, s.attempt, (struct str){ large, LIMIT_CHECKPOINT_BYTES });
    assert_int_equal(bench_expect(s.t, &s.worker, MSG_CHECKPOINTED)->checkpointed.code, 0);
}

static void it_goes_when_the_job_ends(void **state)
{
    struct bench_scene s = bench_scene(*state);
    keep(&s, "one");
    bench_end(s.t, &s.worker, s.job, s.attempt, ENDING_DONE);
    assert_int_equal(kept(&s), 0);
    tell(&s, &s.worker, s.attempt, str_of("late"));
    expect_refused(&s, &s.worker, CODE_REFUSED);
    assert_int_equal(kept(&s), 0);
}

static void it_goes_when_the_job_is_cancelled_while_it_waits(void **state)
{
    struct bench_scene s = bench_scene(*state);
    keep(&s, "one");
    bench_end(s.t, &s.worker, s.job, s.attempt, ENDING_FAILED);
    assert_int_equal(kept(&s), 1);
    bench_change_one(s.t, &s.client, MSG_CANCEL, s.job);
    assert_state(s.t, s.job, STATE_CANCELLED);
    assert_int_equal(kept(&s), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        bench_test(the_next_attempt_is_handed_the_last_one),
        bench_test(it_is_there_after_a_restart_of_the_broker),
        bench_test(only_the_holder_of_the_lease_may_keep_one),
        bench_test(one_that_is_too_large_is_refused_and_leaves_what_there_was),
        bench_test(it_goes_when_the_job_ends),
        bench_test(it_goes_when_the_job_is_cancelled_while_it_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
