/* What the service manager hears, and when: on a socket of the test's own in its place. */
#include "proto/base/service.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static int manager;

static void set_number(const char *name, long long n)
{
    cleanup(freep) char *text = xasprintf("%lld", n);
    setenv(name, text, 1);
}

static int listen_as_manager(void **state)
{
    (void)state;
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    cleanup(freep) char *name = xasprintf("@tern-test-service-%d", (int)getpid());
    size_t n = strlen(name);
    memcpy(a.sun_path, name, n);
    a.sun_path[0] = 0;
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    setenv("NOTIFY_SOCKET", name, 1);
    set_number("WATCHDOG_PID", getpid());
    setenv("WATCHDOG_USEC", "3000000", 1);
    return bind(manager, (struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
}

static int stop_listening(void **state)
{
    (void)state;
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_PID");
    unsetenv("WATCHDOG_USEC");
    return close(manager);
}

static const char *heard(void)
{
    static char text[500];
    ssize_t n = recv(manager, text, sizeof text - 1, 0);
    text[max_i64(n, 0)] = 0;
    return text;
}

struct part {
    int n_asked;
    bool alive;
};

static void ask(void *ctx) { ((struct part *)ctx)->n_asked++; }
static bool answered(void *ctx) { return ((struct part *)ctx)->alive; }
static struct now at(int64_t ms) { return (struct now){ 0, ms }; }

static void the_watchdog_is_fed_only_when_all_have_answered(void **state)
{
    (void)state;
    struct part p = { .alive = true };
    struct service_parts parts = { &p, ask, answered };
    struct service s;
    service_init(&s);
    assert_int_equal(s.watchdog_ms, 3000);
    assert_int_equal(service_tick(&s, &parts, at(100)), 1100);
    assert_string_equal(heard(), "WATCHDOG=1");
    assert_int_equal(p.n_asked, 1);
    assert_int_equal(service_tick(&s, &parts, at(1099)), 1100); /* not due */
    assert_string_equal(heard(), "");
    p.alive = false;
    assert_int_equal(service_tick(&s, &parts, at(1100)), 1600); /* due, but one is silent */
    service_tick(&s, &parts, at(5000));
    assert_string_equal(heard(), "");
    assert_int_equal(p.n_asked, 1);
    p.alive = true;
    service_tick(&s, &parts, at(5500));
    assert_string_equal(heard(), "WATCHDOG=1");
    assert_int_equal(p.n_asked, 2);
    service_fini(&s);
}

static void a_watchdog_of_another_process_is_not_fed(void **state)
{
    (void)state;
    struct part p = { .alive = true };
    struct service s;
    set_number("WATCHDOG_PID", getpid() + 1);
    service_init(&s);
    assert_int_equal(service_tick(&s, &(struct service_parts){ &p, ask, answered }, at(100)), NEVER);
    assert_string_equal(heard(), "");
    service_fini(&s);
}

static void a_status_is_told_when_it_changes(void **state)
{
    (void)state;
    struct service s;
    service_init(&s);
    assert_true(service_wants_status(&s, at(10000)));
    assert_false(service_wants_status(&s, at(10001)));
    service_set_status(&s, "1 job");
    assert_string_equal(heard(), "STATUS=1 job");
    service_set_status(&s, "1 job");
    assert_string_equal(heard(), "");
    service_set_status(&s, "2 jobs");
    assert_string_equal(heard(), "STATUS=2 jobs");
    service_fini(&s);
}

static void a_reload_tells_when_it_began(void **state)
{
    (void)state;
    service_say_reloading();
    const char *text = heard();
    assert_non_null(strstr(text, "RELOADING=1\nMONOTONIC_USEC="));
    service_say_ready();
    assert_string_equal(heard(), "READY=1");
    service_extend_timeout(1500);
    assert_string_equal(heard(), "EXTEND_TIMEOUT_USEC=1500000");
}

static void without_a_service_manager_nothing_happens(void **state)
{
    (void)state;
    struct part p = { .alive = true };
    struct service s;
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    service_init(&s);
    assert_false(service_wants_status(&s, at(10000)));
    assert_int_equal(service_tick(&s, &(struct service_parts){ &p, ask, answered }, at(100)), NEVER);
    assert_string_equal(heard(), "");
    service_fini(&s);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, listen_as_manager, stop_listening)
    const struct CMUnitTest tests[] = {
        CASE(the_watchdog_is_fed_only_when_all_have_answered),
        CASE(a_watchdog_of_another_process_is_not_fed),
        CASE(a_status_is_told_when_it_changes),
        CASE(a_reload_tells_when_it_began),
        CASE(without_a_service_manager_nothing_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
