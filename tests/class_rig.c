/* class_rig.c - classes on a store that is an array. */
#include "tests/class_rig.h"

/* ---- a store of one array -------------------------------------------------------------------- */

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

bool is_waiting(const struct store *s, struct head h)
{
    size_t i = place_of(s, h);
    return i < s->n && s->waiting[i].id == h.id;
}

void put_waiting(struct store *s, struct head h)
{
    size_t i = place_of(s, h);
    assert_true(s->n < MOST);
    memmove(s->waiting + i + 1, s->waiting + i, (s->n++ - i) * sizeof h);
    s->waiting[i] = h;
}

void take_waiting(struct store *s, struct head h)
{
    size_t i = place_of(s, h);
    assert_true(is_waiting(s, h));
    memmove(s->waiting + i, s->waiting + i + 1, (--s->n - i) * sizeof h);
}

/* ---- fixture --------------------------------------------------------------------------------- */

struct class_key key_of(const char *queue, const char *handler, const char *program)
{
    return (struct class_key){ str_of(queue), str_of(handler), str_of(program), TAG_AUTO, true,
                               false, false, STR_UNSET };
}

struct class *intern(struct classes *c, struct store *s, struct class_key k)
{
    struct class *class = NULL;
    assert_int_equal(classes_intern(c, s, &k, &class), 0);
    assert_non_null(class);
    return class;
}

int set_up(void **state)
{
    *state = xcalloc(1, sizeof(struct store));
    return 0;
}

int tear_down(void **state)
{
    free(*state);
    return 0;
}
