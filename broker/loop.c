/* loop.c - one turn of this loop is one transaction. Nothing leaves before the commit that makes it true. */
#include "broker/loop.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "proto/base/log.h"

#define MESSAGES_A_TURN 1000
#define BYTES_A_TURN (8u << 20)
#define STATUS_MS 5000
#define TIDY_AGAIN_MS 5 /* while there is space to give back, and nothing else to do */

static bool stop_asked(struct broker_loop *l)
{
    struct signalfd_siginfo info;
    while (read(l->signals, &info, sizeof info) == (ssize_t)sizeof info)
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
            return true;
    return false;
}

/* Reads at most a turn's worth. True when more is waiting. */
static bool recv_batch(struct broker_loop *l, struct now now)
{
    size_t bytes = 0;
    for (int i = 0; i < MESSAGES_A_TURN && bytes < BYTES_A_TURN; i++) {
        struct frame f;
        int r = socket_recv(l->socket, &f);
        if (r == -EBADMSG)
            continue;
        if (r < 0)
            return false;
        bytes += f.n;
        broker_recv(l->broker, f.routing_id, f.uid, (struct str){ f.p, f.n }, now);
        frame_fini(&f);
    }
    return true;
}

static int send_one(void *ctx, const char *routing_id, struct str bytes)
{
    return socket_send_to(ctx, routing_id, bytes);
}

/* Answers of the reader are about what was committed: they may leave at any time. */
static void send_answers(struct broker_loop *l)
{
    char routing_id[ROUTING_ID_BYTES];
    struct buf b;
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    while (reader_take(l->reader, routing_id, &b)) {
        if (socket_send_to(l->socket, routing_id, buf_str(&b)) < 0)
            l->broker->counts.dropped_replies++;
        buf_clear(&b);
    }
    buf_fini(&b);
}

static void tell_systemd(struct broker_loop *l, struct now now, int64_t *next)
{
    if (*next > now.mono_ms)
        return;
    uint64_t watchdog_us = 0;
    sd_watchdog_enabled(0, &watchdog_us);
    *next = now.mono_ms + (watchdog_us ? min_i64((int64_t)watchdog_us / 2000, STATUS_MS) : STATUS_MS);
    sd_notifyf(0, "WATCHDOG=1\nSTATUS=%zu workers, %zu peers, %zu running, %" PRIu64 " finished since the start",
               l->broker->workers.n, l->broker->peers.by_routing_id.n, l->broker->leases.n, l->broker->counts.finished);
}

/* One turn; *ret_due: when the next one should come. */
static int turn(struct broker_loop *l, int64_t *ret_due)
{
    struct now now = clock_now();
    bool more = recv_batch(l, now);
    send_answers(l);
    *ret_due = broker_tick(l->broker, now);
    int r = broker_end_turn(l->broker, send_one, l->socket, now);
    if (r < 0)
        return r;
    if (more || r > 0)
        *ret_due = now.mono_ms;
    return 0;
}

static void say_bye(struct broker_loop *l)
{
    broker_say_bye(l->broker);
    broker_flush(l->broker, send_one, l->socket, clock_now());
}

int broker_loop_run(struct broker_loop *l)
{
    int64_t due = 0, next_status = 0;
    for (;;) {
        struct pollfd fds[] = { { .fd = l->signals, .events = POLLIN }, { .fd = reader_fd(l->reader), .events = POLLIN } };
        int64_t wait = max_i64(due - clock_now().mono_ms, 0);
        int r = socket_poll(l->socket, fds, ELEMENTS(fds), wait);
        bool idle = r == 0 && wait && !fds[0].revents && !fds[1].revents;
        bool untidy = idle && store_tidy(l->broker->store) > 0;
        if (fds[0].revents && stop_asked(l))
            break;
        r = turn(l, &due);
        if (r < 0)
            return r;
        if (untidy)
            due = min_i64(due, clock_now().mono_ms + TIDY_AGAIN_MS);
        tell_systemd(l, clock_now(), &next_status);
    }
    sd_notify(0, "STOPPING=1");
    say_bye(l);
    return 0;
}
