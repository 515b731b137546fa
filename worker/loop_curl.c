/* loop_curl.c - transfers of libcurl on the loop.
 *
 * curl calls back for sockets to watch and for one timer; nothing of curl may be called from within
 * its callbacks, so they only note, and `go_on` acts after each. Each lookup of a name is a thread
 * of curl's with no bound of its own: transfers wait in line until fewer than so many are still on
 * the way to their first socket, and until there is a connection for them; the time they wait there
 * is not counted as theirs. */
#include "worker/loop_curl.h"

#include "worker/loop_task.h"

#include <sys/resource.h>

#define OPENING_MAX 64u
#define CONNECTIONS_MAX 4096u /* and no more than half of what descriptors allow */
#define IDLE_CONNECTIONS 256L

struct loop_curl {
    struct looper *looper; /* borrowed */
    CURLM *multi;          /* owned */
    uv_timer_t timer;      /* curl's */
    uv_timer_t kick;       /* runs go_on on the loop's own stack, where coroutines can be woken */
    struct link line;      /* transfers that wait to begin */
    size_t n_opening, n_active, max_active;
};

enum transfer_state { TRANSFER_IN_LINE, TRANSFER_OPENING, TRANSFER_OPEN, TRANSFER_DONE };

/* Lives on the stack of its coroutine. */
struct transfer {
    struct link link;
    struct loop_curl *curl;
    struct strand *s;
    CURL *easy;
    enum transfer_state state;
    CURLcode result;
};

struct socket_watch {
    uv_poll_t poll;
    struct loop_curl *curl;
    curl_socket_t fd; /* curl's */
};

static void go_on(struct loop_curl *c);

/* ---- what curl asks for ----------------------------------------------------------------------- */

static void on_socket(uv_poll_t *h, int status, int events)
{
    struct socket_watch *w = h->data;
    struct loop_curl *c = w->curl;
    int running, what = status < 0 ? CURL_CSELECT_ERR : 0;
    what |= events & UV_READABLE ? CURL_CSELECT_IN : 0;
    what |= events & UV_WRITABLE ? CURL_CSELECT_OUT : 0;
    curl_multi_socket_action(c->multi, w->fd, what, &running);
    go_on(c);
}

static void on_timer(uv_timer_t *h)
{
    struct loop_curl *c = h->data;
    int running;
    curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    go_on(c);
}

static void on_watch_closed(uv_handle_t *h) { free(h->data); }

static void forget_socket(struct loop_curl *c, curl_socket_t fd, struct socket_watch *w)
{
    if (!w)
        return;
    curl_multi_assign(c->multi, fd, NULL);
    uv_poll_stop(&w->poll);
    uv_close((uv_handle_t *)&w->poll, on_watch_closed);
}

static struct socket_watch *watch_socket(struct loop_curl *c, curl_socket_t fd)
{
    struct socket_watch *w = xcalloc(1, sizeof *w);
    *w = (struct socket_watch){ .curl = c, .fd = fd };
    if (uv_poll_init(&c->looper->uv, &w->poll, fd) < 0) {
        free(w);
        return NULL;
    }
    w->poll.data = w;
    curl_multi_assign(c->multi, fd, w);
    return w;
}

static int socket_function(CURL *easy, curl_socket_t fd, int what, void *ctx, void *of_socket)
{
    (void)easy;
    struct loop_curl *c = ctx;
    struct socket_watch *w = of_socket;
    if (what == CURL_POLL_REMOVE) {
        forget_socket(c, fd, w);
        return 0;
    }
    w = w ? w : watch_socket(c, fd);
    if (!w)
        return -1;
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    return uv_poll_start(&w->poll, events, on_socket) < 0 ? -1 : 0;
}

/* 0 ms too is only armed: curl would be called from within itself. */
static int timer_function(CURLM *multi, long ms, void *ctx)
{
    (void)multi;
    struct loop_curl *c = ctx;
    if (ms < 0) {
        uv_timer_stop(&c->timer);
        return 0;
    }
    uv_update_time(&c->looper->uv);
    return uv_timer_start(&c->timer, on_timer, (uint64_t)ms, 0) < 0 ? -1 : 0;
}

/* ---- transfers -------------------------------------------------------------------------------- */

static void note_open(struct transfer *x, enum transfer_state state)
{
    x->curl->n_opening -= x->state == TRANSFER_OPENING;
    x->curl->n_active -= state == TRANSFER_DONE;
    x->state = state;
}

static int sockopt_function(void *ctx, curl_socket_t fd, curlsocktype purpose)
{
    (void)fd, (void)purpose;
    note_open(ctx, TRANSFER_OPEN);
    return CURL_SOCKOPT_OK;
}

