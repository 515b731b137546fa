/* test_class.c - classes are told apart and kept within their bound; counts and means are what they say. */
#include "tests/class_rig.h"

#include <stdio.h>

#include "proto/base/rng.h"

/* ---- interning ------------------------------------------------------------------------------- */

static void equal_keys_are_one_class_and_every_part_tells_apart(void **state)
{
    struct store *s = *state;
    struct classes c = { 0 };
    struct class_key keys[] = {
        key_of("q", "h", NULL),
        key_of("q2", "h", NULL),
        key_of("q", "h2", NULL),
        key_of("q", "h", "p"),
        key_of("q", "h", "p2"),
        key_of("q", "hp", NULL),
        key_of("qh", "p", NULL),
        { str_of("q"), str_of("h"), STR_UNSET, TAG_AUTO, false, false, false, STR_UNSET },
        { str_of("q"), str_of("h"), STR_UNSET, TAG_CPU, false, false, false, STR_UNSET },
        { str_of("q"), str_of("h"), STR_UNSET, TAG_AUTO, true, true, false, STR_UNSET },
        { str_of("q"), str_of("h"), STR_UNSET, TAG_AUTO, true, false, true, STR_UNSET },
        { str_of("q"), str_of("h"), STR_UNSET, TAG_AUTO, true, false, false, str_of("gpu=1") },
        { str_of("q"), str_of("h"), STR_UNSET, TAG_AUTO, true, false, false, str_of("gpu=2") },
        key_of("q", "h", "p\n0"),
        key_of("q", "h", "p\n0\n10"),
    };
    for (uint32_t i = 0; i < ELEMENTS(keys); i++)
        assert_int_equal(intern(&c, s, keys[i])->id, i + 1);
    for (uint32_t i = 0; i < ELEMENTS(keys); i++)
        assert_ptr_equal(intern(&c, s, keys[i]), classes_get(&c, i + 1));
    assert_int_equal(s->n_classes, ELEMENTS(keys));
    assert_ptr_equal(classes_get(&c, 1)->queue, classes_get(&c, 3)->queue);
    assert_string_equal(classes_get(&c, 4)->program, "p");
    assert_null(classes_get(&c, 1)->program);
    classes_fini(&c);
}

static void past_the_limit_commands_share_a_class(void **state)
{
    struct store *s = *state;
    struct classes c = { 0 };
    char program[32];
    for (int i = 0; i < (int)LIMIT_CLASSES; i++) {
        snprintf(program, sizeof program, "program%d", i);
        intern(&c, s, key_of("q", "exec", program));
    }
    struct class *shared = intern(&c, s, key_of("q", "exec", "one more"));
    assert_null(shared->program);
    assert_ptr_equal(intern(&c, s, key_of("q", "exec", "and another")), shared);
    assert_ptr_not_equal(intern(&c, s, key_of("q2", "exec", "and another")), shared);
    assert_string_equal(intern(&c, s, key_of("q", "exec", "program7"))->program, "program7");
    classes_fini(&c);
}

static void past_twice_the_limit_there_are_no_more(void **state)
{
    struct store *s = *state;
    struct classes c = { 0 };
    struct class *class = NULL;
    char handler[32];
    for (int i = 0; i < 2 * (int)LIMIT_CLASSES; i++) {
        snprintf(handler, sizeof handler, "handler%d", i);
        intern(&c, s, key_of("q", handler, NULL));
    }
    struct class_key k = key_of("q", "one more", NULL);
    assert_true(classes_intern(&c, s, &k, &class) < 0);
    assert_int_equal(intern(&c, s, key_of("q", "handler5", NULL))->id, 6);
    classes_fini(&c);
}

static struct class *intern_need(struct classes *c, struct store *s, const char *queue, int n)
{
    char needs[32];
    snprintf(needs, sizeof needs, "need%d", n);
    struct class_key k = key_of(queue, "h", NULL);
    k.needs = str_of(needs);
    struct class *class = NULL;
    int r = classes_intern(c, s, &k, &class);
    assert_true(r == 0 || r == -E2BIG);
    return class;
}

