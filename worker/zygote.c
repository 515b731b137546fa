/* zygote.c - the process that forks. Single-threaded; it knows its children, reaps everything, kills what dead children
 * leave behind, and watches the memory of those that have a limit. It never waits for the worker: reports that the
 * worker does not take yet are kept with the child they are about. */
#include "worker/zygote.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/list.h"
#include "proto/base/log.h"
#include "proto/base/map.h"
#include "worker/cgroup.h"
#include "worker/child.h"
#include "worker/keeper.h"
#include "worker/tree.h"
#include "worker/zygote_wire.h"

#define SAMPLE_MS 50
#define SWEEP_MS 2
#define END_MS 5000 /* how long what was left behind may take to be gone */
#define SHARE 4     /* a look at /proc of 1 ms is followed by 4 ms without one */

enum stage { LIVE, EXITED, GONE }; /* GONE: its tree too; to be reported */

struct forked {
    struct link link; /* in live, exited or gone */
    uint64_t number;
    pid_t pid;
    enum stage stage;
    bool grouped; /* it has a control group */
    int64_t limit_bytes, end_until_ms;
    struct zygote_report report; /* of its end, as far as it is known */
};

static struct {
    struct link live, exited, gone; /* owned children */
    struct idmap by_number, by_pid;
    int sigchld;
    pid_t pid;
    int64_t nofile_soft;
    bool pong_owed;
    size_t n_limited, n_strays;
    int64_t sample_at_ms, sweep_at_ms;
    struct tree tree; /* scratch */
} self;

static int64_t now_ms(void) { return clock_mono_us() / 1000; }

static int64_t again_ms(int64_t from_us, int64_t least_ms)
{
    int64_t now_us = clock_mono_us();
    return (now_us + max_i64((now_us - from_us) * SHARE, least_ms * 1000)) / 1000 + 1;
}

