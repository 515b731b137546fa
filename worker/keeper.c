/* keeper.c - a process that keeps one runner. Single-threaded; it ends with its runner, and with its worker. */
#include "worker/keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "worker/asks.h"
#include "worker/job_text.h"
#include "worker/keeper_asks.h"
#include "worker/keeper_state.h"
#include "worker/tree.h"

#define END_MS 5000
#define ORPHAN_END_MS 2000
#define READY_MS 30000
#define CLOSED_MS 1000           /* a runner that has closed its output is given so long to end */
#define UNREAD_BYTES (8u << 20)  /* past it nothing more is taken for whoever does not read */
#define UNREAD_MOST (32u << 20)  /* and a runner that asks nevertheless is ended */
#define OOM_SCORE "500"          /* the kernel shoots jobs, not the worker */

static int64_t now_ms(void) { return clock_mono_us() / 1000; }
static size_t unread(const struct frames *f) { return f->out.n - f->out_at; }

/* ---- leaving ---------------------------------------------------------------------------------- */

_Noreturn static void leave(struct keeper *k)
{
    frames_flush(&k->worker, true);
    tree_end_children(END_MS, NULL);
    _exit(EXIT_SUCCESS);
}

static void on_orphaned(int sig)
{
    (void)sig;
    tree_end_children(ORPHAN_END_MS, NULL);
    _exit(EXIT_FAILURE);
}

/* ---- to the worker ---------------------------------------------------------------------------- */

void keeper_say(struct keeper *k, const struct message *m)
{
    if (frames_put(&k->worker, m) < 0)
        _exit(EXIT_FAILURE);
}

static void say_why(struct keeper *k, const char *text)
{
    struct message m;
    message_init(&m, MSG_ERROR);
    m.error.text = str_of(text);
    keeper_say(k, &m);
}

/* ---- the runner's end ------------------------------------------------------------------------- */

void keeper_end_runner(struct keeper *k, char *why)
{
    if (k->why) {
        free(why);
        return;
    }
    k->why = why;
    closep(&k->talk.fd);
    kill(k->process.pid, SIGKILL);
    k->kill_at_ms = now_ms() + CLOSED_MS;
}

static char *text_of_end(const struct keeper *k, int status)
{
    const char *line = k->ready ? "" : k->lines.last;
    const char *early = k->ready ? "" : " before it was ready";
    if (k->why)
        return xasprintf("the runner `%s` %s%s%s", k->runner->name, k->why, *line ? ": " : "", line);
    if (WIFSIGNALED(status))
        return xasprintf("the runner `%s` was ended by signal %d (%s)%s%s%s", k->runner->name, WTERMSIG(status),
                         sigabbrev_np(WTERMSIG(status)) ?: "?", early, *line ? ": " : "", line);
    return xasprintf("the runner `%s` exited with status %d%s%s%s", k->runner->name, WEXITSTATUS(status), early,
                     *line ? ": " : "", line);
}

/* Before it was ready no run can have begun: those are told of by nobody, and begin again elsewhere. */
_Noreturn static void on_end(struct keeper *k, int status)
{
    keeper_read_lines(k);
    keeper_end_line(k);
    cleanup(freep) char *text = text_of_end(k, status);
    job_text_clean(text, LIMIT_TEXT_BYTES);
    say_why(k, text);
    if (k->ready)
        keeper_end_runs(k, status, text);
    leave(k);
}

/* ---- what it says ----------------------------------------------------------------------------- */

void keeper_tell(struct keeper *k, enum record_kind kind, const void *record)
{
    bool now = k->ready || kind == RECORD_runner_hello;
    if (k->talk.fd < 0)
        return;
    if (frames_put_record(now ? &k->talk : &k->early, kind, record) < 0)
        keeper_end_runner(k, xstrdup("cannot be told of a job: it is too large"));
    else if (unread(&k->talk) > UNREAD_MOST)
        keeper_end_runner(k, xstrdup("asks, and does not read what it is answered"));
}

static void tell_handlers(struct keeper *k, const struct runner_ready *r)
{
    struct message m;
    message_init(&m, MSG_HELLO);
    struct pool_load room = { .pool = POOL_PROCESS, .slots = r->room };
    struct handler_info *info = xcalloc(r->n_handlers + 1, sizeof *info);
    for (size_t i = 0; i < r->n_handlers; i++) {
        const struct runner_handler *h = &r->handlers[i];
        info[i] = (struct handler_info){ h->name, h->forms, h->tag, h->retries, h->timeout_ms, h->thread_safe };
    }
    m.hello.software = r->software;
    m.hello.pools = &room;
    m.hello.n_pools = 1;
    m.hello.handlers = info;
    m.hello.n_handlers = r->n_handlers;
    keeper_say(k, &m);
    free(info);
    k->over = true;
}

