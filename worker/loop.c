/* loop.c - a turn: read what has arrived, let the pools report, decide, say it. The clock is read
 * once a turn. */
#include "worker/loop.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "proto/base/log.h"
#include "worker/handlers.h"

#define MESSAGES_A_TURN 100
#define BYTES_A_TURN (8u << 20)
#define EXTEND_MS 2000 /* between two words that the stop may take longer */
#define EXTEND_BY_MS 15000
#define LAST_WORD_MS 50 /* for BYE to leave */
#define EXIT_SPENT 1

/* ---- the link's verbs on the pools ----------------------------------------------------------- */

static struct pool *pool_of(void *ctx, enum pool_kind pool)
{
    struct worker_loop *l = ctx;
    return l->pools[pool];
}

static void give(void *ctx, enum pool_kind pool, struct run *r, struct now now)
{
    pool_give(pool_of(ctx, pool), r, now);
}

static struct run *take_waiting(void *ctx, enum pool_kind pool, uint64_t job, uint64_t attempt)
{
    return pool_take_waiting(pool_of(ctx, pool), job, attempt);
}

static struct run *take_any_waiting(void *ctx, enum pool_kind pool)
{
    return pool_take_any_waiting(pool_of(ctx, pool));
}

static void stop(void *ctx, enum pool_kind pool, uint64_t job, uint64_t attempt, enum reason reason,
                 int64_t grace_ms, struct now now)
{
    pool_stop(pool_of(ctx, pool), job, attempt, reason, grace_ms, now);
}

static struct pool_load load(void *ctx, enum pool_kind pool)
{
    return pool_load(pool_of(ctx, pool));
}

static void answer(void *ctx, enum pool_kind pool, uint64_t job, uint64_t attempt, const struct message *m, struct now now)
{
    pool_answer(pool_of(ctx, pool), job, attempt, m, now);
}

struct link_pools worker_loop_pools(struct worker_loop *l)
{
    return (struct link_pools){ l, give, take_waiting, take_any_waiting, stop, load, answer };
}

void worker_loop_on_started(void *ctx, struct run *r)
{
    struct worker_loop *l = ctx;
    l->leaving.n_started++;
    link_on_started(l->link, r);
}
void worker_loop_on_finished(void *ctx, struct run *r)
{
    link_on_finished(((struct worker_loop *)ctx)->link, r);
}
void worker_loop_on_asked(void *ctx, struct run *r, const struct message *ask, struct now now)
{
    link_on_asked(((struct worker_loop *)ctx)->link, r, ask, now);
}

/* Before the link there is nobody to tell. */
void worker_loop_on_handlers(void *ctx, struct now now)
{
    struct worker_loop *l = ctx;
    size_t n, n_notices;
    if (!l->link)
        return;
    for (enum pool_kind pool = 0; pool < N_POOLS; pool++)
        if (l->pools[pool])
            pool_renew(l->pools[pool]);
    const struct handler_info *handlers = handlers_info(&n);
    const struct str *notices = modules_notices(l->modules, &n_notices);
    link_set_handlers(l->link, handlers, n, notices, n_notices, now);
}

/* ---- signals --------------------------------------------------------------------------------- */

void worker_loop_signals(sigset_t *ret)
{
    static const int all[] = { SIGTERM, SIGINT, SIGTSTP, SIGCONT, SIGHUP, SIGUSR1 };
    sigemptyset(ret);
    for (size_t i = 0; i < ELEMENTS(all); i++)
        sigaddset(ret, all[i]);
}

static void drain(struct worker_loop *l, struct now now)
{
    size_t runs = link_view(l->link).unfinished;
    service_say_stopping();
    l->extend_at_ms = now.mono_ms;
    if (l->drain_asked) {
        log_info("handing back at once what still runs: held=%zu", runs);
        link_drain_at_once(l->link, now);
        return;
    }
    l->drain_asked = true;
    log_info("draining: held=%zu deadline_ms=%lld", runs, (long long)l->options->drain);
    link_drain(l->link, now.mono_ms + l->options->drain, now);
}

