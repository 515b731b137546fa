/* loop.c - a turn: read what has arrived, let the pools report, decide, say it. The clock is read
 * once a turn. */
#include "worker/loop.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "proto/base/log.h"
#include "proto/socket.h"
#include "worker/handlers.h"
#include "worker/number.h"

#define DIVIDE_SPACING_MS 20
#define ABSENT_NAMED 3 /* in the status */
#define EXTEND_MS 2000 /* between two words that the stop may take longer */
#define EXTEND_BY_MS 15000
#define LAST_WORD_MS 50 /* for BYE to leave */
#define EXIT_SPENT 1
#define EXIT_NOT_ALLOWED 77

/* ---- from the pools --------------------------------------------------------------------------- */

static struct served *served_of(struct worker_loop *l, const struct run *r) { return &l->served[number_place(r->job.job)]; }

void worker_loop_on_started(void *ctx, struct run *r)
{
    struct worker_loop *l = ctx;
    l->leaving.n_started++;
    served_on_started(served_of(l, r), r);
}

void worker_loop_on_finished(void *ctx, struct run *r) { served_on_finished(served_of(ctx, r), r); }

void worker_loop_on_asked(void *ctx, struct run *r, const struct message *ask, struct now now)
{
    served_on_asked(served_of(ctx, r), r, ask, now);
}

/* ---- all brokers ------------------------------------------------------------------------------ */

/* The first one after NULL; NULL after the last. What is logged meanwhile is about that one. */
static struct served *next(const struct worker_loop *l, const struct served *s)
{
    struct served *n = s ? &l->served[s->place + 1] : l->served;
    n = n < l->served + l->n_served ? n : NULL;
    log_about(n ? n->pair : NULL);
    return n;
}

/* Of all links together; connected: all are. */
static struct link_view view_all(const struct worker_loop *l, size_t *ret_connected)
{
    struct link_view all = { .connected = true };
    *ret_connected = 0;
    for (struct served *s = NULL; (s = next(l, s));) {
        struct link_view v = link_view(s->link);
        *ret_connected += v.connected;
        all.connected &= v.connected;
        all.quiet |= v.quiet;
        all.draining |= v.draining;
        all.held += v.held;
        all.unfinished += v.unfinished;
    }
    return all;
}

static void drain_all(struct worker_loop *l, int64_t deadline_ms, struct now now)
{
    for (struct served *s = NULL; (s = next(l, s));)
        link_drain(s->link, deadline_ms, now);
}

