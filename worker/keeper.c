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
#include "proto/base/list.h"
#include "proto/base/log.h"
#include "proto/base/map.h"
#include "worker/frame.h"
#include "worker/job_log.h"
#include "worker/job_text.h"
#include "worker/runner_process.h"
#include "worker/tree.h"

#define END_MS 5000
#define ORPHAN_END_MS 2000
#define READY_MS 30000
#define CLOSED_MS 1000           /* a runner that has closed its output is given so long to end */
#define UNREAD_BYTES (8u << 20)  /* past it no more runs are taken: the runner does not read them */
#define READS 16
#define LINE_BYTES 512
#define LINES_A_WHILE 100        /* of its standard error, in the worker's log */
#define WHILE_MS 10000
#define RSS_GROWN_KB 4096
#define OOM_SCORE "500"          /* the kernel shoots jobs, not the worker */

/* A run that the runner has. */
struct kept {
    struct link link;
    uint64_t job, attempt;
    struct buf output; /* owned: marked chunks */
    int64_t began_us, cpu_us;
    bool told;         /* to stop */
};

static struct {
    struct runner *runner; /* borrowed */
    struct runner_process process;
    struct frames worker, talk; /* with the worker; with the runner */
    size_t capacity;
    int64_t pool;          /* UNSET: it only tells what it has */
    struct link kept;      /* owned */
    struct idmap by_job;
    size_t n_kept;
    bool ready, over;
    char *why;             /* owned: what the runner did that ended it; NULL: it ended by itself */
    int sigchld;
    int64_t kill_at_ms;    /* NEVER: nothing is due */
    int64_t base_kb;       /* its peak of memory when the kernel was last told to forget it */
    char line[LINE_BYTES], last_line[LINE_BYTES];
    size_t line_bytes, n_lines;
    int64_t while_until_ms;
} self;

static int64_t now_ms(void) { return clock_mono_us() / 1000; }
static bool is_shared(void) { return self.pool != POOL_PROCESS; }

/* ---- leaving ---------------------------------------------------------------------------------- */