static void on_ready(struct keeper *k, const struct runner_ready *r)
{
    struct message m;
    if (k->ready || r->version != RUNNER_VERSION) {
        keeper_end_runner(k, k->ready ? xstrdup("said READY twice")
                                      : xasprintf("speaks version %llu of the runner protocol, not %u",
                                                  (unsigned long long)r->version, RUNNER_VERSION));
        return;
    }
    k->ready = true;
    frames_put_frames(&k->talk, &k->early);
    k->kill_at_ms = NEVER;
    keeper_begin_runs(k);
    k->base_kb = max_i64(runner_process_peak_kb(&k->process), 0);
    if (k->pool == UNSET) {
        tell_handlers(k, r);
        return;
    }
    message_init(&m, MSG_STARTED);
    keeper_say(k, &m);
}

/* False: it is no message. The record's texts are views into the bytes. */
static bool on_message(struct keeper *k, uint64_t what, struct str bytes)
{
    union {
        struct runner_ready ready;
        struct runner_done done;
        struct runner_failed failed;
        struct runner_log log;
        struct runner_progress progress;
        union keeper_ask ask;
    } u;
    struct message ask;
    static const enum record_kind kinds[] = {
        [RUNNER_READY] = RECORD_runner_ready, [RUNNER_DONE] = RECORD_runner_done,
        [RUNNER_FAILED] = RECORD_runner_failed, [RUNNER_LOG] = RECORD_runner_log,
        [RUNNER_PROGRESS] = RECORD_runner_progress,
        [RUNNER_CHECKPOINT] = RECORD_runner_checkpoint, [RUNNER_SPAWN] = RECORD_runner_spawn,
        [RUNNER_AWAIT] = RECORD_runner_await, [RUNNER_FETCH] = RECORD_runner_fetch,
    };
    void *arena;
    if (what < RUNNER_READY || what > RUNNER_FETCH || (!k->ready && what != RUNNER_READY) ||
        record_decode(kinds[what], &u, bytes.p, bytes.n, &arena) < 0)
        return false;
    switch ((enum runner_message)what) {
    case RUNNER_READY:
        on_ready(k, &u.ready);
        break;
    case RUNNER_DONE:
        keeper_on_done(k, &u.done);
        break;
    case RUNNER_FAILED:
        keeper_on_failed(k, &u.failed);
        break;
    case RUNNER_LOG:
        keeper_on_log(k, &u.log);
        break;
    case RUNNER_PROGRESS:
        keeper_on_progress(k, &u.progress);
        break;
    default:
        keeper_ask(what, &u.ask, &ask);
        keeper_on_ask(k, &ask);
        break;
    }
    record_free_arena(arena);
    return true;
}

static void on_bytes(struct keeper *k, struct str bytes)
{
    struct runner_any any;
    void *arena;
    bool good = record_decode(RECORD_runner_any, &any, bytes.p, bytes.n, &arena) >= 0;
    if (good) {
        record_free_arena(arena);
        good = on_message(k, any.what, bytes);
    }
    if (!good)
        keeper_end_runner(k, xstrdup("wrote something that is no message of the runner protocol"));
}

/* What it wrote before on its standard error belongs to the run that is about to end. */
static void hear_runner(struct keeper *k)
{
    struct str bytes;
    int r = 0;
    while (k->talk.fd >= 0 && (r = frames_next_bytes(&k->talk, LIMIT_RUNNER_BYTES, &bytes)) > 0) {
        if (!keeper_is_shared(k) && k->n_kept)
            keeper_read_lines(k);
        on_bytes(k, bytes);
    }
    if (r < 0)
        keeper_end_runner(k, xstrdup("wrote something that is no message of the runner protocol: a length past the limit; what a "
                                     "program prints must go to its standard error"));
}

/* False: nothing was there. */
static bool read_runner(struct keeper *k)
{
    ssize_t n = frames_read(&k->talk, false);
    if (n > 0) {
        hear_runner(k);
        return true;
    }
    if (n == -EAGAIN || n == -EINTR || k->talk.fd < 0)
        return false;
    closep(&k->talk.fd); /* it is about to end, or must */
    k->kill_at_ms = now_ms() + CLOSED_MS;
    return false;
}

/* ---- from the worker -------------------------------------------------------------------------- */

static void on_worker_message(struct keeper *k, const struct message *m)
{
    if (m->type == MSG_RUN)
        for (size_t i = 0; i < m->run.n_jobs; i++)
            keeper_run(k, &m->run.jobs[i]);
    if (answer_is(m))
        keeper_on_answer(k, m);
    if (m->type == MSG_STOP)
        for (size_t i = 0; i < m->stop.n_attempts; i++)
            keeper_stop(k, &m->stop.attempts[i]);
}

static void read_worker(struct keeper *k)
{
    struct message m;
    int r = 0;
    ssize_t n = frames_read(&k->worker, false);
    if (n == -EAGAIN || n == -EINTR)
        return;
    while (n > 0 && (r = frames_next(&k->worker, &m)) > 0) {
        on_worker_message(k, &m);
        message_fini(&m);
    }
    if (n < 0 || r < 0)
        leave(k);
}

/* ---- the loop --------------------------------------------------------------------------------- */

