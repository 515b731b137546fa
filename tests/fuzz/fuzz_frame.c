/* fuzz_frame.c - any bytes from a child, in pieces of any size: whole messages come out of them as they would in one piece,
 * and what came out goes in again. */
#include <sys/socket.h>
#include <unistd.h>

#include "worker/frame.h"

#define PIECE_MAX 60000u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

struct heard {
    size_t messages, outcomes;
    bool broken;
};

static void check_again(const struct message *m, struct frames *again)
{
    struct buf b;
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    int r = message_encode(&b, m);
    assert(r == 0);
    size_t before = again->out.n;
    r = frames_put(again, m);
    assert(r == 0 && again->out.n == before + 4 + b.n);
    buf_fini(&b);
}

static void check_outcome(const struct message *m, struct heard *h)
{
    const struct outcome *o = frames_outcome(m);
    if (!o)
        return;
    h->outcomes++;
    assert(o->ending <= ENDING_FAILED && o->result.n <= LIMIT_RESULT_BYTES && o->error.n <= LIMIT_TEXT_BYTES);
}

static void take_all(struct frames *f, struct frames *again, struct heard *h)
{
    struct message m;
    int r;
    while ((r = frames_next(f, &m)) > 0) {
        h->messages++;
        check_outcome(&m, h);
        check_again(&m, again);
        message_fini(&m);
    }
    assert(r == 0 || r == -EBADMSG);
    h->broken = r < 0;
}

static void write_all(int fd, const uint8_t *p, size_t n)
{
    ssize_t wrote = send(fd, p, n, 0);
    assert(wrote == (ssize_t)n);
}

/* In pieces of at most this many bytes. */
static struct heard run(const uint8_t *bytes, size_t n, size_t piece)
{
    struct heard h = { 0 };
    struct frames f, again;
    int fds[2];
    int r = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds);
    assert(r == 0);
    frames_init(&f, fds[0]);
    frames_init(&again, -1);
    for (size_t at = 0; at < n && !h.broken; at += piece) {
        size_t now = min_size(piece, n - at);
        write_all(fds[1], bytes + at, now);
        ssize_t got = frames_read(&f, false);
        assert(got == (ssize_t)now);
        take_all(&f, &again, &h);
    }
    close(fds[1]);
    if (!h.broken) {
        ssize_t got = frames_read(&f, true);
        assert(got == -ECONNRESET);
    }
    frames_fini(&f);
    frames_fini(&again);
    return h;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (n < 1 || n > PIECE_MAX)
        return 0;
    struct heard whole = run(bytes + 1, n - 1, PIECE_MAX), pieces = run(bytes + 1, n - 1, 1u + bytes[0]);
    assert(whole.messages == pieces.messages && whole.outcomes == pieces.outcomes && whole.broken == pieces.broken);
    return 0;
}
