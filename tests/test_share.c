/* test_share.c - the slots of a pool among several brokers: lent while they are idle, in equal parts when all want them. */
#include "worker/share.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "proto/base/rng.h"
#include "proto/limits.h"

/* A pool in which each broker has `jobs` left, and gives them as far as it is offered slots. */
struct world {
    struct share of[LIMIT_BROKERS];
    size_t jobs[LIMIT_BROKERS];
    size_t n, slots;
    struct now now;
};

static size_t used(const struct share *s) { return s->runs + s->waits; }

static size_t running(const struct world *w)
{
    size_t sum = 0;
    for (size_t i = 0; i < w->n; i++)
        sum += w->of[i].runs;
    return sum;
}

static size_t offered(const struct world *w)
{
    size_t sum = 0;
    for (size_t i = 0; i < w->n; i++)
        sum += w->of[i].offered;
    return sum;
}

/* What waits begins; first come, first served is near enough to going round. */
static void fill_slots(struct world *w)
{
    bool any = true;
    while (any) {
        any = false;
        for (size_t i = 0; i < w->n && running(w) < w->slots; i++)
            if (w->of[i].waits) {
                w->of[i].waits--;
                w->of[i].runs++;
                any = true;
            }
    }
}

static void give_jobs(struct world *w)
{
    for (size_t i = 0; i < w->n; i++)
        while (w->of[i].present && w->jobs[i] && used(&w->of[i]) < w->of[i].offered) {
            w->jobs[i]--;
            w->of[i].waits++;
        }
    fill_slots(w);
}

static bool divide(struct world *w)
{
    int64_t due_ms;
    return share_divide(w->of, w->n, w->slots, w->now, &due_ms);
}

/* Until nothing changes any more: it must come to rest. */
static void settle(struct world *w)
{
    int rests = 0;
    for (int i = 0; i < 1000; i++) {
        w->now.mono_ms += i % 2 ? SHARE_MOMENT_MS : 1;
        bool changed = divide(w);
        size_t before = running(w);
        size_t waits = 0, waited = 0;
        for (size_t k = 0; k < w->n; k++)
            waited += w->of[k].waits;
        give_jobs(w);
        for (size_t k = 0; k < w->n; k++)
            waits += w->of[k].waits;
        rests = changed || before != running(w) || waits != waited ? 0 : rests + 1;
        if (rests == 4)
            return;
    }
    fail_msg("it goes on and on");
}

static struct world world_of(size_t n, size_t slots)
{
    struct world w = { .n = n, .slots = slots };
    for (size_t i = 0; i < n; i++)
        w.of[i].present = true;
    return w;
}

static void one_ends(struct world *w, size_t i)
{
    assert_true(w->of[i].runs > 0);
    w->of[i].runs--;
    fill_slots(w);
    settle(w);
}

static void before_anybody_wants_the_parts_are_equal(void **state)
{
    (void)state;
    struct world w = world_of(2, 8);
    settle(&w);
    assert_int_equal(w.of[0].offered, 4);
    assert_int_equal(w.of[1].offered, 4);
}

static void what_an_idle_broker_does_not_use_is_lent(void **state)
{
    (void)state;
    struct world w = world_of(2, 8);
    w.jobs[0] = 100;
    settle(&w);
    assert_int_equal(w.of[0].runs, 8); /* all of them */
    assert_int_equal(w.of[0].waits, 0);
    assert_int_equal(w.of[1].offered, 1); /* and yet it is never told that there is none */
}

static void who_was_idle_comes_to_its_half_as_slots_become_free(void **state)
{
    (void)state;
    struct world w = world_of(2, 8);
    w.jobs[0] = w.jobs[1] = 0;
    w.jobs[0] = 1000;
    settle(&w);
    w.jobs[1] = 1000;
    settle(&w);
    assert_int_equal(w.of[0].runs, 8); /* nothing is stopped for it */
    assert_int_equal(w.of[1].waits, 1);
    for (int i = 0; i < 4; i++)
        one_ends(&w, 0);
    assert_int_equal(w.of[0].runs, 4);
    assert_int_equal(w.of[1].runs, 4);
    for (int i = 0; i < 20; i++) {
        one_ends(&w, (size_t)i % 2);
        assert_in_range(w.of[0].runs, 3, 5);
        assert_int_equal(running(&w), 8);
    }
}

static void what_a_small_load_leaves_is_used_by_the_other(void **state)
{
    (void)state;
    struct world w = world_of(2, 8);
    w.jobs[0] = 1000;
    w.jobs[1] = 2;
    settle(&w);
    for (int i = 0; i < 8; i++)
        one_ends(&w, 0);
    assert_int_equal(w.of[1].runs, 2);
    assert_int_equal(w.of[0].runs, 6);
    one_ends(&w, 1);
    one_ends(&w, 1);
    assert_int_equal(w.of[0].runs, 8);
}

