/* test_class_ahead.c - the look-ahead of a class gives what a sorted list of all that waits would give. */
#include "tests/class_rig.h"

#include <inttypes.h>

#include "proto/base/rng.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(the_look_ahead_gives_what_a_sorted_list_would),
        WITH_STORE(a_long_queue_is_read_in_pieces),
        WITH_STORE(an_urgent_job_passes_a_full_look_ahead_and_none_is_forgotten),
        WITH_STORE(a_store_that_fails_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
