/* test_guard.c - accept4 and recv as libzmq gets them in the broker, called here in its place. */
#include "proto/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/buf.h"

#define MIB (1u << 20)

static int listener;
static struct sockaddr_un where = { .sun_family = AF_UNIX };

static int set_up(void **state)
{
    (void)state;
    guard_start();
    snprintf(where.sun_path + 1, sizeof where.sun_path - 1, "tern-test-guard-%d", (int)getpid());
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (bind(listener, (struct sockaddr *)&where, sizeof where) < 0)
        return -1;
    return listen(listener, 100);
}

static int tear_down(void **state)
{
    (void)state;
    return close(listener);
}

struct pair {
    int peer, broker;
};

static struct pair connect_pair(void)
{
    struct pair p = { .peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
    assert_int_equal(connect(p.peer, (struct sockaddr *)&where, sizeof where), 0);
    p.broker = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    return p;
}

static void close_pair(struct pair p)
{
    close(p.peer);
    close(p.broker);
}

/* All that was sent, in reads of at most n bytes. What the last one returned. */
static ssize_t pass(struct pair p, struct str bytes, size_t n)
{
    static char to[MIB];
    ssize_t got = 1;
    for (size_t at = 0; at < bytes.n && got > 0; at += (size_t)got) {
        size_t part = min_size(n, bytes.n - at);
        assert_int_equal(send(p.peer, bytes.p + at, part, MSG_NOSIGNAL), (ssize_t)part);
        got = recv(p.broker, to, part, 0);
    }
    return got;
}

static void add_frame(struct buf *b, char flags, size_t n)
{
    unsigned char header[9] = { (unsigned char)flags, (unsigned char)n };
    for (int i = 0; flags & 2 && i < 8; i++)
        header[1 + i] = (unsigned char)(n >> (56 - 8 * i));
    buf_add(b, header, flags & 2 ? 9 : 2);
    for (size_t i = 0; i < n; i++)
        buf_add(b, "\1", 1); /* would be taken for `more`, were it a header */
}

static void greet(struct buf *b)
{
    buf_init(b, MIB);
    for (int i = 0; i < 64; i++)
        buf_add(b, "\1", 1);
    add_frame(b, 4, 30); /* READY */
}

static void whole_messages_pass_however_they_are_cut(void **state)
{
    (void)state;
    struct buf b;
    greet(&b);
    for (size_t n = 0; n < 300; n += 23) {
        add_frame(&b, 0, min_size(n, 255));
        add_frame(&b, 2, n);
        add_frame(&b, 4, 3);
    }
    for (size_t n = 1; n < 100; n = n * 2 + 1) {
        struct pair p = connect_pair();
        assert_true(pass(p, buf_str(&b), n) > 0);
        close_pair(p);
    }
    buf_fini(&b);
}

static void a_message_of_more_than_one_part_is_the_end_of_its_connection(void **state)
{
    (void)state;
    static const char flags[] = { 1, 3, 5, 7 }; /* libzmq takes the parts of some commands for those of a message */
    for (size_t i = 0; i < ELEMENTS(flags); i++) {
        struct buf b;
        greet(&b);
        struct pair p = connect_pair();
        assert_true(pass(p, buf_str(&b), 7) > 0);
        buf_clear(&b);
        add_frame(&b, 2, 70000);
        assert_true(pass(p, buf_str(&b), 50000) > 0);
        buf_clear(&b);
        add_frame(&b, flags[i], 0);
        assert_int_equal(pass(p, buf_str(&b), 1000), 0);
        buf_fini(&b);
        close_pair(p);
    }
}

/* What the last read of at most n bytes returned, of a handshake with these bytes after its READY. */
static ssize_t shake(const char *more, size_t n_more, size_t n)
{
    struct buf b;
    buf_init(&b, MIB);
    for (int i = 0; i < 64; i++)
        buf_add(&b, "\1", 1);
    char header[] = { 4, (char)(28 + n_more) };
    buf_add(&b, header, 2);
    buf_add(&b, "\5READY\13Socket-Type\0\0\0\6DEALER", 28);
    buf_add(&b, more, n_more);
    struct pair p = connect_pair();
    ssize_t r = pass(p, buf_str(&b), n);
    close_pair(p);
    buf_fini(&b);
    return r;
}

static void who_chooses_its_own_name_is_cut_before_libzmq_hears_of_it(void **state)
{
    (void)state;
    char filler[200] = "";
    for (size_t n = 1; n < 120; n = n * 3 + 1) {
        assert_true(shake("\10Identity\0\0\0\0", 13, n) > 0);
        assert_int_equal(shake("\10Identity\0\0\0\5\0abcd", 18, n), 0);
        assert_int_equal(shake("\1X\0\0\0\15\10Identity\0\0\0\0\10Identity\0\0\0\1x", 33, n), 0);
        assert_true(shake(filler, 172, n) > 0);
        assert_int_equal(shake(filler, 173, n), 0);
    }
}

static void a_ping_is_renamed_and_nothing_else_is_touched(void **state)
{
    (void)state;
    struct buf b;
    greet(&b);
    buf_add(&b, "\4\7\4PING\0\1" "\0\5\4PING" "\4\5\4PING" "\4\6\5READY", 9 + 7 + 7 + 8);
    for (size_t n = 1; n < b.n; n = n * 3 + 1) {
        struct pair p = connect_pair();
        char got[200];
        size_t have = 0;
        while (have < b.n) {
            size_t part = min_size(n, b.n - have);
            assert_int_equal(send(p.peer, b.p + have, part, MSG_NOSIGNAL), (ssize_t)part);
            assert_int_equal(recv(p.broker, got + have, part, 0), (ssize_t)part);
            have += part;
        }
        b.p[96 + 3] = b.p[96 + 9 + 7 + 3] = 'X';
        assert_memory_equal(got, b.p, b.n);
        b.p[96 + 3] = b.p[96 + 9 + 7 + 3] = 'P';
        close_pair(p);
    }
    buf_fini(&b);
}

/* n MiB of a message of 16. */
static ssize_t begin_message(struct pair p, int n)
{
    static char body[65536];
    struct buf b;
    greet(&b);
    buf_add(&b, "\2\0\0\0\0\1\0\0\0", 9);
    ssize_t r = pass(p, buf_str(&b), MIB);
    for (int i = 0; i < n * 16 && r > 0; i++)
        r = pass(p, (struct str){ body, sizeof body }, sizeof body);
    buf_fini(&b);
    return r;
}

static void past_128_mib_the_message_that_waits_for_longest_is_given_up(void **state)
{
    (void)state;
    struct pair p[11];
    char byte;
    for (size_t i = 0; i < ELEMENTS(p); i++) {
        p[i] = connect_pair();
        assert_true(begin_message(p[i], 15) > 0);
    }
    for (size_t i = 0; i < ELEMENTS(p); i++) /* 8 of them are less than 128 MiB */
        assert_int_equal(recv(p[i].broker, &byte, 1, 0), i < 3 ? 0 : -1);
    for (size_t i = 0; i < ELEMENTS(p); i++)
        close_pair(p[i]);
}

/* n of 4 MiB. What the last read returned. */
static ssize_t send_whole(struct pair p, int n)
{
    static char body[65536];
    ssize_t r = 1;
    for (int i = 0; i < n && r > 0; i++) {
        r = pass(p, (struct str){ "\2\0\0\0\0\0\x40\0\0", 9 }, 9);
        for (int k = 0; k < 64 && r > 0; k++)
            r = pass(p, (struct str){ body, sizeof body }, sizeof body);
    }
    return r;
}

static void past_128_mib_that_nobody_has_taken_a_message_waits_unless_it_is_small(void **state)
{
    (void)state;
    struct buf b;
    greet(&b);
    struct pair p = connect_pair(), q = connect_pair(), late = connect_pair();
    static char to[4096];
    guard_heard_all();
    assert_true(pass(p, buf_str(&b), MIB) > 0);
    assert_true(send_whole(p, 32) > 0); /* 128 MiB */
    assert_true(begin_message(q, 1) > 0);
    assert_true(send_whole(p, 1) > 0);
    assert_int_equal(send_whole(p, 1), -1);
    assert_int_equal(errno, EAGAIN);
    assert_true(begin_message(late, 0) > 0);
    assert_int_equal(pass(late, (struct str){ to, sizeof to }, sizeof to), -1);
    assert_true(pass(q, (struct str){ to, sizeof to }, sizeof to) > 0); /* what is under way goes on */
    struct pair small = connect_pair();
    add_frame(&b, 2, 4000);
    assert_true(pass(small, buf_str(&b), 1000) > 0);
    for (int i = 0; i < 2; i++)
        guard_heard(4 * MIB, false);
    assert_int_equal(recv(p.broker, to, sizeof to, 0), sizeof to);
    assert_int_equal(recv(late.broker, to, sizeof to, 0), sizeof to);
    guard_heard_all();
    assert_true(send_whole(small, 32) > 0);
    guard_heard_all();
    buf_fini(&b);
    close_pair(p);
    close_pair(q);
    close_pair(late);
    close_pair(small);
}

static void connections_that_ended_do_not_count(void **state)
{
    (void)state;
    struct pair quiet = connect_pair();
    char byte;
    for (int i = 0; i < 30; i++) {
        struct pair p = connect_pair();
        assert_true(begin_message(p, 15) > 0);
        close_pair(p);
    }
    assert_true(begin_message(quiet, 15) > 0);
    assert_int_equal(recv(quiet.broker, &byte, 1, 0), -1);
    close_pair(quiet);
}

static void the_last_descriptors_are_not_given_to_connections(void **state)
{
    (void)state;
    struct rlimit before, few;
    struct pair p[100];
    size_t n = 0;
    getrlimit(RLIMIT_NOFILE, &before);
    few = before;
    few.rlim_cur = 100;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    while (n < ELEMENTS(p) && (p[n] = connect_pair()).broker >= 0)
        n++;
    int error = errno;
    setrlimit(RLIMIT_NOFILE, &before);
    char byte;
    assert_int_equal(error, EAGAIN);
    assert_in_range(n, 10, 25); /* both ends are ours here: 50 descriptors, less those of the test */
    assert_int_equal(recv(p[n].peer, &byte, 1, 0), 0); /* it hears of it at once */
    close(p[n].peer);
    while (n-- > 0)
        close_pair(p[n]);
    struct pair again = connect_pair();
    assert_true(again.broker >= 0);
    close_pair(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_messages_pass_however_they_are_cut),
        cmocka_unit_test(a_message_of_more_than_one_part_is_the_end_of_its_connection),
        cmocka_unit_test(who_chooses_its_own_name_is_cut_before_libzmq_hears_of_it),
        cmocka_unit_test(a_ping_is_renamed_and_nothing_else_is_touched),
        cmocka_unit_test(past_128_mib_the_message_that_waits_for_longest_is_given_up),
        cmocka_unit_test(past_128_mib_that_nobody_has_taken_a_message_waits_unless_it_is_small),
        cmocka_unit_test(connections_that_ended_do_not_count),
        cmocka_unit_test(the_last_descriptors_are_not_given_to_connections),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
