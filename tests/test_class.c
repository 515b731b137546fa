/* test_class.c - classes are told apart and kept within their bound; the look-ahead gives what a
 * sorted list of all that waits would give; counts and means are what they say. The store here is
 * an array. */
#include "broker/class.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "proto/base/rng.h"

/* ---- a store of one array -------------------------------------------------------------------- */

#define MOST 4000

struct store {
    struct head waiting[MOST]; /* sorted, the best first */
    size_t n;
    uint32_t n_classes;
    const struct class_row *rows; /* what was there at the start */
    size_t n_rows;
    const char *paused;
    int fails; /* if < 0: every verb */
    size_t reads;
};

static bool comes_before(struct head a, struct head b)
{
    return a.priority != b.priority ? a.priority > b.priority : a.id < b.id;
}

int store_heads(struct store *s, uint32_t class, struct head *ret, size_t max)
{
    size_t n = min_size(s->n, max);
    assert_true(class > 0);
    s->reads++;
    memcpy(ret, s->waiting, n * sizeof *ret);
    return s->fails ? s->fails : (int)n;
}

int store_add_class(struct store *s, const struct class_row *c, uint32_t *ret_id)
{
    assert_true(c->queue.p && c->handler.p);
    *ret_id = s->n_classes + 1;
    s->n_classes += !s->fails;
    return s->fails;
}

int store_change_class(struct store *s, const struct class_row *c)
{
    assert_true(c->id && c->id <= s->n_classes && c->queue.p && c->handler.p);
    return s->fails;
}

int store_each_class(struct store *s, void (*each)(void *ctx, const struct class_row *c), void *ctx)
{
    for (size_t i = 0; i < s->n_rows; i++)
        each(ctx, &s->rows[i]);
    return s->fails;
}

int store_each_measure(struct store *s, void (*each)(void *ctx, const struct measure_row *m), void *ctx)
{
    (void)each;
    (void)ctx;
    return s->fails;
}

int store_save_measure(struct store *s, const struct measure_row *m)
{
    (void)m;
    return s->fails;
}

int store_each_paused(struct store *s, void (*each)(void *ctx, struct str queue), void *ctx)
{
    if (s->paused)
        each(ctx, str_of(s->paused));
    return 0;
}

static size_t place_of(const struct store *s, struct head h)
{
    size_t i = 0;
    while (i < s->n && comes_before(s->waiting[i], h))
        i++;
    return i;
}

static bool is_waiting(const struct store *s, struct head h)
{
    size_t i = place_of(s, h);
    return i < s->n && s->waiting[i].id == h.id;
}

static void put_waiting(struct store *s, struct head h)
{
    size_t i = place_of(s, h);
    assert_true(s->n < MOST);
    memmove(s->waiting + i + 1, s->waiting + i, (s->n++ - i) * sizeof h);
    s->waiting[i] = h;
}

static void take_waiting(struct store *s, struct head h)
{
    size_t i = place_of(s, h);
    assert_true(is_waiting(s, h));
    memmove(s->waiting + i, s->waiting + i + 1, (--s->n - i) * sizeof h);
}

/* ---- fixture --------------------------------------------------------------------------------- */

static struct class_key key_of(const char *queue, const char *handler, const char *program)
{
    return (struct class_key){ str_of(queue), str_of(handler), str_of(program), TAG_AUTO, true,
                               false, false, STR_UNSET };
}

static struct class *intern(struct classes *c, struct store *s, struct class_key k)
{
    struct class *class = NULL;
    assert_int_equal(classes_intern(c, s, &k, &class), 0);
    assert_non_null(class);
    return class;
}

