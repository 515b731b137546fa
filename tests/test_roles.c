/* test_roles.c - the table of roles says something about every message, and says it as it stands here. */
#include "broker/roles.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* One row a message: who may send it. c client, a admin, w worker. */
static const struct {
    enum message_type type;
    const char *who;
} rows[] = {
    { MSG_HELLO, "caw" },  { MSG_WELCOME, "" },   { MSG_HELLO_AGAIN, "" }, { MSG_BYE, "caw" },       { MSG_BEAT, "caw" },
    { MSG_ERROR, "" },     { MSG_OK, "" },        { MSG_SUBMIT, "ca" },    { MSG_SUBMITTED, "" },    { MSG_WAIT, "ca" },
    { MSG_WAITED, "" },    { MSG_UNWAIT, "ca" },  { MSG_CANCEL, "ca" },    { MSG_RETRY, "ca" },      { MSG_REMOVE, "ca" },
    { MSG_CHANGED, "" },   { MSG_PAUSE, "a" },    { MSG_DRAIN, "aw" },     { MSG_LIST, "ca" },       { MSG_JOBS, "" },
    { MSG_FETCH, "caw" },  { MSG_FETCHED, "" },   { MSG_HISTORY, "ca" },   { MSG_EVENTS, "" },       { MSG_WHY, "ca" },
    { MSG_BECAUSE, "" },   { MSG_QUEUES, "ca" },  { MSG_QUEUE_LIST, "" },  { MSG_WORKERS, "ca" },    { MSG_WORKER_LIST, "" },
    { MSG_STATS, "ca" },   { MSG_ADVISE, "ca" },  { MSG_ADVICE, "" },
     { MSG_STAT_LIST, "" }, { MSG_RUN, "" },         { MSG_STARTED, "w" },     { MSG_RESULT, "w" },
    { MSG_RECORDED, "" },  { MSG_TAKE_BACK, "" }, { MSG_GIVEN, "w" },      { MSG_STOP, "" },
    { MSG_SPAWN, "w" },    { MSG_CHECKPOINT, "w" }, { MSG_CHECKPOINTED, "" }, { MSG_PROGRESS, "w" },
    { MSG_SPAWNED, "" },   { MSG_AWAIT, "w" },    { MSG_AWAITED, "" },
};

static const char *who_may(enum message_type type)
{
    for (size_t i = 0; i < ELEMENTS(rows); i++)
        if (rows[i].type == type)
            return rows[i].who;
    return NULL;
}

static void every_message_has_a_row_and_the_table_agrees_with_it(void **state)
{
    (void)state;
#define ROW(NAME, number, name, FIELDS)                                                                                  \
    if (!who_may(MSG_##NAME))                                                                                            \
        fail_msg("%s has no row here: who may send it?", #NAME);                                                         \
    assert_int_equal(role_may_send(ROLE_CLIENT, MSG_##NAME), strchr(who_may(MSG_##NAME), 'c') != NULL);                  \
    assert_int_equal(role_may_send(ROLE_ADMIN, MSG_##NAME), strchr(who_may(MSG_##NAME), 'a') != NULL);                   \
    assert_int_equal(role_may_send(ROLE_WORKER, MSG_##NAME), strchr(who_may(MSG_##NAME), 'w') != NULL);
    MESSAGES(ROW)
}

static void a_number_that_is_no_message_is_for_nobody(void **state)
{
    (void)state;
    for (int n = -1; n < 2 * MESSAGE_TYPES; n++)
        for (enum role role = 0; role < N_ROLES; role++)
            if (!who_may((enum message_type)n))
                assert_false(role_may_send(role, (enum message_type)n));
}

static void what_is_for_admins_is_no_clients(void **state)
{
    (void)state;
    assert_true(role_is_for_admins(MSG_PAUSE));
    assert_true(role_is_for_admins(MSG_DRAIN));
    assert_false(role_is_for_admins(MSG_SUBMIT));
    assert_false(role_is_for_admins(MSG_RESULT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_has_a_row_and_the_table_agrees_with_it),
        cmocka_unit_test(a_number_that_is_no_message_is_for_nobody),
        cmocka_unit_test(what_is_for_admins_is_no_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
