/* slow-server.c - a small HTTP server for trying things out: answers GET /N after 0.2 to 1 s with the line "item N".
 * Thousands of connections at once on one thread. Prints its port; listens on 127.0.0.1 only; ends when its standard input ends. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

struct visitor {
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_write_t write;
    char request[2048];
    size_t n;
    int handles; /* that are not closed yet */
    char answer[160];
};

static void on_closed(uv_handle_t *h)
{
    struct visitor *v = h->data;
    if (--v->handles == 0)
        free(v);
}

static void leave(struct visitor *v)
{
    if (uv_is_closing((uv_handle_t *)&v->tcp))
        return;
    uv_close((uv_handle_t *)&v->tcp, on_closed);
    uv_close((uv_handle_t *)&v->timer, on_closed);
}

static void on_written(uv_write_t *w, int status)
{
    (void)status;
    leave(w->data);
}

static void on_time(uv_timer_t *t)
{
    struct visitor *v = t->data;
    unsigned long item = 0;
    sscanf(v->request, "GET /%lu ", &item);
    char body[32];
    int n = snprintf(body, sizeof body, "item %lu\n", item);
    int m = snprintf(v->answer, sizeof v->answer,
                     "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", n, body);
    uv_buf_t out = uv_buf_init(v->answer, (unsigned)m);
    v->write.data = v;
    if (uv_write(&v->write, (uv_stream_t *)&v->tcp, &out, 1, on_written) < 0)
        leave(v);
}

static void on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *b)
{
    (void)hint;
    struct visitor *v = h->data;
    *b = uv_buf_init(v->request + v->n, (unsigned)(sizeof v->request - 1 - v->n));
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    (void)b;
    struct visitor *v = s->data;
    if (n < 0) {
        leave(v);
        return;
    }
    v->n += (size_t)n;
    v->request[v->n] = '\0';
    if (!strstr(v->request, "\r\n\r\n"))
        return;
    unsigned long item = 0;
    sscanf(v->request, "GET /%lu ", &item);
    uv_timer_start(&v->timer, on_time, 200 + item * 7919 % 800, 0);
}

static void on_connection(uv_stream_t *server, int status)
{
    struct visitor *v = status < 0 ? NULL : calloc(1, sizeof *v);
    if (!v)
        return;
    v->handles = 2;
    uv_tcp_init(server->loop, &v->tcp);
    uv_timer_init(server->loop, &v->timer);
    v->tcp.data = v->timer.data = v;
    if (uv_accept(server, (uv_stream_t *)&v->tcp) < 0 || uv_read_start((uv_stream_t *)&v->tcp, on_alloc, on_read) < 0)
        leave(v);
}

static void on_input_alloc(uv_handle_t *h, size_t hint, uv_buf_t *b)
{
    static char waste[64];
    (void)h;
    (void)hint;
    *b = uv_buf_init(waste, sizeof waste);
}

static void on_input(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    (void)b;
    if (n < 0)
        uv_stop(s->loop);
}

int main(void)
{
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t server;
    uv_pipe_t input;
    struct sockaddr_in address, bound;
    int n = sizeof bound;
    uv_ip4_addr("127.0.0.1", 0, &address);
    uv_tcp_init(loop, &server);
    uv_pipe_init(loop, &input, 0);
    if (uv_tcp_bind(&server, (const struct sockaddr *)&address, 0) < 0 ||
        uv_listen((uv_stream_t *)&server, 4096, on_connection) < 0 ||
        uv_tcp_getsockname(&server, (struct sockaddr *)&bound, &n) < 0 || uv_pipe_open(&input, 0) < 0 ||
        uv_read_start((uv_stream_t *)&input, on_input_alloc, on_input) < 0) {
        fprintf(stderr, "slow-server: cannot listen on 127.0.0.1, or standard input is no pipe\n");
        return 1;
    }
    printf("%d\n", ntohs(bound.sin_port));
    fflush(stdout);
    return uv_run(loop, UV_RUN_DEFAULT) < 0;
}
