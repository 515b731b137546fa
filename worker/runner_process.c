/* runner_process.c - the program of a runner as a process. */
#include "worker/runner_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "worker/command.h"

static void set_nofile(int64_t nofile)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = nofile > 0 && (rlim_t)nofile < limit.rlim_max ? (rlim_t)nofile : limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static int spawn(const struct runner *r, int input, int error, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    struct command_ground ground;
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, input, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, error, STDERR_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    command_ground_init(&ground, 0);
    int e = posix_spawnp(ret_pid, r->argv[0], &actions, &attributes, r->argv, ground.environ);
    command_ground_fini(&ground);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -e;
}

int runner_process_start(struct runner_process *p, const struct runner *r, int64_t nofile)
{
    int ends[2], error[2];
    *p = (struct runner_process){ .socket = -1, .error = -1 };
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    if (pipe2(error, O_CLOEXEC) < 0) {
        int e = -errno;
        close(ends[0]);
        close(ends[1]);
        return e;
    }
    set_nofile(nofile);
    int e = spawn(r, ends[1], error[1], &p->pid);
    close(ends[1]);
    close(error[1]);
    p->socket = ends[0];
    p->error = error[0];
    fcntl(p->error, F_SETFL, O_NONBLOCK);
    if (e < 0)
        p->pid = 0;
    return e;
}

int64_t runner_process_cpu_us(const struct runner_process *p)
{
    clockid_t clock;
    struct timespec t;
    if (clock_getcpuclockid(p->pid, &clock) != 0 || clock_gettime(clock, &t) < 0)
        return UNSET;
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int open_proc(const struct runner_process *p, const char *file, int flags)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%lld/%s", (long long)p->pid, file);
    return open(path, flags | O_CLOEXEC);
}

int64_t runner_process_peak_kb(const struct runner_process *p)
{
    char text[4096];
    cleanup(closep) int fd = open_proc(p, "status", O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    text[max_i64(n, 0)] = '\0';
    const char *at = strstr(text, "VmHWM:");
    return at ? (int64_t)strtoll(at + strlen("VmHWM:"), NULL, 10) : UNSET;
}

void runner_process_forget_peak(const struct runner_process *p)
{
    cleanup(closep) int fd = open_proc(p, "clear_refs", O_WRONLY);
    ssize_t n = fd < 0 ? -1 : write(fd, "5", 1);
    (void)n; /* then the peak stays that of its life */
}
