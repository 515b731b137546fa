/* loop_await.c - waiting for a time or a descriptor. */
#include "worker/loop_await.h"

#include "worker/loop_task.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

/* Handles are on the heap, because libuv may look at one until it says that it is closed. */

struct nap {
    uv_timer_t timer;
    struct strand *s; /* borrowed */
};

static void on_timer(uv_timer_t *h) { strand_wake(((struct nap *)h->data)->s); }
static void on_timer_closed(uv_handle_t *h) { free(h->data); }

/* Behind all that is ready now. */
static int yield(struct strand *s)
{
    strand_ready(s);
    return strand_wait(s);
}

int loop_await_ms(struct tern_job *j, int64_t ms)
{
    struct strand *s = strand_of(j);
    uv_loop_t *uv = &s->job->looper->uv;
    int r = strand_may_wait(s);
    if (r < 0 || ms <= 0)
        return r < 0 ? r : yield(s);
    struct nap *n = xcalloc(1, sizeof *n);
    n->s = s;
    uv_timer_init(uv, &n->timer);
    n->timer.data = n;
    /* The loop's clock stands still within a turn and counts whole milliseconds: both must not make it wake early. */
    uv_update_time(uv);
    uv_timer_start(&n->timer, on_timer, (uint64_t)ms + 1, 0);
    r = strand_wait(s);
    uv_close((uv_handle_t *)&n->timer, on_timer_closed);
    return r;
}

struct watch {
    uv_poll_t poll;
    int fd;           /* owned: a duplicate, so that the handler may close its own when it likes */
    struct strand *s; /* borrowed */
};

static void on_poll_closed(uv_handle_t *h)
{
    struct watch *w = h->data;
    closep(&w->fd);
    free(w);
}

/* Why it was woken is asked of poll(2), which tells errors apart where libuv does not. */
static void on_poll(uv_poll_t *h, int status, int events)
{
    (void)status, (void)events;
    struct watch *w = h->data;
    uv_poll_stop(h);
    strand_wake(w->s);
}

static int what_is_ready(int fd, int events)
{
    struct pollfd p = { .fd = fd, .events = (short)events };
    int n = poll(&p, 1, 0);
    return n < 0 ? -errno : p.revents & POLLNVAL ? -EBADF : p.revents;
}

static int watch_open(struct watch **ret, struct strand *s, int fd)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (own < 0)
        return -errno;
    struct watch *w = xcalloc(1, sizeof *w);
    *w = (struct watch){ .fd = own, .s = s };
    int r = uv_poll_init(&s->job->looper->uv, &w->poll, own);
    if (r < 0) {
        close(own);
        free(w);
        return r;
    }
    w->poll.data = w;
    *ret = w;
    return 0;
}

static int wait_ready(struct watch *w, int events)
{
    int uv_events = (events & POLLIN ? UV_READABLE : 0) | (events & POLLOUT ? UV_WRITABLE : 0);
    int ready = 0, r = 0;
    while (r == 0 && ready == 0) {
        r = uv_poll_start(&w->poll, uv_events, on_poll);
        if (r == 0)
            r = strand_wait(w->s);
        ready = what_is_ready(w->fd, events);
    }
    return r < 0 ? r : ready;
}

int loop_await_fd(struct tern_job *j, int fd, int events)
{
    struct strand *s = strand_of(j);
    struct watch *w = NULL;
    if (!(events & (POLLIN | POLLOUT)))
        return -EINVAL;
    int r = strand_may_wait(s);
    if (r == 0)
        r = watch_open(&w, s, fd);
    if (r == -EPERM) /* a file: epoll refuses it, for it is always ready */
        return what_is_ready(fd, events);
    if (r < 0)
        return r;
    r = wait_ready(w, events);
    uv_close((uv_handle_t *)&w->poll, on_poll_closed);
    return r;
}