static void who_has_just_been_full_is_not_taken_for_content(void **state)
{
    (void)state;
    struct world w = world_of(2, 4);
    w.jobs[0] = w.jobs[1] = 1000;
    settle(&w);
    w.of[0].runs--; /* until its broker has heard of it */
    w.now.mono_ms += SHARE_MOMENT_MS / 2;
    int64_t due_ms;
    w.of[1].waits = 0;
    assert_false(share_divide(w.of, 2, 4, w.now, &due_ms));
    assert_int_equal(w.of[1].offered, 2);
    assert_true(due_ms > w.now.mono_ms && due_ms <= w.now.mono_ms + SHARE_MOMENT_MS);
    w.now.mono_ms = due_ms;
    assert_true(share_divide(w.of, 2, 4, w.now, &due_ms));
    assert_int_equal(w.of[1].offered, 3);
}

static void for_one_that_is_not_there_nothing_is_held(void **state)
{
    (void)state;
    struct world w = world_of(2, 8);
    w.of[1].present = false;
    w.jobs[0] = w.jobs[1] = 1000;
    settle(&w);
    assert_int_equal(w.of[0].runs, 8);
    w.of[1].present = true;
    settle(&w);
    for (int i = 0; i < 4; i++)
        one_ends(&w, 0);
    assert_int_equal(w.of[1].runs, 4);
    w.of[1].present = false; /* what it has runs on */
    settle(&w);
    assert_int_equal(w.of[0].runs, 4);
    one_ends(&w, 1);
    assert_int_equal(w.of[0].runs, 5);
}

static void of_one_slot_each_gets_its_turn(void **state)
{
    (void)state;
    struct world w = world_of(3, 1);
    size_t begun[3] = { 0 };
    for (size_t i = 0; i < 3; i++)
        w.jobs[i] = 100;
    settle(&w);
    for (int i = 0; i < 30; i++) {
        size_t who = w.of[0].runs ? 0 : w.of[1].runs ? 1 : 2;
        assert_int_equal(running(&w), 1);
        begun[who]++;
        /* who has waited longest comes next: here, the next one round */
        w.of[who].runs--;
        size_t next = (who + 1) % 3;
        assert_true(w.of[next].waits > 0);
        w.of[next].waits--;
        w.of[next].runs++;
        settle(&w);
    }
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(begun[i], 10);
}

static void slots_that_are_lost_and_come_back_are_noticed(void **state)
{
    (void)state;
    struct world w = world_of(2, 8);
    settle(&w);
    w.slots = 4;
    settle(&w);
    assert_int_equal(offered(&w), 4);
    w.slots = 0;
    settle(&w);
    assert_int_equal(offered(&w), 0);
    w.slots = 8;
    settle(&w);
    assert_int_equal(offered(&w), 8);
}

static void whatever_comes_it_rests_and_no_more_wait_than_there_are_brokers(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 7);
    for (int round = 0; round < 2000; round++) {
        struct world w = world_of(1 + rng_below(&rng, 6), 1 + rng_below(&rng, 20));
        for (int step = 0; step < 40; step++) {
            size_t i = rng_below(&rng, w.n);
            switch (rng_below(&rng, 3)) {
            case 0:
                w.jobs[i] += rng_below(&rng, 30);
                break;
            case 1:
                w.of[i].present = !w.of[i].present;
                break;
            case 2:
                if (w.of[i].runs)
                    w.of[i].runs--;
                fill_slots(&w);
                break;
            }
            settle(&w);
            size_t in_use = 0, wish = 0, present = 0;
            for (size_t k = 0; k < w.n; k++) {
                in_use += used(&w.of[k]);
                wish += w.of[k].present ? w.jobs[k] : 0;
                present += w.of[k].present;
                assert_true(w.of[k].offered >= 1);
            }
            if (wish && present) /* nobody waits while a slot is free */
                assert_int_equal(running(&w), w.slots);
            assert_true(in_use <= w.slots + w.n);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_anybody_wants_the_parts_are_equal),
        cmocka_unit_test(what_an_idle_broker_does_not_use_is_lent),
        cmocka_unit_test(who_was_idle_comes_to_its_half_as_slots_become_free),
        cmocka_unit_test(what_a_small_load_leaves_is_used_by_the_other),
        cmocka_unit_test(who_has_just_been_full_is_not_taken_for_content),
        cmocka_unit_test(for_one_that_is_not_there_nothing_is_held),
        cmocka_unit_test(of_one_slot_each_gets_its_turn),
        cmocka_unit_test(slots_that_are_lost_and_come_back_are_noticed),
        cmocka_unit_test(whatever_comes_it_rests_and_no_more_wait_than_there_are_brokers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
