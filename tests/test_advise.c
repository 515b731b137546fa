/* test_advise.c - wrong tags are named with the right one; right ones, what is unclear and what is not known are passed over. */
#include "broker/advise.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define BOTH (FORM_BLOCKING | FORM_ASYNC)
#define MS 1000

static struct measures all;

static int end(void **state)
{
    (void)state;
    measures_fini(&all);
    return 0;
}

static void run(const char *name, enum tag asked, int n, int64_t wall_us, int percent)
{
    struct measure *m = measures_intern(&all, str_of(name), STR_UNSET);
    for (int i = 0; i < n; i++)
        measure_run(&all, m, &(struct run_measured){ .asked = asked, .wall_us = wall_us, .cpu_us = wall_us * percent / 100,
                                                     .ready_us = UNSET, .wait_us = UNSET, .memory_kb = UNSET });
}

static struct advice_given ask(const char *name, enum tag asked, unsigned forms, bool thread_safe)
{
    static struct worker_handler h;
    char *copy = (char *)(uintptr_t)name;
    h = (struct worker_handler){ .name = copy, .forms = forms, .thread_safe = thread_safe };
    struct measure *m = measures_intern(&all, str_of(name), STR_UNSET);
    return advise(&(struct advise_case){ .name = name, .asked = asked, .tally = m->tallies[asked], .runs = m->runs,
                                         .decided = m->decided, .handler = forms ? &h : NULL, .slots = { 2, 16, 10000 } });
}

static void forget(struct advice_given *a)
{
    free(a->why);
    free(a->gain);
    measures_fini(&all);
}

static void the_tags_of_handlers_that_behave_steadily(void **state)
{
    (void)state;
    static const struct {
        enum tag asked;
        int64_t wall_us;
        int percent;
        unsigned forms;
        bool unsafe;
        enum tag better; /* the same: right */
    } cases[] = {
        /* right */
        { TAG_CPU, 50 * MS, 99, BOTH, false, TAG_CPU },       { TAG_IO, 50 * MS, 5, BOTH, false, TAG_IO },
        { TAG_SLOW_IO, 2000 * MS, 1, BOTH, false, TAG_SLOW_IO }, { TAG_SLOW_IO, 5 * MS, 1, BOTH, false, TAG_SLOW_IO },
        { TAG_CPU, 50 * MS, 400, BOTH, false, TAG_CPU },
        /* wrong */
        { TAG_IO, 50 * MS, 94, BOTH, false, TAG_CPU },        { TAG_SLOW_IO, 50 * MS, 94, BOTH, false, TAG_CPU },
        { TAG_CPU, 50 * MS, 2, BOTH, false, TAG_IO },         { TAG_CPU, 3000 * MS, 2, BOTH, false, TAG_SLOW_IO },
        { TAG_IO, 3000 * MS, 2, BOTH, false, TAG_SLOW_IO },   { TAG_IO, 50 * MS, 300, BOTH, false, TAG_CPU },
        /* not clearly wrong */
        { TAG_IO, 50 * MS, 60, BOTH, false, TAG_IO },         { TAG_CPU, 50 * MS, 40, BOTH, false, TAG_CPU },
        { TAG_IO, 700 * MS, 1, BOTH, false, TAG_IO },         { TAG_CPU, 50 * MS, 35, BOTH, false, TAG_CPU },
        { TAG_IO, 3000 * MS, 20, BOTH, false, TAG_IO },       { TAG_CPU, 3000 * MS, 20, BOTH, false, TAG_IO },
        /* not worth it */
        { TAG_IO, 1 * MS, 99, BOTH, false, TAG_IO },          { TAG_CPU, 1 * MS, 1, BOTH, false, TAG_CPU },
        /* no other pool for it */
        { TAG_CPU, 50 * MS, 2, FORM_BLOCKING, true, TAG_CPU }, { TAG_IO, 3000 * MS, 2, FORM_BLOCKING, false, TAG_IO },
        { TAG_IO, 50 * MS, 94, FORM_ASYNC, false, TAG_IO },   { TAG_IO, 50 * MS, 94, FORM_BLOCKING, true, TAG_IO },
        { TAG_CPU, 50 * MS, 2, FORM_ASYNC, false, TAG_CPU },
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        run("h", cases[i].asked, 50, cases[i].wall_us, cases[i].percent);
        struct advice_given a = ask("h", cases[i].asked, cases[i].forms, !cases[i].unsafe);
        bool wrong = cases[i].better != cases[i].asked;
        int64_t better = wrong ? (int64_t)cases[i].better : UNSET;
        if ((strcmp(a.verdict, "wrong") == 0) != wrong || a.better != better || !a.why || !a.gain == wrong)
            fail_msg("case %zu: %s: %s (%s)", i, a.verdict, a.why, a.gain ? a.gain : "");
        forget(&a);
    }
}