/* What can change while the worker runs: the queues, the drain time, the log level and the modules. The link
 * borrows the rest. */
static void take_over(struct worker_options *o, struct worker_options *fresh)
{
    struct worker_options old = *o;
    o->queues = fresh->queues;
    o->queue_list = fresh->queue_list;
    o->n_queues = fresh->n_queues;
    o->drain = fresh->drain;
    o->level = fresh->level;
    o->modules = fresh->modules;
    o->modules_named = fresh->modules_named;
    fresh->queues = old.queues;
    fresh->queue_list = old.queue_list;
    fresh->modules = old.modules;
}

static void read_again(struct worker_loop *l, struct now now)
{
    struct worker_options fresh;
    int status;
    if (worker_options_read(&fresh, l->argc, l->argv, &status) <= 0) {
        log_error("not reloaded: the configuration is wrong; going on with the old one");
        worker_options_fini(&fresh);
        return;
    }
    take_over(l->options, &fresh);
    link_set_queues(l->link, l->options->queue_list, l->options->n_queues, now);
    log_init("tern-worker", l->options->level);
    worker_options_fini(&fresh);
    log_info("reloaded queues, drain and log-level, and looking for modules in %s; other options take effect when the "
             "worker is restarted",
             l->options->modules);
    modules_reload(l->modules, l->options->modules, l->options->modules_named, now);
}

static void reload(struct worker_loop *l, struct now now)
{
    service_say_reloading();
    read_again(l, now);
    service_say_ready();
}

static void dump(struct worker_loop *l, struct now now)
{
    struct link_view v = link_view(l->link);
    log_info("event=state connected=%d epoch=%llu session=%llu quiet=%d draining=%d held=%zu "
             "unfinished=%zu unrecorded=%zu",
             v.connected, (unsigned long long)v.epoch, (unsigned long long)v.session, v.quiet,
             v.draining, v.held, v.unfinished, v.unrecorded);
    for (enum pool_kind pool = 0; pool < N_POOLS; pool++)
        if (l->pools[pool])
            pool_dump(l->pools[pool], now);
}

static void on_signal(struct worker_loop *l, int signal, struct now now)
{
    switch (signal) {
    case SIGTERM:
    case SIGINT:
        drain(l, now);
        break;
    case SIGTSTP:
        log_info("quiet: nothing new starts until CONT");
        link_quiet(l->link, now);
        break;
    case SIGCONT:
        link_resume(l->link, now);
        break;
    case SIGHUP:
        reload(l, now);
        break;
    case SIGUSR1:
        dump(l, now);
        break;
    }
}

static void read_signals(struct worker_loop *l, struct now now)
{
    struct signalfd_siginfo info;
    while (read(l->signals, &info, sizeof info) == (ssize_t)sizeof info)
        on_signal(l, (int)info.ssi_signo, now);
}

/* ---- the socket ------------------------------------------------------------------------------ */

static void recv_one(struct worker_loop *l, const struct frame *f, struct now now)
{
    struct message m;
    const char *why = NULL;
    int r = message_decode(&m, f->p, f->n, &why);
    if (r < 0) {
        log_warning("dropped a message of %zu bytes from the broker: %s", f->n, why);
        return;
    }
    link_recv(l->link, &m, now);
    message_fini(&m);
}

/* Reads at most a turn's worth. True when more may be waiting. */
static bool recv_batch(struct worker_loop *l, struct now now)
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
        recv_one(l, &f, now);
        frame_fini(&f);
    }
    return true;
}

/* What the socket does not take is dropped, and the link begins a new session, whose HELLO says
 * how things are. */
static bool send_all(struct worker_loop *l, struct now now)
{
    struct buf bytes;
    bool sent = true;
    while (link_take_message(l->link, &bytes)) {
        int r = socket_send(l->socket, buf_str(&bytes));
        buf_fini(&bytes);
        if (r < 0) {
            sent = false;
            link_on_unsent(l->link, now);
        }
    }
    return sent;
}

