/* test_home.c - on which of several brokers a queue lives, and the list that they are read from. */
#include "client/brokers.h"
#include "client/home.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static const char *const five[] = { "tcp://a:7711", "tcp://b:7711", "tcp://c:7711", "tcp://d:7711", "tcp://e:7711" };

#define QUEUES 10000u

static size_t home_of_number(unsigned i, const char *const *addresses, size_t n)
{
    char queue[32];
    snprintf(queue, sizeof queue, "queue-%u", i);
    return home_find(queue, addresses, n);
}

/* Computed once more by hand, in Python: whoever changes these sends queues elsewhere. */
static void weights_never_change(void **state)
{
    (void)state;
    assert_true(home_weight("default", "tcp://a:7711") == 0xb680e3dc6d7d0b26u);
    assert_true(home_weight("default", "tcp://b:7711") == 0x44c25992490b3a2du);
    assert_true(home_weight("default", "ipc:///run/tern/broker.sock") == 0xd7f5c69af690b31au);
    assert_true(home_weight("", "") == 0xb9034ad37056f5fbu);
    assert_true(home_weight("ab", "c") != home_weight("b", "ca"));
}

static void each_of_five_gets_about_a_fifth(void **state)
{
    (void)state;
    unsigned count[5] = { 0 };
    for (unsigned i = 0; i < QUEUES; i++)
        count[home_of_number(i, five, 5)]++;
    for (size_t i = 0; i < 5; i++)
        assert_in_range(count[i], QUEUES / 5 * 9 / 10, QUEUES / 5 * 11 / 10);
}

static void one_more_takes_its_share_and_moves_nothing_else(void **state)
{
    (void)state;
    unsigned moved = 0;
    for (unsigned i = 0; i < QUEUES; i++) {
        size_t before = home_of_number(i, five, 4), after = home_of_number(i, five, 5);
        if (before != after) {
            assert_int_equal(after, 4);
            moved++;
        }
    }
    assert_in_range(moved, QUEUES / 5 * 9 / 10, QUEUES / 5 * 11 / 10);
}

static void the_order_of_the_list_does_not_matter(void **state)
{
    (void)state;
    static const char *const other[] = { "tcp://d:7711", "tcp://b:7711", "tcp://e:7711", "tcp://a:7711", "tcp://c:7711" };
    for (unsigned i = 0; i < 1000; i++)
        assert_string_equal(five[home_of_number(i, five, 5)], other[home_of_number(i, other, 5)]);
}

/* ---- the list -------------------------------------------------------------------------------- */

static void read_one(struct brokers *b, const char *text, const char *keys, const char *home, const char *error_begins)
{
    char *error = NULL, *homes[] = { (char *)(uintptr_t)home };
    struct address a = { .broker = (char *)(uintptr_t)text, .broker_key = (char *)(uintptr_t)keys };
    a.homes = homes;
    a.n_homes = home ? 1 : 0;
    *b = (struct brokers){ 0 };
    int r = brokers_read(b, &a, &error);
    assert_int_equal(r, error_begins ? -EINVAL : 0);
    if (error_begins && !strstr(error, error_begins))
        fail_msg("%s: %s", text, error);
    free(error);
}

static void refuses(const char *text, const char *keys, const char *home, const char *because)
{
    struct brokers b;
    read_one(&b, text, keys, home, because);
    brokers_fini(&b);
}

static void a_list_is_read_with_its_keys_and_homes(void **state)
{
    (void)state;
    struct brokers b;
    read_one(&b, "tcp://a:1 , ipc:///x,tcp://b:1", "k1, k2,k3", "mail=ipc:///x", NULL);
    assert_int_equal(b.n, 3);
    assert_string_equal(b.at[0].address, "tcp://a:1");
    assert_string_equal(b.at[1].address, "ipc:///x");
    assert_string_equal(b.at[2].address, "tcp://b:1");
    assert_string_equal(b.at[1].key, "k2");
    assert_string_equal(b.at[2].key, "k3");
    assert_int_equal(brokers_home(&b, "mail"), 1);
    brokers_fini(&b);
    read_one(&b, "tcp://a:1,tcp://b:1", "k", NULL, NULL);
    assert_string_equal(b.at[1].key, "k");
    brokers_fini(&b);
}

static void a_comma_in_a_path_parts_nothing_and_a_home_is_nothing_to_one_broker(void **state)
{
    (void)state;
    struct brokers b;
    read_one(&b, "ipc:///a,b/c", "k,1", "mail=tcp://gone:1", NULL);
    assert_int_equal(b.n, 1);
    assert_string_equal(b.at[0].address, "ipc:///a,b/c");
    assert_string_equal(b.at[0].key, "k,1");
    assert_int_equal(brokers_home(&b, "mail"), 0);
    brokers_fini(&b);
}

static void a_list_that_makes_no_sense_is_refused(void **state)
{
    (void)state;
    refuses("tcp://a:1,tcp://a:1", NULL, NULL, "named twice");
    refuses("tcp://a:1,tcp://b:1,tcp://c:1", "k,l", NULL, "3 brokers and 2 of their keys");
    refuses("tcp://a:1,tcp://b:1", NULL, "mail=tcp://c:1", "none of the brokers'");
    refuses("tcp://a:1,tcp://b:1", NULL, "mail", "must be QUEUE=ADDRESS");
    refuses("tcp://a:1,tcp://b:1", NULL, "=tcp://a:1", "must be QUEUE=ADDRESS");
    char many[2000] = "ipc:///0";
    for (unsigned i = 1; i <= LIMIT_BROKERS; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), ",ipc:///%u", i);
    refuses(many, NULL, NULL, "more than 64");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_never_change),
        cmocka_unit_test(each_of_five_gets_about_a_fifth),
        cmocka_unit_test(one_more_takes_its_share_and_moves_nothing_else),
        cmocka_unit_test(the_order_of_the_list_does_not_matter),
        cmocka_unit_test(a_list_is_read_with_its_keys_and_homes),
        cmocka_unit_test(a_comma_in_a_path_parts_nothing_and_a_home_is_nothing_to_one_broker),
        cmocka_unit_test(a_list_that_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
