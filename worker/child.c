/* child.c - a process that runs jobs. Single-threaded, forked from the zygote, so that it may do whatever it likes before
 * the first handler runs. It trusts its parent; what it says itself is read as hostile over there. */
#include "worker/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/asks.h"
#include "worker/call.h"
#include "worker/commands.h"
#include "worker/frame.h"
#include "worker/handlers.h"
#include "worker/modules_child.h"
#include "worker/place.h"
#include "worker/run.h"
#include "worker/usage.h"

#define END_MS 5000
#define ORPHAN_END_MS 2000
#define OOM_SCORE "500" /* the kernel shoots jobs, not the worker */
#define RSS_GROWN_KB 256
#define UNSENT_MOST 16 /* outcomes of short jobs that leave together */
#define UNSENT_US 500  /* and how long the first of them may have taken to come here */

struct child {
    struct frames frames;
    struct commands commands;
    size_t capacity;
    struct ring *ring;        /* NULL in the launcher */
    struct buf aside;         /* frames that came while a handler waited for an answer, and are not that */
    struct link later;        /* owned runs, behind a command that runs */
    bool behind;              /* that command was one of them: the worker looks into the ring for what ended before it */
    uint64_t n_given, said;   /* runs, bytes: as the ring counts them */
    size_t n_unsent;          /* outcomes */
    int64_t unsent_since_us;  /* when the first of them began */
    struct usage used;        /* of the process, as its last job ended; cpu_us UNSET: it has done more than pass to the next since */
    int64_t base_kb; /* peak memory of this process since the kernel was last told to forget it */
    bool done;       /* something is left that cannot be ended: take no further job */
};

/* ---- signals ---------------------------------------------------------------------------------- */

static struct tern_job *current; /* what runs in place */
static volatile sig_atomic_t told_stop;
static pid_t zygote;

static void on_term(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)context;
    if (info->si_pid != zygote)
        return;
    told_stop = 1;
    if (current)
        call_tell_stop(current);
}

static void on_orphaned(int sig)
{
    (void)sig;
    tree_end_children(ORPHAN_END_MS, NULL);
    _exit(EXIT_FAILURE);
}

/* Those that this process lives by. */
static void set_signals(void)
{
    sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
    sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
    sigaction(SIGTERM, &(struct sigaction){ .sa_sigaction = on_term, .sa_flags = SA_SIGINFO }, NULL);
    sigaction(CHILD_ORPHANED_SIGNAL, &(struct sigaction){ .sa_handler = on_orphaned }, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void reset_signals(void)
{
    struct sigaction standard = { .sa_handler = SIG_DFL };
    for (int sig = 1; sig <= SIGRTMAX; sig++)
        sigaction(sig, &standard, NULL);
    set_signals();
}

/* ---- leaving, sending ------------------------------------------------------------------------- */

_Noreturn static void leave(int status)
{
    tree_end_children(END_MS, NULL);
    _exit(status);
}

static void flush(struct child *c, bool wait)
{
    bool waits = frames_to_flush(&c->frames);
    int r = frames_flush(&c->frames, wait);
    if (r < 0 && r != -EAGAIN && r != -EINTR)
        leave(EXIT_SUCCESS);
    if (waits && c->commands.n)
        commands_watch(&c->commands, c->frames.fd, r == -EAGAIN);
    c->n_unsent = 0;
    c->used.cpu_us = UNSET;
}

/* ---- a handler in place ----------------------------------------------------------------------- */

/* The peak is of the process's life: after a job that raised it the kernel is told to forget, so that the next one is not
 * blamed for it. */
static void forget_peak(struct child *c, int64_t peak_kb)
{
    if (peak_kb <= c->base_kb + RSS_GROWN_KB)
        return;
    cleanup(closep) int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "5", 1) == 1)
        usage_of_process(&c->used, &peak_kb);
    c->base_kb = peak_kb;
    c->used.cpu_us = UNSET;
}