_Noreturn static void leave(void)
{
    frames_flush(&self.worker, true);
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

static void say(const struct message *m)
{
    if (frames_put(&self.worker, m) < 0)
        _exit(EXIT_FAILURE);
}

static void say_outcome(const struct outcome *o)
{
    struct message m;
    message_init(&m, MSG_RESULT);
    m.result.outcomes = (struct outcome *)o;
    m.result.n_outcomes = 1;
    say(&m);
}

static void say_why(const char *text)
{
    struct message m;
    message_init(&m, MSG_ERROR);
    m.error.text = str_of(text);
    say(&m);
}

/* ---- runs ------------------------------------------------------------------------------------- */

static uint64_t key_of(uint64_t job, uint64_t attempt) { return job ^ attempt << 48; }

static struct kept *find(uint64_t job, uint64_t attempt)
{
    struct kept *k = idmap_find(&self.by_job, key_of(job, attempt));
    return k && k->job == job && k->attempt == attempt ? k : NULL;
}

static struct kept *keep(const struct run_job *job)
{
    struct kept *k = xcalloc(1, sizeof *k);
    k->job = job->job;
    k->attempt = job->attempt;
    k->began_us = clock_mono_us();
    k->cpu_us = is_shared() ? UNSET : runner_process_cpu_us(&self.process);
    buf_init(&k->output, LIMIT_RESULT_BYTES);
    list_add_tail(&self.kept, &k->link);
    idmap_put(&self.by_job, key_of(k->job, k->attempt), k);
    self.n_kept++;
    return k;
}

static void forget(struct kept *k)
{
    uint64_t key = key_of(k->job, k->attempt);
    if (idmap_find(&self.by_job, key) == k)
        idmap_remove(&self.by_job, key);
    list_remove(&k->link);
    buf_fini(&k->output);
    free(k);
    self.n_kept--;
}

static bool is_not_runner(void *ctx, pid_t pid)
{
    (void)ctx;
    return pid == self.process.pid;
}

static void kill_stray(void *ctx, const struct tree_process *p)
{
    (void)ctx;
    if (p->state != 'Z')
        kill(p->pid, SIGKILL);
}

/* What a run of the process pool has left behind, less what is still the runner's child. */
static void end_strays(void) { tree_each_child(getpid(), is_not_runner, kill_stray, NULL); }

static void measure(const struct kept *k, int64_t cpu_us, struct outcome *o)
{
    o->wall_us = clock_mono_us() - k->began_us;
    o->cpu_us = cpu_us == UNSET ? UNSET : max_i64(cpu_us, 0);
    if (is_shared())
        return;
    int64_t now_us = runner_process_cpu_us(&self.process);
    if (o->cpu_us == UNSET && k->cpu_us != UNSET && now_us != UNSET)
        o->cpu_us = now_us - k->cpu_us;
    o->max_rss_kb = runner_process_peak_kb(&self.process);
    if (o->max_rss_kb == UNSET || o->max_rss_kb <= self.base_kb + RSS_GROWN_KB)
        return;
    runner_process_forget_peak(&self.process);
    self.base_kb = runner_process_peak_kb(&self.process);
}

/* o says how; the rest is filled in here. */
static void end(struct kept *k, struct outcome *o)
{
    o->job = k->job;
    o->attempt = k->attempt;
    if (k->output.n)
        o->output = buf_str(&k->output);
    say_outcome(o);
    forget(k);
    if (!is_shared())
        end_strays();
}

static void outcome_of_failure(struct outcome *o, const char *error, bool for_good)
{
    record_init(RECORD_outcome, o);
    o->ending = ENDING_FAILED;
    o->reason = REASON_HANDLER_ERROR;
    o->for_good = for_good;
    o->error = str_of(error);
}

/* ---- its standard error ----------------------------------------------------------------------- */

static void log_line(void)
{
    int64_t now = now_ms();
    self.line[self.line_bytes] = '\0';
    self.line_bytes = 0;
    job_text_clean(self.line, LINE_BYTES - 1);
    if (!self.line[0])
        return;
    memcpy(self.last_line, self.line, LINE_BYTES);
    if (now >= self.while_until_ms) {
        if (self.n_lines > LINES_A_WHILE)
            log_warning("event=runner-lines-left-out runner=%s lines=%zu", self.runner->name, self.n_lines - LINES_A_WHILE);
        self.while_until_ms = now + WHILE_MS;
        self.n_lines = 0;
    }
    if (self.n_lines++ < LINES_A_WHILE)
        log_info("event=runner-says runner=%s text=\"%s\"", self.runner->name, self.line);
}

static void log_bytes(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\n' || self.line_bytes == LINE_BYTES - 1)
            log_line();
        if (p[i] != '\n')
            self.line[self.line_bytes++] = p[i];
    }
}

/* Of the one run that it has, else nobody's. */
static void on_error_output(const char *p, size_t n)
{
    if (!self.ready || is_shared() || self.n_kept != 1)
        log_bytes(p, n);
    else
        job_log_add(&list_entry(self.kept.next, struct kept, link)->output, (struct str){ p, n });
}

static void read_error_output(void)
{
    char bytes[JOB_LOG_LINE_BYTES];
    ssize_t n = 1;
    for (int i = 0; i < READS && n > 0 && self.process.error >= 0; i++) {
        n = read(self.process.error, bytes, sizeof bytes);
        if (n > 0)
            on_error_output(bytes, (size_t)n);
        else if (n == 0 || (errno != EAGAIN && errno != EINTR))
            closep(&self.process.error);
    }
}

/* ---- the runner's end ------------------------------------------------------------------------- */

/* It has done what it must not: it is listened to no longer. */
static void end_runner(char *why)
{
    if (self.why) {
        free(why);
        return;
    }
    self.why = why;
    closep(&self.talk.fd);
    kill(self.process.pid, SIGKILL);
    self.kill_at_ms = now_ms() + CLOSED_MS;
}

static char *text_of_end(int status)
{
    const char *line = self.ready || !self.last_line[0] ? "" : self.last_line;
    const char *early = self.ready ? "" : " before it was ready";
    if (self.why)
        return xasprintf("the runner `%s` %s%s%s", self.runner->name, self.why, *line ? ": " : "", line);
    if (WIFSIGNALED(status))
        return xasprintf("the runner `%s` was ended by signal %d (%s)%s%s%s", self.runner->name, WTERMSIG(status),
                         sigabbrev_np(WTERMSIG(status)) ?: "?", early, *line ? ": " : "", line);
    return xasprintf("the runner `%s` exited with status %d%s%s%s", self.runner->name, WEXITSTATUS(status), early,
                     *line ? ": " : "", line);
}

