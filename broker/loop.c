/* loop.c - one turn of this loop is one transaction. Nothing leaves before the commit that makes it true. */
#include "broker/loop.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "proto/base/log.h"
#include "proto/guard.h"

#define MESSAGES_A_TURN 1000
#define BYTES_A_TURN (8u << 20)
#define LATE_AGAIN_MS 5 /* while a worker has too much to read */
#define TIDY_AGAIN_MS 5 /* while there is space to give back, and nothing else to do */

/* Answers that nobody reads wait in memory. One peer may leave LIMIT_UNREAD_BYTES; past these, over all peers, one that has unread
 * answers gets no further one, and then nobody a large one. */
#define UNREAD_BYTES_SHARED (64u << 20)
#define UNREAD_BYTES_ALL (128u << 20)
#define ANSWER_BYTES_SMALL (64u << 10)

/* ---- signals ---------------------------------------------------------------------------------- */

static void reload(struct broker_loop *l)
{
    service_say_reloading();
    l->keys_asked = l->keys != NULL;
    int r = l->reload(l->ctx, l->broker);
    if (r < 0)
        log_error("not reloaded: the configuration is wrong; going on with the old one");
    else
        log_info("reloaded keys, retention, keep-finished, disk-busy, worker-user and log-level; others at a restart");
    service_say_ready();
}

static bool stop_asked(struct broker_loop *l)
{
    struct signalfd_siginfo info;
    while (read(l->signals, &info, sizeof info) == (ssize_t)sizeof info)
        if (info.ssi_signo == SIGHUP)
            reload(l);
        else
            return true;
    return false;
}

/* ---- keys ------------------------------------------------------------------------------------------- */

#define STRANGERS_LOGGED_EVERY_MS 60000
#define KEYS_MOVED_MS 500

bool broker_loop_admit(void *ctx, const struct key *key, const char *address)
{
    struct broker_loop *l = ctx;
    char digits[KEY_DIGITS + 1];
    int64_t now_ms = clock_now().mono_ms;
    key_format(key, digits);
    if (grants_find(l->broker->grants, digits))
        return true;
    if (!l->runs)
        return false; /* the broker itself, at its start: see zap_prove */
    l->strangers++;
    if (!l->stranger_logged_mono_ms || now_ms - l->stranger_logged_mono_ms >= STRANGERS_LOGGED_EVERY_MS) {
        l->stranger_logged_mono_ms = now_ms;
        log_warning("refused the unknown key %s from %s (%" PRIu64 " so far; said once a minute)", digits, address, l->strangers);
    }
    return false;
}

int broker_loop_load_keys(struct broker_loop *l, char **ret_error)
{
    struct grants *fresh = NULL;
    if (!l->keys)
        return 0;
    int r = grants_load(&fresh, l->keys, ret_error);
    if (r < 0)
        return r;
    log_info("read %s: known keys: %zu, files that are wrong: %zu", l->keys, fresh->by_key.n, fresh->n_bad);
    broker_set_grants(l->broker, fresh, clock_now());
    return 0;
}

/* Editors move a file away, and then write it anew: that it is gone counts only when it stays so. */
static void see_key_changed(struct broker_loop *l, const struct inotify_event *e)
{
    if (e->len && !grants_is_key_file(e->name))
        return;
    if (e->mask & IN_MOVED_FROM)
        l->keys_due_ms = clock_now().mono_ms + KEYS_MOVED_MS;
    else
        l->keys_asked = true;
}

/* What has changed in the directory is seen at once; HUP is for where the kernel does not tell (NFS). */
static void see_keys_changed(struct broker_loop *l)
{
    _Alignas(struct inotify_event) char events[4096];
    for (ssize_t n; (n = read(l->keys_changed, events, sizeof events)) > 0;)
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *e = (const void *)(events + at);
            see_key_changed(l, e);
            at += (ssize_t)(sizeof *e + e->len);
        }
}

/* A directory that cannot be read says nothing: who was known stays known. */
static void reload_keys(struct broker_loop *l)
{
    cleanup(freep) char *error = NULL;
    l->keys_asked = false;
    l->keys_due_ms = NEVER;
    if (broker_loop_load_keys(l, &error) < 0)
        log_error("%s; the keys are as they were", error);
}