static void end_what_is_left(struct child *c)
{
    siginfo_t info;
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD)
        return;
    c->done = tree_end_children(END_MS, NULL) < 0;
}

static int measured(struct child *c, int (*function)(struct tern_job *), struct tern_job *call)
{
    int64_t peak_kb, from_us = clock_mono_us();
    struct usage before = c->used;
    if (before.cpu_us == UNSET)
        usage_of_process(&before, &peak_kb);
    current = call;
    if (told_stop)
        call_tell_stop(call);
    int r = function(call);
    current = NULL;
    if (c->ring && !ring_is_whole(c->ring, c->n_given - 1, c->said)) {
        flush(c, true); /* what ended before */
        leave(EXIT_FAILURE);
    }
    call->measured.wall_us = clock_mono_us() - from_us;
    end_what_is_left(c);
    usage_of_process(&c->used, &peak_kb);
    struct usage used = usage_between(&before, &c->used);
    call->measured.cpu_us = used.cpu_us;
    call->measured.ready_us = usage_ready_us(&used, call->measured.wall_us);
    call->measured.max_rss_kb = peak_kb;
    return r;
}

/* From here on it is said: it need not be sent at once. */
static void say(struct child *c, const struct message *m)
{
    const struct buf *out = &c->frames.out;
    size_t before = out->n;
    if (frames_put(&c->frames, m) < 0)
        _exit(EXIT_FAILURE);
    if (!c->ring)
        return;
    bool stands = ring_say(c->ring, c->said, out->p + before, out->n - before);
    c->said += out->n - before;
    if (stands)
        return;
    flush(c, true);
    ring_said(c->ring, c->said);
}

static void send_outcome(void *ctx, const struct outcome *o)
{
    struct child *c = ctx;
    struct message m;
    message_init(&m, MSG_RESULT);
    m.result.outcomes = (struct outcome *)o;
    m.result.n_outcomes = 1;
    say(c, &m);
}

static void on_command_outcome(void *ctx, const struct outcome *o)
{
    struct child *c = ctx;
    send_outcome(c, o);
    c->n_unsent++;
}

/* ---- a handler asks ----------------------------------------------------------------------------
 *
 * What it was given points into the frames that have come: so what comes while it waits for its answer is kept aside, and goes
 * behind them when it has returned. */

static struct child *asks_for;

static void set_aside(struct child *c)
{
    struct frames *f = &c->frames;
    buf_add(&c->aside, f->in.p + f->in_at, f->in.n - f->in_at);
    f->in.n = f->in_at;
}

static void put_back(struct child *c)
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
            leave(EXIT_FAILURE);
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
    while (!told_stop && ppoll(&p, 1, NULL, &before) < 0 && errno == EINTR)
        ;
    sigprocmask(SIG_SETMASK, &before, NULL);
    return !told_stop;
}

