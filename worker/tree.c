/* tree.c - what descends from a process. Two ways to find children: /proc/PID/task/TID/children where the kernel has it
 * (CONFIG_PROC_CHILDREN), else every /proc/PID/stat. The lower half allocates nothing. */
#include "worker/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/clock.h"
#include "proto/base/map.h"

static const char *proc = "/proc";
static int children_files = -1; /* does this kernel list children? -1: not asked yet */

void tree_set_proc(const char *path)
{
    proc = path;
    children_files = -1;
}

/* ---- reading without allocating --------------------------------------------------------------- */

struct path {
    char s[128];
    size_t n;
};

static void path_add(struct path *p, const char *s)
{
    for (; *s && p->n + 1 < sizeof(p->s); s++)
        p->s[p->n++] = *s;
    p->s[p->n] = 0;
}

static void path_add_number(struct path *p, pid_t number)
{
    char digits[16];
    size_t at = sizeof(digits) - 1;
    digits[at] = 0;
    for (unsigned n = (unsigned)number; at > 0; n /= 10) {
        digits[--at] = (char)('0' + n % 10);
        if (n < 10)
            break;
    }
    path_add(p, digits + at);
}

static struct path path_of(pid_t pid, const char *rest)
{
    struct path p = { .n = 0 };
    path_add(&p, proc);
    path_add(&p, "/");
    path_add_number(&p, pid);
    path_add(&p, rest);
    return p;
}

static ssize_t read_file(const char *path, char *into, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n;
    size_t have = 0;
    while (have < size && (n = read(fd, into + have, size - have)) > 0)
        have += (size_t)n;
    close(fd);
    return (ssize_t)have;
}

/* Reads a number at *s, skipping what stands before it on the line; *s is left behind it. */
static int64_t number(const char **s)
{
    while (**s == ' ')
        ++*s;
    bool minus = **s == '-';
    *s += minus;
    int64_t n = 0;
    for (; **s >= '0' && **s <= '9' && n < INT64_MAX / 10 - 10; ++*s)
        n = n * 10 + (**s - '0');
    return minus ? -n : n;
}

bool tree_process_read(pid_t pid, struct tree_process *ret)
{
    char text[512];
    struct path path = path_of(pid, "/stat");
    ssize_t n = read_file(path.s, text, sizeof(text) - 1);
    if (n <= 0)
        return false;
    text[n] = 0;
    const char *s = strrchr(text, ')'); /* the name before it may hold anything */
    if (!s || s[1] != ' ' || !s[2])
        return false;
    struct tree_process p = { .pid = pid, .state = s[2] };
    s += 3;
    p.ppid = (pid_t)number(&s);
    p.pgrp = (pid_t)number(&s);
    p.session = (pid_t)number(&s);
    for (int field = 7; field <= 23; field++)
        number(&s);
    p.rss_bytes = number(&s) * sysconf(_SC_PAGESIZE);
    *ret = p;
    return true;
}

/* Calls each for every entry of a directory whose name is a number; -errno when there is none. */
static int each_number(const char *path, void (*each)(void *ctx, pid_t pid), void *ctx)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    _Alignas(struct dirent64) char entries[4096];
    long n;
    while ((n = syscall(SYS_getdents64, fd, entries, sizeof(entries))) > 0) {
        for (long at = 0; at < n;) {
            const struct dirent64 *d = (const void *)(entries + at);
            const char *name = d->d_name;
            if (*name >= '1' && *name <= '9')
                each(ctx, (pid_t)number(&name));
            at += d->d_reclen;
        }
    }
    close(fd);
    return 0;
}

/* ---- direct children -------------------------------------------------------------------------- */

struct walk {
    pid_t of;
    bool (*skip)(void *ctx, pid_t pid);
    void (*each)(void *ctx, const struct tree_process *p);
    void *ctx;
};

static void each_process(void *ctx, pid_t pid)
{
    const struct walk *w = ctx;
    struct tree_process p;
    if (w->skip && w->skip(w->ctx, pid))
        return;
    if (tree_process_read(pid, &p) && p.ppid == w->of)
        w->each(w->ctx, &p);
}

static void each_listed(const struct walk *w, int fd)
{
    char text[4096];
    ssize_t n;
    size_t have = 0;
    while ((n = read(fd, text + have, sizeof(text) - 1 - have)) > 0) {
        have += (size_t)n;
        text[have] = 0;
        const char *s = text, *end;
        while ((end = strchr(s, ' '))) {
            each_process((void *)w, (pid_t)number(&s));
            s = end + 1;
        }
        have = strlen(s);
        memmove(text, s, have + 1);
    }
}