/* Of a peer on TCP: with a key that is known, or was; without one it has come by --insecure-loopback, or it is nobody. */
static void recv_frame(struct broker_loop *l, const struct frame *f, struct now now)
{
    struct str bytes = { f->p, f->n };
    if (f->key)
        broker_recv_keyed(l->broker, f->routing_id, f->key, bytes, now);
    else if (f->uid >= 0 || l->open_tcp)
        broker_recv(l->broker, f->routing_id, f->uid, bytes, now);
}

/* ---- messages --------------------------------------------------------------------------------- */

/* Reads at most a turn's worth, of what has come and of what is to be said to it. True when more is waiting. */
static bool recv_batch(struct broker_loop *l, struct now now)
{
    size_t bytes = 0;
    for (int i = 0; i < MESSAGES_A_TURN && bytes + l->broker->outbox.bytes < BYTES_A_TURN; i++) {
        struct frame f;
        int r = socket_recv(l->socket, &f);
        if (r == -EBADMSG)
            continue;
        if (r < 0) {
            guard_heard_all();
            return false;
        }
        guard_heard(f.n, f.key != NULL);
        bytes += f.n;
        recv_frame(l, &f, now);
        frame_fini(&f);
    }
    return true;
}

static bool must_read_first(const struct broker_loop *l, const char *routing_id, size_t n)
{
    size_t own = socket_unsent(l->socket, routing_id), all = socket_unsent_all();
    if (own)
        return own + n > LIMIT_UNREAD_BYTES || all > UNREAD_BYTES_SHARED;
    return n > ANSWER_BYTES_SMALL && all > UNREAD_BYTES_ALL;
}

/* Of the answers to queries: those that can be large. */
static bool is_answer(enum message_type type)
{
    return type == MSG_JOBS || type == MSG_FETCHED || type == MSG_EVENTS || type == MSG_BECAUSE || type == MSG_QUEUE_LIST ||
           type == MSG_WORKER_LIST || type == MSG_STAT_LIST || type == MSG_ADVICE;
}

/* Instead of the answer in bytes. False: it is none, or it is small. */
static bool make_busy(struct str bytes, struct buf *ret)
{
    struct message m, busy;
    const char *why;
    int r = message_decode(&m, bytes.p, bytes.n, &why);
    assert(r >= 0); /* it was encoded here */
    message_init(&busy, MSG_ERROR);
    busy.epoch = m.epoch;
    busy.session = m.session;
    busy.error.req = m.jobs.req; /* the first field of every answer */
    busy.error.code = CODE_BUSY;
    busy.error.text = str_of("busy: too many answers are waiting to be read");
    bool answer = is_answer(m.type);
    if (answer)
        message_encode(ret, &busy);
    message_fini(&m);
    return answer;
}

/* A client that reads nothing, while so much is unread over all peers, is told nothing more: its session ends (on_unsent). */
static bool reads_nothing(const struct broker_loop *l, const char *routing_id)
{
    const struct peer *p = peers_find(&l->broker->peers, routing_id);
    return p && !p->worker && socket_unsent(l->socket, routing_id) > ANSWER_BYTES_SMALL;
}

static int send_one(void *ctx, const char *routing_id, struct str bytes)
{
    struct broker_loop *l = ctx;
    struct buf busy;
    buf_init(&busy, LIMIT_MESSAGE_BYTES);
    bool must_read = must_read_first(l, routing_id, bytes.n), answer = must_read && make_busy(bytes, &busy);
    if (must_read && !answer && reads_nothing(l, routing_id))
        return -EAGAIN;
    l->broker->counts.busy += answer;
    int r = socket_send_to(l->socket, routing_id, answer ? buf_str(&busy) : bytes);
    buf_fini(&busy);
    return r;
}

int broker_loop_ask(void *ctx, const struct peer *p, uint64_t epoch, const struct message *m, struct str owner)
{
    struct broker_loop *l = ctx;
    if (must_read_first(l, p->routing_id, 0))
        return -EBUSY;
    return reader_ask(l->reader, p->routing_id, epoch, p->session, m, owner);
}

/* As of the outbox: its session ends, so that it asks again. */
static void on_lost_answer(struct broker *b, const char *routing_id)
{
    struct peer *p = peers_find(&b->peers, routing_id);
    b->counts.dropped_replies++;
    if (p)
        broker_drop_peer(b, p);
}

/* Answers of the reader are about what was committed: they may leave at any time. */
static void send_answers(struct broker_loop *l)
{
    char routing_id[ROUTING_ID_BYTES];
    struct buf b;
    buf_init(&b, LIMIT_MESSAGE_BYTES);
    while (reader_take(l->reader, routing_id, &b)) {
        if (send_one(l, routing_id, buf_str(&b)) < 0)
            on_lost_answer(l->broker, routing_id);
        buf_clear(&b);
    }
    buf_fini(&b);
}

