/* slurp.c - reads files and lines. */
#include "client/slurp.h"

#include <fcntl.h>
#include <unistd.h>

#define READ_BYTES 65536u

/* One read(2). 1: there may be more; 0: the end. */
static int read_some(int fd, struct buf *b, size_t most)
{
    int r = buf_reserve(b, most);
    if (r < 0)
        return r;
    ssize_t n;
    do
        n = read(fd, b->p + b->n, most);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    b->n += (size_t)n;
    return n > 0;
}

/* At the ceiling one byte more decides between all and too much. */
static int read_all(int fd, struct buf *b)
{
    int r = 1;
    while (r > 0 && b->n < b->max)
        r = read_some(fd, b, min_size(READ_BYTES, b->max - b->n));
    char byte;
    return r <= 0 ? r : read(fd, &byte, 1) > 0 ? -EMSGSIZE : 0;
}

int slurp(const char *path, struct buf *out, char **ret_error)
{
    bool in = strcmp(path, "-") == 0;
    cleanup(closep) int fd = in ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    int r = fd < 0 ? -errno : read_all(fd, out);
    if (r == -EMSGSIZE)
        *ret_error = xasprintf("%s: more than %zu bytes, which is more than a job can carry",
                               in ? "standard input" : path, out->max);
    else if (r < 0)
        *ret_error = xasprintf("%s: %s", in ? "standard input" : path, strerror(-r));
    return r;
}

void lines_init(struct lines *l, int fd)
{
    *l = (struct lines){ .fd = fd };
    buf_init(&l->b, LINE_BYTES_MAX + READ_BYTES);
}

void lines_fini(struct lines *l) { buf_fini(&l->b); }

static int hand_out(struct lines *l, size_t n, size_t with_newline, struct str *ret)
{
    l->number++;
    if (n > LINE_BYTES_MAX)
        return -EMSGSIZE;
    *ret = (struct str){ l->b.p + l->taken, n };
    l->taken += with_newline;
    return 1;
}

int lines_next(struct lines *l, struct str *ret)
{
    size_t n = l->b.n - l->taken;
    const char *begin = n ? l->b.p + l->taken : "", *newline = memchr(begin, '\n', n);
    if (newline)
        return hand_out(l, (size_t)(newline - begin), (size_t)(newline - begin) + 1, ret);
    if (n > LINE_BYTES_MAX || (l->ended && n))
        return hand_out(l, n, n, ret);
    return l->ended ? 0 : -EAGAIN;
}

int lines_fill(struct lines *l)
{
    buf_consume(&l->b, l->taken);
    l->taken = 0;
    int r = read_some(l->fd, &l->b, min_size(READ_BYTES, l->b.max - l->b.n));
    if (r == 0)
        l->ended = true;
    return r < 0 ? r : 0;
}
