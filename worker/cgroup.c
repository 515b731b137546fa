/* cgroup.c - finding what was delegated, and the few files of a control group that matter here: see cgroups(7) and
 * Documentation/admin-guide/cgroup-v2.rst of the kernel. */
#include "worker/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "proto/base/log.h"

#define ENVIRONMENT "TERN_CGROUP" /* not passed on to commands: they get nothing that begins so */
#define OWN_LEAF "worker"
#define DEPTH_MOST 8

static char root[PATH_MAX / 2];
static enum isolation isolation;

const char *isolation_name(enum isolation i)
{
    static const char *const names[] = { "process-group", "cgroup-no-memory", "cgroup" };
    return names[i];
}

enum isolation cgroup_isolation(void) { return isolation; }

/* ---- files ------------------------------------------------------------------------------------ */

static bool path_of(char path[static PATH_MAX], const char *name, const char *file)
{
    int n = snprintf(path, PATH_MAX, "%s/%s%s%s", root, name, *file ? "/" : "", file);
    return isolation != ISOLATION_PROCESS_GROUP && n < PATH_MAX;
}

static int write_file(const char *name, const char *file, const char *text)
{
    char path[PATH_MAX];
    if (!path_of(path, name, file))
        return -ENOENT;
    cleanup(closep) int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static int write_number(const char *name, const char *file, int64_t n)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)n);
    return write_file(name, file, text);
}

static bool read_file(const char *name, const char *file, char *ret, size_t size)
{
    char path[PATH_MAX];
    if (!path_of(path, name, file))
        return false;
    cleanup(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, ret, size - 1);
    ret[max_i64(n, 0)] = 0;
    return n >= 0;
}

/* ---- what was given --------------------------------------------------------------------------- */