static bool report(const struct zygote_report *r)
{
    return send(ZYGOTE_FD, r, sizeof(*r), MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof(*r) ||
           (errno != EAGAIN && errno != EINTR && errno != ENOBUFS);
}

/* ---- forking ---------------------------------------------------------------------------------- */

static void open_null(int fd, int flags)
{
    int null = open("/dev/null", flags | O_CLOEXEC);
    if (null < 0)
        return;
    dup2(null, fd);
    if (null != fd)
        close(null);
}

/* In the new process: nothing of the zygote's stays open but the data socket. */
_Noreturn static void become_child(int data, const struct child_role *role)
{
    prctl(PR_SET_PDEATHSIG, CHILD_ORPHANED_SIGNAL);
    if (getppid() != self.pid)
        _exit(EXIT_FAILURE);
    if (data != ZYGOTE_FD)
        dup3(data, ZYGOTE_FD, O_CLOEXEC);
    close_range(ZYGOTE_FD + 1, ~0u, 0);
    open_null(STDIN_FILENO, O_RDONLY);
    open_null(STDOUT_FILENO, O_WRONLY);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    if (!role->runner)
        open_null(STDERR_FILENO, O_WRONLY);
#endif
    if (role->runner)
        keeper_main(ZYGOTE_FD, role, self.nofile_soft);
    child_main(ZYGOTE_FD, role->capacity, self.nofile_soft);
}

/* ---- control groups --------------------------------------------------------------------------- */

struct group_name {
    char s[CGROUP_NAME_BYTES];
};

static struct group_name group_of(uint64_t number)
{
    struct group_name name;
    snprintf(name.s, sizeof(name.s), "child.%llu", (unsigned long long)number);
    return name;
}

static void kill_group(const struct forked *f)
{
    if (f->grouped)
        cgroup_kill(group_of(f->number).s);
}

static void kill_all_of(const struct forked *f)
{
    kill(f->pid, SIGKILL);
    kill_group(f);
}

/* A limit of its own, or the machine's, or the worker's unit's. */
static void look_for_oom(struct forked *f)
{
    int64_t peak_bytes = 0;
    if (!f->grouped || !cgroup_count_oom(group_of(f->number).s, &peak_bytes))
        return;
    f->report.memory_limit = 1;
    f->report.peak_bytes = max_i64(f->report.peak_bytes, peak_bytes);
}

/* False while something lives in them. */
static bool remove_groups(const struct forked *f)
{
    if (!f->grouped)
        return true;
    char prefix[CGROUP_NAME_BYTES];
    snprintf(prefix, sizeof(prefix), "command.%d.", (int)f->pid);
    cgroup_remove_all(prefix);
    return cgroup_remove(group_of(f->number).s);
}

/* ---- forking, the rest ------------------------------------------------------------------------ */

static void enlist(uint64_t number, pid_t pid, bool grouped)
{
    struct forked *f = xcalloc(1, sizeof(*f));
    f->number = number;
    f->pid = pid;
    f->stage = LIVE;
    f->report = (struct zygote_report){ .news = ZYGOTE_ENDED, .child = number, .pid = pid };
    f->grouped = grouped;
    list_add_tail(&self.live, &f->link);
    idmap_put(&self.by_number, number, f);
    idmap_put(&self.by_pid, (uint64_t)pid, f);
}

static void on_fork(const struct zygote_request *q, int data)
{
    struct group_name group = group_of(q->child);
    bool grouped = data >= 0 && cgroup_make(group.s);
    pid_t pid = data < 0 ? -1 : fork();
    if (pid == 0 && grouped && !cgroup_enter(group.s))
        cgroup_remove(group.s); /* so that nobody relies on it */
    if (pid == 0)
        become_child(data, &(struct child_role){ (size_t)q->value, (size_t)q->runner, q->pool });
    int error = data < 0 ? EBADF : errno;
    closep(&data);
    struct zygote_report r = { .news = ZYGOTE_FORKED, .child = q->child, .pid = pid };
    if (pid < 0) {
        r.news = ZYGOTE_NOT_FORKED;
        r.status = error;
        cgroup_remove(group.s);
    } else {
        enlist(q->child, pid, grouped);
    }
    /* Once in a hundred thousand packets: the worker must know, so here it is waited for. */
    while (!report(&r))
        poll(&(struct pollfd){ ZYGOTE_FD, POLLOUT, 0 }, 1, 100);
}

/* ---- children that end ------------------------------------------------------------------------ */

static int64_t us_of(struct timeval t) { return (int64_t)t.tv_sec * 1000000 + t.tv_usec; }

static void on_exit_of(struct forked *f, int status, const struct rusage *u)
{
    f->stage = EXITED;
    f->report.status = status;
    f->report.cpu_us = us_of(u->ru_utime) + us_of(u->ru_stime);
    f->report.max_rss_kb = u->ru_maxrss;
    f->end_until_ms = now_ms() + END_MS;
    idmap_remove(&self.by_pid, (uint64_t)f->pid);
    list_remove(&f->link);
    list_add_tail(&self.exited, &f->link);
    if (f->limit_bytes)
        self.n_limited--;
    f->limit_bytes = 0;
    look_for_oom(f);
    kill_group(f);
    self.sweep_at_ms = 0;
}

static void on_sigchld(void)
{
    struct signalfd_siginfo info;
    while (read(self.sigchld, &info, sizeof(info)) > 0)
        ;
    struct rusage usage;
    int status;
    for (pid_t pid; (pid = wait4(-1, &status, WNOHANG | __WALL, &usage)) > 0;) {
        struct forked *f = idmap_find(&self.by_pid, (uint64_t)pid);
        if (f)
            on_exit_of(f, status, &usage);
        else
            self.sweep_at_ms = 0;
    }
}

static bool is_child(void *ctx, pid_t pid)
{
    (void)ctx;
    return idmap_find(&self.by_pid, (uint64_t)pid) != NULL;
}

/* One that is dead counts until it is reaped: between the look at the list of children and the look at itself it may have handed over
 * its own children, which that list did not have yet. */
static void kill_stray(void *ctx, const struct tree_process *p)
{
    (void)ctx;
    self.n_strays++;
    kill(p->pid, SIGKILL);
}

/* Kills what is a child of this process without having been forked by it; when there is none, what has exited is gone. */
static void sweep(void)
{
    int64_t from_us = clock_mono_us(), now = from_us / 1000;
    self.n_strays = 0;
    tree_each_child(self.pid, is_child, kill_stray, NULL);
    list_each_safe(l, &self.exited) {
        struct forked *f = list_entry(l, struct forked, link);
        bool left = self.n_strays || !remove_groups(f);
        if (left && now < f->end_until_ms)
            continue;
        f->report.strays = left;
        f->stage = GONE;
        list_remove(&f->link);
        list_add_tail(&self.gone, &f->link);
    }
    self.sweep_at_ms = again_ms(from_us, SWEEP_MS);
}

static void report_gone(void)
{
    list_each_safe(l, &self.gone) {
        struct forked *f = list_entry(l, struct forked, link);
        if (!report(&f->report))
            return;
        idmap_remove(&self.by_number, f->number);
        list_remove(&f->link);
        free(f);
    }
}

static void pong(void)
{
    if (self.pong_owed && report(&(struct zygote_report){ .news = ZYGOTE_PONG }))
        self.pong_owed = false;
}

/* ---- memory ----------------------------------------------------------------------------------- */

static void sample_child(struct forked *f)
{
    if (!f->limit_bytes)
        return;
    tree_read(&self.tree, f->pid);
    int64_t bytes = tree_rss_bytes(&self.tree, true);
    f->report.peak_bytes = max_i64(f->report.peak_bytes, bytes);
    if (bytes <= f->limit_bytes)
        return;
    f->report.memory_limit = 1;
    kill(f->pid, SIGKILL);
}

static void sample(void)
{
    int64_t from_us = clock_mono_us();
    list_each(l, &self.live)
        sample_child(list_entry(l, struct forked, link));
    self.sample_at_ms = again_ms(from_us, SAMPLE_MS);
}

/* By the kernel, where that can be; else it is sampled. */
static void set_limit(struct forked *f, int64_t bytes)
{
    if (f->grouped && cgroup_limit(group_of(f->number).s, bytes))
        return;
    if (self.n_limited == 0)
        self.sample_at_ms = 0;
    self.n_limited += (bytes != 0) - (size_t)(f->limit_bytes != 0);
    f->limit_bytes = bytes;
}

/* ---- requests --------------------------------------------------------------------------------- */

static void on_request(const struct zygote_request *q, int fd)
{
    struct forked *f = idmap_find(&self.by_number, q->child);
    if (q->verb == ZYGOTE_BEGIN)
        self.nofile_soft = q->value;
    else if (q->verb == ZYGOTE_FORK)
        on_fork(q, TAKE_FD(fd));
    else if (q->verb == ZYGOTE_PING)
        self.pong_owed = true;
    else if (!f || f->stage != LIVE)
        ;
    else if (q->verb == ZYGOTE_SIGNAL)
        kill(f->pid, (int)q->value);
    else if (q->verb == ZYGOTE_KILL)
        kill_all_of(f);
    else if (q->verb == ZYGOTE_LIMIT)
        set_limit(f, q->value);
    closep(&fd);
}

static int fd_of(struct msghdr *m)
{
    int fd = -1;
    struct cmsghdr *c = CMSG_FIRSTHDR(m);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    return fd;
}

/* False when the worker is gone. */
static bool read_request(bool *ret_any)
{
    struct zygote_request q;
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct iovec v = { &q, sizeof(q) };
    struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
    ssize_t n = recvmsg(ZYGOTE_FD, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    *ret_any = n == (ssize_t)sizeof(q);
    if (*ret_any)
        on_request(&q, fd_of(&m));
    return *ret_any || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static bool read_requests(void)
{
    bool any = true, there = true;
    for (int i = 0; i < 64 && any && there; i++)
        there = read_request(&any);
    return there;
}

/* ---- the loop --------------------------------------------------------------------------------- */

static int64_t tick(void)
{
    int64_t now = now_ms();
    bool look = !list_empty(&self.exited) || self.n_strays;
    if (self.n_limited && now >= self.sample_at_ms)
        sample();
    if (look && now >= self.sweep_at_ms)
        sweep();
    report_gone();
    pong();
    look = !list_empty(&self.exited) || self.n_strays;
    return min_i64(self.n_limited ? self.sample_at_ms : NEVER, look ? self.sweep_at_ms : NEVER);
}

static bool turn(void)
{
    int64_t next = tick();
    struct pollfd fds[2] = { { ZYGOTE_FD, POLLIN, 0 }, { self.sigchld, POLLIN, 0 } };
    if (!list_empty(&self.gone) || self.pong_owed)
        fds[0].events |= POLLOUT;
    int timeout = next == NEVER ? -1 : (int)min_i64(max_i64(next - now_ms(), 0), 60000);
    poll(fds, ELEMENTS(fds), timeout);
    if (fds[1].revents)
        on_sigchld();
    return !(fds[0].revents & (POLLIN | POLLHUP | POLLERR)) || read_requests();
}

static void init_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    self.sigchld = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    /* The worker ends it by closing the socket; what a terminal or a service manager sends to all is not for it. */
    static const int not_for_me[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGTSTP, SIGPIPE, SIGUSR1, SIGUSR2 };
    for (size_t i = 0; i < ELEMENTS(not_for_me); i++)
        signal(not_for_me[i], SIG_IGN);
}

int zygote_main(void)
{
    self.pid = getpid();
    cgroup_inherit();
    list_init(&self.live);
    list_init(&self.exited);
    list_init(&self.gone);
    fcntl(ZYGOTE_FD, F_SETFD, FD_CLOEXEC);
    setsid();
    prctl(PR_SET_NAME, "tern-zygote");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    init_signals();
    if (self.sigchld < 0)
        return EXIT_FAILURE;
    while (turn())
        ;
    tree_end_children(END_MS, NULL);
    _exit(EXIT_SUCCESS);
}
