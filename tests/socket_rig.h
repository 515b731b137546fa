/* socket_rig.h - a ROUTER on a path of its own, and those who talk with it. */
#ifndef TERN_TESTS_SOCKET_RIG_H
#define TERN_TESTS_SOCKET_RIG_H

#include "proto/socket.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define PATIENCE_MS 10000 /* what must happen has happened by then */

struct fixture {
    char directory[64], path[96], address[112];
    struct socket *router;
};

struct socket *listen_at(const char *address);
struct socket *connect_to(const char *address);
int set_up(void **state);
int tear_down(void **state);
/* Until there is a connection. */
void send_when_connected(struct socket *s, struct str message);
/* A socket may be called readable and have nothing: so it is asked again until the patience ends. */
int recv_any(struct socket *s, struct frame *ret);
void expect(struct socket *s, const char *text, struct frame *ret);
void expect_and_forget(struct socket *s, const char *text);
/* The ROUTER still serves: a new DEALER is heard and answered. */
void expect_service(struct socket *router, const char *address);
/* A ROUTER on a TCP port that was free a moment ago. */
struct socket *listen_on_tcp(char address[32], uint16_t *ret_port);

#define WITH_ROUTER(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

#endif