static void past_the_limit_what_has_no_job_gives_its_place_away(void **state)
{
    struct store *s = *state;
    struct classes c = { 0 };
    int n = (int)LIMIT_CLASSES;
    struct class *busy = intern_need(&c, s, "q", 0);
    busy->jobs[STATE_DONE] = 1;
    classes_begin_request(&c);
    for (int i = 1; i < n; i++)
        intern_need(&c, s, i == 1 ? "once" : "q", i);
    assert_null(intern_need(&c, s, "q", n)); /* none of this message's own */
    classes_begin_request(&c);
    for (int i = n; i < 2 * n - 1; i++)
        assert_ptr_not_equal(intern_need(&c, s, "q", i), busy);
    assert_int_equal(c.n, n);
    assert_int_equal(c.by_key.n, n);
    assert_null(classes_find_queue(&c, str_of("once")));
    assert_null(intern_need(&c, s, "q", 2 * n));
    assert_ptr_equal(intern_need(&c, s, "q", 0), busy);
    struct class *again = intern_need(&c, s, "q", 2 * n - 2);
    assert_string_equal(again->needs.text, "need19998");
    assert_ptr_equal(classes_get(&c, again->id), again);
    classes_fini(&c);
}

static void a_place_that_the_store_does_not_give_away_is_kept(void **state)
{
    struct store *s = *state;
    struct classes c = { 0 };
    for (int i = 0; i < (int)LIMIT_CLASSES; i++)
        intern_need(&c, s, "q", i);
    classes_begin_request(&c);
    struct class_key k = key_of("q", "h", NULL);
    k.needs = str_of("more");
    struct class *class = NULL;
    s->fails = -EIO;
    assert_int_equal(classes_intern(&c, s, &k, &class), -EIO);
    s->fails = 0;
    assert_int_equal(c.by_key.n, LIMIT_CLASSES);
    assert_int_equal(intern_need(&c, s, "q", 1)->id, 2);
    classes_fini(&c);
}

static void a_class_that_the_store_does_not_take_is_not_there(void **state)
{
    struct store *s = *state;
    struct classes c = { 0 };
    struct class *class = NULL;
    struct class_key k = key_of("q", "h", NULL);
    s->fails = -EIO;
    assert_int_equal(classes_intern(&c, s, &k, &class), -EIO);
    assert_int_equal(c.n, 0);
    s->fails = 0;
    assert_int_equal(intern(&c, s, k)->id, 1);
    classes_fini(&c);
}

static void suspects_have_a_class_beside_their_own(void **state)
{
    struct store *s = *state;
    struct classes c = { 0 };
    struct class *own = intern(&c, s, key_of("q", "exec", "make")), *suspect = NULL, *again = NULL;
    assert_int_equal(classes_suspect_of(&c, s, own, &suspect), 0);
    assert_ptr_not_equal(suspect, own);
    assert_true(suspect->suspect && !own->suspect);
    assert_string_equal(suspect->program, "make");
    assert_int_equal(suspect->tag_unset, own->tag_unset);
    assert_int_equal(classes_suspect_of(&c, s, suspect, &again), 0);
    assert_ptr_equal(again, suspect);
    classes_fini(&c);
}

static void what_was_stored_is_there_after_a_start(void **state)
{
    struct store *s = *state;
    struct classes c;
    const struct class_row rows[] = {
        { .id = 40, .queue = str_of("q"), .handler = str_of("h"), .program = str_of("p"),
          .tag = TAG_IO, .jobs = { [STATE_QUEUED] = 1, [STATE_DONE] = 7 } },
        { .id = 2, .queue = str_of("q"), .handler = str_of("h"), .tag_unset = true },
    };
    s->rows = rows;
    s->n_rows = 2;
    s->n_classes = 40;
    s->paused = "quiet";
    put_waiting(s, (struct head){ 0, 9 });
    assert_int_equal(classes_load(&c, s, NULL), 0);
    struct class *class = classes_get(&c, 40);
    int r;
    assert_int_equal(class->jobs[STATE_DONE], 7);
    assert_string_equal(class->measure->program, "p");
    assert_int_equal(class_head(class, s, &r)->id, 9);
    assert_null(class_head(classes_get(&c, 2), s, &r));
    struct class_key k = { str_of("q"), str_of("h"), str_of("p"), TAG_IO, false, false, false, STR_UNSET };
    assert_ptr_equal(intern(&c, s, k), class);
    assert_int_equal(intern(&c, s, key_of("q", "new", NULL))->id, 41);
    assert_true(classes_find_queue(&c, str_of("quiet"))->paused);
    assert_false(classes_find_queue(&c, str_of("q"))->paused);
    assert_null(classes_find_queue(&c, str_of("nobody")));
    classes_fini(&c);
}

