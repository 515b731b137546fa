/* test_measure.c - what runs come to: the tag that `auto` is, without flapping at a border; bounded; there after a start. */
#include "broker/measure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/rng.h"

#define NOW 1700000000000

/* ---- deciding --------------------------------------------------------------------------------- */

static struct measure_means means_of(double runs, double wall_us, double share)
{
    return (struct measure_means){ .runs = runs, .wall_us = wall_us, .share = share };
}

static void the_first_decision_is_by_the_borders_themselves(void **state)
{
    (void)state;
    static const struct {
        double runs, wall_us, share;
        enum tag tag;
    } cases[] = {
        { 0, 0, 0, TAG_AUTO },         { 4, 2e6, 0, TAG_AUTO },      { 4, 2e6, 1, TAG_AUTO },       { 5, 2e6, 0, TAG_SLOW_IO },
        { 5, 1e3, 1, TAG_CPU },        { 9, 1e3, 0.5, TAG_CPU },     { 9, 1e3, 0.499, TAG_IO },     { 9, 49999, 0.01, TAG_IO },
        { 9, 50000, 0.01, TAG_SLOW_IO }, { 9, 60e6, 0.5, TAG_CPU }, { 9, 60e6, 8, TAG_CPU },       { 200, 1, 0, TAG_IO },
        { 9, 2e6, 0.09, TAG_SLOW_IO }, { 9, 2e6, 0.11, TAG_IO },
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++)
        assert_int_equal(measure_decide(means_of(cases[i].runs, cases[i].wall_us, cases[i].share), TAG_AUTO),
                         cases[i].tag);
}

static void a_border_must_be_passed_clearly(void **state)
{
    (void)state;
    static const struct {
        enum tag before;
        double wall_us, share;
        enum tag tag;
    } cases[] = {
        { TAG_CPU, 1e3, 0.41, TAG_CPU },       { TAG_CPU, 1e3, 0.39, TAG_IO },        { TAG_CPU, 2e6, 0.09, TAG_SLOW_IO },
        { TAG_IO, 1e3, 0.59, TAG_IO },         { TAG_IO, 1e3, 0.61, TAG_CPU },        { TAG_SLOW_IO, 1e6, 0.12, TAG_SLOW_IO },
        { TAG_SLOW_IO, 1e6, 0.61, TAG_CPU },   { TAG_IO, 62e3, 0.01, TAG_IO },        { TAG_IO, 63e3, 0.01, TAG_SLOW_IO },
        { TAG_SLOW_IO, 1e6, 0.13, TAG_IO },    { TAG_IO, 1e6, 0.09, TAG_IO },         { TAG_IO, 1e6, 0.07, TAG_SLOW_IO },
        { TAG_SLOW_IO, 41e3, 0.1, TAG_SLOW_IO }, { TAG_SLOW_IO, 39e3, 0.1, TAG_IO }, { TAG_CPU, 49e3, 0.1, TAG_IO },
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++)
        assert_int_equal(measure_decide(means_of(50, cases[i].wall_us, cases[i].share), cases[i].before), cases[i].tag);
}

/* ---- runs ------------------------------------------------------------------------------------- */

static struct measures all;

static int begin(void **state)
{
    (void)state;
    all = (struct measures){ 0 };
    return 0;
}

static int end(void **state)
{
    (void)state;
    measures_fini(&all);
    return 0;
}

static struct measure *of(const char *handler) { return measures_intern(&all, str_of(handler), STR_UNSET); }

static void run(struct measure *m, enum tag asked, int64_t wall_us, int64_t cpu_us)
{
    measure_run(&all, m, &(struct run_measured){ .asked = asked, .wall_us = wall_us, .cpu_us = cpu_us, .ready_us = UNSET,
                                                 .wait_us = UNSET, .memory_kb = UNSET, .ended_ms = NOW });
}

static void the_tag_follows_a_handler_that_changes(void **state)
{
    (void)state;
    struct measure *m = of("h");
    for (int i = 0; i < 4; i++)
        run(m, TAG_AUTO, 1000, 10);
    assert_int_equal(m->decided, TAG_AUTO);
    run(m, TAG_AUTO, 1000, 10);
    assert_int_equal(m->decided, TAG_IO);
    for (int i = 0; i < 600; i++)
        run(m, TAG_AUTO, 1000, 950);
    assert_int_equal(m->decided, TAG_CPU);
    for (int i = 0; i < 600; i++)
        run(m, TAG_AUTO, 2000000, 950);
    assert_int_equal(m->decided, TAG_SLOW_IO);
}

