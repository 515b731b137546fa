/* test_job.c - the table of legal moves is the one that is drawn in job.h. */
#include "broker/job.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void the_moves_are_those_of_the_diagram_and_no_others(void **state)
{
    (void)state;
    /* from, to: an x for each legal move */
    static const char *const table[N_STATES] = {
        /*                   bsqrDXCE */
        [STATE_BLOCKED] =   "..x...xx",
        [STATE_SCHEDULED] = "..x...xx",
        [STATE_QUEUED] =    "...x..xx",
        [STATE_RUNNING] =   ".xx.xxxx",
        [STATE_DONE] =      "........",
        [STATE_DEAD] =      "..x.....",
        [STATE_CANCELLED] = "..x.....",
        [STATE_EXPIRED] =   "..x.....",
    };
    for (int from = 0; from < N_STATES; from++)
        for (int to = 0; to < N_STATES; to++)
            if (job_may_move((enum job_state)from, (enum job_state)to) != (table[from][to] == 'x'))
                fail_msg("%s -> %s", state_name(from), state_name(to));
}

static void a_job_that_is_done_stays_done(void **state)
{
    (void)state;
    for (int to = 0; to < N_STATES; to++)
        assert_false(job_may_move(STATE_DONE, (enum job_state)to));
}

static void no_state_moves_to_itself(void **state)
{
    (void)state;
    for (int s = 0; s < N_STATES; s++)
        assert_false(job_may_move((enum job_state)s, (enum job_state)s));
}

static void only_what_is_queued_starts_and_only_what_runs_is_done(void **state)
{
    (void)state;
    for (int from = 0; from < N_STATES; from++) {
        assert_int_equal(job_may_move((enum job_state)from, STATE_RUNNING), from == STATE_QUEUED);
        assert_int_equal(job_may_move((enum job_state)from, STATE_DONE), from == STATE_RUNNING);
        assert_int_equal(job_may_move((enum job_state)from, STATE_DEAD), from == STATE_RUNNING);
    }
}

static void whatever_is_not_over_can_be_cancelled_and_can_expire(void **state)
{
    (void)state;
    for (int from = 0; from < N_STATES; from++) {
        assert_int_equal(job_may_move((enum job_state)from, STATE_CANCELLED),
                         !state_is_terminal(from));
        assert_int_equal(job_may_move((enum job_state)from, STATE_EXPIRED),
                         !state_is_terminal(from));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_moves_are_those_of_the_diagram_and_no_others),
        cmocka_unit_test(a_job_that_is_done_stays_done),
        cmocka_unit_test(no_state_moves_to_itself),
        cmocka_unit_test(only_what_is_queued_starts_and_only_what_runs_is_done),
        cmocka_unit_test(whatever_is_not_over_can_be_cancelled_and_can_expire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
