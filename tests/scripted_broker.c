/* scripted_broker.c - a broker for clients that follows a script. */
#include "tests/scripted_broker.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/clock.h"

#define HEARTBEAT_MS 50
#define LOST_AFTER_MS 200

char address[64];

/* ---- the broker's side ----------------------------------------------------------------------- */

void insist(bool good, const char *what)
{
    if (good)
        return;
    dprintf(STDERR_FILENO, "the scripted broker: %s\n", what);
    _exit(1);
}

static void forget(struct fake *b)
{
    if (b->has_message) {
        message_fini(&b->m);
        frame_fini(&b->f);
    }
    b->has_message = false;
}

void answer(struct fake *b, struct message *m)
{
    struct buf out;
    buf_init(&out, LIMIT_MESSAGE_BYTES);
    m->epoch = 1;
    m->session = b->session;
    insist(message_encode(&out, m) >= 0, "cannot encode");
    socket_send_to(b->socket, b->routing_id, buf_str(&out));
    buf_fini(&out);
}

static void answer_beat(struct fake *b)
{
    struct message beat;
    message_init(&beat, MSG_BEAT);
    beat.beat.req = b->m.beat.req;
    answer(b, &beat);
}

void next_or_beat(struct fake *b)
{
    const char *why = "";
    int r;
    forget(b);
    while ((r = socket_recv(b->socket, &b->f)) == -EAGAIN)
        insist(socket_poll(b->socket, NULL, 0, 10000) == 1, "heard nothing for 10 s");
    insist(r >= 0 && message_decode(&b->m, b->f.p, b->f.n, &why) >= 0, why);
    b->has_message = true;
    memcpy(b->routing_id, b->f.routing_id, ROUTING_ID_BYTES);
    if (b->m.type == MSG_BEAT)
        answer_beat(b);
}

void next(struct fake *b)
{
    do
        next_or_beat(b);
    while (b->m.type == MSG_BEAT);
}

void expect(struct fake *b, enum message_type type)
{
    next(b);
    if (b->m.type != type)
        dprintf(STDERR_FILENO, "wanted %s, got %s\n", message_name(type), message_name(b->m.type));
    insist(b->m.type == type, "another message than the script says");
    insist(type == MSG_HELLO || b->m.session == b->session,
           "a session that is not the present one");
}

void send_welcome(struct fake *b)
{
    struct message m;
    b->session++;
    message_init(&m, MSG_WELCOME);
    m.welcome.version = 1;
    m.welcome.heartbeat_ms = b->heartbeat_ms;
    m.welcome.lost_after_ms = b->lost_after_ms;
    m.welcome.max_payload_bytes = 1000;
    m.welcome.submit_jobs = b->submit_jobs;
    answer(b, &m);
}

void welcome(struct fake *b)
{
    expect(b, MSG_HELLO);
    insist(str_is(b->m.hello.role, "client") && b->m.hello.instance.n == 16,
           "HELLO without role or instance");
    insist(!b->session || memcmp(b->instance, b->m.hello.instance.p, 16) == 0,
           "another instance than before");
    memcpy(b->instance, b->m.hello.instance.p, 16);
    send_welcome(b);
}

void hello_again(struct fake *b)
{
    struct message m;
    message_init(&m, MSG_HELLO_AGAIN);
    answer(b, &m);
}

void say_error(struct fake *b, uint64_t code, const char *text)
{
    struct message m;
    message_init(&m, MSG_ERROR);
    m.error.req = b->m.ok.req;
    m.error.code = code;
    m.error.text = str_of(text);
    answer(b, &m);
}

void acknowledge(struct fake *b, uint64_t req, uint64_t seq, uint64_t first_id, uint64_t count)
{
    struct message m;
    message_init(&m, MSG_SUBMITTED);
    m.submitted.req = req;
    m.submitted.seq = seq;
    m.submitted.first_id = first_id;
    m.submitted.count = count;
    answer(b, &m);
}

pid_t start(const char *script)
{
    int ready[2];
    char byte = 0, fd[16];
    assert_int_equal(pipe(ready), 0);
    snprintf(fd, sizeof fd, "%d", ready[1]);
    pid_t pid = fork();
    if (pid == 0) {
        execl("/proc/self/exe", "test_client", script, address, fd, (char *)NULL);
        _exit(127);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

void finish(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- the program anew ------------------------------------------------------------------------ */

static int play(const struct script *scripts, size_t n, const char *script, int ready)
{
    struct fake b = { .heartbeat_ms = HEARTBEAT_MS, .lost_after_ms = LOST_AFTER_MS };
    char byte = 0, *error = NULL;
    alarm(30); /* never outlives a test that has failed */
    insist(socket_listen(&b.socket, address, &error) >= 0, "cannot listen");
    insist(write(ready, &byte, 1) == 1, "cannot say so");
    close(ready);
    for (size_t i = 0; i < n; i++)
        if (strcmp(scripts[i].name, script) == 0)
            scripts[i].fn(&b);
    forget(&b);
    usleep(50000); /* LINGER is 0: what was said last must leave */
    socket_close(b.socket);
    return 0;
}

static int make_address(void **state)
{
    (void)state;
    snprintf(address, sizeof address, "ipc:///tmp/test_client.%d.sock", (int)getpid());
    return 0;
}

static int remove_address(void **state)
{
    (void)state;
    unlink(address + strlen("ipc://"));
    return 0;
}

int scripted_main(int argc, char **argv, const struct script *scripts, size_t n_scripts,
                  const struct CMUnitTest *tests, size_t n_tests)
{
    if (argc == 4) {
        snprintf(address, sizeof address, "%s", argv[2]);
        return play(scripts, n_scripts, argv[1], (int)strtol(argv[3], NULL, 10));
    }
    return _cmocka_run_group_tests("tests", tests, n_tests, make_address, remove_address);
}

/* ---- the client's side ----------------------------------------------------------------------- */

struct tern_client *client(void)
{
    struct tern_client *c = tern_client_new();
    tern_client_set_timeouts(c, 500, 2000);
    assert_int_equal(tern_client_connect(c, address), 0);
    return c;
}

struct tern_job_spec echo(void)
{
    struct tern_job_spec s;
    tern_job_spec_init(&s);
    s.handler = "echo";
    s.payload = "x";
    s.payload_bytes = 1;
    return s;
}
