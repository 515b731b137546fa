/* test_list.c - the intrusive list keeps order, and every link knows when it is alone. */
#include "proto/base/list.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct item {
    int n;
    struct link link;
};

/* The items of a list as a number: 1, 2, 3 are 123; the same when read backwards. */
static int as_number(const struct link *head)
{
    int n = 0, backwards = 0, weight = 1;
    list_each(l, head)
        n = 10 * n + list_entry(l, struct item, link)->n;
    for (struct link *l = head->prev; l != head; l = l->prev, weight *= 10)
        backwards += weight * list_entry(l, struct item, link)->n;
    assert_int_equal(n, backwards);
    return n;
}

static void make_items(struct link *head, struct item items[4])
{
    list_init(head);
    for (int i = 0; i < 4; i++) {
        items[i].n = i + 1;
        list_add_tail(head, &items[i].link);
    }
}

static void a_new_list_is_empty(void **state)
{
    (void)state;
    struct link head;
    list_init(&head);
    assert_true(list_empty(&head));
    assert_null(list_pop(&head));
    list_each(l, &head)
        fail_msg("there is something in it");
}

static void items_stand_in_the_order_they_came(void **state)
{
    (void)state;
    struct link head;
    struct item items[4];
    make_items(&head, items);
    assert_false(list_empty(&head));
    assert_int_equal(as_number(&head), 1234);
}

static void an_item_can_be_removed_from_any_place(void **state)
{
    (void)state;
    static const int left[] = { 234, 134, 124, 123 };
    for (int i = 0; i < 4; i++) {
        struct link head;
        struct item items[4];
        make_items(&head, items);
        list_remove(&items[i].link);
        assert_int_equal(as_number(&head), left[i]);
        assert_true(list_empty(&items[i].link));
    }
}

static void removing_twice_changes_nothing(void **state)
{
    (void)state;
    struct link head;
    struct item items[4];
    make_items(&head, items);
    list_remove(&items[1].link);
    list_remove(&items[1].link);
    assert_int_equal(as_number(&head), 134);
    list_add_tail(&head, &items[1].link);
    assert_int_equal(as_number(&head), 1342);
}

static void the_oldest_is_popped_first(void **state)
{
    (void)state;
    struct link head;
    struct item items[4];
    make_items(&head, items);
    for (int i = 0; i < 4; i++)
        assert_ptr_equal(list_pop(&head), &items[i].link);
    assert_null(list_pop(&head));
    assert_true(list_empty(&head));
}

static void the_current_item_may_be_removed_on_a_safe_walk(void **state)
{
    (void)state;
    struct link head;
    struct item items[4];
    make_items(&head, items);
    int seen = 0;
    list_each_safe(l, &head) {
        seen++;
        if (list_entry(l, struct item, link)->n % 2)
            list_remove(l);
    }
    assert_int_equal(seen, 4);
    assert_int_equal(as_number(&head), 24);
    list_each_safe(l, &head)
        list_remove(l);
    assert_true(list_empty(&head));
}

static void an_item_moves_between_lists(void **state)
{
    (void)state;
    struct link a, b;
    struct item items[4];
    make_items(&a, items);
    list_init(&b);
    for (int i = 3; i >= 0; i--) {
        list_remove(&items[i].link);
        list_add_tail(&b, &items[i].link);
    }
    assert_true(list_empty(&a));
    assert_int_equal(as_number(&b), 4321);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_list_is_empty),
        cmocka_unit_test(items_stand_in_the_order_they_came),
        cmocka_unit_test(an_item_can_be_removed_from_any_place),
        cmocka_unit_test(removing_twice_changes_nothing),
        cmocka_unit_test(the_oldest_is_popped_first),
        cmocka_unit_test(the_current_item_may_be_removed_on_a_safe_walk),
        cmocka_unit_test(an_item_moves_between_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
