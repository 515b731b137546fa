/* loop_await.c - waiting for a time or a descriptor. */
#include "worker/loop_await.h"

#include "worker/loop_task.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

static void on_timer(uv_timer_t *h) { loop_task_wake(h->data); }

int loop_await_ms(struct tern_job *j, int64_t ms)
{
    struct loop_task *t = loop_task_of(j);
    int r = loop_task_may_wait(t);
    if (r < 0)
        return r;
    /* The loop's clock stands still within a turn and counts whole milliseconds: both must not make
     * it wake early. */
    uv_update_time(&t->looper->uv);
    uint64_t wait_ms = ms > 0 ? (uint64_t)ms + 1 : 0;
    uv_timer_start(&t->timer, on_timer, wait_ms, 0);
    r = loop_task_wait(t);
    uv_timer_stop(&t->timer);
    return r;
}

/* On the heap, because libuv may look at a handle until it says that it is closed. */
struct watch {
    uv_poll_t poll;
    int fd;              /* owned: a duplicate, so that the handler may close its own when it likes */
    struct loop_task *t; /* borrowed */
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
    loop_task_wake(w->t);
}

static int what_is_ready(int fd, int events)
{
    struct pollfd p = { .fd = fd, .events = (short)events };
    int n = poll(&p, 1, 0);
    return n < 0 ? -errno : p.revents & POLLNVAL ? -EBADF : p.revents;
}

static int watch_open(struct watch **ret, struct loop_task *t, int fd)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (own < 0)
        return -errno;
    struct watch *w = xcalloc(1, sizeof *w);
    *w = (struct watch){ .fd = own, .t = t };
    int r = uv_poll_init(&t->looper->uv, &w->poll, own);
    if (r < 0) {
        close(own);
        free(w);
        return r;
    }
    w->poll.data = w;
    *ret = w;
    return 0;
}

static int wait_ready(struct loop_task *t, struct watch *w, int events)
{
    int uv_events = (events & POLLIN ? UV_READABLE : 0) | (events & POLLOUT ? UV_WRITABLE : 0);
    int ready = 0, r = 0;
    while (r == 0 && ready == 0) {
        r = uv_poll_start(&w->poll, uv_events, on_poll);
        if (r == 0)
            r = loop_task_wait(t);
        ready = what_is_ready(w->fd, events);
    }
    return r < 0 ? r : ready;
}

int loop_await_fd(struct tern_job *j, int fd, int events)
{
    struct loop_task *t = loop_task_of(j);
    struct watch *w = NULL;
    if (!(events & (POLLIN | POLLOUT)))
        return -EINVAL;
    int r = loop_task_may_wait(t);
    if (r == 0)
        r = watch_open(&w, t, fd);
    if (r == -EPERM) /* a file: epoll refuses it, for it is always ready */
        return what_is_ready(fd, events);
    if (r < 0)
        return r;
    r = wait_ready(t, w, events);
    uv_close((uv_handle_t *)&w->poll, on_poll_closed);
    return r;
}
