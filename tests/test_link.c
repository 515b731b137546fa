/* test_link.c - the worker's side of a session with the broker: how it begins, lives and ends. */
#include "tests/link_rig.h"

static void hello_says_who_the_worker_is(void **state)
{
    struct fixture *f = *state;
    turn(f);
    const struct message *m = find_said(f, MSG_HELLO);
    assert_non_null(m);
    assert_int_equal(m->epoch, 0);
    assert_int_equal(m->session, 0);
    assert_true(str_is(m->hello.role, "worker"));
    assert_true(str_is(m->hello.name, "w1"));
    assert_true(str_is(m->hello.host, "here"));
    assert_int_equal(m->hello.pid, 42);
    assert_int_equal(m->hello.instance.n, 16);
    assert_int_equal(m->hello.n_queues, 1);
    assert_int_equal(m->hello.n_handlers, 2);
    assert_int_equal(m->hello.n_pools, 2);
    assert_int_equal(m->hello.pools[0].pool, POOL_PROCESS);
    assert_int_equal(m->hello.pools[1].slots, 2);
    assert_int_equal(m->hello.n_held, 0);
    assert_int_equal(f->n_said, 1);
}

static void nothing_but_hello_is_said_before_welcome(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 300; i++) {
        turn(f);
        assert_int_equal(f->n_said, count_said(f, MSG_HELLO));
        pass(f, 100);
    }
}

static void a_hello_that_the_socket_refuses_is_repeated_within_a_second_for_ever(void **state)
{
    struct fixture *f = *state;
    f->refuse = true;
    for (int minute = 0; minute < 5; minute++) {
        size_t before = f->refused;
        for (int i = 0; i < 6000; i++, pass(f, 10))
            turn(f);
        assert_in_range(f->refused - before, 60, minute ? 130 : 140);
    }
    f->refuse = false;
    assert_non_null(await(f, MSG_HELLO, 1000));
}

/* ZeroMQ tries again less and less often by itself. */
static void without_a_connection_the_socket_is_opened_anew_again_and_again(void **state)
{
    struct fixture *f = *state;
    f->refuse = true;
    for (int i = 0; i < 1000; i++, pass(f, 10))
        turn(f);
    assert_in_range(f->reopened, 2, 4);
}

static void a_hello_without_welcome_opens_a_new_connection(void **state)
{
    struct fixture *f = *state;
    turn(f);
    assert_null(await(f, MSG_BEAT, 3000));
    assert_in_range(f->reopened, 1, 3);
}

static void welcome_rules_the_heartbeat(void **state)
{
    struct fixture *f = *state;
    turn(f);
    struct message m;
    message_init(&m, MSG_WELCOME);
    m.welcome.heartbeat_ms = 300;
    m.welcome.lost_after_ms = 1500;
    tell(f, &m);
    int64_t from_ms = f->now.mono_ms;
    assert_non_null(await(f, MSG_BEAT, 2000));
    assert_int_equal(f->now.mono_ms - from_ms, 300);
    pass(f, 10);
    assert_non_null(await(f, MSG_BEAT, 2000));
    assert_int_equal(f->now.mono_ms - from_ms, 600);
}

static void a_beat_carries_epoch_session_and_load(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    tell_run(f, 2, 1);
    tell_run(f, 3, 1);
    const struct message *m = await(f, MSG_BEAT, 2000);
    assert_non_null(m);
    assert_int_equal(m->epoch, 7);
    assert_int_equal(m->session, 3);
    assert_int_equal(m->beat.n_pools, 2);
    assert_int_equal(m->beat.pools[1].pool, POOL_THREAD);
    assert_int_equal(m->beat.pools[1].slots, 2);
    assert_int_equal(m->beat.pools[1].used, 2);
    assert_int_equal(m->beat.pools[1].waiting, 1);
}

static void a_stuck_slot_is_told_at_once(void **state)
{
    struct fixture *f = *state;
    pass(f, 10);
    turn(f);
    assert_null(find_said(f, MSG_BEAT));
    f->pools[POOL_THREAD].stuck = 1;
    turn(f);
    assert_non_null(find_said(f, MSG_BEAT));
    turn(f);
    assert_null(find_said(f, MSG_BEAT));
}

static void the_next_turn_is_asked_for_when_the_beat_is_due(void **state)
{
    struct fixture *f = *state;
    turn(f);
    assert_int_equal(f->due_ms, f->now.mono_ms + 2000);
}

static void a_silent_broker_gets_a_new_connection_and_hello(void **state)
{
    struct fixture *f = *state;
    int64_t from_ms = f->now.mono_ms;
    assert_non_null(await(f, MSG_HELLO, 12000));
    assert_in_range(f->now.mono_ms - from_ms, 10000, 10500);
    assert_int_equal(f->reopened, 1);
}

static void a_broker_that_answers_beats_is_not_silent(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 30; i++) {
        assert_non_null(await(f, MSG_BEAT, 2000));
        answer_beats(f);
        pass(f, 10);
    }
    assert_int_equal(f->reopened, 0);
    assert_true(link_view(f->link).connected);
}

static void a_standstill_of_the_worker_itself_is_not_taken_for_a_silent_broker(void **state)
{
    struct fixture *f = *state;
    pass(f, 60000);
    turn(f);
    assert_int_equal(f->reopened, 0);
    assert_non_null(find_said(f, MSG_BEAT));
}

