/* test_socket.c - what a ROUTER and a DEALER promise, over a Unix socket and over TCP, and what a
 * peer that does not keep to the rules costs. Such a peer is played here byte by byte, as ZMTP 3.0
 * (RFC 23) has it. */
#include "proto/socket.h"

#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/clock.h"
#include "proto/limits.h"

#define PATIENCE_MS 10000 /* what must happen has happened by then */

/* ---- fixture: a ROUTER on a path of its own -------------------------------------------------- */

struct fixture {
    char directory[64], path[96], address[112];
    struct socket *router;
};

static struct socket *listen_at(const char *address)
{
    struct socket *s = NULL;
    char *error = NULL;
    int r = socket_listen(&s, address, &error);
    if (r < 0)
        fail_msg("%s", error);
    return s;
}

static struct socket *connect_to(const char *address)
{
    struct socket *s = NULL;
    char *error = NULL;
    assert_int_equal(socket_connect(&s, address, &error), 0);
    return s;
}

static int set_up(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    const char *tmp = getenv("TMPDIR");
    snprintf(f->directory, sizeof f->directory, "%s/tern-XXXXXX",
             tmp && strlen(tmp) < 40 ? tmp : "/tmp");
    assert_non_null(mkdtemp(f->directory));
    snprintf(f->path, sizeof f->path, "%s/broker.sock", f->directory);
    snprintf(f->address, sizeof f->address, "ipc://%s", f->path);
    f->router = listen_at(f->address);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    socket_close(f->router);
    unlink(f->path);
    rmdir(f->directory);
    free(f);
    return 0;
}

/* ---- sending and receiving with patience ----------------------------------------------------- */

/* Until there is a connection. */
static void send_when_connected(struct socket *s, struct str message)
{
    int r = -EAGAIN;
    for (int ms = 0; ms < PATIENCE_MS && (r = socket_send(s, message)) == -EAGAIN; ms++)
        socket_poll(s, NULL, 0, 1);
    assert_int_equal(r, 0);
}

/* A socket may be called readable and have nothing: so it is asked again until the patience ends. */
static int recv_any(struct socket *s, struct frame *ret)
{
    int64_t until = clock_now().mono_ms + PATIENCE_MS;
    int r;
    while ((r = socket_recv(s, ret)) == -EAGAIN && clock_now().mono_ms < until)
        socket_poll(s, NULL, 0, until - clock_now().mono_ms);
    return r;
}

static void expect(struct socket *s, const char *text, struct frame *ret)
{
    assert_int_equal(recv_any(s, ret), 0);
    assert_true(str_is((struct str){ ret->p, ret->n }, text));
}

static void expect_and_forget(struct socket *s, const char *text)
{
    struct frame f;
    expect(s, text, &f);
    frame_fini(&f);
}

/* The ROUTER still serves: a new DEALER is heard and answered. */
static void expect_service(struct socket *router, const char *address)
{
    struct socket *dealer = connect_to(address);
    struct frame f;
    send_when_connected(dealer, str_of("ping"));
    expect(router, "ping", &f);
    assert_int_equal(socket_send_to(router, f.routing_id, str_of("pong")), 0);
    frame_fini(&f);
    expect_and_forget(dealer, "pong");
    socket_close(dealer);
}

static uint16_t free_port(void)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof a;
    cleanup(closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    return ntohs(a.sin_port);
}

/* A ROUTER on a TCP port that was free a moment ago. */
static struct socket *listen_on_tcp(char address[32], uint16_t *ret_port)
{
    struct socket *s = NULL;
    for (int i = 0; i < 100 && !s; i++) {
        char *error = NULL;
        *ret_port = free_port();
        snprintf(address, 32, "tcp://127.0.0.1:%u", *ret_port);
        if (socket_listen(&s, address, &error) < 0)
            free(error);
    }
    assert_non_null(s);
    return s;
}

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

/* ---- tests: there and back ------------------------------------------------------------------- */

static void a_question_is_answered_over_a_unix_socket(void **state)
{
    struct fixture *f = *state;
    expect_service(f->router, f->address);
}