static void on_sigchld(struct keeper *k)
{
    struct signalfd_siginfo info;
    while (read(k->sigchld, &info, sizeof info) > 0)
        ;
    int status, last = 0;
    bool ended = false;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0;)
        if (pid == k->process.pid) {
            ended = true;
            last = status;
        }
    keeper_end_more_strays(k);
    if (!ended)
        return;
    while (k->talk.fd >= 0 && read_runner(k)) /* what it said before */
        ;
    on_end(k, last);
}

static void tick(struct keeper *k)
{
    if (now_ms() < k->kill_at_ms)
        return;
    if (k->ready && !k->why && k->talk.fd < 0)
        keeper_end_runner(k, xstrdup("closed its standard output"));
    else if (!k->ready && !k->why)
        keeper_end_runner(k, xasprintf("was not ready within %d s", READY_MS / 1000));
    kill(k->process.pid, SIGKILL);
    k->kill_at_ms = now_ms() + CLOSED_MS;
}

static void flush_all(struct keeper *k)
{
    int r = frames_flush(&k->worker, false);
    if (r < 0 && r != -EAGAIN && r != -EINTR)
        leave(k);
    if (k->talk.fd >= 0)
        frames_flush(&k->talk, false); /* should it have died: its end is read too */
}

static void turn(struct keeper *k)
{
    bool takes = unread(&k->talk) < UNREAD_BYTES, hears = unread(&k->worker) < UNREAD_BYTES;
    struct pollfd fds[] = {
        { k->worker.fd, (short)((takes ? POLLIN : 0) | (frames_to_flush(&k->worker) ? POLLOUT : 0)), 0 },
        { k->talk.fd, (short)((hears ? POLLIN : 0) | (frames_to_flush(&k->talk) ? POLLOUT : 0)), 0 },
        { k->process.error, POLLIN, 0 },
        { k->sigchld, POLLIN, 0 },
    };
    int64_t wait_ms = k->kill_at_ms == NEVER ? -1 : min_i64(max_i64(k->kill_at_ms - now_ms(), 0), 60000);
    poll(fds, ELEMENTS(fds), (int)wait_ms);
    tick(k);
    if (fds[2].revents)
        keeper_read_lines(k);
    if (fds[1].revents & ~POLLOUT)
        read_runner(k);
    if (fds[0].revents & ~POLLOUT)
        read_worker(k);
    if (fds[3].revents)
        on_sigchld(k);
    flush_all(k);
}

/* ---- beginning -------------------------------------------------------------------------------- */

static int open_signals(void)
{
    struct sigaction standard = { .sa_handler = SIG_DFL };
    for (int sig = 1; sig <= SIGRTMAX; sig++)
        sigaction(sig, &standard, NULL);
    static const int not_for_me[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGTSTP, SIGPIPE };
    for (size_t i = 0; i < ELEMENTS(not_for_me); i++)
        signal(not_for_me[i], SIG_IGN);
    sigaction(CHILD_ORPHANED_SIGNAL, &(struct sigaction){ .sa_handler = on_orphaned }, NULL);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_SETMASK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void offer_to_oom_killer(void)
{
    cleanup(closep) int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : write(fd, OOM_SCORE, strlen(OOM_SCORE));
    (void)n; /* refused where it stands higher already */
}

static void start(struct keeper *k, int64_t nofile)
{
    int r = runner_process_start(&k->process, k->runner, nofile);
    if (r < 0) {
        cleanup(freep) char *text = xasprintf("the runner `%s` cannot be started: %s: %s", k->runner->name,
                                              k->runner->argv[0], strerror(-r));
        say_why(k, text);
        leave(k);
    }
    frames_init(&k->talk, TAKE_FD(k->process.socket));
    k->kill_at_ms = now_ms() + READY_MS;
}

static void say_hello(struct keeper *k)
{
    struct runner_hello h;
    record_init(RECORD_runner_hello, &h);
    h.what = RUNNER_HELLO;
    h.version = h.min_version = RUNNER_VERSION;
    h.software = str_of("tern-worker");
    h.pool = k->pool;
    h.room = k->capacity;
    h.name = str_of(k->runner->name);
    keeper_tell(k, RECORD_runner_hello, &h);
}

_Noreturn void keeper_main(int fd, const struct child_role *role, int64_t nofile_soft)
{
    static struct keeper keeper;
    struct keeper *k = &keeper;
    prctl(PR_SET_NAME, "tern-keeper");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    k->sigchld = open_signals();
    offer_to_oom_killer();
    k->runner = runners_get(role->runner);
    k->capacity = role->capacity;
    k->pool = role->pool;
    k->kill_at_ms = NEVER;
    k->process.error = -1;
    list_init(&k->kept);
    frames_init(&k->worker, fd);
    frames_init(&k->talk, -1);
    frames_init(&k->early, -1);
    start(k, k->pool == POOL_LOOP ? 0 : nofile_soft); /* 0: as many as may be, for each coroutine may hold one */
    say_hello(k);
    flush_all(k);
    while (!k->over)
        turn(k);
    leave(k);
}
