/* test_map.c - both maps against a model so simple that it cannot be wrong: one place for each key
 * that there is. */
#include "proto/base/map.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "proto/base/rng.h"

#define KEYS 600
#define ROUNDS 60
#define MOVES 2000

static struct rng rng;
static char values[KEYS][2]; /* what a key may be mapped to */
static char *model[KEYS];
static size_t n_model;

static uint64_t ids[KEYS];
static char *texts[KEYS]; /* owned */
static size_t lengths[KEYS];

static struct str text(size_t k) { return (struct str){ texts[k], lengths[k] }; }

/* Keys that lie close together, far apart, and at the ends; and texts that begin alike, with NUL
 * and without bytes. */
static int set_up(void **state)
{
    (void)state;
    const char *seed = getenv("SEED");
    uint64_t n = seed ? strtoull(seed, NULL, 0) : 4711;
    print_message("SEED=%" PRIu64 "\n", n);
    rng_init(&rng, n);
    for (size_t k = 0; k < KEYS; k++) {
        ids[k] = k % 3 ? k : (uint64_t)k << 40;
        lengths[k] = k;
        texts[k] = xcalloc(k + 1, 1);
        if (k >= 300) {
            lengths[k] = 4;
            memcpy(texts[k], (char[]){ (char)k, 0, (char)(k >> 8), 'x' }, 4);
        }
    }
    ids[1] = UINT64_MAX;
    ids[2] = UINT64_MAX - 1;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t k = 0; k < KEYS; k++)
        free(texts[k]);
    return 0;
}

static void forget_model(void)
{
    memset(model, 0, sizeof model);
    n_model = 0;
}

static void model_put(size_t k, char *value)
{
    n_model += !model[k];
    model[k] = value;
}

static char *model_take(size_t k)
{
    char *value = model[k];
    n_model -= value != NULL;
    model[k] = NULL;
    return value;
}

/* Walks that have seen each value exactly once have seen them all. */
static void note_seen(bool *seen, const char *value)
{
    size_t k = (size_t)(value - values[0]) / 2;
    assert_ptr_equal(model[k], value);
    assert_false(seen[k]);
    seen[k] = true;
}

/* In turn mostly puts and mostly removes, so that the map grows and empties again. */
static bool puts_next(int round) { return rng_below(&rng, 4) < (round % 2 ? 1u : 3u); }

static void check_idmap(const struct idmap *m)
{
    bool seen[KEYS] = { false };
    size_t n = 0;
    char *value;
    for (size_t i = 0; (value = idmap_next(m, &i)); n++)
        note_seen(seen, value);
    assert_int_equal(n, n_model);
    assert_int_equal(m->n, n_model);
    for (size_t k = 0; k < KEYS; k++)
        assert_ptr_equal(idmap_find(m, ids[k]), model[k]);
}

static void an_idmap_does_what_the_model_does(void **state)
{
    (void)state;
    struct idmap m = { 0 };
    forget_model();
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < MOVES; i++) {
            size_t k = rng_below(&rng, KEYS);
            char *value = &values[k][rng_below(&rng, 2)];
            if (puts_next(round)) {
                idmap_put(&m, ids[k], value);
                model_put(k, value);
            } else {
                assert_ptr_equal(idmap_remove(&m, ids[k]), model_take(k));
            }
            k = rng_below(&rng, KEYS);
            assert_ptr_equal(idmap_find(&m, ids[k]), model[k]);
        }
        check_idmap(&m);
    }
    idmap_fini(&m);
}

static void check_strmap(const struct strmap *m)
{
    bool seen[KEYS] = { false };
    size_t n = 0;
    char *value;
    for (size_t i = 0; (value = strmap_next(m, &i)); n++)
        note_seen(seen, value);
    assert_int_equal(n, n_model);
    assert_int_equal(m->n, n_model);
    for (size_t k = 0; k < KEYS; k++)
        assert_ptr_equal(strmap_find(m, text(k)), model[k]);
}

static void a_strmap_does_what_the_model_does(void **state)
{
    (void)state;
    struct strmap m = { 0 };
    forget_model();
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < MOVES; i++) {
            size_t k = rng_below(&rng, KEYS);
            char *value = &values[k][rng_below(&rng, 2)];
            if (puts_next(round)) {
                strmap_put(&m, text(k), value);
                model_put(k, value);
            } else {
                assert_ptr_equal(strmap_remove(&m, text(k)), model_take(k));
            }
            k = rng_below(&rng, KEYS);
            assert_ptr_equal(strmap_find(&m, text(k)), model[k]);
        }
        check_strmap(&m);
    }
    strmap_fini(&m);
}

static void an_empty_map_has_nothing(void **state)
{
    (void)state;
    struct idmap ids_map = { 0 };
    struct strmap texts_map = { 0 };
    size_t i = 0;
    assert_null(idmap_find(&ids_map, 0));
    assert_null(idmap_remove(&ids_map, 0));
    assert_null(idmap_next(&ids_map, &i));
    assert_null(strmap_find(&texts_map, str_of("")));
    assert_null(strmap_find(&texts_map, STR_UNSET));
    assert_null(strmap_remove(&texts_map, str_of("")));
    assert_null(strmap_next(&texts_map, &i));
    idmap_fini(&ids_map);
    strmap_fini(&texts_map);
}

static void a_strmap_copies_its_keys(void **state)
{
    (void)state;
    struct strmap m = { 0 };
    char key[] = "first";
    strmap_put(&m, str_of(key), values[0]);
    memcpy(key, "other", 5);
    assert_ptr_equal(strmap_find(&m, str_of("first")), values[0]);
    assert_null(strmap_find(&m, str_of(key)));
    strmap_fini(&m);
}

static void a_map_that_lives_long_does_not_grow(void **state)
{
    (void)state;
    struct idmap m = { 0 };
    for (uint64_t id = 1; id <= 1000000; id++) {
        idmap_put(&m, id, values[0]);
        if (id > 10)
            assert_ptr_equal(idmap_remove(&m, id - 10), values[0]);
    }
    assert_int_equal(m.n, 10);
    assert_int_equal(m.cap, 16);
    idmap_fini(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idmap_does_what_the_model_does),
        cmocka_unit_test(a_strmap_does_what_the_model_does),
        cmocka_unit_test(an_empty_map_has_nothing),
        cmocka_unit_test(a_strmap_copies_its_keys),
        cmocka_unit_test(a_map_that_lives_long_does_not_grow),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