static int prereq_function(void *ctx, char *ip, char *local_ip, int port, int local_port)
{
    (void)ip, (void)local_ip, (void)port, (void)local_port;
    note_open(ctx, TRANSFER_OPEN);
    return CURL_PREREQFUNC_OK;
}

static void transfer_done(struct transfer *x, CURLcode result)
{
    note_open(x, TRANSFER_DONE);
    x->result = result;
    curl_multi_remove_handle(x->curl->multi, x->easy);
}

static void transfer_begin(struct transfer *x)
{
    x->state = TRANSFER_OPENING;
    x->curl->n_opening++;
    x->curl->n_active++;
    if (curl_multi_add_handle(x->curl->multi, x->easy) == CURLM_OK)
        return;
    note_open(x, TRANSFER_DONE);
    x->result = CURLE_FAILED_INIT;
    strand_wake(x->s);
}

static void take_done(struct loop_curl *c)
{
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(c->multi, &left));) {
        void *of_easy = NULL;
        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &of_easy);
        struct transfer *x = of_easy;
        transfer_done(x, m->data.result);
        strand_wake(x->s);
    }
}

static void begin_next(struct loop_curl *c)
{
    while (c->n_opening < OPENING_MAX && c->n_active < c->max_active) {
        struct link *l = list_pop(&c->line);
        if (!l)
            return;
        transfer_begin(list_entry(l, struct transfer, link));
    }
}

static void go_on(struct loop_curl *c)
{
    take_done(c);
    begin_next(c);
}

static void on_kick(uv_timer_t *h) { go_on(h->data); }

/* From within a coroutine. */
static void kick(struct loop_curl *c) { uv_timer_start(&c->kick, on_kick, 0, 0); }

/* Taken out of wherever it is. */
static void transfer_give_up(struct transfer *x)
{
    list_remove(&x->link);
    if (x->state == TRANSFER_OPENING || x->state == TRANSFER_OPEN)
        transfer_done(x, CURLE_ABORTED_BY_CALLBACK);
    kick(x->curl);
}

/* ---- from outside ----------------------------------------------------------------------------- */

static size_t connections_max(void)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur / 2 >= CONNECTIONS_MAX)
        return CONNECTIONS_MAX;
    return l.rlim_cur / 2;
}

/* Should it fail, no transfer can be made, and each says so. */
void loop_curl_prepare(void) { curl_global_init(CURL_GLOBAL_DEFAULT); }

static struct loop_curl *curl_of(struct looper *l)
{
    if (l->curl)
        return l->curl;
    CURLM *multi = curl_multi_init();
    if (!multi)
        return NULL;
    struct loop_curl *c = xcalloc(1, sizeof *c);
    *c = (struct loop_curl){ .looper = l, .multi = multi, .max_active = connections_max() };
    list_init(&c->line);
    uv_timer_init(&l->uv, &c->timer);
    uv_timer_init(&l->uv, &c->kick);
    c->timer.data = c->kick.data = c;
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, socket_function);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, timer_function);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, c);
    curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)c->max_active);
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, IDLE_CONNECTIONS);
    return l->curl = c;
}

static void transfer_init(struct transfer *x, struct loop_curl *c, struct strand *s, CURL *easy)
{
    *x = (struct transfer){ .curl = c, .s = s, .easy = easy, .state = TRANSFER_IN_LINE };
    list_init(&x->link);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, x);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, sockopt_function);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTDATA, x);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, prereq_function);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, x);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* else giving up waits for the thread that looks up a name */
}

int loop_await_curl(struct tern_job *j, CURL *easy, CURLcode *ret)
{
    struct strand *s = strand_of(j);
    int r = strand_may_wait(s);
    struct loop_curl *c = r == 0 ? curl_of(s->job->looper) : NULL;
    if (r < 0 || !c)
        return r < 0 ? r : -ENOMEM;
    struct transfer x;
    transfer_init(&x, c, s, easy);
    list_add_tail(&c->line, &x.link);
    kick(c);
    while (r == 0 && x.state != TRANSFER_DONE)
        r = strand_wait(s);
    if (x.state != TRANSFER_DONE)
        transfer_give_up(&x);
    if (r == 0)
        *ret = x.result;
    return r;
}

static void on_kick_closed(uv_handle_t *h) { free(h->data); }

static void on_timer_closed(uv_handle_t *h)
{
    struct loop_curl *c = h->data;
    uv_close((uv_handle_t *)&c->kick, on_kick_closed);
}

void loop_curl_close(struct loop_curl *c)
{
    if (!c)
        return;
    curl_multi_cleanup(c->multi);
    uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}
