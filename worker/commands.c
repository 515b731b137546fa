/* commands.c - the commands that one child runs. Whatever needs to look at /proc is done for all of them at once, and no
 * more often than leaves four fifths of the time for other things. */
#include "worker/commands.h"

#include "worker/part.h"

#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/broker_list.h"
#include "worker/cgroup.h"
#include "worker/number.h"

#define SAMPLE_MS 50
#define SWEEP_MS 2
#define SHARE 4 /* a look at /proc of 1 ms is followed by 4 ms without one */
#define END_ALL_MS 5000

static void block_sigchld(int how)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(how, &set, NULL);
}

static void watch(struct commands *s, int fd, void *what)
{
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = what };
    int r = epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e);
    assert(r == 0);
}

void commands_init(struct commands *s, size_t capacity, int64_t nofile_soft)
{
    *s = (struct commands){ .capacity = capacity, .epoll = epoll_create1(EPOLL_CLOEXEC) };
    list_init(&s->running);
    list_init(&s->ending);
    command_ground_init(&s->ground, nofile_soft);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    s->sigchld = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    assert(s->epoll >= 0 && s->sigchld >= 0);
    watch(s, s->sigchld, &s->sigchld);
    if (cgroup_isolation() == ISOLATION_CGROUP)
        cgroup_own(s->group);
}

void commands_watch(struct commands *s, int fd, bool to_write)
{
    struct epoll_event e = { .events = EPOLLIN | (to_write ? EPOLLOUT : 0u), .data.ptr = s };
    if (epoll_ctl(s->epoll, EPOLL_CTL_MOD, fd, &e) < 0)
        epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e);
}

/* ---- begin, end ------------------------------------------------------------------------------- */

static uint64_t key_of(const struct run_job *job) { return number_key(job->job, job->attempt); }

static bool is_limited(const struct command_run *c)
{
    return c->run->job.memory_bytes != UNSET && c->run->job.memory_bytes > 0;
}

/* A command that has a limit gets a group of its own, where the kernel keeps it; else its memory is sampled. */
static bool is_sampled(const struct command_run *c) { return is_limited(c) && !c->cgroup[0]; }

/* A command begins in its group because this process is there while it starts it. False: it gets none. */
static bool enter_group(struct commands *s, const struct run_job *job, char name[static CGROUP_NAME_BYTES])
{
    if (job->memory_bytes == UNSET || job->memory_bytes <= 0 || !s->group[0])
        return false;
    snprintf(name, CGROUP_NAME_BYTES, "command.%d.%llu", (int)getpid(), (unsigned long long)++s->n_groups);
    return cgroup_make(name) && cgroup_enter(name);
}

/* The limit comes last: this process must not count. */
static void leave_group(struct commands *s, struct command_run *c, const char *name)
{
    bool left = cgroup_enter(s->group);
    if (c->state == COMMAND_ENDED)
        cgroup_remove(name);
    else if (left && cgroup_limit(name, c->run->job.memory_bytes))
        snprintf(c->cgroup, sizeof(c->cgroup), "%s", name);
}

/* After its exit, before its outcome. */
static void end_group(struct command_run *c)
{
    int64_t peak_bytes = 0;
    if (!c->cgroup[0])
        return;
    if (cgroup_count_oom(c->cgroup, &peak_bytes))
        c->memory_peak_bytes = max_i64(max_i64(peak_bytes, c->run->job.memory_bytes), c->memory_peak_bytes);
    cgroup_kill(c->cgroup);
    cgroup_remove(c->cgroup);
}

static void enlist(struct commands *s, struct command_run *c, struct now now)
{
    list_add_tail(&s->running, &c->link);
    idmap_put(&s->by_pid, (uint64_t)c->pid, c);
    idmap_put(&s->by_job, key_of(&c->run->job), c);
    for (size_t i = 0; i < 2; i++)
        watch(s, c->pipes[i].fd, &c->pipes[i]);
    if (is_sampled(c) && s->n_sampled++ == 0)
        s->sample_at_ms = now.mono_ms;
}

static void say_outcome(struct commands *s, struct command_run *c)
{
    struct outcome o;
    command_outcome(c, &o);
    s->on_outcome(s->ctx, &o);
}

void commands_begin(struct commands *s, const struct run_job *job, struct now now)
{
    if (s->n == 0)
        block_sigchld(SIG_BLOCK);
    char name[CGROUP_NAME_BYTES];
    bool grouped = enter_group(s, job, name);
    struct command_run *c = command_start(job, &s->ground, now);
    if (grouped)
        leave_group(s, c, name);
    if (c->state == COMMAND_ENDED) {
        say_outcome(s, c);
        command_free(c);
    } else {
        s->n++;
        enlist(s, c, now);
    }
    if (s->n == 0)
        block_sigchld(SIG_UNBLOCK);
}

static void forget(struct idmap *m, uint64_t key, const struct command_run *c)
{
    if (idmap_find(m, key) == c)
        idmap_remove(m, key);
}

