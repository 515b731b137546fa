/* test_slot.c - the order in which slots fall due; the legal moves. */
#include "worker/slot.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "proto/base/rng.h"

enum { SLOTS = 500 };

static void the_earliest_comes_first(void **state)
{
    (void)state;
    static struct slot slots[SLOTS];
    struct slot_due due = { 0 };
    struct rng rng;
    rng_init(&rng, 7);
    for (size_t i = 0; i < SLOTS; i++)
        slot_due_set(&due, &slots[i], (int64_t)rng_below(&rng, 1000));
    for (size_t i = 0; i < 2 * SLOTS; i++) { /* move some, take some out, put some in again */
        struct slot *s = &slots[rng_below(&rng, SLOTS)];
        slot_due_set(&due, s, rng_below(&rng, 4) ? (int64_t)rng_below(&rng, 1000) : NEVER);
    }
    size_t in = 0;
    for (size_t i = 0; i < SLOTS; i++)
        in += slots[i].due_at != 0;
    assert_int_equal(due.n, in);
    int64_t last = 0;
    for (struct slot *s; (s = slot_due_first(&due)); in--) {
        assert_true(s->due_ms >= last);
        last = s->due_ms;
        slot_due_set(&due, s, NEVER);
        assert_int_equal(s->due_at, 0);
    }
    assert_int_equal(in, 0);
    slot_due_fini(&due);
}

static void a_slot_goes_through_its_states(void **state)
{
    (void)state;
    struct slot s = { .state = SLOT_IDLE };
    static const enum slot_state way[] = { SLOT_RUNNING, SLOT_IDLE,   SLOT_RUNNING,  SLOT_STOPPING, SLOT_KILLED, SLOT_IDLE,
                                           SLOT_RUNNING, SLOT_STOPPING, SLOT_STUCK, SLOT_IDLE };
    for (size_t i = 0; i < ELEMENTS(way); i++) {
        slot_move(&s, way[i]);
        assert_int_equal(s.state, way[i]);
    }
}

static struct run *a_run(const struct run_job *j) { return run_new(j, (struct now){ 0, 1000 }); }

static void a_run_owns_what_it_was_told(void **state)
{
    (void)state;
    char queue[] = "default", payload[] = "a\0b", error[] = "went wrong";
    struct run_job j;
    record_init(RECORD_run_job, &j);
    j.job = 7;
    j.attempt = 2;
    j.queue = str_of(queue);
    j.payload = (struct str){ payload, 3 };
    j.name = (struct str){ "", 0 };
    j.expire_in_ms = 50;
    struct run *r = a_run(&j);
    memset(queue, 'x', 7);
    memset(payload, 'x', 3);
    assert_true(str_is(r->job.queue, "default"));
    assert_memory_equal(r->job.payload.p, "a\0b", 3);
    assert_null(r->job.handler.p);
    assert_non_null(r->job.name.p);
    assert_int_equal(r->expire_at_ms, 1050);
    struct outcome o;
    record_init(RECORD_outcome, &o);
    o.error = str_of(error);
    run_finish(r, &o, 5);
    memset(error, 'x', 5);
    assert_true(str_is(r->outcome.error, "went wrong"));
    assert_int_equal(r->outcome.job, 7);
    assert_int_equal(r->outcome.attempt, 2);
    assert_null(r->outcome.result.p);
    run_free(r);
    j.expire_in_ms = INT64_MAX;
    r = a_run(&j);
    assert_true(r->expire_at_ms == NEVER);
    run_free(r);
    run_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_earliest_comes_first),
        cmocka_unit_test(a_slot_goes_through_its_states),
        cmocka_unit_test(a_run_owns_what_it_was_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