/* ---- counts and means ------------------------------------------------------------------------ */

static void a_move_is_counted_in_both_classes(void **state)
{
    (void)state;
    struct class a = { .jobs = { [STATE_RUNNING] = 2 } }, b = { 0 };
    class_move(&a, STATE_RUNNING, &b, STATE_QUEUED);
    class_move(&a, STATE_RUNNING, &a, STATE_DONE);
    assert_int_equal(a.jobs[STATE_RUNNING], 0);
    assert_int_equal(a.jobs[STATE_DONE], 1);
    assert_int_equal(b.jobs[STATE_QUEUED], 1);
}

static void the_first_sixteen_runs_weigh_the_same(void **state)
{
    (void)state;
    struct class c = { 0 };
    for (int i = 1; i <= 16; i++)
        class_count_run(&c, i * 1000);
    assert_true(c.runs == 16);
    assert_in_range((int64_t)(c.mean_wall_us + 0.5), 8500, 8500);
}

static void old_runs_are_forgotten(void **state)
{
    (void)state;
    struct class c = { 0 };
    for (int i = 0; i < 1000; i++)
        class_count_run(&c, 1000000);
    for (int i = 0; i < 16; i++)
        class_count_run(&c, 0);
    assert_in_range((int64_t)c.mean_wall_us, 200000, 500000);
    for (int i = 0; i < 200; i++)
        class_count_run(&c, 0);
    assert_in_range((int64_t)c.mean_wall_us, 0, 10);
}

static void a_run_without_a_measure_is_not_counted(void **state)
{
    (void)state;
    struct class c = { 0 };
    class_count_run(&c, UNSET);
    class_count_run(&c, -1);
    assert_true(c.runs == 0);
    class_count_run(&c, 100);
    assert_true(c.runs == 1 && c.mean_wall_us == 100);
}

static void the_last_minute_is_what_finished_in_it(void **state)
{
    (void)state;
    struct queue q = { 0 };
    struct rng rng;
    int64_t second = 1700000000, times[3000];
    rng_init(&rng, 60);
    for (size_t n = 0; n < ELEMENTS(times); n++) {
        second += (int64_t)(rng_below(&rng, 50) == 0 ? rng_below(&rng, 200) : rng_below(&rng, 3));
        times[n] = second;
        queue_count_finished(&q, second * 1000 + (int64_t)rng_below(&rng, 1000));
        int64_t asked = second + (int64_t)rng_below(&rng, 80);
        uint64_t want = 0;
        for (size_t i = 0; i <= n; i++)
            want += times[i] > asked - 60 && times[i] <= asked;
        assert_int_equal(queue_finished_last_minute(&q, asked * 1000), want);
    }
}

static void a_clock_that_goes_back_starts_the_minute_again(void **state)
{
    (void)state;
    struct queue q = { 0 };
    for (int i = 0; i < 10; i++)
        queue_count_finished(&q, 1700000000000 + 1000 * i);
    queue_count_finished(&q, 1600000000000);
    assert_int_equal(queue_finished_last_minute(&q, 1600000000000), 1);
    assert_int_equal(queue_finished_last_minute(&q, 1700000000000), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(equal_keys_are_one_class_and_every_part_tells_apart),
        WITH_STORE(past_the_limit_commands_share_a_class),
        WITH_STORE(past_twice_the_limit_there_are_no_more),
        WITH_STORE(past_the_limit_what_has_no_job_gives_its_place_away),
        WITH_STORE(a_place_that_the_store_does_not_give_away_is_kept),
        WITH_STORE(a_class_that_the_store_does_not_take_is_not_there),
        WITH_STORE(suspects_have_a_class_beside_their_own),
        WITH_STORE(what_was_stored_is_there_after_a_start),
        cmocka_unit_test(a_move_is_counted_in_both_classes),
        cmocka_unit_test(the_first_sixteen_runs_weigh_the_same),
        cmocka_unit_test(old_runs_are_forgotten),
        cmocka_unit_test(a_run_without_a_measure_is_not_counted),
        cmocka_unit_test(the_last_minute_is_what_finished_in_it),
        cmocka_unit_test(a_clock_that_goes_back_starts_the_minute_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