static void end(struct commands *s, struct command_run *c)
{
    c->state = COMMAND_ENDED;
    forget(&s->by_pid, (uint64_t)c->pid, c);
    forget(&s->by_job, key_of(&c->run->job), c);
    s->n_sampled -= is_sampled(c);
    s->n--;
    end_group(c);
    say_outcome(s, c);
    command_free(c);
    if (s->n == 0) {
        tree_end_children(END_ALL_MS, NULL);
        block_sigchld(SIG_UNBLOCK);
    }
}

void commands_stop(struct commands *s, uint64_t job, uint64_t attempt)
{
    struct command_run *c = idmap_find(&s->by_job, key_of(&(struct run_job){ .job = job, .attempt = attempt }));
    if (!c || c->run->job.job != job || c->run->job.attempt != attempt || c->state != COMMAND_RUNNING)
        return;
    c->signal = c->told_stop ? SIGKILL : SIGTERM;
    c->killed = c->told_stop;
    c->told_stop = true;
    s->signals = true;
}

/* ---- looking at processes --------------------------------------------------------------------- */

/* Whose is this direct child of ours? NULL: nobody's, as far as can be seen. *ret_known: it says that it is of a job. */
static struct command_run *owner_of(const struct commands *s, const struct tree_process *p, bool *ret_known)
{
    struct command_run *c = idmap_find(&s->by_pid, (uint64_t)p->pid);
    *ret_known = true;
    if (!c && s->capacity == 1)
        c = list_empty(&s->running) ? NULL : list_entry(s->running.next, struct command_run, link);
    if (!c)
        c = idmap_find(&s->by_pid, (uint64_t)p->session);
    if (!c)
        c = idmap_find(&s->by_pid, (uint64_t)p->pgrp);
    if (c)
        return c;
    struct run_job job = { 0 };
    uint64_t part, place;
    *ret_known = tree_environ_number(p->pid, "TERN_JOB_ID=", &job.job) &&
                 tree_environ_number(p->pid, "TERN_ATTEMPT=", &job.attempt);
    if (*ret_known && tree_environ_number(p->pid, BROKER_LIST_NUMBER "=", &place))
        job.job = number_of((place - 1) % LIMIT_BROKERS, number_own(job.job));
    if (*ret_known && tree_environ_number(p->pid, "TERN_PART=", &part))
        job = (struct run_job){ .job = part | PART_BIT, .attempt = 1 };
    return *ret_known ? idmap_find(&s->by_job, key_of(&job)) : NULL;
}

/* Calls each for every process below this one that has an owner. */
static void survey(struct commands *s, void (*each)(struct command_run *c, const struct tree_process *p))
{
    struct idmap owners = { 0 };
    bool known;
    tree_read(&s->tree, getpid());
    for (size_t i = 1; i < s->tree.n; i++) {
        const struct tree_process *p = &s->tree.at[i];
        struct command_run *c = p->top == p->pid ? owner_of(s, p, &known)
                                                 : idmap_find(&owners, (uint64_t)p->top);
        if (!c)
            continue;
        if (p->top == p->pid)
            idmap_put(&owners, (uint64_t)p->pid, c);
        each(c, p);
    }
    idmap_fini(&owners);
}

/* When to look again, after a look that began at from_us. */
static int64_t again_ms(int64_t from_us, int64_t least_ms)
{
    int64_t now_us = clock_mono_us();
    return (now_us + max_i64((now_us - from_us) * SHARE, least_ms * 1000)) / 1000 + 1;
}

static void send_signal(struct command_run *c, const struct tree_process *p)
{
    if (!c->signal || p->state == 'Z')
        return;
    kill(p->pid, c->signal);
    if (c->signal == SIGTERM)
        kill(p->pid, SIGCONT); /* what is stopped hears nothing */
}

static void send_signals(struct commands *s)
{
    survey(s, send_signal);
    list_each(l, &s->running)
        list_entry(l, struct command_run, link)->signal = 0;
    s->signals = false;
}

static void add_rss(struct command_run *c, const struct tree_process *p) { c->rss_bytes += p->rss_bytes; }

static void judge_memory(struct commands *s, struct command_run *c)
{
    if (is_sampled(c) && c->rss_bytes > c->run->job.memory_bytes) {
        c->memory_peak_bytes = max_i64(c->rss_bytes, c->memory_peak_bytes);
        c->killed = true;
        c->signal = SIGKILL;
        s->signals = true;
    }
    c->rss_bytes = 0;
}

static void sample(struct commands *s)
{
    int64_t from_us = clock_mono_us();
    survey(s, add_rss);
    list_each(l, &s->running)
        judge_memory(s, list_entry(l, struct command_run, link));
    s->sample_at_ms = again_ms(from_us, SAMPLE_MS);
}

/* ---- what is left behind ---------------------------------------------------------------------- */

