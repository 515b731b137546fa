/* test_handler_http.c - `http` in a thread and on the loop, against a server of its own. */
#include "worker/handlers.h"

#include "tests/calling.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- a server that answers as its path says --------------------------------------------------- */

struct peer {
    int fd;
    char head[4096];
    size_t n;
    int64_t answer_at_ms; /* NEVER: still reading */
};

#define PEERS 4096

static struct server {
    pthread_t thread;
    int fd, stop[2];
    int port;
    struct peer peers[PEERS];
    size_t n, most;
} server;

static void say(int fd, int status, const char *more_head, const char *body, size_t n)
{
    dprintf(fd, "HTTP/1.1 %d Whatever\r\nContent-Length: %zu\r\nConnection: close\r\n%s\r\n", status, n, more_head);
    while (n > 0) {
        ssize_t sent = send(fd, body, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        body += sent;
        n -= (size_t)sent;
    }
}

static void say_text(int fd, int status, const char *text) { say(fd, status, "", text, strlen(text)); }

static void say_redirect(int fd, const char *to)
{
    char head[600];
    snprintf(head, sizeof head, "Location: %s\r\n", to);
    say(fd, 302, head, "moved", 5);
}

static void answer(struct peer *p)
{
    char path[512] = "", to[64];
    static char big[(1 << 20) + 1];
    int n = 0;
    sscanf(p->head, "%*s %511s", path);
    fcntl(p->fd, F_SETFL, 0);
    if (sscanf(path, "/status/%d", &n) == 1) {
        say_text(p->fd, n, "what it says");
    } else if (sscanf(path, "/redirect/%d", &n) == 1) {
        snprintf(to, sizeof to, n > 0 ? "/redirect/%d" : "/hello", n - 1);
        say_redirect(p->fd, to);
    } else if (strncmp(path, "/to/", 4) == 0) {
        say_redirect(p->fd, path + 4);
    } else if (strcmp(path, "/large") == 0) {
        say(p->fd, 200, "", big, sizeof big);
    } else if (strcmp(path, "/request") == 0) {
        say(p->fd, 200, "", p->head, p->n);
    } else if (strcmp(path, "/hang-up") != 0) {
        say_text(p->fd, 200, path);
    }
    close(p->fd);
}

static int64_t delay_of(const char *head)
{
    int ms = 0;
    return sscanf(head, "%*s /slow/%d", &ms) == 1 ? ms : 0;
}

static void on_peer(struct peer *p)
{
    ssize_t n = read(p->fd, p->head + p->n, sizeof p->head - 1 - p->n);
    p->n += n > 0 ? (size_t)n : 0;
    p->head[p->n] = '\0';
    const char *end = strstr(p->head, "\r\n\r\n"), *length = strcasestr(p->head, "content-length:");
    size_t body = length ? strtoul(length + 15, NULL, 10) : 0;
    if (n <= 0 || (end && p->n >= (size_t)(end + 4 - p->head) + body))
        p->answer_at_ms = now_ms() + delay_of(p->head);
}

static void accept_all(void)
{
    int fd;
    while (server.n < PEERS && (fd = accept4(server.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
        server.peers[server.n++] = (struct peer){ .fd = fd, .answer_at_ms = NEVER };
        server.most = server.n > server.most ? server.n : server.most;
    }
}

static void serve_due(void)
{
    int64_t now = now_ms();
    for (size_t i = 0; i < server.n;) {
        if (server.peers[i].answer_at_ms > now) {
            i++;
            continue;
        }
        answer(&server.peers[i]);
        server.peers[i] = server.peers[--server.n];
    }
}

static void *serve(void *arg)
{
    static struct pollfd fds[PEERS + 2];
    for (;;) {
        fds[0] = (struct pollfd){ .fd = server.stop[0], .events = POLLIN };
        fds[1] = (struct pollfd){ .fd = server.fd, .events = POLLIN };
        for (size_t i = 0; i < server.n; i++)
            fds[i + 2] = (struct pollfd){ .fd = server.peers[i].answer_at_ms == NEVER ? server.peers[i].fd : -1,
                                          .events = POLLIN };
        size_t n = server.n;
        poll(fds, n + 2, 5);
        if (fds[0].revents)
            return arg;
        for (size_t i = 0; i < n; i++)
            if (fds[i + 2].revents)
                on_peer(&server.peers[i]);
        serve_due();
        accept_all();
    }
}

static int start_server(void **state)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof a;
    (void)state;
    server.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (bind(server.fd, (struct sockaddr *)&a, n) < 0 || listen(server.fd, PEERS) < 0 ||
        getsockname(server.fd, (struct sockaddr *)&a, &n) < 0 || pipe2(server.stop, O_CLOEXEC) < 0)
        return -1;
    server.port = ntohs(a.sin_port);
    return pthread_create(&server.thread, NULL, serve, NULL);
}

static int stop_server(void **state)
{
    (void)state;
    if (write(server.stop[1], "x", 1) != 1 || pthread_join(server.thread, NULL) != 0)
        return -1;
    while (server.n > 0)
        close(server.peers[--server.n].fd);
    close(server.fd);
    close(server.stop[0]);
    close(server.stop[1]);
    server.most = 0;
    return 0;
}

/* ---- http ------------------------------------------------------------------------------------- */

struct request {
    const char *payload; /* %d: the server's port */
    enum ending ending;
    bool for_good;
    const char *result;  /* begins so; NULL: whatever */
    const char *error;   /* stands in it; NULL: whatever */
};

static const struct request requests[] = {
    { "http://127.0.0.1:%d/hello", ENDING_DONE, false, "/hello", NULL },
    { "  http://127.0.0.1:%d/hello\n", ENDING_DONE, false, "/hello", NULL },
    { "{\"url\": \"http://127.0.0.1:%d/hello\"}", ENDING_DONE, false, "/hello", NULL },
    { "{\"url\": \"http://127.0.0.1:%d/request\", \"method\": \"PUT\", \"body\": \"b\\u0000dy\", \"headers\": {\"X-A\": \"1\"}}",
      ENDING_DONE, false, "PUT /request HTTP/1.1\r\n", NULL },
    { "{\"url\": \"http://127.0.0.1:%d/request\", \"body\": \"x=1\"}", ENDING_DONE, false, "POST /request HTTP/1.1\r\n", NULL },
    { "{\"url\": \"http://127.0.0.1:%d/request\", \"method\": \"DELETE\"}", ENDING_DONE, false, "DELETE /request", NULL },
    { "{\"url\": \"http://127.0.0.1:%d/hello\", \"method\": \"HEAD\"}", ENDING_DONE, false, "", NULL },
    { "http://127.0.0.1:%d/status/204", ENDING_DONE, false, "", NULL },
    { "http://127.0.0.1:%d/status/404", ENDING_FAILED, true, "what it says", "404" },
    { "http://127.0.0.1:%d/status/408", ENDING_FAILED, false, NULL, "408" },
    { "http://127.0.0.1:%d/status/429", ENDING_FAILED, false, NULL, "429" },
    { "http://127.0.0.1:%d/status/500", ENDING_FAILED, false, NULL, "500" },
    { "http://127.0.0.1:%d/status/503", ENDING_FAILED, false, NULL, "503" },
    { "http://127.0.0.1:%d/hang-up", ENDING_FAILED, false, NULL, NULL },
    { "http://127.0.0.1:1/", ENDING_FAILED, false, NULL, NULL }, /* nobody listens */
    { "http://127.0.0.1:%d/redirect/9", ENDING_DONE, false, "/hello", NULL },
    { "http://127.0.0.1:%d/redirect/10", ENDING_FAILED, true, NULL, "redirects" },
    { "http://127.0.0.1:%d/to/file:///etc/passwd", ENDING_FAILED, true, NULL, NULL },
    { "http://127.0.0.1:%d/to/http://169.254.169.254/", ENDING_FAILED, true, NULL, "169.254.169.254" },
    { "http://127.0.0.1:%d/large", ENDING_FAILED, true, NULL, "larger" },
    { "{\"url\": \"http://127.0.0.1:%d/slow/5000\", \"timeout\": \"200ms\"}", ENDING_FAILED, false, NULL, "timed out" },
    { "{\"url\": \"http://127.0.0.1:%d/slow/5000\", \"timeout\": 0.2}", ENDING_FAILED, false, NULL, "timed out" },
    { "http://169.254.169.254/latest", ENDING_FAILED, true, NULL, "--http-allow link-local" },
    { "http://[fe80::1]/", ENDING_FAILED, true, NULL, "--http-allow link-local" },
    { "http://[::ffff:169.254.169.254]/", ENDING_FAILED, true, NULL, "--http-allow link-local" },
    { "", ENDING_FAILED, true, NULL, "no URL" },
    { "ftp://127.0.0.1/", ENDING_FAILED, true, NULL, "no URL" },
    { "file:///etc/passwd", ENDING_FAILED, true, NULL, "no URL" },
    { "http://127.0.0.1:%d/a b", ENDING_FAILED, true, NULL, "space" },
    { "http://", ENDING_FAILED, true, NULL, NULL },
    { "{", ENDING_FAILED, true, NULL, "JSON" },
    { "{}", ENDING_FAILED, true, NULL, "url" },
    { "{\"url\": 5}", ENDING_FAILED, true, NULL, "url" },
    { "{\"url\": \"http://a/\", \"uri\": 1}", ENDING_FAILED, true, NULL, "`uri`" },
    { "{\"url\": \"http://a/\", \"method\": \"GET /\\r\\n\"}", ENDING_FAILED, true, NULL, "method" },
    { "{\"url\": \"http://a/\", \"headers\": {\"A\": \"b\\r\\nC: d\"}}", ENDING_FAILED, true, NULL, "header" },
    { "{\"url\": \"http://a/\", \"headers\": {\"A b\": \"c\"}}", ENDING_FAILED, true, NULL, "header" },
    { "{\"url\": \"http://a/\", \"headers\": [1]}", ENDING_FAILED, true, NULL, "headers" },
    { "{\"url\": \"http://a/\", \"timeout\": -1}", ENDING_FAILED, true, NULL, "timeout" },
    { "{\"url\": \"http://a/\", \"timeout\": \"soon\"}", ENDING_FAILED, true, NULL, "timeout" },
    { "{\"url\": \"http://a/\", \"body\": {}}", ENDING_FAILED, true, NULL, "body" },
    { "{\"url\": \"http://a/\", \"url\": \"http://b/\"}", ENDING_FAILED, true, NULL, "JSON" },
    { "{\"body\": [[[[[[[[[[[[]]]]]]]]]]]]}", ENDING_FAILED, true, NULL, "levels" },
};

static char *payload_of(const struct request *q)
{
    const char *at = strstr(q->payload, "%d");
    if (!at)
        return xstrdup(q->payload);
    return xasprintf("%.*s%d%s", (int)(at - q->payload), q->payload, server.port, at + 2);
}

static void assert_as_expected(const struct request *q, const struct outcome *o)
{
    cleanup(freep) char *error = xstrndup(o->error);
    if (o->ending != q->ending || (o->ending == ENDING_FAILED && o->for_good != q->for_good))
        print_error("%s: %s, %s\n", q->payload, ending_name((int64_t)o->ending), error ? error : "");
    assert_int_equal(o->ending, q->ending);
    assert_int_equal(o->for_good, q->for_good);
    if (q->result) {
        assert_non_null(o->result.p);
        assert_true(o->result.n >= strlen(q->result));
        assert_memory_equal(o->result.p, q->result, strlen(q->result));
    }
    if (q->error && !strstr(error, q->error))
        fail_msg("%s: %s", q->payload, error);
}

static void http_in_a_thread(void **state)
{
    (void)state;
    for (size_t i = 0; i < ELEMENTS(requests); i++) {
        cleanup(freep) char *payload = payload_of(&requests[i]);
        struct called *c = call("http", str_of(payload));
        assert_as_expected(&requests[i], &c->outcome);
        called_free(c);
    }
}

static void http_on_the_loop(void **state)
{
    (void)state;
    struct looped *l = looped_new(100);
    for (size_t i = 0; i < ELEMENTS(requests); i++) {
        cleanup(freep) char *payload = payload_of(&requests[i]);
        looped_give(l, i, "http", payload);
    }
    looped_finish(l, ELEMENTS(requests));
    list_each(k, &l->finished) {
        const struct run *r = list_entry(k, const struct run, link);
        assert_as_expected(&requests[r->job.job], &r->outcome);
    }
    looped_free(l);
}

static void http_refuses_what_is_not_allowed(void **state)
{
    static const char *const urls[] = { "http://127.0.0.1:%d/", "http://localhost:%d/", "http://127.1:%d/",
                                        "http://2130706433:%d/", "http://0.0.0.0:%d/", "http://[::1]:%d/",
                                        "http://[::ffff:127.0.0.1]:%d/", "http://[::]:%d/" };
    (void)state;
    assert_int_equal(handlers_allow_http("loopback,everything"), -EINVAL);
    assert_int_equal(handlers_allow_http(""), 0);
    for (size_t i = 0; i < ELEMENTS(urls); i++) {
        struct request q = { urls[i], ENDING_FAILED, true, NULL, "--http-allow loopback" };
        cleanup(freep) char *payload = payload_of(&q);
        struct called *c = call("http", str_of(payload));
        assert_as_expected(&q, &c->outcome);
        called_free(c);
    }
    assert_int_equal(handlers_allow_http("loopback"), 0);
}

static void http_hears_that_it_should_stop(void **state)
{
    (void)state;
    cleanup(freep) char *url = xasprintf("http://127.0.0.1:%d/slow/30000", server.port);
    struct called *c = call_job(job_of("http", str_of(url)), true);
    assert_int_equal(c->outcome.ending, ENDING_FAILED);
    assert_int_equal(c->outcome.for_good, 0);
    assert_in_range(c->outcome.wall_us, 0, 5000000);
    called_free(c);
    struct looped *l = looped_new(100);
    for (uint64_t i = 1; i <= 100; i++)
        looped_give(l, i, "http", url);
    for (int i = 0; i < 10; i++)
        looped_turn(l);
    int64_t from_ms = now_ms();
    for (uint64_t i = 1; i <= 99; i++)
        pool_stop(l->pool, i, 1, REASON_CANCELLED, 5000, clock_now());
    looped_finish(l, 99);
    assert_in_range(now_ms() - from_ms, 0, 4000);
    list_each(k, &l->finished)
        assert_int_equal(list_entry(k, const struct run, link)->outcome.ending, ENDING_CANCELLED);
    looped_free(l); /* one is still on its way */
}

/* Both ends are in this process. */
static size_t many(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
#if defined(__SANITIZE_THREAD__)
    return 500;
#else
    return limit.rlim_cur >= 5000 ? 2000 : 300;
#endif
}

static void http_makes_two_thousand_requests_at_once(void **state)
{
    (void)state;
    size_t n = many();
    struct looped *l = looped_new(n);
    int64_t from_ms = now_ms();
    for (size_t i = 0; i < n; i++) {
        cleanup(freep) char *url = xasprintf("http://127.0.0.1:%d/slow/%d", server.port, 500 + (int)i % 500);
        looped_give(l, i, "http", url);
    }
    looped_finish(l, n);
    print_message("%zu requests took %d ms, %zu at once\n", n, (int)(now_ms() - from_ms), server.most);
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
    assert_in_range(server.most, n / 2, n);
#endif
    list_each(k, &l->finished) {
        const struct run *r = list_entry(k, const struct run, link);
        char path[32];
        snprintf(path, sizeof path, "/slow/%d", 500 + (int)r->job.job % 500);
        assert_int_equal(r->outcome.ending, ENDING_DONE);
        assert_bytes(r->outcome.result, path);
    }
    looped_free(l);
}

/* ---- awaited by another handler ---------------------------------------------------------------- */

static int asks(struct tern_job *job)
{
    static const char *const headers[] = { "X-Colour: red", "X-None:", NULL }, *const bad[] = { "no header", NULL };
    struct tern_reply reply;
    size_t n;
    cleanup(freep) char *base = xstrndup((struct str){ tern_payload(job, &n), n });
    cleanup(freep) char *status = xasprintf("%s/status/500", base), *request = xasprintf("%s/request", base),
                        *large = xasprintf("%s/large", base), *none = xasprintf("%s/hang-up", base);
    struct tern_http asked = { .url = request, .headers = headers, .body = "body", .body_bytes = 4 };
    int wrong = 0;
    wrong |= (tern_await_http(job, &(struct tern_http){ .url = status }, &reply) || reply.status != 500 ||
              strcmp(reply.bytes, "what it says") != 0) << 0;
    tern_reply_free(&reply);
    wrong |= (tern_await_http(job, &asked, &reply) || reply.status != 200 || !strstr(reply.bytes, "X-Colour: red\r\n") ||
              !strstr(reply.bytes, "X-None:") || strncmp(reply.bytes, "POST ", 5) != 0) << 1;
    tern_reply_free(&reply);
    wrong |= (tern_await_http(job, &(struct tern_http){ .url = large }, &reply) != -EIO ||
              !strstr(reply.error, "larger than 1048576")) << 2;
    tern_reply_free(&reply);
    wrong |= (tern_await_http(job, &(struct tern_http){ .url = large, .max_bytes = 2 << 20 }, &reply) ||
              reply.n != (1 << 20) + 1) << 3;
    tern_reply_free(&reply);
    wrong |= (tern_await_http(job, &(struct tern_http){ .url = none }, &reply) != -EIO || !reply.error) << 4;
    tern_reply_free(&reply);
    wrong |= (tern_await_http(job, &(struct tern_http){ .url = "file:///etc/passwd" }, &reply) != -EINVAL || !reply.error) << 5;
    tern_reply_free(&reply);
    wrong |= (tern_await_http(job, &(struct tern_http){ .url = request, .headers = bad }, &reply) != -EINVAL || !reply.error) << 6;
    tern_reply_free(&reply);
    wrong |= (tern_await_http(job, &(struct tern_http){ 0 }, &reply) != -EINVAL) << 7;
    tern_reply_free(&reply);
    wrong |= (tern_await_http(job, &(struct tern_http){ .url = "http://169.254.1.1/" }, &reply) != -EIO ||
              !strstr(reply.error, "--http-allow link-local")) << 8;
    tern_reply_free(&reply);
    return wrong ? tern_fail(job, "wrong: %x", wrong) : 0;
}

static int asks_for_ever(struct tern_job *job)
{
    struct tern_reply reply;
    size_t n;
    cleanup(freep) char *url = xstrndup((struct str){ tern_payload(job, &n), n });
    int r = tern_await_http(job, &(struct tern_http){ .url = url }, &reply);
    tern_reply_free(&reply);
    return r == -ECANCELED ? r : tern_fail(job, "it returned %d", r);
}

static void a_handler_of_ones_own_awaits_requests(void **state)
{
    static const struct tern_handler own = { .name = "asks", .async = asks }, ever = { .name = "ever", .async = asks_for_ever };
    static const struct tern_handler *const all[] = { &own, &ever, NULL };
    char *error = NULL;
    (void)state;
    assert_int_equal(handlers_init_from(all, NULL, true, &error), 0);
    struct looped *l = looped_new(10);
    cleanup(freep) char *base = xasprintf("http://127.0.0.1:%d", server.port), *slow = xasprintf("%s/slow/60000", base);
    looped_give(l, 1, "asks", base);
    looped_give(l, 2, "ever", slow);
    looped_finish(l, 1);
    const struct outcome *o = &list_entry(l->finished.prev, const struct run, link)->outcome;
    if (o->ending != ENDING_DONE)
        print_error("%.*s\n", (int)o->error.n, o->error.p);
    assert_int_equal(o->ending, ENDING_DONE);
    pool_stop(l->pool, 2, 1, REASON_CANCELLED, 5000, clock_now());
    looped_finish(l, 2);
    assert_int_equal(list_entry(l->finished.prev, const struct run, link)->outcome.ending, ENDING_CANCELLED);
    looped_free(l);
    assert_int_equal(handlers_init(NULL, true, &error), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(http_in_a_thread, start_server, stop_server),
        cmocka_unit_test_setup_teardown(http_on_the_loop, start_server, stop_server),
        cmocka_unit_test_setup_teardown(http_refuses_what_is_not_allowed, start_server, stop_server),
        cmocka_unit_test_setup_teardown(http_hears_that_it_should_stop, start_server, stop_server),
        cmocka_unit_test_setup_teardown(http_makes_two_thousand_requests_at_once, start_server, stop_server),
        cmocka_unit_test_setup_teardown(a_handler_of_ones_own_awaits_requests, start_server, stop_server),
    };
    char *error = NULL;
    if (handlers_init(NULL, true, &error) < 0 || handlers_allow_http("loopback") < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