static void each_task(void *ctx, pid_t tid)
{
    const struct walk *w = ctx;
    struct path path = path_of(w->of, "/task/");
    path_add_number(&path, tid);
    path_add(&path, "/children");
    int fd = open(path.s, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    each_listed(w, fd);
    close(fd);
}

static bool has_children_files(void)
{
    if (children_files < 0) {
        struct path path = { .n = 0 };
        path_add(&path, proc);
        path_add(&path, "/thread-self/children");
        children_files = access(path.s, R_OK) == 0;
    }
    return children_files;
}

void tree_each_child(pid_t of, bool (*skip)(void *ctx, pid_t pid),
                     void (*each)(void *ctx, const struct tree_process *p), void *ctx)
{
    struct walk w = { of, skip, each, ctx };
    if (has_children_files()) {
        struct path path = path_of(of, "/task");
        each_number(path.s, each_task, &w);
    } else {
        each_number(proc, each_process, &w);
    }
}

/* ---- whole trees ------------------------------------------------------------------------------ */

static void add(void *ctx, const struct tree_process *p)
{
    struct tree *t = ctx;
    t->at = grow_array(t->at, &t->cap, t->n + 1, sizeof(*t->at));
    t->at[t->n++] = *p;
}

/* By the kernel's lists: a child of the i-th process is added behind all that is known. */
static void read_by_lists(struct tree *t)
{
    for (size_t i = 0; i < t->n; i++) {
        size_t before = t->n;
        tree_each_child(t->at[i].pid, NULL, add, t);
        for (size_t k = before; k < t->n; k++)
            t->at[k].top = i == 0 ? t->at[k].pid : t->at[i].top;
    }
}

static void add_any(void *ctx, pid_t pid)
{
    struct tree_process p;
    if (tree_process_read(pid, &p))
        add(ctx, &p);
}

static int by_parent(const void *a, const void *b)
{
    const struct tree_process *x = a, *y = b;
    return (x->ppid > y->ppid) - (x->ppid < y->ppid);
}

static size_t first_child(const struct tree *all, pid_t of)
{
    size_t from = 0, to = all->n;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (all->at[middle].ppid < of)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* From all processes there are, ordered by parent. */
static void read_by_scan(struct tree *t)
{
    struct tree all = { 0 };
    each_number(proc, add_any, &all);
    if (all.n)
        qsort(all.at, all.n, sizeof(*all.at), by_parent);
    for (size_t i = 0; i < t->n && t->n <= all.n; i++) {
        pid_t pid = t->at[i].pid, top = t->at[i].top;
        for (size_t k = first_child(&all, pid); k < all.n && all.at[k].ppid == pid; k++) {
            add(t, &all.at[k]);
            t->at[t->n - 1].top = i == 0 ? all.at[k].pid : top;
        }
    }
    tree_fini(&all);
}

void tree_read(struct tree *t, pid_t root)
{
    struct tree_process p;
    t->n = 0;
    if (!tree_process_read(root, &p))
        return;
    add(t, &p);
    if (has_children_files())
        read_by_lists(t);
    else
        read_by_scan(t);
}

void tree_fini(struct tree *t)
{
    free(t->at);
    *t = (struct tree){ 0 };
}

int64_t tree_rss_bytes(const struct tree *t, bool include_root)
{
    int64_t sum = 0;
    for (size_t i = !include_root; i < t->n; i++)
        sum += t->at[i].rss_bytes;
    return sum;
}

void tree_signal(const struct tree *t, bool include_root, int sig)
{
    for (size_t i = !include_root; i < t->n; i++)
        kill(t->at[i].pid, sig);
}

/* ---- ending ----------------------------------------------------------------------------------- */

static void kill_one(void *ctx, const struct tree_process *p)
{
    (void)ctx;
    if (p->state != 'Z')
        kill(p->pid, SIGKILL);
}

static int64_t cpu_of(const struct rusage *u)
{
    return (u->ru_utime.tv_sec + u->ru_stime.tv_sec) * 1000000 + u->ru_utime.tv_usec + u->ru_stime.tv_usec;
}

/* False when no child is left. */
static bool reap(int64_t *cpu_us)
{
    struct rusage usage;
    pid_t pid;
    while ((pid = wait4(-1, NULL, WNOHANG | __WALL, &usage)) > 0 || (pid < 0 && errno == EINTR))
        if (pid > 0 && cpu_us)
            *cpu_us += cpu_of(&usage);
    return pid == 0;
}

int tree_end_children(int64_t timeout_ms, int64_t *cpu_us)
{
    int64_t until_us = clock_mono_us() + timeout_ms * 1000;
    while (reap(cpu_us)) {
        tree_each_child(getpid(), NULL, kill_one, NULL);
        if (!reap(cpu_us))
            break;
        if (clock_mono_us() > until_us)
            return -ETIMEDOUT;
        nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
    }
    return 0;
}

bool tree_environ_number(pid_t pid, const char *prefix, uint64_t *ret)
{
    enum { MOST = 256 * 1024 };
    struct path path = path_of(pid, "/environ");
    cleanup(freep) char *text = xmalloc(MOST);
    ssize_t n = read_file(path.s, text, MOST - 1);
    size_t length = strlen(prefix);
    text[max_i64(n, 0)] = 0;
    for (const char *s = text; s < text + n; s += strlen(s) + 1) {
        if (strncmp(s, prefix, length) != 0)
            continue;
        *ret = strtoull(s + length, NULL, 10);
        return true;
    }
    return false;
}
