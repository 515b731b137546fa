/* test_socket.c - what a ROUTER and a DEALER promise, over a Unix socket and over TCP. */
#include "tests/socket_rig.h"

#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/limits.h"

/* ---- there and back -------------------------------------------------------------------------- */

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

/* ---- who is not there ------------------------------------------------------------------------ */

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

/* ---- listening ------------------------------------------------------------------------------- */

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

/* ---- waiting --------------------------------------------------------------------------------- */

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

#define MANY 200

static void any_number_is_waited_for(void **state)
{
    struct fixture *f = *state;
    struct socket *dealers[2];
    struct pollfd fds[MANY];
    struct frame hello;
    char *error = NULL;
    for (size_t i = 0; i < MANY; i++)
        fds[i] = (struct pollfd){ .fd = eventfd(0, EFD_CLOEXEC), .events = POLLIN };
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(socket_connect(&dealers[i], f->address, &error), 0);
    assert_int_equal(socket_poll_all(dealers, 2, fds, MANY, 0), 0);
    eventfd_write(fds[MANY - 1].fd, 1);
    assert_int_equal(socket_poll_all(dealers, 2, fds, MANY, PATIENCE_MS), 0);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(fds[i].revents, i == MANY - 1 ? POLLIN : 0);
    send_when_connected(dealers[1], str_of("hello"));
    expect(f->router, "hello", &hello);
    assert_int_equal(socket_send_to(f->router, hello.routing_id, str_of("you")), 0);
    frame_fini(&hello);
    expect(dealers[1], "you", &hello);
    frame_fini(&hello);
    for (size_t i = 0; i < MANY; i++)
        close(fds[i].fd);
    for (size_t i = 0; i < 2; i++)
        socket_close(dealers[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_ROUTER(a_question_is_answered_over_a_unix_socket),
        cmocka_unit_test(a_question_is_answered_over_tcp),
        WITH_ROUTER(the_kernel_tells_who_is_at_a_unix_socket),
        cmocka_unit_test(nobody_tells_who_is_at_a_tcp_socket),
        WITH_ROUTER(each_connection_has_a_name_of_its_own),
        WITH_ROUTER(messages_of_one_peer_come_in_their_order),
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
        WITH_ROUTER(any_number_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
