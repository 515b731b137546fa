/* scripted_broker.h - a broker for clients that follows a script: it is the test's program anew, given the name of its script,
 * and ends with 0 when it heard what that expects. */
#ifndef TERN_TESTS_SCRIPTED_BROKER_H
#define TERN_TESTS_SCRIPTED_BROKER_H

#include "client/libtern.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "proto/message.h"
#include "proto/socket.h"

extern char address[64];

struct fake {
    struct socket *socket;
    char routing_id[ROUTING_ID_BYTES];
    char instance[16];
    uint64_t session;
    uint64_t heartbeat_ms, lost_after_ms; /* that WELCOME tells */
    uint64_t submit_jobs;
    struct frame f;
    struct message m;
    bool has_message;
};

/* Of a script: ends it when it is not so. */
void insist(bool good, const char *what);
void answer(struct fake *b, struct message *m);
/* The next message; a beat is answered. */
void next_or_beat(struct fake *b);
/* The next that is no beat: so long as this runs, the broker is alive. */
void next(struct fake *b);
void expect(struct fake *b, enum message_type type);
void send_welcome(struct fake *b);
void welcome(struct fake *b);
void hello_again(struct fake *b);
void say_error(struct fake *b, uint64_t code, const char *text);
void acknowledge(struct fake *b, uint64_t req, uint64_t seq, uint64_t first_id, uint64_t count);
/* Starts it and waits until it listens. */
pid_t start(const char *script);
/* It has heard all that it expects. */
void finish(pid_t pid);

struct script {
    const char *name;
    void (*fn)(struct fake *b);
};
#define SCRIPT(f) { #f, f }

/* The main of such a test, and of its brokers. */
int scripted_main(int argc, char **argv, const struct script *scripts, size_t n_scripts,
                  const struct CMUnitTest *tests, size_t n_tests);
/* One that is connected. */
struct tern_client *client(void);
struct tern_job_spec echo(void);

#endif