static void hello_again_is_answered_with_hello_but_not_in_a_storm(void **state)
{
    struct fixture *f = *state;
    pass(f, 1000);
    size_t hellos = 0;
    for (int i = 0; i < 100; i++) {
        tell_bare(f, MSG_HELLO_AGAIN);
        hellos += count_said(f, MSG_HELLO);
        if (find_said(f, MSG_HELLO)) {
            f->session++;
            tell_welcome(f, NULL, 0);
        }
        pass(f, 10);
    }
    assert_in_range(hellos, 9, 11);
}

static void hello_again_while_a_hello_is_under_way_is_the_answer_to_something_older(void **state)
{
    struct fixture *f = *state;
    pass(f, 1000);
    tell_bare(f, MSG_HELLO_AGAIN);
    assert_int_equal(count_said(f, MSG_HELLO), 1);
    tell_bare(f, MSG_HELLO_AGAIN);
    assert_int_equal(f->n_said, 0);
    f->session++;
    tell_welcome(f, NULL, 0);
    assert_true(link_view(f->link).connected);
    assert_int_equal(link_view(f->link).session, 4);
}

static void a_welcome_that_nobody_asked_for_is_ignored(void **state)
{
    struct fixture *f = *state;
    f->session = 99;
    tell_welcome(f, NULL, 0);
    assert_int_equal(link_view(f->link).session, 3);
}

static void a_worker_that_is_not_allowed_leaves_with_77(void **state)
{
    struct fixture *f = *state;
    struct message m;
    int status = 0;
    turn(f);
    log_init("test_link", (enum log_level)0);
    message_init(&m, MSG_ERROR);
    m.error.code = CODE_NOT_ALLOWED;
    m.error.text = str_of("no");
    tell(f, &m);
    assert_true(link_is_over(f->link, &status));
    assert_int_equal(status, 77);
}

static void a_worker_that_was_let_in_once_goes_on_when_it_is_not_allowed(void **state)
{
    struct fixture *f = *state;
    struct message m;
    tell_run(f, 1, 1);
    pass(f, 1000);
    tell_bare(f, MSG_HELLO_AGAIN);
    message_init(&m, MSG_ERROR);
    m.error.code = CODE_NOT_ALLOWED;
    tell(f, &m);
    assert_false(is_over(f));
    assert_non_null(await(f, MSG_HELLO, 1500));
    assert_int_equal(f->pools[POOL_THREAD].n_running, 1);
}

static void a_worker_whose_key_was_revoked_is_not_in_any_more_and_asks_again(void **state)
{
    struct fixture *f = *state;
    struct message m;
    tell_run(f, 1, 1);
    message_init(&m, MSG_ERROR);
    m.error.code = CODE_NOT_ALLOWED;
    m.error.req = 7; /* what was asked is refused, nothing else */
    tell(f, &m);
    assert_true(link_view(f->link).connected);
    m.error.req = 0;
    tell(f, &m);
    assert_false(link_view(f->link).connected);
    assert_non_null(await(f, MSG_HELLO, 1500));
    assert_int_equal(f->pools[POOL_THREAD].n_running, 1);
    tell_welcome(f, NULL, 0);
    assert_true(link_view(f->link).connected);
}

static void a_message_that_the_socket_refuses_ends_the_session(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    f->refuse = true;
    finish(f, 1, 1);
    turn(f);
    assert_false(link_view(f->link).connected);
    f->refuse = false;
    const struct message *m = await(f, MSG_HELLO, 1500);
    assert_non_null(m);
    assert_int_equal(m->hello.n_held, 1);
    assert_int_equal(m->hello.held[0].held, HELD_FINISHED);
}

static void the_brokers_goodbye_ends_the_session_and_nothing_else(void **state)
{
    struct fixture *f = *state;
    tell_run(f, 1, 1);
    tell_bare(f, MSG_BYE);
    assert_false(link_view(f->link).connected);
    assert_int_equal(f->pools[POOL_THREAD].n_running, 1);
    assert_non_null(await(f, MSG_HELLO, 1500));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(hello_says_who_the_worker_is),
        CASE(nothing_but_hello_is_said_before_welcome),
        CASE(a_hello_that_the_socket_refuses_is_repeated_within_a_second_for_ever),
        CASE(without_a_connection_the_socket_is_opened_anew_again_and_again),
        CASE(a_hello_without_welcome_opens_a_new_connection),
        CASE(welcome_rules_the_heartbeat),
        IN_SESSION(a_beat_carries_epoch_session_and_load),
        IN_SESSION(a_stuck_slot_is_told_at_once),
        IN_SESSION(the_next_turn_is_asked_for_when_the_beat_is_due),
        IN_SESSION(a_silent_broker_gets_a_new_connection_and_hello),
        IN_SESSION(a_broker_that_answers_beats_is_not_silent),
        IN_SESSION(a_standstill_of_the_worker_itself_is_not_taken_for_a_silent_broker),
        IN_SESSION(hello_again_is_answered_with_hello_but_not_in_a_storm),
        IN_SESSION(hello_again_while_a_hello_is_under_way_is_the_answer_to_something_older),
        IN_SESSION(a_welcome_that_nobody_asked_for_is_ignored),
        CASE(a_worker_that_is_not_allowed_leaves_with_77),
        IN_SESSION(a_worker_that_was_let_in_once_goes_on_when_it_is_not_allowed),
        IN_SESSION(a_worker_whose_key_was_revoked_is_not_in_any_more_and_asks_again),
        IN_SESSION(a_message_that_the_socket_refuses_ends_the_session),
        IN_SESSION(the_brokers_goodbye_ends_the_session_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