/* Alone, the run is to blame; of several, each is a suspect. */
static void outcome_of_end(int status, const char *text, struct outcome *o)
{
    outcome_of_failure(o, text, false);
    if (is_shared()) {
        o->ending = ENDING_LOST;
        o->reason = REASON_WORKER_LOST;
    } else if (!self.why && WIFSIGNALED(status)) {
        o->reason = REASON_SIGNAL;
        o->signal = WTERMSIG(status);
    } else if (!self.why) {
        o->reason = REASON_EXIT;
        o->exit_code = WEXITSTATUS(status);
    }
}

/* Before it was ready no run can have begun: those are told of by nobody, and begin again elsewhere. */
_Noreturn static void on_end(int status)
{
    read_error_output();
    log_line();
    cleanup(freep) char *text = text_of_end(status);
    job_text_clean(text, LIMIT_TEXT_BYTES);
    say_why(text);
    while (self.ready && !list_empty(&self.kept)) {
        struct kept *k = list_entry(self.kept.next, struct kept, link);
        struct outcome o;
        outcome_of_end(status, text, &o);
        o.wall_us = clock_mono_us() - k->began_us;
        end(k, &o);
    }
    leave();
}

/* ---- what it says ----------------------------------------------------------------------------- */

static void tell(enum record_kind kind, const void *record)
{
    if (self.talk.fd >= 0 && frames_put_record(&self.talk, kind, record) < 0)
        end_runner(xstrdup("cannot be told of a job: it is too large"));
}

static void answer_of_none(uint64_t job, uint64_t attempt)
{
    end_runner(xasprintf("answered for attempt %llu of job %llu, which it does not have", (unsigned long long)attempt,
                         (unsigned long long)job));
}

static void on_done(const struct runner_done *d)
{
    struct outcome o;
    struct kept *k = find(d->job, d->attempt);
    cleanup(freep) char *text = NULL;
    if (!k) {
        answer_of_none(d->job, d->attempt);
        return;
    }
    record_init(RECORD_outcome, &o);
    o.ending = ENDING_DONE;
    o.result = d->result;
    if (d->result.n > LIMIT_RESULT_BYTES) {
        text = xasprintf("its result has %zu bytes; there may be %u", d->result.n, LIMIT_RESULT_BYTES);
        outcome_of_failure(&o, text, true);
    }
    measure(k, d->cpu_us, &o);
    end(k, &o);
}

static void on_failed(const struct runner_failed *f)
{
    struct outcome o;
    struct kept *k = find(f->job, f->attempt);
    if (!k) {
        answer_of_none(f->job, f->attempt);
        return;
    }
    cleanup(freep) char *text = f->error.n ? xstrndup(f->error) : xstrdup("the handler failed, and did not say why");
    job_text_clean(text, LIMIT_TEXT_BYTES);
    outcome_of_failure(&o, text, f->for_good != 0);
    measure(k, f->cpu_us, &o);
    end(k, &o);
}

/* Of a job that has ended it comes too late; no harm is in that. */
static void on_log(const struct runner_log *l)
{
    struct kept *k = find(l->job, l->attempt);
    char line[JOB_LOG_LINE_BYTES];
    for (size_t at = 0; k && at < l->text.n;) {
        const char *p = l->text.p + at, *newline = memchr(p, '\n', l->text.n - at);
        size_t n = min_size(newline ? (size_t)(newline - p) : l->text.n - at, sizeof line - 1);
        memcpy(line, p, n);
        line[n] = '\n';
        job_log_add(&k->output, (struct str){ line, n + 1 });
        at += n + (p + n == newline);
    }
}

/* The worker has nobody to tell it to: it is checked, and that is all. */
static void on_progress(const struct runner_progress *p) { (void)p; }

static void tell_handlers(const struct runner_ready *r)
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
    say(&m);
    free(info);
    self.over = true;
}

static void on_ready(const struct runner_ready *r)
{
    struct message m;
    if (self.ready || r->version != RUNNER_VERSION) {
        end_runner(self.ready ? xstrdup("said READY twice")
                              : xasprintf("speaks version %llu of the runner protocol, not %u",
                                          (unsigned long long)r->version, RUNNER_VERSION));
        return;
    }
    self.ready = true;
    self.kill_at_ms = NEVER;
    list_each(l, &self.kept) /* they begin now */
        list_entry(l, struct kept, link)->began_us = clock_mono_us();
    self.base_kb = max_i64(runner_process_peak_kb(&self.process), 0);
    if (self.pool == UNSET) {
        tell_handlers(r);
        return;
    }
    message_init(&m, MSG_STARTED);
    say(&m);
}