static void a_question_is_answered_over_tcp(void **state)
{
    (void)state;
    char address[32];
    uint16_t port;
    struct socket *router = listen_on_tcp(address, &port);
    expect_service(router, address);
    socket_close(router);
}

static void the_kernel_tells_who_is_at_a_unix_socket(void **state)
{
    struct fixture *f = *state;
    struct socket *dealer = connect_to(f->address);
    struct frame frame;
    send_when_connected(dealer, str_of("who am I"));
    expect(f->router, "who am I", &frame);
    assert_int_equal(frame.uid, getuid());
    frame_fini(&frame);
    assert_int_equal(frame.uid, -1);
    socket_close(dealer);
}

static void nobody_tells_who_is_at_a_tcp_socket(void **state)
{
    (void)state;
    char address[32];
    uint16_t port;
    struct socket *router = listen_on_tcp(address, &port), *dealer = connect_to(address);
    struct frame frame;
    send_when_connected(dealer, str_of("who am I"));
    expect(router, "who am I", &frame);
    assert_int_equal(frame.uid, -1);
    frame_fini(&frame);
    socket_close(dealer);
    socket_close(router);
}

static void each_connection_has_a_name_of_its_own(void **state)
{
    struct fixture *f = *state;
    struct socket *a = connect_to(f->address), *b = connect_to(f->address);
    struct frame of_a, of_b, again;
    send_when_connected(a, str_of("a"));
    expect(f->router, "a", &of_a);
    send_when_connected(b, str_of("b"));
    expect(f->router, "b", &of_b);
    send_when_connected(a, str_of("a again"));
    expect(f->router, "a again", &again);
    assert_memory_equal(of_a.routing_id, again.routing_id, ROUTING_ID_BYTES);
    assert_memory_not_equal(of_a.routing_id, of_b.routing_id, ROUTING_ID_BYTES);
    assert_int_equal(socket_send_to(f->router, of_b.routing_id, str_of("to b")), 0);
    assert_int_equal(socket_send_to(f->router, of_a.routing_id, str_of("to a")), 0);
    expect_and_forget(a, "to a");
    expect_and_forget(b, "to b");
    frame_fini(&of_a);
    frame_fini(&of_b);
    frame_fini(&again);
    socket_close(a);
    socket_close(b);
}

static void messages_of_one_peer_come_in_their_order(void **state)
{
    struct fixture *f = *state;
    struct socket *dealer = connect_to(f->address);
    char text[16];
    send_when_connected(dealer, str_of("0"));
    for (int sent = 1, got = 0; got < 5000;) {
        snprintf(text, sizeof text, "%d", sent);
        if (sent < 5000 && socket_send(dealer, str_of(text)) == 0) {
            sent++;
            continue;
        }
        if (got == sent) { /* all has come, but the sender does not know yet that there is room */
            socket_poll(dealer, NULL, 0, 1);
            continue;
        }
        snprintf(text, sizeof text, "%d", got++);
        expect_and_forget(f->router, text);
    }
    socket_close(dealer);
}