/* Before the links there is nobody to tell. */
void worker_loop_on_handlers(void *ctx, struct now now)
{
    struct worker_loop *l = ctx;
    size_t n, n_notices;
    if (!l->n_served)
        return;
    for (enum pool_kind pool = 0; pool < N_POOLS; pool++)
        if (l->pools[pool])
            pool_renew(l->pools[pool]);
    const struct handler_info *handlers = handlers_info(&n);
    const struct str *notices = modules_notices(l->modules, &n_notices);
    for (struct served *s = NULL; (s = next(l, s));)
        link_set_handlers(s->link, handlers, n, notices, n_notices, now);
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
    size_t connected, runs = view_all(l, &connected).unfinished;
    service_say_stopping();
    l->extend_at_ms = now.mono_ms;
    if (l->drain_asked) {
        log_info("handing back at once what still runs: held=%zu", runs);
        for (struct served *s = NULL; (s = next(l, s));)
            link_drain_at_once(s->link, now);
        return;
    }
    l->drain_asked = true;
    log_info("draining: held=%zu deadline_ms=%lld", runs, (long long)l->options->drain);
    drain_all(l, now.mono_ms + l->options->drain, now);
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
    for (struct served *s = NULL; (s = next(l, s));)
        link_set_queues(s->link, l->options->queue_list, l->options->n_queues, now);
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

static void dump_link(const struct served *s)
{
    struct link_view v = link_view(s->link);
    log_info("event=state connected=%d epoch=%llu session=%llu quiet=%d draining=%d held=%zu "
             "unfinished=%zu unrecorded=%zu",
             v.connected, (unsigned long long)v.epoch, (unsigned long long)v.session, v.quiet,
             v.draining, v.held, v.unfinished, v.unrecorded);
}

static void dump(struct worker_loop *l, struct now now)
{
    for (struct served *s = NULL; (s = next(l, s));)
        dump_link(s);
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
        for (struct served *s = NULL; (s = next(l, s));)
            link_quiet(s->link, now);
        break;
    case SIGCONT:
        for (struct served *s = NULL; (s = next(l, s));)
            link_resume(s->link, now);
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

static const char *absence_of(const struct served *s)
{
    return served_is_over(s) ? "left" : link_view(s->link).refused ? "refuses" : "silent";
}

/* And a few of those that are not there. */
static void add_brokers(struct buf *b, const struct worker_loop *l, size_t connected)
{
    size_t absent = 0;
    buf_addf(b, "connected to %zu of %zu brokers", connected, l->n_served);
    for (struct served *s = NULL; (s = next(l, s));)
        if (!link_view(s->link).connected && absent++ < ABSENT_NAMED)
            buf_addf(b, "%s %.200s %s", absent == 1 ? ":" : ",", served_address(s), absence_of(s));
    if (absent > ABSENT_NAMED)
        buf_addf(b, " and %zu more", absent - ABSENT_NAMED);
}

static void tell_status(struct worker_loop *l)
{
    size_t connected;
    struct link_view v = view_all(l, &connected);
    struct buf b;
    buf_init(&b, 2048);
    buf_addf(&b, "%s", v.draining ? "draining; " : v.quiet ? "quiet; " : "");
    if (l->n_served > 1)
        add_brokers(&b, l, connected);
    else
        buf_addf(&b, "%s %.200s", connected ? "connected to" : "waiting for the broker at", served_address(l->served));
    buf_addf(&b, "; %zu jobs held", v.held);
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

static size_t list_fds(const struct worker_loop *l, struct pollfd *fds)
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

static void read_fds(struct worker_loop *l, const struct pollfd *fds, struct now now)
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
    drain_all(l, now.mono_ms + l->options->drain, now);
}

static const char *leave_text(enum leave why)
{
    return why == LEAVE_TIME ? "its time is over" : why == LEAVE_ENOUGH ? "it has begun as many jobs as it was to" : "it was idle for long";
}

/* Returns when to look again. */
static int64_t leave_by_itself(struct worker_loop *l, struct now now)
{
    int64_t due_ms;
    size_t connected;
    enum leave why = leaving_ask(&l->leaving, view_all(l, &connected).held, now, &due_ms);
    if (why <= l->leaves)
        return l->leaves == LEAVE_TIME || due_ms <= now.mono_ms ? NEVER : due_ms;
    l->leaves = why;
    log_info("draining: %s", leave_text(why));
    drain_all(l, why == LEAVE_TIME ? now.mono_ms + l->options->drain : NEVER, now);
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

/* Among several. Not in every turn: each change is told to them. Returns when to look again. */
static int64_t divide(struct worker_loop *l, struct now now)
{
    if (l->n_served == 1)
        return NEVER;
    if (now.mono_ms < l->divide_at_ms)
        return l->divide_at_ms;
    int64_t due_ms;
    if (!served_divide(l->served, l->n_served, now, &due_ms))
        return due_ms;
    l->divide_at_ms = now.mono_ms + DIVIDE_SPACING_MS;
    return l->divide_at_ms;
}

/* Returns when the next one should come. */
static int64_t turn(struct worker_loop *l, const struct pollfd *fds)
{
    struct now now = clock_now();
    bool more = false;
    for (struct served *s = NULL; (s = next(l, s));)
        more |= served_recv(s, now);
    read_fds(l, fds, now);
    for (struct served *s = NULL; (s = next(l, s));)
        link_tick(s->link, now);
    int64_t modules_due_ms = modules_tick(l->modules, now);
    int64_t due_ms = min_i64(tick_pools(l, now), modules_due_ms);
    due_ms = min_i64(due_ms, leave_by_itself(l, now));
    due_ms = min_i64(due_ms, divide(l, now));
    for (struct served *s = NULL; (s = next(l, s));)
        due_ms = min_i64(due_ms, served_send(s, now));
    due_ms = min_i64(due_ms, tell_service(l, now));
    return more ? now.mono_ms : due_ms;
}

/* Those that are not over. */
static size_t list_sockets(const struct worker_loop *l, struct socket **ret)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n_served; i++)
        if (!served_is_over(&l->served[i]))
            ret[n++] = l->served[i].socket;
    return n;
}

/* Each has been drained; or none of several lets it in. */
static bool is_over(const struct worker_loop *l, int *ret_status)
{
    size_t n_over = 0, n_refused = 0;
    for (size_t i = 0; i < l->n_served; i++) {
        n_over += link_is_over(l->served[i].link, ret_status);
        n_refused += link_view(l->served[i].link).refused;
    }
    if (l->n_served > 1 && n_refused == l->n_served) {
        log_error("none of the brokers lets this worker in");
        *ret_status = EXIT_NOT_ALLOWED;
        return true;
    }
    return n_over == l->n_served;
}

static void wait_for_any(struct worker_loop *l, struct pollfd *fds, int64_t due_ms)
{
    struct socket *sockets[LIMIT_BROKERS];
    size_t n_sockets = list_sockets(l, sockets), n = list_fds(l, fds);
    socket_poll_all(sockets, n_sockets, fds, n, max_i64(due_ms - clock_now().mono_ms, 0)); /* what is readable says itself in the turn */
}

int worker_loop_run(struct worker_loop *l)
{
    struct pollfd fds[FDS_MAX];
    int64_t due_ms = 0;
    int status = 0;
    size_t connected;
    service_init(&l->service);
    leaving_init(&l->leaving, l->options->idle_exit, l->options->max_time, l->options->max_jobs, clock_now());
    while (!is_over(l, &status)) {
        wait_for_any(l, fds, due_ms);
        due_ms = turn(l, fds);
    }
    service_fini(&l->service);
    view_all(l, &connected);
    if (connected)
        poll(NULL, 0, LAST_WORD_MS);
    return l->spent && !status ? EXIT_SPENT : status;
}
