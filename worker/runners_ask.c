/* runners_ask.c - at the worker's start each runner is asked once which handlers it has. */
#include "worker/runners.h"

#include <poll.h>

#include "proto/base/log.h"
#include "proto/name.h"
#include "worker/frame.h"
#include "worker/handlers.h"
#include "worker/zygote.h"

#define ASK_MS 10000

struct asked {
    struct runner *runner; /* borrowed */
    size_t number;
    uint64_t child;
    struct frames frames;
    bool waits; /* for its answer */
};

static void refuse(struct asked *a, const char *why)
{
    log_error("event=runner-refused runner=%s text=\"%s\"", a->runner->name, why);
    a->waits = false;
}

/* Why a handler cannot be; NULL: it can. Owned by the caller. */
static char *check(const struct handler_info *h)
{
    const char *bad = name_check(h->name, "handler");
    if (bad)
        return xstrdup(bad);
    if (!h->forms || h->forms & ~(uint64_t)(FORM_BLOCKING | FORM_ASYNC))
        return xasprintf("handler %.*s: its forms must be 1 (blocking), 2 (async) or 3 (both)", (int)h->name.n, h->name.p);
    if (h->tag != UNSET && (h->tag < TAG_AUTO || h->tag > TAG_SLOW_IO))
        return xasprintf("handler %.*s: there is no tag %lld", (int)h->name.n, h->name.p, (long long)h->tag);
    if ((h->retries != UNSET && h->retries < 0) || (h->timeout_ms != UNSET && h->timeout_ms <= 0))
        return xasprintf("handler %.*s: its retries or its time limit are below 0", (int)h->name.n, h->name.p);
    return NULL;
}

static void add(const struct asked *a, const struct handler_info *from, size_t *n_added)
{
    struct handler_info h = *from;
    cleanup(freep) char *why = check(&h);
    h.tag = or_default(h.tag, TAG_AUTO);
    h.retries = or_default(h.retries, 0);
    h.thread_safe = h.thread_safe != 0;
    int r = why ? -EINVAL : handlers_add(&h, a->number);
    if (r == -EEXIST)
        why = xasprintf("handler %.*s: there is one of this name already", (int)h.name.n, h.name.p);
    *n_added += r > 0;
    if (why)
        log_error("event=handler-refused runner=%s text=\"%s\"", a->runner->name, why);
}

static void on_handlers(struct asked *a, const struct msg_hello *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n_handlers; i++)
        add(a, &m->handlers[i], &n);
    a->runner->room = m->n_pools && m->pools[0].slots ? (size_t)min_i64((int64_t)m->pools[0].slots, LIMIT_SLOTS) : 1;
    a->waits = false;
    log_info("event=runner runner=%s software=\"%.*s\" handlers=%zu room=%zu", a->runner->name,
             (int)min_size(m->software.n, LIMIT_TEXT_BYTES), m->software.p ? m->software.p : "", n, a->runner->room);
    if (!n)
        refuse(a, "it has no handler");
}

static void on_frame(struct asked *a, const struct message *m)
{
    if (m->type == MSG_HELLO) {
        on_handlers(a, &m->hello);
    } else {
        cleanup(freep) char *text = xstrndup(m->type == MSG_ERROR && m->error.text.p ? m->error.text : str_of("?"));
        refuse(a, text);
    }
}

static void hear(struct asked *a)
{
    struct message m;
    ssize_t n = frames_read(&a->frames, false);
    if (n == -EAGAIN || n == -EINTR)
        return;
    int r = n > 0 ? frames_next(&a->frames, &m) : -ECONNRESET;
    if (r > 0) {
        on_frame(a, &m);
        message_fini(&m);
    } else if (r < 0) {
        refuse(a, "it ended before it told what it has");
    }
}

static void never(void *ctx, const struct child_ended *e, struct now now) { (void)ctx, (void)e, (void)now; }

static void ask(struct zygote *z, struct asked *a)
{
    int fd;
    int r = zygote_fork(z, &(struct child_role){ 1, a->number, UNSET }, never, NULL, &a->child, &fd);
    frames_init(&a->frames, r < 0 ? -1 : fd);
    if (r < 0)
        refuse(a, strerror(-r));
}

static bool wait_for_some(struct asked *asked, size_t n, int64_t until_ms)
{
    struct pollfd fds[LIMIT_RUNNERS];
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        fds[i] = (struct pollfd){ asked[i].waits ? asked[i].frames.fd : -1, POLLIN, 0 };
        any |= asked[i].waits;
    }
    int64_t left_ms = until_ms - clock_now().mono_ms;
    if (!any || left_ms <= 0)
        return false;
    poll(fds, n, (int)left_ms);
    for (size_t i = 0; i < n; i++)
        if (fds[i].revents)
            hear(&asked[i]);
    return true;
}

void runners_ask(struct zygote *z)
{
    struct asked asked[LIMIT_RUNNERS];
    size_t n = runners_count();
    int64_t until_ms = clock_now().mono_ms + ASK_MS;
    for (size_t i = 0; i < n; i++) {
        asked[i] = (struct asked){ .runner = runners_get(i + 1), .number = i + 1, .waits = true };
        ask(z, &asked[i]);
    }
    while (wait_for_some(asked, n, until_ms))
        ;
    for (size_t i = 0; i < n; i++) {
        if (asked[i].waits)
            refuse(&asked[i], "it has not told within 10 s what it has");
        if (asked[i].frames.fd >= 0)
            zygote_abandon(z, asked[i].child);
        frames_fini(&asked[i].frames);
    }
}