int worker_loop_connect(const struct worker_options *o, struct socket **ret, char **ret_error)
{
    return socket_connect_keyed(ret, o->broker, o->keyed ? &o->own : NULL, &o->broker_is, ret_error);
}

static void reopen(struct worker_loop *l)
{
    struct socket *fresh = NULL;
    cleanup(freep) char *error = NULL;
    if (worker_loop_connect(l->options, &fresh, &error) < 0) {
        log_error("%s", error);
        return;
    }
    socket_close(l->socket);
    l->socket = fresh;
}

/* ---- the service manager --------------------------------------------------------------------- */

static void add_pools(struct buf *b, const struct worker_loop *l)
{
    for (enum pool_kind pool = 0; pool < N_POOLS; pool++) {
        if (!l->pools[pool])
            continue;
        struct pool_load load = pool_load(l->pools[pool]);
        buf_addf(b, ", %s %llu/%llu", pool_name(pool), (unsigned long long)load.used,
                 (unsigned long long)load.slots);
        if (load.stuck)
            buf_addf(b, " (%llu stuck)", (unsigned long long)load.stuck);
    }
}

static void tell_status(struct worker_loop *l)
{
    struct link_view v = link_view(l->link);
    struct buf b;
    buf_init(&b, 2048);
    const char *mode = v.draining ? "draining; " : v.quiet ? "quiet; " : "";
    const char *verb = v.connected ? "connected to" : "waiting for the broker at";
    buf_addf(&b, "%s%s %.200s; %zu jobs held", mode, verb, l->options->broker, v.held);
    add_pools(&b, l);
    buf_add(&b, "", 1);
    service_set_status(&l->service, b.p);
    buf_fini(&b);
}

/* The pools whose threads have to go round, and the zygote. A loop that is known to be stuck is left to the drain. */
static void ask_parts(void *ctx)
{
    struct worker_loop *l = ctx;
    zygote_ask_alive(l->zygote);
    for (enum pool_kind pool = 0; pool < N_POOLS; pool++)
        if (l->pools[pool])
            pool_ask_alive(l->pools[pool]);
}

static bool parts_answered(void *ctx)
{
    struct worker_loop *l = ctx;
    bool alive = zygote_is_alive(l->zygote);
    for (enum pool_kind pool = 0; pool < N_POOLS; pool++)
        alive &= !l->pools[pool] || l->spent || pool_is_alive(l->pools[pool]);
    return alive;
}

/* While it is drained, its stop takes as long as the link has something to wait for. */
static int64_t extend_stop(struct worker_loop *l, struct now now)
{
    if (!l->drain_asked)
        return NEVER;
    if (now.mono_ms >= l->extend_at_ms) {
        service_extend_timeout(EXTEND_BY_MS);
        l->extend_at_ms = now.mono_ms + EXTEND_MS;
    }
    return l->extend_at_ms;
}

static int64_t tell_service(struct worker_loop *l, struct now now)
{
    if (service_wants_status(&l->service, now))
        tell_status(l);
    int64_t due_ms = service_tick(&l->service, &(struct service_parts){ l, ask_parts, parts_answered }, now);
    due_ms = min_i64(due_ms, extend_stop(l, now));
    return min_i64(due_ms, l->service.status_at_ms);
}

/* ---- the turn -------------------------------------------------------------------------------- */

#define FDS_MAX (2 + LAUNCHERS_MOST + N_POOLS)

static size_t list_fds(const struct worker_loop *l, struct pollfd fds[static FDS_MAX])
{
    size_t n = 0;
    fds[n++].fd = l->signals;
    fds[n++].fd = zygote_fd(l->zygote);
    for (size_t i = 0; i < l->n_launchers; i++)
        if (l->launchers[i])
            fds[n++].fd = launcher_fd(l->launchers[i]);
    for (enum pool_kind pool = 0; pool < N_POOLS; pool++)
        if (l->pools[pool])
            fds[n++].fd = pool_fd(l->pools[pool]);
    for (size_t i = 0; i < n; i++) {
        fds[i].events = POLLIN;
        fds[i].revents = 0;
    }
    return n;
}

