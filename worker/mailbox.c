/* mailbox.c - hands things from many threads to one. */
#include "worker/mailbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

int mailbox_open(struct mailbox *b, bool with_fd)
{
    int fd = with_fd ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
    if (with_fd && fd < 0)
        return -errno;
    *b = (struct mailbox){ .fd = fd };
    return 0;
}

void mailbox_close(struct mailbox *b) { closep(&b->fd); }

static void wake(int fd)
{
    ssize_t n;
    do
        n = write(fd, &(uint64_t){ 1 }, sizeof(uint64_t));
    while (n < 0 && errno == EINTR);
    assert(n > 0 || errno == EAGAIN);
}

bool mailbox_put(struct mailbox *b, struct mail *m)
{
    int fd = b->fd; /* once m is in, its taker may close the box */
    struct mail *top = __atomic_load_n(&b->newest, __ATOMIC_RELAXED);
    do
        m->next = top;
    while (!__atomic_compare_exchange_n(&b->newest, &top, m, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
    if (!top && fd >= 0)
        wake(fd);
    return !top;
}

void mailbox_wake(struct mailbox *b) { wake(b->fd); }

struct mail *mailbox_take_all(struct mailbox *b)
{
    uint64_t ignored;
    if (b->fd >= 0) /* before the exchange: what comes after it wakes anew */
        (void)!read(b->fd, &ignored, sizeof ignored);
    struct mail *m = __atomic_exchange_n(&b->newest, NULL, __ATOMIC_ACQUIRE);
    struct mail *oldest = NULL;
    while (m) {
        struct mail *next = m->next;
        m->next = oldest;
        oldest = m;
        m = next;
    }
    return oldest;
}