static int set_up(void **state)
{
    *state = xcalloc(1, sizeof(struct store));
    return 0;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

/* ---- tests: interning ------------------------------------------------------------------------ */

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

/* ---- tests: the look-ahead ------------------------------------------------------------------- */

struct model {
    struct store *s;
    struct classes classes;
    struct class *c;
    struct rng rng;
    struct head out[MOST], gone[MOST]; /* leased; cancelled */
    size_t n_out, n_gone;
    uint64_t last_id;
};

static struct head take_any(struct model *m, struct head *from, size_t *n)
{
    size_t i = rng_below(&m->rng, *n);
    struct head h = from[i];
    from[i] = from[--*n];
    return h;
}

static void waits(struct model *m, struct head h)
{
    put_waiting(m->s, h);
    class_add_waiting(m->c, h.priority, h.id);
}

/* What dispatch does: those that are not waiting any more are passed over. The first that is, is
 * the best there is. */
static void lease(struct model *m)
{
    int r;
    const struct head *h = class_head(m->c, m->s, &r);
    while (h && !is_waiting(m->s, *h)) {
        class_pop_head(m->c);
        h = class_head(m->c, m->s, &r);
    }
    assert_int_equal(r, 0);
    assert_int_equal(h == NULL, m->s->n == 0);
    if (!h)
        return;
    assert_int_equal(h->id, m->s->waiting[0].id);
    m->out[m->n_out++] = *h;
    take_waiting(m->s, *h);
    class_pop_head(m->c);
}

static void cancel(struct model *m)
{
    if (!m->s->n)
        return;
    struct head h = m->s->waiting[rng_below(&m->rng, m->s->n)];
    take_waiting(m->s, h);
    m->gone[m->n_gone++] = h;
}

static void restart(struct model *m)
{
    classes_fini(&m->classes);
    m->c = intern(&m->classes, m->s, key_of("q", "h", NULL));
    m->c->more = true;
}

/* 0 to 99. In turn more comes and more goes, so that what waits is none, a few, and far more than
 * the look-ahead holds. */
static void move(struct model *m, uint64_t dice, bool grows)
{
    if (dice < 2)
        cancel(m);
    else if (dice < 4 && m->n_gone)
        waits(m, take_any(m, m->gone, &m->n_gone));
    else if (dice < 20 && m->n_out)
        waits(m, take_any(m, m->out, &m->n_out));
    else if (dice < (grows ? 75u : 40u) && m->last_id < MOST - 1)
        waits(m, (struct head){ (int64_t)rng_below(&m->rng, 5) - 2, ++m->last_id });
    else
        lease(m);
}

static void the_look_ahead_gives_what_a_sorted_list_would(void **state)
{
    const char *seed = getenv("SEED");
    uint64_t first = seed ? strtoull(seed, NULL, 0) : 1;
    for (uint64_t run = first; run < first + 20; run++) {
        struct model *m = xcalloc(1, sizeof *m);
        print_message("SEED=%" PRIu64 "\n", run);
        m->s = *state;
        memset(m->s, 0, sizeof *m->s);
        rng_init(&m->rng, run);
        restart(m);
        for (int i = 0; i < 10000; i++) {
            if (rng_below(&m->rng, 2000) == 0)
                restart(m);
            move(m, rng_below(&m->rng, 100), i / 1000 % 2 == 0);
        }
        while (m->s->n)
            lease(m);
        classes_fini(&m->classes);
        free(m);
    }
}

static void a_long_queue_is_read_in_pieces(void **state)
{
    struct store *s = *state;
    struct classes c = { 0 };
    struct class *class = intern(&c, s, key_of("q", "h", NULL));
    int r;
    for (uint64_t id = 1; id < 10 * CLASS_HEADS; id++) {
        put_waiting(s, (struct head){ 0, id });
        class_add_waiting(class, 0, id);
    }
    assert_int_equal(class->n_heads, CLASS_HEADS);
    assert_true(class->more);
    for (uint64_t id = 1; id < 10 * CLASS_HEADS; id++) {
        const struct head *h = class_head(class, s, &r);
        assert_int_equal(h->id, id);
        take_waiting(s, *h);
        class_pop_head(class);
    }
    assert_null(class_head(class, s, &r));
    assert_int_equal(s->reads, 9);
    assert_null(class->heads); /* a class where nothing waits costs no look-ahead */
    classes_fini(&c);
}

static void an_urgent_job_passes_a_full_look_ahead_and_none_is_forgotten(void **state)
{
    struct store *s = *state;
    struct classes c = { 0 };
    struct class *class = intern(&c, s, key_of("q", "h", NULL));
    int r;
    for (uint64_t id = 1; id <= CLASS_HEADS + 1; id++) {
        struct head h = { id > CLASS_HEADS ? 5 : 0, id };
        put_waiting(s, h);
        class_add_waiting(class, h.priority, h.id);
    }
    for (uint64_t i = 0; i <= CLASS_HEADS; i++) {
        const struct head *h = class_head(class, s, &r);
        assert_non_null(h);
        assert_int_equal(h->id, i ? i : CLASS_HEADS + 1);
        take_waiting(s, *h);
        class_pop_head(class);
    }
    assert_null(class_head(class, s, &r));
    classes_fini(&c);
}

static void a_store_that_fails_is_told(void **state)
{
    struct store *s = *state;
    struct classes c = { 0 };
    struct class *class = intern(&c, s, key_of("q", "h", NULL));
    int r = 0;
    put_waiting(s, (struct head){ 0, 1 });
    class->more = true;
    s->fails = -EIO;
    assert_null(class_head(class, s, &r));
    assert_int_equal(r, -EIO);
    s->fails = 0;
    assert_int_equal(class_head(class, s, &r)->id, 1); /* and is asked again */
    assert_int_equal(r, 0);
    classes_fini(&c);
}

/* ---- tests: counts and means ----------------------------------------------------------------- */

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

#define WITH_STORE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

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
        WITH_STORE(the_look_ahead_gives_what_a_sorted_list_would),
        WITH_STORE(a_long_queue_is_read_in_pieces),
        WITH_STORE(an_urgent_job_passes_a_full_look_ahead_and_none_is_forgotten),
        WITH_STORE(a_store_that_fails_is_told),
        cmocka_unit_test(a_move_is_counted_in_both_classes),
        cmocka_unit_test(the_first_sixteen_runs_weigh_the_same),
        cmocka_unit_test(old_runs_are_forgotten),
        cmocka_unit_test(a_run_without_a_measure_is_not_counted),
        cmocka_unit_test(the_last_minute_is_what_finished_in_it),
        cmocka_unit_test(a_clock_that_goes_back_starts_the_minute_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