static void read_fds(struct worker_loop *l, const struct pollfd fds[static FDS_MAX], struct now now)
{
    size_t n = 0;
    if (fds[n++].revents)
        read_signals(l, now);
    if (fds[n++].revents)
        zygote_on_readable(l->zygote, now);
    for (size_t i = 0; i < l->n_launchers; i++)
        if (l->launchers[i] && fds[n++].revents)
            launcher_on_readable(l->launchers[i], now);
    for (enum pool_kind pool = 0; pool < N_POOLS; pool++)
        if (l->pools[pool] && fds[n++].revents)
            pool_on_readable(l->pools[pool], now);
}

/* More of its slots are stuck than may be replaced: what can finish does, then a new process takes
 * over. */
static void leave_when_spent(struct worker_loop *l, enum pool_kind pool, struct now now)
{
    if (l->spent || !pool_is_spent(l->pools[pool]))
        return;
    log_error("event=slots-spent pool=%s: too many of its slots are stuck in handlers that do not "
              "return; draining, to be started anew",
              pool_name(pool));
    l->spent = true;
    link_drain(l->link, now.mono_ms + l->options->drain, now);
}

static const char *leave_text(enum leave why)
{
    return why == LEAVE_TIME ? "its time is over" : why == LEAVE_ENOUGH ? "it has begun as many jobs as it was to" : "it was idle for long";
}

/* Returns when to look again. */
static int64_t leave_by_itself(struct worker_loop *l, struct now now)
{
    int64_t due_ms;
    enum leave why = leaving_ask(&l->leaving, link_view(l->link).held, now, &due_ms);
    if (why <= l->leaves)
        return l->leaves == LEAVE_TIME || due_ms <= now.mono_ms ? NEVER : due_ms;
    l->leaves = why;
    log_info("draining: %s", leave_text(why));
    link_drain(l->link, why == LEAVE_TIME ? now.mono_ms + l->options->drain : NEVER, now);
    return now.mono_ms;
}

static int64_t tick_pools(struct worker_loop *l, struct now now)
{
    int64_t due_ms = NEVER;
    for (enum pool_kind pool = 0; pool < N_POOLS; pool++) {
        if (!l->pools[pool])
            continue;
        leave_when_spent(l, pool, now);
        due_ms = min_i64(due_ms, pool_tick(l->pools[pool], now));
    }
    return due_ms;
}

/* Returns when the next one should come. */
static int64_t turn(struct worker_loop *l, const struct pollfd fds[static FDS_MAX])
{
    struct now now = clock_now();
    bool more = recv_batch(l, now);
    read_fds(l, fds, now);
    link_tick(l->link, now);
    int64_t modules_due_ms = modules_tick(l->modules, now);
    int64_t due_ms = min_i64(tick_pools(l, now), modules_due_ms);
    due_ms = min_i64(due_ms, leave_by_itself(l, now));
    int64_t link_due_ms = link_flush(l->link, now);
    if (!send_all(l, now))
        link_due_ms = link_flush(l->link, now);
    if (link_take_reopen(l->link))
        reopen(l);
    due_ms = min_i64(min_i64(due_ms, link_due_ms), tell_service(l, now));
    return more ? now.mono_ms : due_ms;
}

int worker_loop_run(struct worker_loop *l)
{
    struct pollfd fds[FDS_MAX];
    int64_t due_ms = 0;
    int status = 0;
    service_init(&l->service);
    leaving_init(&l->leaving, l->options->idle_exit, l->options->max_time, l->options->max_jobs, clock_now());
    while (!link_is_over(l->link, &status)) {
        size_t n = list_fds(l, fds);
        int64_t wait_ms = max_i64(due_ms - clock_now().mono_ms, 0);
        socket_poll(l->socket, fds, n, wait_ms); /* what is readable says itself in the turn */
        due_ms = turn(l, fds);
    }
    service_fini(&l->service);
    if (link_view(l->link).connected)
        socket_poll(l->socket, NULL, 0, LAST_WORD_MS);
    return l->spent && !status ? EXIT_SPENT : status;
}
