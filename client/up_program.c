/* up_program.c - the broker or the worker of `tern up`: found by its pid file, started detached,
 * waited for, stopped.
 *
 * A program is ready when it says READY=1 (sd_notify(3)) on a socket that is made for this start
 * alone; an early end is seen through its pidfd. Nothing is guessed from time. */
#include "client/up.h"

#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/slurp.h"
#include "proto/base/clock.h"

#ifndef TERN_SBINDIR
#define TERN_SBINDIR "/usr/sbin"
#endif
#ifndef TERN_BINDIR
#define TERN_BINDIR "/usr/bin"
#endif

#define READY_MS 60000 /* a database may have to be checked first */
#define TAIL_BYTES 2000u

/* ---- the pid file --------------------------------------------------------------------------- */

static char *file_of(const struct up *u, const char *program, const char *suffix)
{
    return xasprintf("%s/%s.%s", u->dir, program, suffix);
}

/* Field 22 of /proc/PID/stat, in clock ticks since boot; 0: no such process. The name may have
 * blanks and brackets. */
static uint64_t start_time(pid_t pid)
{
    struct buf b;
    char *error = NULL;
    uint64_t ticks = 0;
    cleanup(freep) char *path = xasprintf("/proc/%d/stat", pid);
    buf_init(&b, 4096);
    if (slurp(path, &b, &error) >= 0 && buf_add(&b, "", 1) >= 0) {
        const char *p = strrchr(b.p, ')');
        for (int field = 2; p && field < 22; field++)
            p = strchr(p + 1, ' ');
        ticks = p ? strtoull(p, NULL, 10) : 0;
    }
    free(error);
    buf_fini(&b);
    return ticks;
}

static int write_file(const char *path, const char *text)
{
    cleanup(freep) char *temporary = xasprintf("%s.new", path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, text, strlen(text));
    close(fd);
    return n == (ssize_t)strlen(text) && rename(temporary, path) == 0 ? 0 : -EIO;
}

static int write_pid(const struct up *u, const char *program, pid_t pid)
{
    cleanup(freep) char *path = file_of(u, program, "pid");
    cleanup(freep) char *text = xasprintf("%d %" PRIu64 "\n", pid, start_time(pid));
    return write_file(path, text);
}

/* Read from the pid file: 0 when there is none, or none that makes sense. */
static pid_t read_pid(const char *path, uint64_t *ret_start)
{
    struct buf b;
    char *error = NULL;
    long long pid = 0;
    unsigned long long start = 0;
    buf_init(&b, 256);
    if (slurp(path, &b, &error) < 0 || buf_add(&b, "", 1) < 0 ||
        sscanf(b.p, "%lld %llu", &pid, &start) != 2)
        pid = 0;
    free(error);
    buf_fini(&b);
    *ret_start = start;
    return pid > 0 && pid <= INT32_MAX ? (pid_t)pid : 0;
}

int up_program_find(const struct up *u, const char *program, pid_t *ret_pid)
{
    cleanup(freep) char *path = file_of(u, program, "pid");
    uint64_t start;
    pid_t pid = read_pid(path, &start);
    cleanup(closep) int fd = pid ? pidfd_open(pid, 0) : -1;
    /* Looked at after the pidfd is held: from here on the number cannot change hands unseen. */
    if (fd < 0 || start_time(pid) != start)
        return -ESRCH;
    struct pollfd p = { .fd = fd, .events = POLLIN };
    if (poll(&p, 1, 0) != 0)
        return -ESRCH;
    *ret_pid = pid;
    return TAKE_FD(fd);
}

/* ---- finding the program -------------------------------------------------------------------- */

static char *beside(const char *dir, const char *program)
{
    char *path = xasprintf("%s/tern-%s", dir, program);
    if (access(path, X_OK) == 0)
        return path;
    free(path);
    return NULL;
}

/* The directory of this very program; in a build tree libtool keeps it in .libs, below the others.
 */
static char *own_directory(void)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0)
        return NULL;
    path[n] = '\0';
    char *dir = dirname(path);
    size_t length = strlen(dir);
    if (length > 6 && strcmp(dir + length - 6, "/.libs") == 0)
        dir[length - 6] = '\0';
    return xstrdup(dir);
}