static bool is_running(void *ctx, pid_t pid)
{
    const struct commands *s = ctx;
    const struct command_run *c = idmap_find(&s->by_pid, (uint64_t)pid);
    return c && c->state == COMMAND_RUNNING;
}

static void judge_stray(void *ctx, const struct tree_process *p)
{
    struct commands *s = ctx;
    bool known;
    if (p->state == 'Z') {
        s->saw_dead = true;
        return;
    }
    struct command_run *c = owner_of(s, p, &known);
    if (c ? c->state == COMMAND_RUNNING : !known)
        return;
    kill(p->pid, SIGKILL);
    if (c)
        c->has_stray = true;
}

/* What is dead and not reaped yet tells no more whose it was, and may have handed over its own children while this look was under way:
 * then nothing is known to be gone, and there is another look. */
static void sweep_among_others(struct commands *s, struct now now)
{
    int64_t from_us = clock_mono_us();
    s->saw_dead = false;
    tree_each_child(getpid(), is_running, judge_stray, s);
    list_each_safe(l, &s->ending) {
        struct command_run *c = list_entry(l, struct command_run, link);
        bool stray = c->has_stray;
        c->has_stray = false;
        if (c->state != COMMAND_ENDING || ((stray || s->saw_dead) && now.mono_ms < c->end_until_ms))
            continue;
        c->strays = stray;
        end(s, c);
    }
    s->sweep_at_ms = again_ms(from_us, SWEEP_MS);
}

static void sweep(struct commands *s, struct now now)
{
    if (s->n > 1) {
        sweep_among_others(s, now);
        return;
    }
    struct command_run *c = list_entry(s->ending.next, struct command_run, link);
    c->strays = tree_end_children(END_ALL_MS, &c->used.cpu_us) < 0;
    end(s, c);
}

/* Moves on what has exited; the time when to come back. */
static int64_t tick_ending(struct commands *s, struct now now)
{
    int64_t next = NEVER;
    bool any = false;
    list_each(l, &s->ending) {
        struct command_run *c = list_entry(l, struct command_run, link);
        next = min_i64(next, command_tick(c, now));
        any |= c->state == COMMAND_ENDING;
    }
    if (!any)
        return next;
    if (now.mono_ms >= s->sweep_at_ms || s->n == 1)
        sweep(s, now);
    return list_empty(&s->ending) ? NEVER : max_i64(s->sweep_at_ms, now.mono_ms);
}

/* ---- the turn --------------------------------------------------------------------------------- */

/* A command without a limit, alone in its process's group, that was killed: by the kernel, because the unit or the machine had no memory
 * left? */
static void look_for_oom(struct commands *s, struct command_run *c)
{
    int64_t peak_bytes;
    if (s->capacity > 1 || c->killed || !WIFSIGNALED(c->status) || WTERMSIG(c->status) != SIGKILL)
        return;
    uint64_t n = s->group[0] ? cgroup_count_oom(s->group, &peak_bytes) : 0;
    if (n > s->n_oom)
        c->memory_peak_bytes = max_i64(peak_bytes, 1);
    s->n_oom = n;
}

static void on_exit_of(struct commands *s, pid_t pid, int status, const struct rusage *usage, struct now now)
{
    struct command_run *c = idmap_find(&s->by_pid, (uint64_t)pid);
    if (!c || c->state != COMMAND_RUNNING)
        return;
    command_on_exit(c, status, usage, now);
    look_for_oom(s, c);
    list_remove(&c->link);
    list_add_tail(&s->ending, &c->link);
}

static void on_sigchld(struct commands *s, struct now now)
{
    struct signalfd_siginfo info;
    while (read(s->sigchld, &info, sizeof(info)) > 0)
        ;
    struct rusage usage;
    int status;
    for (pid_t pid; (pid = wait4(-1, &status, WNOHANG | __WALL, &usage)) > 0;)
        on_exit_of(s, pid, status, &usage, now);
}

static int timeout_until(int64_t next_ms, struct now now)
{
    if (next_ms == NEVER)
        return -1;
    return (int)min_i64(max_i64(next_ms - now.mono_ms, 0), 60000);
}

static void on_events(struct commands *s, const struct epoll_event *events, int n, struct now now)
{
    bool exits = false;
    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr == &s->sigchld)
            exits = true;
        else if (events[i].data.ptr != s)
            command_on_readable(events[i].data.ptr);
    }
    if (exits)
        on_sigchld(s, now);
}

int64_t commands_tick(struct commands *s)
{
    struct now now = clock_now();
    if (s->n_sampled && now.mono_ms >= s->sample_at_ms)
        sample(s);
    if (s->signals)
        send_signals(s);
    int64_t next = tick_ending(s, now);
    return s->n_sampled ? min_i64(next, s->sample_at_ms) : next;
}

void commands_wait(struct commands *s, int64_t until_ms)
{
    struct epoll_event events[64];
    int n = epoll_wait(s->epoll, events, ELEMENTS(events), timeout_until(until_ms, clock_now()));
    if (n > 0)
        on_events(s, events, n, clock_now());
}