/* Runs around both borders at random: it may change its mind on the way there, but not for ever. */
static void at_a_border_it_does_not_flap(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 5);
    struct measure *m = of("h");
    int changes = 0;
    for (int i = 0; i < 20000; i++) {
        enum tag before = m->decided;
        int64_t wall = 100 + (int64_t)rng_below(&rng, 100000);
        run(m, TAG_AUTO, wall, (int64_t)rng_below(&rng, (uint64_t)wall)); /* 50 %, 50 ms on average */
        changes += i >= 1000 && m->decided != before;
    }
    assert_int_equal(changes, 0);
}

static void time_without_a_core_is_no_waiting(void **state)
{
    (void)state;
    struct measure *m = of("h");
    for (int i = 0; i < 20; i++)
        measure_run(&all, m, &(struct run_measured){ .asked = TAG_IO, .wall_us = 80000, .cpu_us = 10000, .ready_us = 69000,
                                                     .wait_us = UNSET, .memory_kb = UNSET });
    assert_int_equal(m->decided, TAG_CPU);
    assert_in_range(sketch_quantile(&m->tallies[TAG_IO]->share, 0.5), 850, 1000);
}

static void each_tag_counts_apart_and_auto_looks_at_all(void **state)
{
    (void)state;
    struct measure *m = of("h");
    for (int i = 0; i < 3; i++) {
        run(m, TAG_IO, 1000, 0);
        run(m, TAG_CPU, 3000, 0);
    }
    assert_int_equal(m->tallies[TAG_IO]->runs, 3);
    assert_int_equal(m->tallies[TAG_CPU]->runs, 3);
    assert_null(m->tallies[TAG_AUTO]);
    assert_int_equal((int)measure_means(m).wall_us, 2000);
    assert_int_equal(m->decided, TAG_IO);
}

static void numbers_that_cannot_be_change_little(void **state)
{
    (void)state;
    struct measure *m = of("h");
    run(m, TAG_IO, UNSET, 5);
    run(m, TAG_IO, -1, 5);
    assert_null(m->tallies[TAG_IO]);
    run(m, TAG_IO, INT64_MAX, INT64_MAX);
    run(m, TAG_IO, 0, INT64_MAX);
    run(m, TAG_IO, 0, -7);
    measure_run(&all, m, &(struct run_measured){ .wall_us = 1, .cpu_us = 1, .ready_us = INT64_MAX, .wait_us = -9, .memory_kb = INT64_MAX });
    assert_int_equal(m->tallies[TAG_IO]->runs, 3);
    assert_true(measure_means(m).wall_us < 1e12 && measure_means(m).share >= 0);
}

static void beyond_the_limit_the_rest_is_together_and_decides_nothing(void **state)
{
    (void)state;
    char name[16];
    for (unsigned i = 0; i < LIMIT_MEASURES; i++) {
        snprintf(name, sizeof name, "h%u", i);
        assert_ptr_not_equal(of(name), &all.shared);
    }
    assert_ptr_equal(of("one more"), &all.shared);
    assert_ptr_equal(measures_intern(&all, str_of("exec"), str_of("make")), &all.shared);
    assert_ptr_equal(of("h7"), all.all[7]);
    for (int i = 0; i < 50; i++)
        run(&all.shared, TAG_AUTO, 2000000, 0);
    assert_int_equal(all.shared.decided, TAG_AUTO);
    assert_int_equal(all.n, LIMIT_MEASURES);
}

static void a_program_is_apart_from_a_handler_of_its_name(void **state)
{
    (void)state;
    struct measure *make = measures_intern(&all, str_of("exec"), str_of("make")), *exec = of("exec"), *handler = of("make");
    assert_true(make != exec && make != handler && exec != handler);
    assert_ptr_equal(measures_intern(&all, str_of("exec"), str_of("make")), make);
    assert_string_equal(make->program, "make");
    assert_null(exec->program);
}

/* ---- kept ------------------------------------------------------------------------------------- */

static char dir[64], path[96];
static struct store *store;

static void open_store(void)
{
    char *error = NULL;
    struct store_options o = { .path = path, .quiet = true };
    if (store_open(&store, &o, &error) < 0)
        fail_msg("%s", error);
}

static int begin_store(void **state)
{
    snprintf(dir, sizeof dir, "/tmp/tern-measure-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/t.db", dir);
    open_store();
    return begin(state);
}

static int end_store(void **state)
{
    static const char *const ends[] = { "", "-wal", "-shm", ".lock" };
    store = store_close(store);
    for (size_t i = 0; i < ELEMENTS(ends); i++) {
        cleanup(freep) char *file = xasprintf("%s%s", path, ends[i]);
        unlink(file);
    }
    rmdir(dir);
    return end(state);
}

static void save_all(void)
{
    int r;
    while ((r = measures_save(&all, store)) > 0) {
    }
    assert_int_equal(r, 0);
    assert_int_equal(store_commit(store), 0);
}

