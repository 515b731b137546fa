/* zygote_link.c - the worker's side of the zygote: starts it, asks, hears, and replaces it when it dies; of what it leaves then
 * zygote_lost.c takes care. */
#include "worker/zygote_state.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/log.h"
#include "worker/zygote_wire.h"

#define STOP_MS 5000
#define AGAIN_MS 1000   /* between two starts, when the first did not live that long */
#define SEND_MS 2000

void zygote_set_timer(struct zygote *z, int64_t ms)
{
    struct itimerspec t = { .it_value = { ms / 1000, ms % 1000 * 1000000 } };
    timerfd_settime(z->timer, 0, &t, NULL);
}

static void watch(struct zygote *z, int fd)
{
    struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };
    epoll_ctl(z->epoll, EPOLL_CTL_ADD, fd, &e);
}

/* ---- starting --------------------------------------------------------------------------------- */

static char **arguments(const struct zygote *z)
{
    size_t n = 0;
    while (z->args && z->args[n])
        n++;
    char **argv = xcalloc(n + 3, sizeof(char *));
    argv[0] = program_invocation_name;
    argv[1] = (char *)"--zygote";
    for (size_t i = 0; i < n; i++)
        argv[i + 2] = z->args[i];
    return argv;
}

static int spawn(const struct zygote *z, int end, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, end, ZYGOTE_FD);
    posix_spawn_file_actions_addclosefrom_np(&actions, ZYGOTE_FD + 1);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    char **argv = arguments(z);
    int r = posix_spawn(ret_pid, "/proc/self/exe", &actions, &attributes, argv, environ);
    free(argv);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -r;
}

static int ask(struct zygote *z, const struct zygote_request *q, int fd);

static void ask_for(struct zygote *z, struct zchild *c)
{
    struct zygote_request q = { ZYGOTE_FORK, c->number, (int64_t)c->role.capacity, (int64_t)c->role.runner,
                                (int64_t)c->role.pool };
    if (ask(z, &q, c->data) >= 0)
        closep(&c->data);
}

/* What could not be asked for while there was no zygote. */
static void ask_for_pending(struct zygote *z)
{
    struct zchild *c;
    for (size_t i = 0; (c = idmap_next(&z->children, &i));)
        if (c->data >= 0 && !c->lost)
            ask_for(z, c);
}

static int start(struct zygote *z)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    pid_t pid;
    z->started_ms = zygote_now_ms();
    int r = spawn(z, ends[1], &pid);
    close(ends[1]);
    if (r < 0) {
        close(ends[0]);
        return r;
    }
    struct timeval t = { SEND_MS / 1000, SEND_MS % 1000 * 1000 };
    setsockopt(ends[0], SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
    z->pid = pid;
    z->control = ends[0];
    watch(z, z->control);
    r = ask(z, &(struct zygote_request){ .verb = ZYGOTE_BEGIN, .value = z->nofile_soft }, -1);
    ask_for_pending(z);
    return r;
}

static void zchild_free(struct zchild *c)
{
    closep(&c->data);
    free(c);
}

static void free_zygote(struct zygote *z)
{
    struct zchild *c;
    for (size_t i = 0; (c = idmap_next(&z->children, &i));)
        zchild_free(c);
    idmap_fini(&z->children);
    tree_fini(&z->tree);
    closep(&z->control);
    closep(&z->epoll);
    closep(&z->timer);
    free(z);
}

int zygote_start(struct zygote **ret, char *const args[])
{
    struct zygote *z = xcalloc(1, sizeof(*z));
    struct rlimit limit;
    z->args = args;
    z->control = -1;
    z->epoll = epoll_create1(EPOLL_CLOEXEC);
    z->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        z->nofile_soft = (int64_t)limit.rlim_cur;
    int r = z->epoll < 0 || z->timer < 0 ? -errno : prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ? -errno : 0;
    if (r >= 0) {
        watch(z, z->timer);
        r = start(z);
    }
    if (r < 0) {
        free_zygote(z);
        return r;
    }
    *ret = z;
    return 0;
}

/* ---- asking ----------------------------------------------------------------------------------- */

static int ask(struct zygote *z, const struct zygote_request *q, int fd)
{
    struct iovec v = { (void *)q, sizeof(*q) };
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
    struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
    if (fd >= 0) {
        m.msg_control = control;
        m.msg_controllen = sizeof(control);
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        *c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(fd)) };
        memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    }
    if (z->control < 0)
        return -EPIPE;
    ssize_t n;
    while ((n = sendmsg(z->control, &m, MSG_NOSIGNAL)) < 0 && errno == EINTR)
        ;
    if (n == (ssize_t)sizeof(*q))
        return 0;
    int r = n < 0 ? -errno : -EIO;
    if (r == -EAGAIN)
        log_error("event=zygote-deaf text=\"it has read nothing for %d ms\"", SEND_MS);
    kill(z->pid, SIGKILL); /* its end is then read as any other's */
    return r;
}

void zygote_ask_alive(struct zygote *z)
{
    if (!z->pinged)
        z->pinged = ask(z, &(struct zygote_request){ .verb = ZYGOTE_PING }, -1) >= 0;
}

bool zygote_is_alive(const struct zygote *z) { return z->pid && !z->pinged; }

int zygote_fork(struct zygote *z, const struct child_role *role, zygote_on_ended *on_ended, void *ctx,
                uint64_t *ret_child, int *ret_fd)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    struct zchild *c = xcalloc(1, sizeof(*c));
    *c = (struct zchild){ .number = ++z->last_child, .on_ended = on_ended, .ctx = ctx, .data = ends[1],
                          .role = *role };
    idmap_put(&z->children, c->number, c);
    ask_for(z, c);
    *ret_child = c->number;
    *ret_fd = ends[0];
    return 0;
}

