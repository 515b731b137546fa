/* frame.c - messages between the worker and its children. */
#include "worker/frame.h"

#include <sys/socket.h>
#include <unistd.h>

#define FRAME_READ (64u << 10)
#define FRAME_KEEP (256u << 10) /* a buffer that has grown past this is freed when it is empty */

void frames_init(struct frames *f, int fd)
{
    *f = (struct frames){ .fd = fd };
    buf_init(&f->in, LIMIT_MESSAGE_BYTES + FRAME_HEAD + FRAME_READ);
    buf_init(&f->out, SIZE_MAX / 2);
}

void frames_fini(struct frames *f)
{
    closep(&f->fd);
    f->fd = -1;
    buf_fini(&f->in);
    buf_fini(&f->out);
    f->in_at = f->out_at = 0;
}

/* Gives up what has been dealt with. */
static void drop(struct buf *b, size_t *at)
{
    buf_consume(b, *at);
    *at = 0;
    if (!b->n && b->cap > FRAME_KEEP)
        buf_fini(b);
}

/* Of n bytes that have arrived: what was heard before goes. What remains. */
static size_t pass_over(struct frames *f, size_t n)
{
    size_t before = min_size(n, f->heard_ahead), left = n - before;
    if (before && left)
        memmove(f->in.p + f->in.n, f->in.p + f->in.n + before, left);
    f->heard_ahead -= before;
    f->heard += left;
    return left;
}

ssize_t frames_read(struct frames *f, bool wait)
{
    if (f->fd < 0)
        return -ECONNRESET;
    drop(&f->in, &f->in_at);
    int r = buf_reserve(&f->in, FRAME_READ);
    if (r < 0)
        return r;
    ssize_t n = recv(f->fd, f->in.p + f->in.n, min_size(f->in.cap, f->in.max) - f->in.n, wait ? 0 : MSG_DONTWAIT);
    if (n < 0)
        return -errno;
    if (n == 0)
        return -ECONNRESET;
    f->in.n += pass_over(f, (size_t)n);
    return n;
}

ssize_t frames_hear(struct frames *f, const struct ring *ring)
{
    drop(&f->in, &f->in_at);
    ssize_t n = ring_hear(ring, f->heard, &f->in);
    if (n > 0) {
        f->heard += (size_t)n;
        f->heard_ahead += (size_t)n;
    }
    return n;
}

void frames_cut(struct frames *f)
{
    f->heard -= f->in.n - f->in_at;
    f->in.n = f->in_at;
    f->heard_ahead = 0;
}

static size_t length_at(const char *p)
{
    const unsigned char *u = (const void *)p;
    return (size_t)u[0] << 24 | (size_t)u[1] << 16 | (size_t)u[2] << 8 | u[3];
}

size_t frame_bytes(const struct buf *bytes, size_t at)
{
    size_t left = bytes->n - at, n = left < FRAME_HEAD ? SIZE_MAX : length_at(bytes->p + at);
    return n <= left && n + FRAME_HEAD <= left ? n + FRAME_HEAD : 0;
}

int frames_next_bytes(struct frames *f, size_t most, struct str *ret)
{
    size_t left = f->in.n - f->in_at;
    if (left < FRAME_HEAD)
        return 0;
    const char *head = f->in.p + f->in_at;
    size_t n = length_at(head);
    if (n > most)
        return -EBADMSG;
    if (left < FRAME_HEAD + n)
        return 0;
    *ret = (struct str){ head + FRAME_HEAD, n };
    f->in_at += FRAME_HEAD + n;
    return 1;
}

int frames_next(struct frames *f, struct message *ret)
{
    struct str bytes;
    size_t before = f->in_at;
    const char *why;
    int r = frames_next_bytes(f, LIMIT_MESSAGE_BYTES, &bytes);
    if (r <= 0)
        return r;
    if (message_decode(ret, bytes.p, bytes.n, &why) >= 0)
        return 1;
    f->in_at = before;
    return -EBADMSG;
}

/* What encode writes, preceded by its length. */
static int put(struct frames *f, int (*encode)(struct buf *out, const void *what), const void *what)
{
    size_t start = f->out.n;
    int r = buf_add(&f->out, (const char[FRAME_HEAD]){ 0 }, FRAME_HEAD);
    size_t ceiling = f->out.max;
    f->out.max = start + FRAME_HEAD + LIMIT_MESSAGE_BYTES;
    if (r >= 0)
        r = encode(&f->out, what);
    f->out.max = ceiling;
    if (r < 0) {
        f->out.n = start;
        return r;
    }
    size_t n = f->out.n - start - FRAME_HEAD;
    for (size_t i = 0; i < FRAME_HEAD; i++)
        f->out.p[start + i] = (char)(unsigned char)(n >> (24 - 8 * i));
    return 0;
}

static int encode_message(struct buf *out, const void *what) { return message_encode(out, what); }

int frames_put(struct frames *f, const struct message *m) { return put(f, encode_message, m); }

struct any_record {
    enum record_kind kind;
    const void *record;
};

static int encode_record(struct buf *out, const void *what)
{
    const struct any_record *a = what;
    return record_encode(out, a->kind, a->record);
}

int frames_put_record(struct frames *f, enum record_kind kind, const void *record)
{
    return put(f, encode_record, &(struct any_record){ kind, record });
}

void frames_put_frames(struct frames *f, struct frames *from)
{
    if (!frames_to_flush(from))
        return;
    int r = buf_add(&f->out, from->out.p + from->out_at, from->out.n - from->out_at);
    assert(r >= 0); /* it has no limit */
    buf_fini(&from->out);
    from->out_at = 0;
}

int frames_put_run(struct frames *f, const struct run_job *job)
{
    struct message m;
    message_init(&m, MSG_RUN);
    m.run.jobs = (struct run_job *)job;
    m.run.n_jobs = 1;
    return frames_put(f, &m);
}

int frames_put_stop(struct frames *f, uint64_t job, uint64_t attempt)
{
    struct attempt_ref ref = { .job = job, .attempt = attempt };
    struct message m;
    message_init(&m, MSG_STOP);
    m.stop.attempts = &ref;
    m.stop.n_attempts = 1;
    return frames_put(f, &m);
}

static const struct outcome *outcome_of(const struct message *m, bool may_be_lost)
{
    if (m->type != MSG_RESULT || m->result.n_outcomes != 1)
        return NULL;
    const struct outcome *o = m->result.outcomes;
    bool lost = may_be_lost && o->ending == ENDING_LOST && o->reason == REASON_WORKER_LOST;
    bool sane = (lost || (o->ending <= ENDING_FAILED && o->reason <= REASON_HANDLER_ERROR)) &&
                o->result.n <= LIMIT_RESULT_BYTES && o->output.n <= LIMIT_RESULT_BYTES &&
                o->error.n <= LIMIT_TEXT_BYTES && (o->ending != ENDING_DONE || o->reason == REASON_NONE);
    return sane ? o : NULL;
}

const struct outcome *frames_outcome(const struct message *m) { return outcome_of(m, false); }
const struct outcome *frames_outcome_of_many(const struct message *m) { return outcome_of(m, true); }

int frames_flush(struct frames *f, bool wait)
{
    if (f->fd < 0)
        return -ECONNRESET;
    while (f->out_at < f->out.n) {
        ssize_t n = send(f->fd, f->out.p + f->out_at, f->out.n - f->out_at,
                         MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        f->out_at += (size_t)n;
    }
    drop(&f->out, &f->out_at);
    return 0;
}