/* ---- the service manager ---------------------------------------------------------------------- */

static void ask_parts(void *ctx) { reader_ask_alive(((struct broker_loop *)ctx)->reader); }
static bool parts_answered(void *ctx) { return reader_is_alive(((struct broker_loop *)ctx)->reader); }

static void tell_status(struct broker_loop *l)
{
    const struct broker *b = l->broker;
    uint64_t n[N_STATES];
    char text[256];
    broker_count_jobs(b, n);
    snprintf(text, sizeof text,
             "%zu workers, %" PRIu64 " jobs running, %" PRIu64 " queued, %" PRIu64 " scheduled, %" PRIu64
             " finished since the start%s",
             b->workers.n, n[STATE_RUNNING], n[STATE_QUEUED], n[STATE_SCHEDULED], b->counts.finished,
             b->disk_busy ? "; the disk is full, submits are refused" : "");
    service_set_status(&l->service, text);
}

/* When to come back. */
static int64_t tell_service(struct broker_loop *l, struct now now)
{
    if (service_wants_status(&l->service, now))
        tell_status(l);
    return service_tick(&l->service, &(struct service_parts){ l, ask_parts, parts_answered }, now);
}

/* Jobs are not sent to workers faster than they read them. True while there is one to look at again. */
static bool look_at_workers(struct broker_loop *l)
{
    struct broker *b = l->broker;
    struct worker *w;
    bool late = false;
    for (size_t i = 0; (w = strmap_next(&b->workers, &i));) {
        bool before = w->reads_late;
        w->reads_late = w->peer && socket_unsent(l->socket, w->peer->routing_id) > LIMIT_UNREAD_BYTES;
        late |= w->reads_late;
        if (before && !w->reads_late)
            b->credit_changes++;
    }
    return late;
}

/* One turn; *ret_due: when the next one should come. */
static int turn(struct broker_loop *l, int64_t *ret_due)
{
    struct now now = clock_now();
    if (l->keys_asked || now.mono_ms >= l->keys_due_ms)
        reload_keys(l);
    bool more = recv_batch(l, now);
    send_answers(l);
    l->late = (l->late || socket_unsent_all() > LIMIT_UNREAD_BYTES) && look_at_workers(l);
    *ret_due = min_i64(broker_tick(l->broker, now), l->keys_due_ms);
    if (l->late)
        *ret_due = min_i64(*ret_due, now.mono_ms + LATE_AGAIN_MS);
    int r = broker_end_turn(l->broker, send_one, l, now);
    if (r < 0)
        return r;
    if (more || r > 0)
        *ret_due = now.mono_ms;
    return 0;
}

static void say_bye(struct broker_loop *l)
{
    broker_say_bye(l->broker);
    broker_flush(l->broker, send_one, l, clock_now());
}

/* Until it is asked to stop. */
static int run(struct broker_loop *l)
{
    int64_t due = 0;
    for (;;) {
        struct pollfd fds[] = { { .fd = l->signals, .events = POLLIN }, { .fd = reader_fd(l->reader), .events = POLLIN },
                                { .fd = l->keys_changed, .events = POLLIN } };
        size_t n_fds = ELEMENTS(fds) - (l->keys_changed < 0);
        int64_t wait = max_i64(due - clock_now().mono_ms, 0);
        int r = socket_poll(l->socket, fds, n_fds, wait);
        bool idle = r == 0 && wait && !fds[0].revents && !fds[1].revents && !fds[2].revents;
        bool untidy = idle && store_tidy(l->broker->store) > 0;
        if (fds[0].revents && stop_asked(l))
            return 0;
        if (fds[2].revents)
            see_keys_changed(l);
        r = turn(l, &due);
        if (r < 0)
            return r;
        struct now now = clock_now();
        if (untidy)
            due = min_i64(due, now.mono_ms + TIDY_AGAIN_MS);
        due = min_i64(due, tell_service(l, now));
    }
}

int broker_loop_run(struct broker_loop *l)
{
    l->runs = true;
    l->keys_due_ms = NEVER;
    service_init(&l->service);
    int r = run(l);
    service_fini(&l->service);
    if (r < 0)
        return r;
    service_say_stopping();
    if (broker_save(l->broker) < 0)
        log_warning("what was measured in the last second is lost: %s", store_error_text(l->broker->store));
    say_bye(l);
    return 0;
}
