/* socket_rig.c - a ROUTER on a path of its own, and those who talk with it. */
#include "tests/socket_rig.h"

#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/clock.h"

/* ---- fixture: a ROUTER on a path of its own -------------------------------------------------- */

struct socket *listen_at(const char *address)
{
    struct socket *s = NULL;
    char *error = NULL;
    int r = socket_listen(&s, address, &error);
    if (r < 0)
        fail_msg("%s", error);
    return s;
}

struct socket *connect_to(const char *address)
{
    struct socket *s = NULL;
    char *error = NULL;
    assert_int_equal(socket_connect(&s, address, &error), 0);
    return s;
}

int set_up(void **state)
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

int tear_down(void **state)
{
    struct fixture *f = *state;
    socket_close(f->router);
    unlink(f->path);
    rmdir(f->directory);
    free(f);
    return 0;
}

/* ---- sending and receiving with patience ----------------------------------------------------- */

void send_when_connected(struct socket *s, struct str message)
{
    int r = -EAGAIN;
    for (int ms = 0; ms < PATIENCE_MS && (r = socket_send(s, message)) == -EAGAIN; ms++)
        socket_poll(s, NULL, 0, 1);
    assert_int_equal(r, 0);
}

int recv_any(struct socket *s, struct frame *ret)
{
    int64_t until = clock_now().mono_ms + PATIENCE_MS;
    int r;
    while ((r = socket_recv(s, ret)) == -EAGAIN && clock_now().mono_ms < until)
        socket_poll(s, NULL, 0, until - clock_now().mono_ms);
    return r;
}

void expect(struct socket *s, const char *text, struct frame *ret)
{
    assert_int_equal(recv_any(s, ret), 0);
    assert_true(str_is((struct str){ ret->p, ret->n }, text));
}

void expect_and_forget(struct socket *s, const char *text)
{
    struct frame f;
    expect(s, text, &f);
    frame_fini(&f);
}

void expect_service(struct socket *router, const char *address)
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

struct socket *listen_on_tcp(char address[32], uint16_t *ret_port)
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
