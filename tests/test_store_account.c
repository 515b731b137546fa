/* test_store_account.c - how many open jobs each owner has that may only have so many. */
#include "tests/store_rig.h"

static const struct account *account_of(const char *owner) { return store_account(s, store_owner(s, str_of(owner))); }

static void who_has_no_limit_has_no_account(void **state)
{
    (void)state;
    int changes = sqlite3_total_changes(s->db);
    assert_int_equal(store_limit_open(s, NULL, 0), 0);
    assert_int_equal(store_count_open(s, 1000), 0);
    assert_int_equal(sqlite3_total_changes(s->db), changes);
    limit("key:ada", 5);
    add(0);
    assert_null(account_of("uid:1"));
    assert_int_equal(store_commit(s), 0);
    assert_int_equal(number("SELECT count(*) FROM account"), 1);
}

static void an_owner_that_has_jobs_is_counted_in_slices_while_they_come_and_go(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        add(0);
    store_commit(s);
    limit("uid:1", 100);
    assert_int_equal(store_count_open(s, 4), 1);
    assert_false(account_of("uid:1")->known);
    assert_int_equal(store_end_waiting(s, 2, STATE_CANCELLED, NOW), 1); /* is counted already */
    assert_int_equal(store_end_waiting(s, 9, STATE_CANCELLED, NOW), 1); /* is not yet */
    add(0);
    assert_int_equal(store_count_open(s, 4), 1);
    assert_int_equal(store_count_open(s, 4), 0);
    assert_true(account_of("uid:1")->known);
    assert_int_equal(account_of("uid:1")->open, 9);
    store_commit(s);
    assert_accounts_are_true();
}

static void an_account_goes_with_the_turn_and_is_there_after_a_start(void **state)
{
    (void)state;
    limit("uid:1", 100);
    uint64_t id = add(0);
    store_commit(s);
    lease(id);
    end_now(id, 1, STATE_DONE);
    add(0);
    add(0);
    assert_int_equal(account_of("uid:1")->open, 2);
    store_rollback(s);
    assert_null(account_of("uid:1")); /* its limit is to be told again */
    limit("uid:1", 100);
    assert_int_equal(account_of("uid:1")->open, 1);
    add(0);
    store_commit(s);
    reopen(0);
    add(0); /* by a broker that does not know of a limit */
    store_commit(s);
    limit("uid:1", 100);
    assert_true(account_of("uid:1")->known);
    assert_int_equal(account_of("uid:1")->open, 3);
    limit("uid:2", 100);
    store_commit(s);
    assert_int_equal(number("SELECT count(*) FROM account WHERE open > 0"), 0); /* who has none any more is not kept */
}

static void of_two_limits_of_an_owner_the_least_counts(void **state)
{
    (void)state;
    struct open_limit l[] = { { str_of("key:ada"), 7 }, { str_of("key:ada"), 5 }, { str_of("key:ada"), 9 } };
    assert_int_equal(store_limit_open(s, l, ELEMENTS(l)), 0);
    assert_int_equal(account_of("key:ada")->most, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(who_has_no_limit_has_no_account),
        test(an_owner_that_has_jobs_is_counted_in_slices_while_they_come_and_go),
        test(an_account_goes_with_the_turn_and_is_there_after_a_start),
        test(of_two_limits_of_an_owner_the_least_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
