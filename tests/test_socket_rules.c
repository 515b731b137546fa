/* test_socket_rules.c - what a peer costs that does not keep to the rules: it is played here byte by byte, as ZMTP 3.0 (RFC 23)
 * has it. */
#include "tests/socket_rig.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- a peer made of bytes -------------------------------------------------------------------- */

static int raw_connect(const char *path)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(a.sun_path, path, strlen(path) + 1);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static int raw_connect_tcp(uint16_t port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void add_property(struct buf *b, const char *name, struct str value)
{
    buf_addf(b, "%c%s%c%c%c%c", (int)strlen(name), name, 0, 0, 0, (int)value.n);
    buf_add(b, value.p, value.n);
}

static void add_frame(struct buf *b, bool more, const char *text)
{
    buf_addf(b, "%c%c%s", more ? 1 : 0, (int)strlen(text), text);
}

static void raw_send(int fd, struct buf *b)
{
    assert_int_equal(send(fd, b->p, b->n, MSG_NOSIGNAL), (ssize_t)b->n);
    buf_clear(b);
}

static void raw_recv(int fd, size_t n)
{
    char bytes[256];
    struct pollfd p = { .fd = fd, .events = POLLIN };
    while (n) {
        assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
        ssize_t got = recv(fd, bytes, min_size(n, sizeof bytes), 0);
        assert_true(got > 0);
        n -= (size_t)got;
    }
}

/* The handshake of a DEALER that calls itself `id` and says one thing more about itself. It waits
 * for the ROUTER's READY: what is sent before that one, libzmq takes for a bad handshake. */
static void raw_shake_hands(int fd, struct str id, const char *name, const char *value)
{
    struct buf b, ready;
    buf_init(&b, 4096);
    buf_init(&ready, 250);
    buf_add(&b, "\xff\0\0\0\0\0\0\0\x01\x7f\x03\0" "NULL", 16);
    for (int i = 16; i < 64; i++)
        buf_add(&b, "", 1);
    buf_addf(&ready, "%cREADY", 5);
    add_property(&ready, "Socket-Type", str_of("DEALER"));
    add_property(&ready, "Identity", id);
    if (name)
        add_property(&ready, name, str_of(value));
    buf_addf(&b, "%c%c", 4, (int)ready.n);
    buf_add(&b, ready.p, ready.n);
    raw_send(fd, &b);
    raw_recv(fd, 64 + strlen("xx" "xREADY" "xSocket-Type" "xxxx" "ROUTER" "xIdentity" "xxxx"));
    buf_fini(&ready);
    buf_fini(&b);
}

/* One that has shaken hands. */
static int raw_enter(const struct fixture *f)
{
    int fd = raw_connect(f->path);
    raw_shake_hands(fd, str_of(""), NULL, NULL);
    return fd;
}

/* Reads until the other side hangs up. */
static void expect_hang_up(int fd)
{
    char bytes[256];
    struct pollfd p = { .fd = fd, .events = POLLIN };
    ssize_t n = 1;
    while (n > 0) {
        assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
        n = recv(fd, bytes, sizeof bytes, 0);
    }
}

/* ---- peers that do not read, or do not speak ZMTP 3 -------------------------------------------- */

/* A peer that has shaken hands and said "hi": its name. */
static int raw_peer(struct fixture *f, char *ret_routing_id)
{
    struct buf b;
    struct frame frame;
    int fd = raw_enter(f);
    buf_init(&b, 100);
    add_frame(&b, false, "hi");
    raw_send(fd, &b);
    buf_fini(&b);
    expect(f->router, "hi", &frame);
    memcpy(ret_routing_id, frame.routing_id, ROUTING_ID_BYTES);
    frame_fini(&frame);
    return fd;
}

static void wait_until_unsent(const struct fixture *f, const char *routing_id, size_t n)
{
    for (int ms = 0; ms < PATIENCE_MS && socket_unsent(f->router, routing_id) != n; ms++)
        socket_poll(f->router, NULL, 0, 1);
    assert_int_equal(socket_unsent(f->router, routing_id), n);
}

static void what_a_peer_does_not_read_is_counted_until_it_is_read_or_gone(void **state)
{
    struct fixture *f = *state;
    enum { MIB = 1 << 20, N = 20 };
    static char large[MIB], a_id[ROUTING_ID_BYTES], b_id[ROUTING_ID_BYTES];
    int a = raw_peer(f, a_id), b = raw_peer(f, b_id);
    for (int i = 0; i < N; i++) {
        assert_int_equal(socket_send_to(f->router, a_id, (struct str){ large, MIB }), 0);
        assert_int_equal(socket_send_to(f->router, b_id, (struct str){ large, MIB }), 0);
    }
    assert_in_range(socket_unsent(f->router, a_id), (N - 3) * MIB, N * MIB);
    assert_in_range(socket_unsent_all(), 2 * (N - 3) * MIB, 2 * N * MIB);
    raw_recv(a, N * (MIB + 9));
    wait_until_unsent(f, a_id, 0);
    assert_in_range(socket_unsent_all(), (N - 3) * MIB, N * MIB);
    close(b);
    wait_until_unsent(f, b_id, 0);
    assert_int_equal(socket_unsent_all(), 0);
    assert_int_equal(socket_send_to(f->router, b_id, (struct str){ large, MIB }), -EHOSTUNREACH);
    assert_int_equal(socket_unsent_all(), 0);
    close(a);
}

static void what_is_no_zmtp_3_is_hung_up_on(void **state)
{
    struct fixture *f = *state;
    static const char *const greetings[] = { "\x05" "abcdefghijklmnop", "\xff\1\1\1\1\1\1\1\1\x7f\1\5\1\1\1\1" };
    for (size_t i = 0; i < ELEMENTS(greetings); i++) {
        int fd = raw_connect(f->path);
        struct buf b;
        buf_init(&b, 100);
        buf_add(&b, greetings[i], strlen(greetings[i]));
        raw_send(fd, &b);
        buf_fini(&b);
        expect_hang_up(fd);
        close(fd);
    }
    expect_service(f->router, f->address);
}

/* ---- peers that do not keep to the rules ----------------------------------------------------- */

static void a_message_of_two_frames_is_thrown_away_and_the_next_one_read(void **state)
{
    struct fixture *f = *state;
    struct frame frame;
    cleanup(closep) int fd = raw_enter(f);
    struct buf b;
    buf_init(&b, 4096);
    add_frame(&b, false, "one");
    add_frame(&b, true, "two");
    add_frame(&b, false, "frames");
    add_frame(&b, true, "and");
    add_frame(&b, true, "");
    add_frame(&b, true, "four");
    add_frame(&b, false, "frames");
    add_frame(&b, false, "next");
    raw_send(fd, &b);
    expect(f->router, "one", &frame);
    assert_int_equal(frame.uid, getuid());
    frame_fini(&frame);
    assert_int_equal(recv_any(f->router, &frame), -EBADMSG);
    assert_int_equal(recv_any(f->router, &frame), -EBADMSG);
    expect_and_forget(f->router, "next");
    buf_fini(&b);
}

/* As a REQ socket sends: an empty frame first. */
static void a_peer_of_the_wrong_socket_type_is_not_heard(void **state)
{
    struct fixture *f = *state;
    struct frame frame;
    cleanup(closep) int fd = raw_enter(f);
    struct buf b;
    buf_init(&b, 4096);
    add_frame(&b, true, "");
    add_frame(&b, false, "request");
    raw_send(fd, &b);
    assert_int_equal(recv_any(f->router, &frame), -EBADMSG);
    expect_service(f->router, f->address);
    buf_fini(&b);
}

static void a_peer_that_chose_its_own_routing_id_is_refused(void **state)
{
    struct fixture *f = *state;
    struct frame frame;
    static const char *const ids[] = { "a", "admin", "longer than five" };
    for (size_t i = 0; i < ELEMENTS(ids); i++) {
        cleanup(closep) int fd = raw_connect(f->path);
        struct buf b;
        buf_init(&b, 4096);
        raw_shake_hands(fd, str_of(ids[i]), NULL, NULL);
        add_frame(&b, false, "hello");
        add_frame(&b, true, "hello");
        add_frame(&b, false, "again");
        raw_send(fd, &b);
        assert_int_equal(recv_any(f->router, &frame), -EBADMSG);
        assert_int_equal(recv_any(f->router, &frame), -EBADMSG);
        buf_fini(&b);
    }
    expect_service(f->router, f->address);
}

/* Though a peer that speaks ZMTP by itself may choose a name like those that the ROUTER makes. */
static void no_peer_can_take_the_name_of_one_that_is_here(void **state)
{
    struct fixture *f = *state;
    struct socket *dealer = connect_to(f->address);
    struct frame frame;
    struct buf b;
    buf_init(&b, 4096);
    send_when_connected(dealer, str_of("hello"));
    expect(f->router, "hello", &frame);
    cleanup(closep) int fd = raw_connect(f->path);
    raw_shake_hands(fd, (struct str){ frame.routing_id, ROUTING_ID_BYTES }, NULL, NULL);
    add_frame(&b, false, "I am the other one");
    raw_send(fd, &b);
    expect_service(f->router, f->address); /* so that it would have been heard by now */
    assert_int_equal(socket_send_to(f->router, frame.routing_id, str_of("for you")), 0);
    expect_and_forget(dealer, "for you");
    assert_int_equal(socket_recv(f->router, &(struct frame){ 0 }), -EAGAIN);
    frame_fini(&frame);
    buf_fini(&b);
    socket_close(dealer);
}

/* At its header: before a beat of the connection, which comes every 5 s, and before the bytes that
 * will never come. */
static void a_message_over_the_limit_costs_its_sender_the_connection(void **state)
{
    struct fixture *f = *state;
    cleanup(closep) int fd = raw_enter(f);
    struct buf b;
    buf_init(&b, 4096);
    buf_add(&b, "\x02\0\0\0\0\x01\0\0\x01", 9); /* 16 MiB and 1 */
    buf_add(&b, "aaaa", 4);
    raw_send(fd, &b);
    struct pollfd p = { .fd = fd, .events = POLLIN };
    char byte;
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    assert_true(recv(fd, &byte, 1, 0) <= 0);
    buf_fini(&b);
    expect_service(f->router, f->address);
}

static void garbage_costs_its_sender_the_connection_and_nobody_else(void **state)
{
    struct fixture *f = *state;
    static const char *const garbage[] = { "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "\x01",
                                           "\xff\xff\xff\xff\xff\xff" };
    for (size_t i = 0; i < ELEMENTS(garbage); i++) {
        cleanup(closep) int fd = raw_connect(f->path);
        assert_int_equal(send(fd, garbage[i], strlen(garbage[i]), MSG_NOSIGNAL),
                         (ssize_t)strlen(garbage[i]));
        shutdown(fd, SHUT_WR);
        expect_hang_up(fd);
    }
    expect_service(f->router, f->address);
}

/* ZMTP lets a peer say anything about itself; who it is, only the kernel says. */
static void expect_heard_as(struct socket *router, int fd, int64_t uid)
{
    struct frame frame;
    struct buf b;
    buf_init(&b, 4096);
    raw_shake_hands(fd, str_of(""), "Peer-Address", "localhost:4242:0:1");
    add_frame(&b, false, "I am 4242");
    raw_send(fd, &b);
    expect(router, "I am 4242", &frame);
    assert_int_equal(frame.uid, uid);
    frame_fini(&frame);
    buf_fini(&b);
}

static void a_peer_at_a_unix_socket_cannot_say_who_it_is(void **state)
{
    struct fixture *f = *state;
    cleanup(closep) int fd = raw_connect(f->path);
    expect_heard_as(f->router, fd, getuid());
}

static void a_peer_at_a_tcp_socket_cannot_say_who_it_is(void **state)
{
    (void)state;
    char address[32];
    uint16_t port;
    struct socket *router = listen_on_tcp(address, &port);
    cleanup(closep) int fd = raw_connect_tcp(port);
    expect_heard_as(router, fd, -1);
    socket_close(router);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_ROUTER(what_a_peer_does_not_read_is_counted_until_it_is_read_or_gone),
        WITH_ROUTER(what_is_no_zmtp_3_is_hung_up_on),
        WITH_ROUTER(a_message_of_two_frames_is_thrown_away_and_the_next_one_read),
        WITH_ROUTER(a_peer_of_the_wrong_socket_type_is_not_heard),
        WITH_ROUTER(a_peer_that_chose_its_own_routing_id_is_refused),
        WITH_ROUTER(no_peer_can_take_the_name_of_one_that_is_here),
        WITH_ROUTER(a_message_over_the_limit_costs_its_sender_the_connection),
        WITH_ROUTER(garbage_costs_its_sender_the_connection_and_nobody_else),
        WITH_ROUTER(a_peer_at_a_unix_socket_cannot_say_who_it_is),
        cmocka_unit_test(a_peer_at_a_tcp_socket_cannot_say_who_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
