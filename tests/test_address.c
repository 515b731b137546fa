/* test_address.c - which addresses tern uses. */
#include "proto/address.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static bool may_be_used(const char *address, bool insecure_loopback)
{
    cleanup(freep) char *wrong = address_check(address, ADDRESS_WANTS_KEYS, insecure_loopback);
    if (wrong)
        assert_non_null(strstr(wrong, address));
    return !wrong;
}

static void a_unix_socket_needs_an_absolute_path_that_fits(void **state)
{
    (void)state;
    char address[200] = "ipc:///";
    assert_true(may_be_used("ipc:///run/tern/broker.sock", false));
    assert_false(may_be_used("ipc://broker.sock", true));
    assert_false(may_be_used("ipc://", true));
    assert_false(may_be_used("ipc://@abstract", true));
    assert_false(may_be_used("ipc://*", true));
    memset(address + 7, 'a', 106);
    assert_true(may_be_used(address, false)); /* 107 bytes */
    address[7 + 106] = 'a';
    assert_false(may_be_used(address, false));
}

static void tcp_is_refused_but_for_loopback_when_it_is_asked_for(void **state)
{
    (void)state;
    static const char *const near[] = { "tcp://127.0.0.1:7711", "tcp://127.1.2.3:7711",
                                        "tcp://localhost:7711", "tcp://[::1]:7711" };
    static const char *const far[] = {
        "tcp://10.0.0.1:7711", "tcp://0.0.0.0:7711", "tcp://*:7711", "tcp://[::]:7711",
        "tcp://eth0:7711", "tcp://:7711", "tcp://localhost.example.org:7711", "tcp://127.0.0.1",
        "tcp://127.example.org:7711", "tcp://127.0.0.1.example.org:7711",
        "tcp://10.0.0.1;127.0.0.1:7711", "tcp://127.0.0.1;10.0.0.1:7711",
    };
    for (size_t i = 0; i < ELEMENTS(near); i++) {
        assert_false(may_be_used(near[i], false));
        assert_true(may_be_used(near[i], true));
    }
    for (size_t i = 0; i < ELEMENTS(far); i++)
        for (int insecure = 0; insecure < 2; insecure++)
            if (may_be_used(far[i], insecure))
                fail_msg("%s was allowed", far[i]);
}

static void other_transports_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",        "/run/tern/broker.sock", "inproc://x",         "udp://127.0.0.1:1",
        "pgm://x", "TCP://127.0.0.1:1",     "tcp:127.0.0.1:7711", "127.0.0.1:7711"
    };
    for (size_t i = 0; i < ELEMENTS(bad); i++)
        assert_false(may_be_used(bad[i], true));
}

static void the_path_of_an_address(void **state)
{
    (void)state;
    assert_string_equal(address_ipc_path("ipc:///run/x"), "/run/x");
    assert_null(address_ipc_path("tcp://127.0.0.1:1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_unix_socket_needs_an_absolute_path_that_fits),
        cmocka_unit_test(tcp_is_refused_but_for_loopback_when_it_is_asked_for),
        cmocka_unit_test(other_transports_are_refused),
        cmocka_unit_test(the_path_of_an_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