/* Where the unified hierarchy is mounted: alone, or beside those of version 1. */
static const char *mount_point(void)
{
    static const char *const places[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
    for (size_t i = 0; i < ELEMENTS(places); i++) {
        cleanup(freep) char *file = xasprintf("%s/cgroup.controllers", places[i]);
        if (access(file, F_OK) == 0)
            return places[i];
    }
    return NULL;
}

/* The line of the unified hierarchy, "0::/system.slice/x.service": from its path on. */
static bool read_own(char *ret, size_t size)
{
    FILE *f = fopen("/proc/self/cgroup", "re");
    bool found = false;
    while (f && !found && fgets(ret, (int)size, f))
        found = strncmp(ret, "0::/", 4) == 0;
    if (f)
        fclose(f);
    if (!found)
        return false;
    ret[strcspn(ret, "\n")] = 0;
    memmove(ret, ret + 3, strlen(ret + 3) + 1);
    return true;
}

static bool find_own(void)
{
    char own[PATH_MAX / 2];
    const char *mount = mount_point();
    return mount && read_own(own, sizeof own) && snprintf(root, sizeof root, "%s%s", mount, own) < (int)sizeof root;
}

void cgroup_own(char ret_name[static CGROUP_NAME_BYTES])
{
    char own[PATH_MAX / 2];
    const char *last = isolation != ISOLATION_PROCESS_GROUP && read_own(own, sizeof own) ? strrchr(own, '/') : NULL;
    snprintf(ret_name, CGROUP_NAME_BYTES, "%.*s", CGROUP_NAME_BYTES - 1, last ? last + 1 : "");
}

/* systemd marks what it delegates; what merely could be written, as everything can by root, is somebody else's. */
static bool is_delegated(void)
{
    char mark[8];
    ssize_t n = getxattr(root, "user.delegate", mark, sizeof mark);
    if (n < 0)
        n = getxattr(root, "trusted.delegate", mark, sizeof mark);
    return n == 1 && mark[0] == '1' && access(root, W_OK) == 0;
}

/* A worker that starts anew in place, in the leaf of the one before it, means the group above. */
static void leave_own_leaf(void)
{
    size_t n = strlen(root), leaf = strlen("/" OWN_LEAF);
    if (n > leaf && strcmp(root + n - leaf, "/" OWN_LEAF) == 0)
        root[n - leaf] = 0;
}

static void pass_on(void)
{
    cleanup(freep) char *text = xasprintf("%d:%s", (int)isolation, root);
    if (isolation != ISOLATION_PROCESS_GROUP)
        setenv(ENVIRONMENT, text, 1);
}

enum isolation cgroup_open(void)
{
    unsetenv(ENVIRONMENT);
    isolation = ISOLATION_PROCESS_GROUP;
    if (!find_own())
        return isolation;
    leave_own_leaf();
    if (!is_delegated())
        return isolation;
    isolation = ISOLATION_CGROUP_NO_MEMORY; /* from here on the files below are looked at */
    cgroup_remove_all("child.");
    cgroup_remove_all("command.");
    if (!cgroup_make(OWN_LEAF) || !cgroup_enter(OWN_LEAF)) {
        log_warning("cannot use the control group %s: %s; going on with process groups", root, strerror(errno));
        isolation = ISOLATION_PROCESS_GROUP;
        return isolation;
    }
    if (write_file(".", "cgroup.subtree_control", "+memory") >= 0)
        isolation = ISOLATION_CGROUP;
    pass_on();
    return isolation;
}

void cgroup_inherit(void)
{
    const char *text = getenv(ENVIRONMENT);
    if (!text || text[0] < '0' + ISOLATION_CGROUP_NO_MEMORY || text[0] > '0' + ISOLATION_CGROUP || text[1] != ':')
        return;
    if (snprintf(root, sizeof root, "%s", text + 2) < (int)sizeof root)
        isolation = (enum isolation)(text[0] - '0');
}

/* ---- groups ----------------------------------------------------------------------------------- */

bool cgroup_make(const char *name)
{
    char path[PATH_MAX];
    return path_of(path, name, "") && (mkdir(path, 0755) == 0 || errno == EEXIST);
}

bool cgroup_enter(const char *name)
{
    int r = write_file(name, "cgroup.procs", "0");
    errno = -r;
    return r >= 0;
}

bool cgroup_limit(const char *name, int64_t bytes)
{
    if (isolation != ISOLATION_CGROUP || write_number(name, "memory.max", bytes) < 0)
        return false;
    write_file(name, "memory.swap.max", "0"); /* not there without swap */
    write_file(name, "memory.oom.group", "1");
    return true;
}

uint64_t cgroup_count_oom(const char *name, int64_t *ret_peak_bytes)
{
    char events[512], peak[32];
    *ret_peak_bytes = 0;
    if (isolation != ISOLATION_CGROUP || !read_file(name, "memory.events", events, sizeof events))
        return 0;
    const char *kills = strstr(events, "oom_kill ");
    uint64_t n = kills ? strtoull(kills + strlen("oom_kill "), NULL, 10) : 0;
    if (n && read_file(name, "memory.peak", peak, sizeof peak)) /* since Linux 5.19 */
        *ret_peak_bytes = (int64_t)strtoull(peak, NULL, 10);
    return n;
}

void cgroup_kill(const char *name) { write_file(name, "cgroup.kill", "1"); }

/* Files in there go with their directory. */
static bool remove_tree(const char *path, int depth)
{
    if (rmdir(path) == 0 || errno == ENOENT)
        return true;
    DIR *d = depth < DEPTH_MOST ? opendir(path) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_type != DT_DIR || e->d_name[0] == '.')
            continue;
        cleanup(freep) char *below = xasprintf("%s/%s", path, e->d_name);
        remove_tree(below, depth + 1);
    }
    if (d)
        closedir(d);
    return rmdir(path) == 0;
}

bool cgroup_remove(const char *name)
{
    char path[PATH_MAX];
    return !path_of(path, name, "") || remove_tree(path, 0);
}

void cgroup_remove_all(const char *prefix)
{
    DIR *d = isolation == ISOLATION_PROCESS_GROUP ? NULL : opendir(root);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (strncmp(e->d_name, prefix, strlen(prefix)) != 0)
            continue;
        cgroup_kill(e->d_name);
        for (int i = 0; i < 100 && !cgroup_remove(e->d_name); i++)
            usleep(1000);
    }
    if (d)
        closedir(d);
}