static char *find_program(const char *program, char **ret_error)
{
    const char *said = getenv("TERN_LIBEXEC");
    if (said && *said) {
        char *path = beside(said, program);
        if (!path)
            *ret_error = xasprintf("no tern-%s in %s (TERN_LIBEXEC)", program, said);
        return path;
    }
    cleanup(freep) char *own = own_directory();
    char *path = own ? beside(own, program) : NULL;
    cleanup(freep) char *sbin = own ? xasprintf("%s/../sbin", own) : NULL;
    if (!path && sbin)
        path = beside(sbin, program);
    if (!path)
        path = beside(TERN_SBINDIR, program);
    if (!path)
        path = beside(TERN_BINDIR, program);
    if (!path)
        *ret_error = xasprintf("tern-%s is neither beside tern nor in %s: is it installed?",
                               program, TERN_SBINDIR);
    return path;
}

/* ---- starting ------------------------------------------------------------------------------- */

/* A datagram socket of a name that the kernel picks, in the abstract namespace. The sender's
 * identity is asked for. */
static int notify_socket(char **ret_name)
{
    cleanup(closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    socklen_t n = sizeof a.sun_family;
    int on = 1;
    if (fd < 0 || bind(fd, (const struct sockaddr *)&a, n) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0)
        return -errno;
    n = sizeof a;
    if (getsockname(fd, (struct sockaddr *)&a, &n) < 0)
        return -errno;
    *ret_name =
        xasprintf("@%.*s", (int)(n - offsetof(struct sockaddr_un, sun_path) - 1), a.sun_path + 1);
    return TAKE_FD(fd);
}

static uid_t sender(struct msghdr *h)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(h);
    if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS)
        return (uid_t)-1;
    struct ucred who;
    memcpy(&who, CMSG_DATA(c), sizeof who);
    return who.uid;
}

/* Takes what has arrived; true when READY=1 is a line of it, from this user. */
static bool says_ready(int fd)
{
    char text[4096];
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct ucred))];
    for (;;) {
        struct iovec v = { text, sizeof text - 2 };
        struct msghdr h = {
            .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
        };
        ssize_t n = recvmsg(fd, &h, MSG_CMSG_CLOEXEC);
        if (n < 0)
            return false;
        text[n] = '\n';
        text[n + 1] = '\0';
        uid_t uid = sender(&h);
        if ((uid == geteuid() || uid == 0) &&
            (strncmp(text, "READY=1\n", 8) == 0 || strstr(text, "\nREADY=1\n")))
            return true;
    }
}

/* The last lines of the log, from where this start began. */
static char *log_tail(const char *path, off_t from)
{
    cleanup(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t end = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    if (end - from > (off_t)TAIL_BYTES)
        from = end - (off_t)TAIL_BYTES;
    char text[TAIL_BYTES + 1];
    ssize_t n = fd < 0 ? 0 : pread(fd, text, TAIL_BYTES, from);
    while (n > 0 && text[n - 1] == '\n')
        n--;
    return xstrndup((struct str){ text, n > 0 ? (size_t)n : 0 });
}

static char **environment_with(const char *notify)
{
    size_t n = 0, kept = 0;
    while (environ[n])
        n++;
    char **env = xcalloc(n + 2, sizeof *env);
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], "NOTIFY_SOCKET=", 14) != 0 &&
            strncmp(environ[i], "WATCHDOG_", 9) != 0 && strncmp(environ[i], "LISTEN_", 7) != 0 &&
            strncmp(environ[i], "JOURNAL_STREAM=", 15) != 0)
            env[kept++] = environ[i];
    env[kept++] = xasprintf("NOTIFY_SOCKET=%s", notify);
    return env;
}

/* In a session of its own, in /, with all signals as they are by default, its output at the end of
 * its log. */
static int spawn(const char *path, char *const *argv, char *const *env, const char *log, pid_t *ret)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&files, 1, 2);
    posix_spawn_file_actions_addchdir_np(&files, "/");
    posix_spawn_file_actions_addclosefrom_np(&files, 3);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setflags(&attr, (short)(POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
                                            POSIX_SPAWN_SETSIGDEF));
    int error = posix_spawn(ret, path, &files, &attr, argv, env);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    return -error;
}