static void start_again(void)
{
    store_close(store);
    measures_fini(&all);
    open_store();
    assert_int_equal(measures_load(&all, store), 0);
}

static void what_was_measured_is_there_after_a_start(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++) {
        run(of("waits"), TAG_CPU, 2000000 + i, 1000);
        run(measures_intern(&all, str_of("exec"), str_of("make")), TAG_AUTO, 5000 + i, 4900);
    }
    save_all();
    struct tally before = *of("waits")->tallies[TAG_CPU];
    start_again();
    assert_int_equal(all.n, 2);
    assert_int_equal(of("waits")->decided, TAG_SLOW_IO);
    assert_int_equal(measures_intern(&all, str_of("exec"), str_of("make"))->decided, TAG_CPU);
    assert_memory_equal(&before.wall, &of("waits")->tallies[TAG_CPU]->wall, sizeof before.wall);
    assert_memory_equal(&before.share, &of("waits")->tallies[TAG_CPU]->share, sizeof before.share);
    assert_true(before.runs == 300 && of("waits")->tallies[TAG_CPU]->runs == 300);
    assert_true(before.recent == of("waits")->tallies[TAG_CPU]->recent && before.wall_us == of("waits")->tallies[TAG_CPU]->wall_us);
}

static void only_what_has_changed_is_saved_and_some_at_a_time(void **state)
{
    (void)state;
    char name[16];
    for (unsigned i = 0; i < 250; i++) {
        snprintf(name, sizeof name, "h%u", i);
        run(of(name), TAG_IO, 10, 1);
    }
    assert_int_equal(measures_save(&all, store), 1);
    assert_int_equal(measures_save(&all, store), 1);
    assert_int_equal(measures_save(&all, store), 0);
    assert_int_equal(store_commit(store), 0);
    assert_int_equal(measures_save(&all, store), 0);
    start_again();
    assert_int_equal(all.n, 250);
    assert_false(all.all[0]->tallies[TAG_IO]->changed);
}

static void what_has_not_run_for_long_is_forgotten_at_the_next_start(void **state)
{
    (void)state;
    run(of("old"), TAG_IO, 10, 1);
    save_all();
    measure_run(&all, of("new"), &(struct run_measured){ .wall_us = 1, .cpu_us = 1, .ready_us = UNSET, .wait_us = UNSET,
                                                         .memory_kb = UNSET, .ended_ms = NOW + 10 });
    save_all();
    assert_int_equal(store_forget_measures(store, NOW + 10), 0);
    assert_int_equal(store_commit(store), 0);
    start_again();
    assert_int_equal(all.n, 1);
    assert_string_equal(all.all[0]->handler, "new");
}

static void rows_that_make_no_sense_are_left_out(void **state)
{
    (void)state;
    const struct measure_row good = { .handler = str_of("h"), .tag = TAG_IO, .pool = POOL_THREAD, .runs = 9, .last_run = 9, .last_ms = NOW,
                                      .recent = 9, .wall_us = 100, .cpu_us = 1, .sketches = str_of("") };
    struct measure_row bad[9] = { good, good, good, good, good, good, good, good, good };
    bad[1].tag = (enum tag)9;
    bad[2].pool = (enum pool_kind)-1;
    bad[3].runs = 0;
    bad[4].recent = 1e9;
    bad[5].cpu_us = -1;
    bad[6].ready_us = 101;
    bad[8].last_run = 8;
    bad[7].sketches = str_of("wha");
    for (size_t i = 1; i < ELEMENTS(bad); i++) {
        char name[8];
        snprintf(name, sizeof name, "h%zu", i);
        bad[i].handler = str_of(name);
        assert_int_equal(store_save_measure(store, &bad[i]), 0);
    }
    assert_int_equal(store_save_measure(store, &good), 0);
    assert_int_equal(store_commit(store), 0);
    start_again();
    assert_int_equal(all.n, 1);
}

#define test(f) cmocka_unit_test_setup_teardown(f, begin, end)
#define test_store(f) cmocka_unit_test_setup_teardown(f, begin_store, end_store)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(the_first_decision_is_by_the_borders_themselves),
        test(a_border_must_be_passed_clearly),
        test(the_tag_follows_a_handler_that_changes),
        test(at_a_border_it_does_not_flap),
        test(time_without_a_core_is_no_waiting),
        test(each_tag_counts_apart_and_auto_looks_at_all),
        test(numbers_that_cannot_be_change_little),
        test(beyond_the_limit_the_rest_is_together_and_decides_nothing),
        test(a_program_is_apart_from_a_handler_of_its_name),
        test_store(what_was_measured_is_there_after_a_start),
        test_store(only_what_has_changed_is_saved_and_some_at_a_time),
        test_store(what_has_not_run_for_long_is_forgotten_at_the_next_start),
        test_store(rows_that_make_no_sense_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