static void read_aside(struct child *c)
{
    char bytes[16384];
    ssize_t n = recv(c->frames.fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n > 0)
        buf_add(&c->aside, bytes, (size_t)n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        leave(EXIT_SUCCESS);
}

static int ask(struct tern_job *j, struct buf *request, struct buf *ret)
{
    struct child *c = asks_for;
    struct message m;
    const char *why;
    int r = message_decode(&m, request->p, request->n, &why);
    assert(r >= 0); /* it was encoded here */
    uint64_t req = ask_req(&m);
    say(c, &m);
    message_fini(&m);
    buf_fini(request);
    flush(c, true);
    set_aside(c);
    while (!take_answer(c, req, ret)) {
        if (tern_should_stop(j) || !wait_readable(c))
            return -ECANCELED;
        read_aside(c);
    }
    return 0;
}

static void report(struct tern_job *j)
{
    struct message m;
    struct attempt_progress p;
    call_progress(j, &p);
    message_init(&m, MSG_PROGRESS);
    m.progress.attempts = &p;
    m.progress.n_attempts = 1;
    say(asks_for, &m);
    flush(asks_for, true);
}

/* Short jobs' outcomes wait for each other. */
static void send_in_time(struct child *c, int64_t began_us, int64_t ended_us)
{
    if (c->n_unsent++ == 0)
        c->unsent_since_us = began_us;
    if (c->n_unsent >= UNSENT_MOST || ended_us - c->unsent_since_us >= UNSENT_US)
        flush(c, true);
}

static void refuse(struct child *c, const struct run_job *job, const char *why)
{
    struct outcome o;
    record_init(RECORD_outcome, &o);
    o.job = job->job;
    o.attempt = job->attempt;
    o.ending = ENDING_FAILED;
    o.reason = REASON_HANDLER_ERROR;
    o.for_good = 1;
    o.error = str_of(why);
    send_outcome(c, &o);
}

/* Of a handler the blocking form; HANDLER/FUNCTION: of its module, for a part of a job on the loop. */
static int (*function_of(struct str name))(struct tern_job *)
{
    const char *slash = name.n ? memchr(name.p, '/', name.n) : NULL;
    size_t n = slash ? (size_t)(slash - name.p) : name.n;
    if (slash) {
        struct str rest = { slash + 1, name.n - n - 1 };
        const struct tern_function *f = handlers_find_function((struct str){ name.p, n }, rest);
        return f ? f->call : NULL;
    }
    const struct tern_handler *h = handlers_find(name);
    return h ? h->blocking : NULL;
}

/* What a handler has done to its process is not for the next one, which begins in another one where it cannot be undone. */
static void restore(struct child *c)
{
    place_restore();
    set_signals();
    if (modules_are_there())
        return;
    flush(c, true);
    leave(EXIT_SUCCESS);
}

static void run_handler(struct child *c, const struct run_job *job)
{
    struct now now = clock_now();
    int (*function)(struct tern_job *) = function_of(job->handler);
    if (!function || c->capacity > 1) {
        const char *why = modules_why_not();
        refuse(c, job, why ? why : "this worker has no blocking form of the handler, or no such function");
        return;
    }
    struct tern_job call;
    struct outcome o;
    int64_t from_us = clock_mono_us();
    call_init(&call, job, now);
    call.ask = c->ring ? ask : NULL;
    call.report = c->ring ? report : NULL;
    call_outcome(&call, measured(c, function, &call), &o);
    o.job = job->job;
    o.attempt = job->attempt;
    forget_peak(c, call.measured.max_rss_kb);
    send_outcome(c, &o);
    if (!handler_is_built_in(function))
        restore(c);
    send_in_time(c, from_us, from_us + call.measured.wall_us);
    call_fini(&call);
}

/* ---- frames ----------------------------------------------------------------------------------- */

static void begin(struct child *c, const struct run_job *job)
{
    int r = c->ring ? ring_begin(c->ring, c->n_given++) : 1;
    if (r < 0)
        leave(EXIT_FAILURE);
    if (r == 0)
        return; /* it was taken back */
    if (!handler_is_exec(job->handler))
        run_handler(c, job);
    else if (c->commands.n >= c->capacity)
        refuse(c, job, "more commands than this process may run");
    else
        commands_begin(&c->commands, job, clock_now());
}

/* One at a time, in order; the launcher runs all at once. */
static bool may_begin(const struct child *c)
{
    return !c->done && (!c->ring || (c->commands.n == 0 && list_empty(&c->later)));
}

static void on_run(struct child *c, const struct msg_run *m)
{
    for (size_t i = 0; i < m->n_jobs; i++)
        if (may_begin(c))
            begin(c, &m->jobs[i]);
        else
            list_add_tail(&c->later, &run_new(&m->jobs[i], clock_now())->link);
}

static void begin_later(struct child *c)
{
    while (!c->done && c->commands.n == 0 && !list_empty(&c->later)) {
        struct run *r = list_entry(list_pop(&c->later), struct run, link);
        begin(c, &r->job);
        run_free(r);
        put_back(c);
        c->behind = true;
    }
    c->behind = c->behind && c->commands.n;
}

static void flush_in_time(struct child *c, bool wait)
{
    if (!c->behind || c->n_unsent >= UNSENT_MOST)
        flush(c, wait);
}

static void on_stop(struct child *c, const struct msg_stop *m)
{
    for (size_t i = 0; i < m->n_attempts; i++)
        commands_stop(&c->commands, m->attempts[i].job, m->attempts[i].attempt);
}

/* Between two starts. Each start copies the descriptors of all that run: where commands are short, few should. */
static void see_to_commands(struct child *c)
{
    commands_tick(&c->commands);
    commands_wait(&c->commands, 0);
    flush_in_time(c, false);
}

static void on_frames(struct child *c)
{
    struct message m;
    int r;
    while ((r = frames_next(&c->frames, &m)) > 0) {
        if (m.type == MSG_RUN)
            on_run(c, &m.run);
        else if (m.type == MSG_STOP)
            on_stop(c, &m.stop);
        message_fini(&m);
        put_back(c);
        if (c->commands.n)
            see_to_commands(c);
    }
    if (r < 0)
        leave(EXIT_FAILURE);
}

/* False: nothing was there. */
static bool read_frames(struct child *c, bool wait)
{
    ssize_t n = frames_read(&c->frames, wait);
    c->used.cpu_us = UNSET;
    if (n > 0)
        on_frames(c);
    else if (n != -EAGAIN && n != -EINTR)
        leave(EXIT_SUCCESS);
    return n > 0;
}

/* Outcomes leave before anything is waited for. */
_Noreturn static void serve(struct child *c)
{
    while (!c->done) {
        int64_t until_ms = c->commands.n ? commands_tick(&c->commands) : NEVER;
        begin_later(c);
        bool idle = c->commands.n == 0;
        if (idle && c->n_unsent && read_frames(c, false))
            continue; /* there is more to do */
        flush_in_time(c, idle);
        if (!idle)
            commands_wait(&c->commands, until_ms);
        read_frames(c, idle);
    }
    frames_flush(&c->frames, true);
    _exit(EXIT_SUCCESS);
}

/* ---- beginning -------------------------------------------------------------------------------- */

static void raise_nofile(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void offer_to_oom_killer(void)
{
    cleanup(closep) int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : write(fd, OOM_SCORE, strlen(OOM_SCORE));
    (void)n; /* refused where it stands higher already */
}

static void say_ready(struct child *c)
{
    struct message m;
    message_init(&m, MSG_STARTED);
    say(c, &m);
    flush(c, true);
}

_Noreturn void child_main(int fd, size_t capacity, int64_t nofile_soft)
{
    static struct child c;
    zygote = getppid();
    prctl(PR_SET_NAME, capacity > 1 ? "tern-launcher" : "tern-child");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    reset_signals();
    place_note();
    offer_to_oom_killer();
    if (capacity == 0)
        modules_probe(fd);
    c.capacity = capacity;
    frames_init(&c.frames, fd);
    list_init(&c.later);
    buf_init(&c.aside, SIZE_MAX / 2);
    asks_for = &c;
    commands_init(&c.commands, capacity, nofile_soft);
    c.commands.on_outcome = on_command_outcome;
    c.commands.ctx = &c;
    commands_watch(&c.commands, fd, false);
    if (capacity > 1)
        raise_nofile();
    else if (ring_accept(&c.ring, fd) < 0 || modules_accept(fd) < 0)
        _exit(EXIT_FAILURE);
    usage_of_process(&c.used, &c.base_kb);
    c.used.cpu_us = UNSET;
    say_ready(&c);
    serve(&c);
}
