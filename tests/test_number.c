/* test_number.c - what jobs of several brokers are called inside a worker, and how their commands are told whose they are. */
#include "worker/broker_list.h"
#include "worker/number.h"
#include "worker/part.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "proto/base/map.h"

static void a_number_is_put_on_and_taken_off(void **state)
{
    (void)state;
    static const uint64_t own[] = { 0, 1, 7, 1ull << 40, NUMBER_OWN_MAX };
    for (size_t place = 0; place < LIMIT_BROKERS; place++)
        for (size_t i = 0; i < ELEMENTS(own); i++) {
            uint64_t number = number_of(place, own[i]);
            assert_true(number_own(number) == own[i]);
            assert_int_equal(number_place(number), place);
            assert_false(number & PART_BIT);
        }
    assert_int_equal(number_of(0, 7), 7); /* with one broker nothing is seen of it */
}

static void no_two_attempts_have_the_same_key(void **state)
{
    (void)state;
    struct idmap keys = { 0 };
    static const uint64_t attempts[] = { 1, 2, 3, 4, 5, 511, 512, 513, 1024, 40000 };
    static char there;
    for (size_t place = 0; place < LIMIT_BROKERS; place += 9)
        for (uint64_t job = 0; job < 500; job++)
            for (size_t i = 0; i < ELEMENTS(attempts); i++) {
                uint64_t key = number_key(number_of(place, job), attempts[i]);
                assert_null(idmap_find(&keys, key));
                idmap_put(&keys, key, &there);
            }
    for (uint64_t part = 1; part < 1000; part++)
        assert_null(idmap_find(&keys, number_key(PART_BIT | part, 1)));
    idmap_fini(&keys);
}

/* ---- what commands are told -------------------------------------------------------------------- */

static void read_list(struct broker_list *l, const char *text)
{
    char *error = NULL;
    int status;
    struct broker_words words = { .addresses = text };
    *l = (struct broker_list){ 0 };
    if (broker_list_read(l, &words, &status, &error) < 0)
        fail_msg("%s", error);
}

static void free_all(char **texts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(texts[i]);
}

static void of_one_broker_commands_are_not_told(void **state)
{
    (void)state;
    struct broker_list l;
    char *texts[BROKER_LIST_TEXTS];
    read_list(&l, "ipc:///a,b/c");
    broker_list_know(&l);
    assert_int_equal(l.n, 1);
    assert_int_equal(broker_list_environ(0, texts), 0);
    assert_null(broker_list_number(0));
    assert_int_equal(broker_list_arguments(texts), 0);
    broker_list_forget();
    broker_list_fini(&l);
}

static void of_several_a_command_is_told_its_own_also_beneath_the_zygote(void **state)
{
    (void)state;
    struct broker_list l;
    char *texts[BROKER_LIST_TEXTS], *arguments[2], *error = NULL;
    read_list(&l, "ipc:///a, ipc:///b");
    broker_list_know(&l);
    assert_int_equal(broker_list_arguments(arguments), 2);
    broker_list_forget();
    assert_string_equal(arguments[0], "--broker=ipc:///a,ipc:///b");
    assert_string_equal(arguments[1], "--broker-key=,");
    assert_int_equal(broker_list_know_again("ipc:///a,ipc:///b", ",", &error), 0);
    assert_int_equal(broker_list_environ(1, texts), 1); /* no key, where there is none */
    assert_string_equal(texts[0], "TERN_BROKER=ipc:///b");
    free_all(texts, 1);
    cleanup(freep) char *number = broker_list_number(1);
    assert_string_equal(number, "TERN_BROKER_NUMBER=2");
    broker_list_forget();
    assert_int_equal(broker_list_know_again("tcp://a:1,ipc:///b", "k,", &error), 0);
    assert_int_equal(broker_list_environ(0, texts), 2);
    assert_string_equal(texts[1], "TERN_BROKER_KEY=k");
    free_all(texts, 2);
    assert_int_equal(broker_list_environ(2, texts), 0);
    broker_list_forget();
    free_all(arguments, 2);
    broker_list_fini(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_is_put_on_and_taken_off),
        cmocka_unit_test(no_two_attempts_have_the_same_key),
        cmocka_unit_test(of_one_broker_commands_are_not_told),
        cmocka_unit_test(of_several_a_command_is_told_its_own_also_beneath_the_zygote),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