static void what_is_said_is_a_sentence_with_its_figures(void **state)
{
    (void)state;
    run("thumbnail", TAG_IO, 212, 50 * MS, 94);
    struct advice_given a = ask("thumbnail", TAG_IO, BOTH, true);
    assert_string_equal(a.why, "`thumbnail` is tagged io; 212 runs used 94 % CPU: tag it cpu");
    assert_string_equal(a.gain, "up to 16 runs at once share the cores, 47 ms of CPU time each; as cpu at most 2 run at once, and the "
                                "thread pool is free for what waits");
    forget(&a);
    run("resize", TAG_SLOW_IO, 60, 50 * MS, 100);
    a = ask("resize", TAG_SLOW_IO, BOTH, true);
    assert_string_equal(a.gain, "each run computes for 50 ms on the one thread on which all others of the loop wait; at most 40 jobs "
                                "a second instead of 20, with the slots that are connected");
    forget(&a);
}

/* As far as slots and cores go: 2 processes, 16 threads, 10,000 on the loop. */
static void the_gain_follows_from_slots_and_times(void **state)
{
    (void)state;
    static const struct {
        enum tag asked;
        int64_t wall_us;
        int percent;
        int64_t now, then; /* jobs a second */
    } cases[] = {
        { TAG_CPU, 100 * MS, 0, 20, 160 },        /* 2 and 16 at a time */
        { TAG_CPU, 1000 * MS, 0, 2, 10000 },
        { TAG_CPU, 1000 * MS, 1, 2, 100 },        /* on the loop one core has no more CPU time */
        { TAG_IO, 2000 * MS, 0, 8, 5000 },
        { TAG_SLOW_IO, 100 * MS, 100, 10, 20 },   /* one core, then two */
        { TAG_IO, 100 * MS, 100, 20, 20 },
    };
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        run("h", cases[i].asked, 60, cases[i].wall_us, cases[i].percent);
        struct advice_given a = ask("h", cases[i].asked, BOTH, true);
        assert_int_equal(a.most_now, 1000 * cases[i].now);
        assert_int_equal(a.most_then, 1000 * cases[i].then);
        forget(&a);
    }
}

static void it_needs_fifty_runs_and_a_worker(void **state)
{
    (void)state;
    run("h", TAG_IO, 49, 50 * MS, 94);
    struct advice_given a = ask("h", TAG_IO, BOTH, true);
    assert_string_equal(a.verdict, "unknown");
    assert_string_equal(a.why, "49 runs are known, 50 are needed");
    free(a.why);
    run("h", TAG_IO, 1, 50 * MS, 94);
    a = ask("h", TAG_IO, 0, true);
    assert_string_equal(a.verdict, "unknown");
    forget(&a);
}

static void a_tag_that_is_no_longer_used_is_left_alone(void **state)
{
    (void)state;
    run("h", TAG_IO, 60, 50 * MS, 94);
    run("h", TAG_CPU, 49, 50 * MS, 94);
    struct advice_given a = ask("h", TAG_IO, BOTH, true);
    assert_string_equal(a.verdict, "wrong");
    free(a.why);
    free(a.gain);
    run("h", TAG_CPU, 1, 50 * MS, 94);
    a = ask("h", TAG_IO, BOTH, true);
    assert_string_equal(a.verdict, "past");
    forget(&a);
}

static void runs_that_differ_say_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 60; i++)
        run("h", TAG_IO, 1, i % 3 ? 10 * MS : 200 * MS, i % 3 ? 5 : 95); /* by time it computes, by runs it waits */
    struct advice_given a = ask("h", TAG_IO, BOTH, true);
    assert_string_equal(a.verdict, "right");
    forget(&a);
}

static void auto_needs_no_advice(void **state)
{
    (void)state;
    run("h", TAG_AUTO, 4, 50 * MS, 94);
    struct advice_given a = ask("h", TAG_AUTO, BOTH, true);
    assert_string_equal(a.verdict, "auto");
    assert_string_equal(a.why, "too few runs are known: a process");
    free(a.why);
    run("h", TAG_AUTO, 60, 50 * MS, 94);
    a = ask("h", TAG_AUTO, BOTH, true);
    assert_string_equal(a.why, "by what was measured it is cpu");
    forget(&a);
}

#define test(f) cmocka_unit_test_teardown(f, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(the_tags_of_handlers_that_behave_steadily),
        test(what_is_said_is_a_sentence_with_its_figures),
        test(the_gain_follows_from_slots_and_times),
        test(it_needs_fifty_runs_and_a_worker),
        test(a_tag_that_is_no_longer_used_is_left_alone),
        test(runs_that_differ_say_nothing),
        test(auto_needs_no_advice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