static void ask_of(struct zygote *z, enum zygote_verb verb, uint64_t child, int64_t value)
{
    const struct zchild *c = idmap_find(&z->children, child);
    if (c && !c->lost)
        ask(z, &(struct zygote_request){ .verb = verb, .child = child, .value = value }, -1);
}

void zygote_signal(struct zygote *z, uint64_t child, int sig) { ask_of(z, ZYGOTE_SIGNAL, child, sig); }
void zygote_limit(struct zygote *z, uint64_t child, int64_t bytes) { ask_of(z, ZYGOTE_LIMIT, child, bytes); }

void zygote_kill(struct zygote *z, uint64_t child)
{
    struct zchild *c = idmap_find(&z->children, child);
    if (c && c->data >= 0)
        zygote_lose(z, c); /* it was never forked */
    else
        ask_of(z, ZYGOTE_KILL, child, 0);
}

void zygote_abandon(struct zygote *z, uint64_t child)
{
    struct zchild *c = idmap_find(&z->children, child);
    if (!c)
        return;
    c->on_ended = NULL;
    zygote_kill(z, child);
}

/* ---- hearing ---------------------------------------------------------------------------------- */

void zygote_tell_ended(struct zygote *z, struct zchild *c, const struct child_ended *e, struct now now)
{
    idmap_remove(&z->children, c->number);
    z->n_lost -= c->lost;
    if (c->on_ended)
        c->on_ended(c->ctx, e, now);
    zchild_free(c);
}

static void on_report(struct zygote *z, const struct zygote_report *r, struct now now)
{
    if (r->news == ZYGOTE_PONG)
        z->pinged = false;
    struct zchild *c = idmap_find(&z->children, r->child);
    if (!c)
        return;
    if (r->news == ZYGOTE_FORKED) {
        c->pid = (pid_t)r->pid;
        return;
    }
    struct child_ended e = { .status = (int)r->status, .memory_limit = r->memory_limit, .strays = r->strays };
    e.cpu_us = r->cpu_us;
    e.max_rss_kb = r->max_rss_kb;
    e.peak_bytes = r->peak_bytes;
    if (r->news == ZYGOTE_NOT_FORKED) {
        e.error = (int)r->status;
        log_error("event=fork-failed error=%s", strerror(e.error));
    }
    if (e.strays)
        log_warning("event=tree-left child=%lld text=\"something that it started cannot be killed\"",
                    (long long)r->pid);
    zygote_tell_ended(z, c, &e, now);
}

/* False when the zygote has died. */
static bool read_reports(struct zygote *z, struct now now)
{
    struct zygote_report r;
    ssize_t n;
    while ((n = recv(z->control, &r, sizeof(r), MSG_DONTWAIT)) == (ssize_t)sizeof(r))
        on_report(z, &r, now);
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* ---- when it has died ------------------------------------------------------------------------- */

static void restart(struct zygote *z)
{
    if (z->pid)
        return;
    if (zygote_now_ms() - z->started_ms < AGAIN_MS) {
        zygote_set_timer(z, z->n_lost ? ZYGOTE_LOOK_MS : AGAIN_MS);
        return;
    }
    int r = start(z);
    if (r < 0) {
        log_error("event=zygote-not-started error=%s", strerror(-r));
        zygote_set_timer(z, z->n_lost ? ZYGOTE_LOOK_MS : AGAIN_MS);
    }
}

static void on_death(struct zygote *z)
{
    log_error("event=zygote-died pid=%lld text=\"what ran under it is lost; it is replaced\"", (long long)z->pid);
    closep(&z->control);
    kill(z->pid, SIGKILL);
    while (waitpid(z->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    z->old_pid = z->pid;
    z->pid = 0;
    z->pinged = false;
    struct zchild *c;
    for (size_t i = 0; (c = idmap_next(&z->children, &i));)
        if (c->data < 0)
            zygote_lose(z, c);
    restart(z);
}

/* ---- for the loop ----------------------------------------------------------------------------- */

int zygote_fd(const struct zygote *z) { return z->epoll; }
pid_t zygote_pid(const struct zygote *z) { return z->pid; }

void zygote_on_readable(struct zygote *z, struct now now)
{
    uint64_t n;
    bool due = read(z->timer, &n, sizeof(n)) == sizeof(n);
    if (z->control >= 0 && !read_reports(z, now))
        on_death(z);
    if (!due)
        return;
    zygote_look_after_lost(z, now);
    restart(z);
}

/* Waits for the zygote to leave, which ends its children first. */
static void wait_for_leaving(struct zygote *z)
{
    int64_t until_ms = zygote_now_ms() + STOP_MS;
    while (z->pid && waitpid(z->pid, NULL, WNOHANG) == 0 && zygote_now_ms() < until_ms)
        usleep(1000);
    if (z->pid && kill(z->pid, SIGKILL) == 0)
        waitpid(z->pid, NULL, 0);
}

void zygote_stop(struct zygote *z)
{
    if (!z)
        return;
    closep(&z->control);
    wait_for_leaving(z);
    struct zchild *c;
    for (size_t i = 0; (c = idmap_next(&z->children, &i));) {
        if (!c->pid)
            continue;
        tree_read(&z->tree, c->pid);
        if (z->tree.n && z->tree.at[0].ppid == getpid())
            tree_signal(&z->tree, true, SIGKILL);
        waitpid(c->pid, NULL, 0);
    }
    free_zygote(z);
}
