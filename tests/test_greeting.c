/* test_greeting.c - whether a peer wants keys, from what it says first: whole, in pieces, wrong, cut off, or nothing. */
#include "proto/greeting.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static int ends[2];

static int set_up(void **state)
{
    (void)state;
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends);
}

static int tear_down(void **state)
{
    (void)state;
    closep(&ends[0]);
    closep(&ends[1]);
    return 0;
}

/* The first n bytes of the greeting of one with that mechanism. */
static void say(const char *mechanism, size_t from, size_t n)
{
    unsigned char g[64] = { 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0 };
    memcpy(g + 12, mechanism, strlen(mechanism));
    assert_int_equal(write(ends[1], g + from, n - from), n - from);
}

static int listen_for(bool *ret_keyed) { return greeting_read(ends[0], 50, ret_keyed); }

static void the_mechanism_tells(void **state)
{
    (void)state;
    bool keyed;
    char heard[64];
    say("CURVE", 0, 64);
    assert_int_equal(listen_for(&keyed), 0);
    assert_true(keyed);
    assert_int_equal(read(ends[1], heard, sizeof heard), 11); /* no mechanism: there is nothing to refuse */
    say("NULL", 0, 64);
    assert_int_equal(listen_for(&keyed), 0);
    assert_false(keyed);
    say("CURVED", 0, 64);
    assert_int_equal(listen_for(&keyed), -EPROTO);
}

static void what_is_not_whole_in_time_tells_nothing(void **state)
{
    (void)state;
    bool keyed;
    assert_int_equal(listen_for(&keyed), -ETIMEDOUT);
    say("CURVE", 0, 63);
    assert_int_equal(listen_for(&keyed), -ETIMEDOUT);
}

static void a_peer_that_hangs_up_tells_nothing(void **state)
{
    (void)state;
    bool keyed;
    say("CURVE", 0, 30);
    shutdown(ends[1], SHUT_WR);
    assert_int_equal(listen_for(&keyed), -ECONNRESET);
    closep(&ends[1]);
    assert_int_equal(listen_for(&keyed), -EPIPE);
}

static void one_that_speaks_something_else_is_not_waited_for(void **state)
{
    (void)state;
    bool keyed;
    assert_int_equal(write(ends[1], "HTTP/1.1 400", 12), 12);
    assert_int_equal(listen_for(&keyed), -EPROTO);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(the_mechanism_tells),
        CASE(what_is_not_whole_in_time_tells_nothing),
        CASE(a_peer_that_hangs_up_tells_nothing),
        CASE(one_that_speaks_something_else_is_not_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