/* False: it is no message. The record's texts are views into the bytes. */
static bool on_message(uint64_t what, struct str bytes)
{
    union {
        struct runner_ready ready;
        struct runner_done done;
        struct runner_failed failed;
        struct runner_log log;
        struct runner_progress progress;
    } u;
    static const enum record_kind kinds[] = {
        [RUNNER_READY] = RECORD_runner_ready, [RUNNER_DONE] = RECORD_runner_done,
        [RUNNER_FAILED] = RECORD_runner_failed, [RUNNER_LOG] = RECORD_runner_log,
        [RUNNER_PROGRESS] = RECORD_runner_progress,
    };
    void *arena;
    if (what < RUNNER_READY || what > RUNNER_PROGRESS || (!self.ready && what != RUNNER_READY) ||
        record_decode(kinds[what], &u, bytes.p, bytes.n, &arena) < 0)
        return false;
    switch ((enum runner_message)what) {
    case RUNNER_READY:
        on_ready(&u.ready);
        break;
    case RUNNER_DONE:
        on_done(&u.done);
        break;
    case RUNNER_FAILED:
        on_failed(&u.failed);
        break;
    case RUNNER_LOG:
        on_log(&u.log);
        break;
    default:
        on_progress(&u.progress);
        break;
    }
    record_free_arena(arena);
    return true;
}

static void on_bytes(struct str bytes)
{
    struct runner_any any;
    void *arena;
    bool good = record_decode(RECORD_runner_any, &any, bytes.p, bytes.n, &arena) >= 0;
    if (good) {
        record_free_arena(arena);
        good = on_message(any.what, bytes);
    }
    if (!good)
        end_runner(xstrdup("wrote something that is no message of the runner protocol"));
}

/* What it wrote before on its standard error belongs to the run that is about to end. */
static void hear_runner(void)
{
    struct str bytes;
    int r = 0;
    while (self.talk.fd >= 0 && (r = frames_next_bytes(&self.talk, LIMIT_RUNNER_BYTES, &bytes)) > 0) {
        if (!is_shared() && self.n_kept)
            read_error_output();
        on_bytes(bytes);
    }
    if (r < 0)
        end_runner(xstrdup("wrote something that is no message of the runner protocol: a length past the limit; what a "
                           "program prints must go to its standard error"));
}

/* False: nothing was there. */
static bool read_runner(void)
{
    ssize_t n = frames_read(&self.talk, false);
    if (n > 0) {
        hear_runner();
        return true;
    }
    if (n == -EAGAIN || n == -EINTR || self.talk.fd < 0)
        return false;
    closep(&self.talk.fd); /* it is about to end, or must */
    self.kill_at_ms = now_ms() + CLOSED_MS;
    return false;
}

/* ---- from the worker -------------------------------------------------------------------------- */

static void on_run(const struct run_job *job)
{
    struct runner_run r = {
        .what = RUNNER_RUN, .job = job->job, .attempt = job->attempt, .queue = job->queue, .handler = job->handler,
        .timeout_ms = job->timeout_ms, .name = job->name,
        .payload = job->payload.p ? job->payload : (struct str){ "", 0 },
    };
    keep(job);
    tell(RECORD_runner_run, &r);
}

static void on_stop(const struct attempt_ref *ref)
{
    struct kept *k = find(ref->job, ref->attempt);
    if (!k)
        return;
    if (k->told && !is_shared())
        kill(self.process.pid, SIGKILL);
    else if (!k->told)
        tell(RECORD_runner_stop, &(struct runner_stop){ RUNNER_STOP, ref->job, ref->attempt });
    k->told = true;
}

static void on_worker_message(const struct message *m)
{
    if (m->type == MSG_RUN)
        for (size_t i = 0; i < m->run.n_jobs; i++)
            on_run(&m->run.jobs[i]);
    if (m->type == MSG_STOP)
        for (size_t i = 0; i < m->stop.n_attempts; i++)
            on_stop(&m->stop.attempts[i]);
}