static int wait_until_ready(pid_t pid, int notify)
{
    cleanup(closep) int fd = pidfd_open(pid, 0);
    struct pollfd p[] = { { .fd = notify, .events = POLLIN }, { .fd = fd, .events = POLLIN } };
    int64_t until = clock_mono_us() / 1000 + READY_MS, left;
    while ((left = until - clock_mono_us() / 1000) > 0) {
        if (poll(p, 2, (int)left) < 0 && errno != EINTR)
            return -errno;
        if (p[0].revents && says_ready(notify))
            return 0;
        if (p[1].revents)
            return -ECHILD;
    }
    return -ETIMEDOUT;
}

static void end_child(pid_t pid, char **ret_how)
{
    int status = 0;
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    *ret_how = WIFEXITED(status) ? xasprintf("ended with status %d", WEXITSTATUS(status))
                                 : xasprintf("ended with signal %d", WTERMSIG(status));
}

static int start(const struct up *u, const char *program, char *const *argv, char *const *env,
                 const char *log, int notify, char **ret_error)
{
    struct stat st;
    off_t from = stat(log, &st) == 0 ? st.st_size : 0;
    pid_t pid;
    int r = spawn(argv[0], argv, env, log, &pid);
    if (r < 0) {
        *ret_error = xasprintf("cannot start %s: %s", argv[0], strerror(-r));
        return r;
    }
    r = write_pid(u, program, pid);
    if (r >= 0)
        r = wait_until_ready(pid, notify);
    if (r >= 0)
        return 0;
    cleanup(freep) char *how = NULL;
    end_child(pid, &how);
    cleanup(freep) char *tail = log_tail(log, from);
    cleanup(freep) char *file = file_of(u, program, "pid");
    unlink(file);
    *ret_error = xasprintf("tern-%s did not start: it %s; its log %s %s%s", program,
                           r == -ETIMEDOUT ? "was not ready after a minute" : how, log,
                           *tail ? "says:\n" : "is empty", tail);
    return r;
}

int up_program_start(const struct up *u, const char *program, const char *const *args,
                     char **ret_error)
{
    cleanup(freep) char *path = find_program(program, ret_error);
    if (!path)
        return -ENOENT;
    cleanup(freep) char *notify = NULL;
    cleanup(closep) int fd = notify_socket(&notify);
    if (fd < 0) {
        *ret_error = xasprintf("cannot make a socket: %s", strerror(-fd));
        return fd;
    }
    size_t n = 0;
    while (args[n])
        n++;
    cleanup(freep) char **argv = xcalloc(n + 2, sizeof *argv);
    argv[0] = path;
    for (size_t i = 0; i < n; i++)
        memcpy(&argv[i + 1], &args[i],
               sizeof *argv); /* posix_spawn takes them as they are, but not const */
    cleanup(freep) char **env = environment_with(notify);
    cleanup(freep) char *log = file_of(u, program, "log");
    int r = start(u, program, argv, env, log, fd, ret_error);
    for (size_t i = 0; env[i]; i++)
        if (!env[i + 1])
            free(env[i]); /* NOTIFY_SOCKET, the one that is ours */
    return r;
}

/* ---- stopping ------------------------------------------------------------------------------- */

static bool gone_within(int fd, int64_t ms)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    int64_t until = clock_mono_us() / 1000 + ms, left;
    while ((left = until - clock_mono_us() / 1000) >= 0) {
        int n = poll(&p, 1, (int)min_i64(left, INT32_MAX));
        if (n > 0)
            return true;
        if (n == 0 || errno != EINTR)
            break;
    }
    return false;
}

int up_program_stop(const struct up *u, const char *program, int64_t patience_ms, bool *ret_killed)
{
    pid_t pid;
    cleanup(closep) int fd = up_program_find(u, program, &pid);
    cleanup(freep) char *file = file_of(u, program, "pid");
    *ret_killed = false;
    if (fd < 0) {
        unlink(file);
        return 0;
    }
    pidfd_send_signal(fd, SIGTERM, NULL, 0);
    if (!gone_within(fd, patience_ms)) {
        *ret_killed = true;
        pidfd_send_signal(fd, SIGKILL, NULL, 0);
        gone_within(fd, 10000);
    }
    unlink(file);
    return 1;
}