/* A peer that has shaken hands and said "hi": its name. */
static int raw_peer(struct fixture *f, char *ret_routing_id)
{
    struct buf b;
    struct frame frame;
    int fd = raw_connect(f->path);
    buf_init(&b, 100);
    raw_shake_hands(fd, (struct str){ "", 0 }, NULL, NULL);
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

static void a_message_may_be_empty(void **state)
{
    struct fixture *f = *state;
    struct socket *dealer = connect_to(f->address);
    send_when_connected(dealer, str_of(""));
    expect_and_forget(f->router, "");
    socket_close(dealer);
}

static void a_message_may_be_as_large_as_the_limit(void **state)
{
    struct fixture *f = *state;
    struct socket *dealer = connect_to(f->address);
    struct frame frame;
    struct str large = { xcalloc(1, LIMIT_MESSAGE_BYTES + 1), LIMIT_MESSAGE_BYTES };
    send_when_connected(dealer, large);
    assert_int_equal(recv_any(f->router, &frame), 0);
    assert_int_equal(frame.n, LIMIT_MESSAGE_BYTES);
    assert_int_equal(socket_send_to(f->router, frame.routing_id, large), 0);
    frame_fini(&frame);
    assert_int_equal(recv_any(dealer, &frame), 0);
    assert_int_equal(frame.n, LIMIT_MESSAGE_BYTES);
    frame_fini(&frame);
    free((char *)large.p);
    socket_close(dealer);
}

static void a_message_over_the_limit_is_refused_by_its_sender(void **state)
{
    struct fixture *f = *state;
    struct socket *dealer = connect_to(f->address);
    struct frame frame;
    struct str large = { xcalloc(1, LIMIT_MESSAGE_BYTES + 1), LIMIT_MESSAGE_BYTES + 1 };
    send_when_connected(dealer, str_of("hello"));
    expect(f->router, "hello", &frame);
    assert_int_equal(socket_send(dealer, large), -EMSGSIZE);
    assert_int_equal(socket_send_to(f->router, frame.routing_id, large), -EMSGSIZE);
    assert_int_equal(socket_send_to(f->router, frame.routing_id, str_of("still here")), 0);
    expect_and_forget(dealer, "still here");
    frame_fini(&frame);
    free((char *)large.p);
    socket_close(dealer);
}

/* ---- tests: who is not there ----------------------------------------------------------------- */

static void nothing_there_is_told_at_once(void **state)
{
    struct fixture *f = *state;
    struct frame frame;
    assert_int_equal(socket_recv(f->router, &frame), -EAGAIN);
    assert_int_equal(socket_poll(f->router, NULL, 0, 0), 0);
}

static void nothing_is_queued_for_a_broker_that_is_not_there(void **state)
{
    struct fixture *f = *state;
    char address[128];
    snprintf(address, sizeof address, "%s-not", f->address);
    struct socket *dealer = connect_to(address);
    assert_int_equal(socket_send(dealer, str_of("hello")), -EAGAIN);
    socket_close(dealer);
}

static void nobody_can_be_reached_by_a_name_that_was_never_given(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(socket_send_to(f->router, "\0abcd", str_of("hello")), -EHOSTUNREACH);
    expect_service(f->router, f->address);
}

static void a_peer_that_has_left_cannot_be_reached(void **state)
{
    struct fixture *f = *state;
    struct socket *dealer = connect_to(f->address);
    struct frame frame;
    send_when_connected(dealer, str_of("hello"));
    expect(f->router, "hello", &frame);
    socket_close(dealer);
    int r = 0;
    for (int ms = 0;
         ms < PATIENCE_MS && (r = socket_send_to(f->router, frame.routing_id, str_of("x"))) == 0;
         ms++)
        socket_poll(f->router, NULL, 0, 1);
    assert_int_equal(r, -EHOSTUNREACH);
    frame_fini(&frame);
}

static void a_peer_that_does_not_read_is_told_apart_and_stops_nobody(void **state)
{
    struct fixture *f = *state;
    struct socket *dealer = connect_to(f->address);
    struct frame frame;
    send_when_connected(dealer, str_of("hello"));
    expect(f->router, "hello", &frame);
    int r = 0;
    for (int i = 0; i < 10000000 && r == 0; i++)
        r = socket_send_to(f->router, frame.routing_id, str_of("read me"));
    assert_int_equal(r, -EAGAIN);
    frame_fini(&frame);
    expect_service(f->router, f->address);
    socket_close(dealer);
}

static void a_dealer_finds_the_broker_that_comes_back(void **state)
{
    struct fixture *f = *state;
    struct socket *dealer = connect_to(f->address);
    struct frame before, after;
    send_when_connected(dealer, str_of("one"));
    expect(f->router, "one", &before);
    socket_close(f->router);
    f->router = listen_at(f->address);
    for (int ms = 0; ms < PATIENCE_MS && socket_poll(f->router, NULL, 0, 0) == 0; ms++) {
        socket_send(dealer, str_of("two")); /* the first may go down with the old connection */
        socket_poll(f->router, NULL, 0, 1);
    }
    expect(f->router, "two", &after);
    assert_int_equal(after.uid, getuid());
    frame_fini(&before);
    frame_fini(&after);
    socket_close(dealer);
}

/* ---- tests: listening ------------------------------------------------------------------------ */

static void expect_no_listening(const char *address, int error, const char *says)
{
    struct socket *s = NULL;
    char *text = NULL;
    assert_int_equal(socket_listen(&s, address, &text), error);
    assert_null(s);
    if (!strstr(text, address) || !strstr(text, says))
        fail_msg("\"%s\" should name %s and say \"%s\"", text, address, says);
    free(text);
}

static void two_cannot_listen_at_one_path(void **state)
{
    struct fixture *f = *state;
    expect_no_listening(f->address, -EADDRINUSE, "another program listens there");
    expect_service(f->router, f->address); /* the first is not disturbed */
}

static void two_cannot_listen_at_one_port(void **state)
{
    (void)state;
    char address[32];
    uint16_t port;
    struct socket *router = listen_on_tcp(address, &port);
    expect_no_listening(address, -EADDRINUSE, "another program listens there");
    expect_service(router, address);
    socket_close(router);
}

static void the_path_of_a_dead_broker_can_be_listened_at(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    socket_close(f->router);
    memcpy(a.sun_path, f->path, strlen(f->path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    close(fd);
    assert_int_equal(access(f->path, F_OK), 0);
    f->router = listen_at(f->address);
    expect_service(f->router, f->address);
}

static void a_directory_that_is_not_there_is_told(void **state)
{
    struct fixture *f = *state;
    char address[128];
    snprintf(address, sizeof address, "ipc://%s/none/broker.sock", f->directory);
    expect_no_listening(address, -ENOENT, "its directory does not exist");
}

static void the_socket_is_for_its_owner_and_group_and_goes_with_its_broker(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0660);
    f->router = socket_close(f->router);
    assert_null(f->router);
    assert_int_equal(access(f->path, F_OK), -1);
    assert_null(socket_close(NULL));
}

/* ---- tests: waiting -------------------------------------------------------------------------- */

static void a_poll_sees_descriptors_beside_the_socket(void **state)
{
    struct fixture *f = *state;
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    struct pollfd fds[] = { { .fd = pipe_fds[0], .events = POLLIN } };
    assert_int_equal(socket_poll(f->router, fds, 1, 0), 0);
    assert_int_equal(fds[0].revents, 0);
    assert_int_equal(write(pipe_fds[1], "x", 1), 1);
    assert_int_equal(socket_poll(f->router, fds, 1, -1), 0);
    assert_int_equal(fds[0].revents, POLLIN);
    struct socket *dealer = connect_to(f->address);
    send_when_connected(dealer, str_of("hello"));
    for (int ms = 0; ms < PATIENCE_MS && socket_poll(f->router, NULL, 0, 1) == 0; ms++)
        ;
    assert_int_equal(socket_poll(f->router, fds, 1, 0), 1);
    assert_int_equal(fds[0].revents, POLLIN);
    expect_and_forget(f->router, "hello");
    socket_close(dealer);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

/* ---- tests: peers that do not keep to the rules ---------------------------------------------- */

static void a_message_of_two_frames_is_thrown_away_and_the_next_one_read(void **state)
{
    struct fixture *f = *state;
    struct frame frame;
    cleanup(closep) int fd = raw_connect(f->path);
    struct buf b;
    buf_init(&b, 4096);
    raw_shake_hands(fd, str_of(""), NULL, NULL);
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
    cleanup(closep) int fd = raw_connect(f->path);
    struct buf b;
    buf_init(&b, 4096);
    raw_shake_hands(fd, str_of(""), NULL, NULL);
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
    cleanup(closep) int fd = raw_connect(f->path);
    struct buf b;
    buf_init(&b, 4096);
    raw_shake_hands(fd, str_of(""), NULL, NULL);
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
static void a_peer_at_a_unix_socket_cannot_say_who_it_is(void **state)
{
    struct fixture *f = *state;
    struct frame frame;
    cleanup(closep) int fd = raw_connect(f->path);
    struct buf b;
    buf_init(&b, 4096);
    raw_shake_hands(fd, str_of(""), "Peer-Address", "localhost:4242:0:1");
    add_frame(&b, false, "I am 4242");
    raw_send(fd, &b);
    expect(f->router, "I am 4242", &frame);
    assert_int_equal(frame.uid, getuid());
    frame_fini(&frame);
    buf_fini(&b);
}

static void a_peer_at_a_tcp_socket_cannot_say_who_it_is(void **state)
{
    (void)state;
    char address[32];
    uint16_t port;
    struct socket *router = listen_on_tcp(address, &port);
    struct frame frame;
    struct buf b;
    cleanup(closep) int fd = raw_connect_tcp(port);
    raw_shake_hands(fd, str_of(""), "Peer-Address", "localhost:4242:0:1");
    buf_init(&b, 4096);
    add_frame(&b, false, "I am 4242");
    raw_send(fd, &b);
    expect(router, "I am 4242", &frame);
    assert_int_equal(frame.uid, -1);
    frame_fini(&frame);
    socket_close(router);
    buf_fini(&b);
}

/* ---- tests: addresses ------------------------------------------------------------------------ */

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

#define WITH_ROUTER(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_ROUTER(a_question_is_answered_over_a_unix_socket),
        cmocka_unit_test(a_question_is_answered_over_tcp),
        WITH_ROUTER(the_kernel_tells_who_is_at_a_unix_socket),
        cmocka_unit_test(nobody_tells_who_is_at_a_tcp_socket),
        WITH_ROUTER(each_connection_has_a_name_of_its_own),
        WITH_ROUTER(messages_of_one_peer_come_in_their_order),
        WITH_ROUTER(what_a_peer_does_not_read_is_counted_until_it_is_read_or_gone),
        WITH_ROUTER(what_is_no_zmtp_3_is_hung_up_on),
        WITH_ROUTER(a_message_may_be_empty),
        WITH_ROUTER(a_message_may_be_as_large_as_the_limit),
        WITH_ROUTER(a_message_over_the_limit_is_refused_by_its_sender),
        WITH_ROUTER(nothing_there_is_told_at_once),
        WITH_ROUTER(nothing_is_queued_for_a_broker_that_is_not_there),
        WITH_ROUTER(nobody_can_be_reached_by_a_name_that_was_never_given),
        WITH_ROUTER(a_peer_that_has_left_cannot_be_reached),
        WITH_ROUTER(a_peer_that_does_not_read_is_told_apart_and_stops_nobody),
        WITH_ROUTER(a_dealer_finds_the_broker_that_comes_back),
        WITH_ROUTER(two_cannot_listen_at_one_path),
        cmocka_unit_test(two_cannot_listen_at_one_port),
        WITH_ROUTER(the_path_of_a_dead_broker_can_be_listened_at),
        WITH_ROUTER(a_directory_that_is_not_there_is_told),
        WITH_ROUTER(the_socket_is_for_its_owner_and_group_and_goes_with_its_broker),
        WITH_ROUTER(a_poll_sees_descriptors_beside_the_socket),
        WITH_ROUTER(a_message_of_two_frames_is_thrown_away_and_the_next_one_read),
        WITH_ROUTER(a_peer_of_the_wrong_socket_type_is_not_heard),
        WITH_ROUTER(a_peer_that_chose_its_own_routing_id_is_refused),
        WITH_ROUTER(no_peer_can_take_the_name_of_one_that_is_here),
        WITH_ROUTER(a_message_over_the_limit_costs_its_sender_the_connection),
        WITH_ROUTER(garbage_costs_its_sender_the_connection_and_nobody_else),
        WITH_ROUTER(a_peer_at_a_unix_socket_cannot_say_who_it_is),
        cmocka_unit_test(a_peer_at_a_tcp_socket_cannot_say_who_it_is),
        cmocka_unit_test(a_unix_socket_needs_an_absolute_path_that_fits),
        cmocka_unit_test(tcp_is_refused_but_for_loopback_when_it_is_asked_for),
        cmocka_unit_test(other_transports_are_refused),
        cmocka_unit_test(the_path_of_an_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