static void read_worker(void)
{
    struct message m;
    int r = 0;
    ssize_t n = frames_read(&self.worker, false);
    if (n == -EAGAIN || n == -EINTR)
        return;
    while (n > 0 && (r = frames_next(&self.worker, &m)) > 0) {
        on_worker_message(&m);
        message_fini(&m);
    }
    if (n < 0 || r < 0)
        leave();
}

/* ---- the loop --------------------------------------------------------------------------------- */

static void on_sigchld(void)
{
    struct signalfd_siginfo info;
    while (read(self.sigchld, &info, sizeof info) > 0)
        ;
    int status, last = 0;
    bool ended = false;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0;)
        if (pid == self.process.pid) {
            ended = true;
            last = status;
        }
    if (!ended)
        return;
    while (self.talk.fd >= 0 && read_runner()) /* what it said before */
        ;
    on_end(last);
}

static void tick(void)
{
    if (now_ms() < self.kill_at_ms)
        return;
    if (self.ready && !self.why && self.talk.fd < 0)
        end_runner(xstrdup("closed its standard output"));
    else if (!self.ready && !self.why)
        end_runner(xasprintf("was not ready within %d s", READY_MS / 1000));
    kill(self.process.pid, SIGKILL);
    self.kill_at_ms = now_ms() + CLOSED_MS;
}

static void flush_all(void)
{
    int r = frames_flush(&self.worker, false);
    if (r < 0 && r != -EAGAIN && r != -EINTR)
        leave();
    if (self.talk.fd >= 0)
        frames_flush(&self.talk, false); /* should it have died: its end is read too */
}

static void turn(void)
{
    bool takes = self.talk.out.n - self.talk.out_at < UNREAD_BYTES;
    struct pollfd fds[] = {
        { self.worker.fd, (short)((takes ? POLLIN : 0) | (frames_to_flush(&self.worker) ? POLLOUT : 0)), 0 },
        { self.talk.fd, (short)(POLLIN | (frames_to_flush(&self.talk) ? POLLOUT : 0)), 0 },
        { self.process.error, POLLIN, 0 },
        { self.sigchld, POLLIN, 0 },
    };
    int64_t wait_ms = self.kill_at_ms == NEVER ? -1 : min_i64(max_i64(self.kill_at_ms - now_ms(), 0), 60000);
    poll(fds, ELEMENTS(fds), (int)wait_ms);
    tick();
    if (fds[2].revents)
        read_error_output();
    if (fds[1].revents & ~POLLOUT)
        read_runner();
    if (fds[0].revents & ~POLLOUT)
        read_worker();
    if (fds[3].revents)
        on_sigchld();
    flush_all();
}

/* ---- beginning -------------------------------------------------------------------------------- */

static void init_signals(void)
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
    self.sigchld = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void offer_to_oom_killer(void)
{
    cleanup(closep) int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : write(fd, OOM_SCORE, strlen(OOM_SCORE));
    (void)n; /* refused where it stands higher already */
}

static void start(int64_t nofile)
{
    int r = runner_process_start(&self.process, self.runner, nofile);
    if (r < 0) {
        cleanup(freep) char *text = xasprintf("the runner `%s` cannot be started: %s: %s", self.runner->name,
                                              self.runner->argv[0], strerror(-r));
        say_why(text);
        leave();
    }
    frames_init(&self.talk, TAKE_FD(self.process.socket));
    self.kill_at_ms = now_ms() + READY_MS;
}

static void say_hello(void)
{
    struct runner_hello h;
    record_init(RECORD_runner_hello, &h);
    h.what = RUNNER_HELLO;
    h.version = h.min_version = RUNNER_VERSION;
    h.software = str_of("tern-worker");
    h.pool = self.pool;
    h.room = self.capacity;
    h.name = str_of(self.runner->name);
    tell(RECORD_runner_hello, &h);
}

_Noreturn void keeper_main(int fd, const struct child_role *role, int64_t nofile_soft)
{
    prctl(PR_SET_NAME, "tern-keeper");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    init_signals();
    offer_to_oom_killer();
    self.runner = runners_get(role->runner);
    self.capacity = role->capacity;
    self.pool = role->pool;
    self.kill_at_ms = NEVER;
    self.process.error = -1;
    list_init(&self.kept);
    frames_init(&self.worker, fd);
    frames_init(&self.talk, -1);
    start(self.pool == POOL_LOOP ? 0 : nofile_soft); /* 0: as many as may be, for each coroutine may hold one */
    say_hello();
    flush_all();
    while (!self.over)
        turn();
    leave();
}
