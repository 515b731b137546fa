/* child_ask.c - a handler in a child asks something of the broker, and waits for the answer; or says how far it is.
 *
 * What it was given points into the frames that have come: so what comes while it waits for its answer is kept aside, and goes
 * behind them when it has returned. */
#include "worker/child_state.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include "worker/asks.h"
#include "worker/call.h"

static struct child *asks_for;

void child_ask_init(struct child *c)
{
    buf_init(&c->aside, SIZE_MAX / 2);
    asks_for = c;
}

static void set_aside(struct child *c)
{
    struct frames *f = &c->frames;
    buf_add(&c->aside, f->in.p + f->in_at, f->in.n - f->in_at);
    f->in.n = f->in_at;
}

void child_put_back(struct child *c)
{
    buf_add(&c->frames.in, c->aside.p, c->aside.n);
    buf_clear(&c->aside);
}

/* Takes the answer out of what is aside, if it is there. */
static bool take_answer(struct child *c, uint64_t req, struct buf *ret)
{
    bool found = false;
    for (size_t at = 0, n; !found && (n = frame_bytes(&c->aside, at)); at += n) {
        struct message m;
        const char *why;
        struct str body = { c->aside.p + at + FRAME_HEAD, n - FRAME_HEAD };
        if (message_decode(&m, body.p, body.n, &why) < 0)
            child_leave(EXIT_FAILURE);
        found = answer_is(&m) && answer_req(&m) == req;
        message_fini(&m);
        if (!found)
            continue;
        buf_add(ret, body.p, body.n);
        memmove(c->aside.p + at, c->aside.p + at + n, c->aside.n - at - n);
        c->aside.n -= n;
    }
    return found;
}

/* False: told to stop. */
static bool wait_readable(struct child *c)
{
    sigset_t term, before;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, &before);
    struct pollfd p = { .fd = c->frames.fd, .events = POLLIN };
    while (!child_is_told() && ppoll(&p, 1, NULL, &before) < 0 && errno == EINTR)
        ;
    sigprocmask(SIG_SETMASK, &before, NULL);
    return !child_is_told();
}

static void read_aside(struct child *c)
{
    char bytes[16384];
    ssize_t n = recv(c->frames.fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n > 0)
        buf_add(&c->aside, bytes, (size_t)n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        child_leave(EXIT_SUCCESS);
}

int child_ask(struct tern_job *j, struct buf *request, struct buf *ret)
{
    struct child *c = asks_for;
    struct message m;
    const char *why;
    int r = message_decode(&m, request->p, request->n, &why);
    assert(r >= 0); /* it was encoded here */
    uint64_t req = ask_req(&m);
    child_say(c, &m);
    message_fini(&m);
    buf_fini(request);
    child_flush(c, true);
    set_aside(c);
    while (!take_answer(c, req, ret)) {
        if (tern_should_stop(j) || !wait_readable(c))
            return -ECANCELED;
        read_aside(c);
    }
    return 0;
}

void child_report(struct tern_job *j)
{
    struct message m;
    struct attempt_progress p;
    call_progress(j, &p);
    message_init(&m, MSG_PROGRESS);
    m.progress.attempts = &p;
    m.progress.n_attempts = 1;
    child_say(asks_for, &m);
    child_flush(asks_for, true);
}
