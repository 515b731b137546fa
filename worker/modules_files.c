/* modules_files.c - the directory of a worker's modules, and the sealed copies of what is in it. */
#include "worker/modules_state.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "proto/base/log.h"
#include "proto/name.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x10u
#endif

/* ---- copies ----------------------------------------------------------------------------------- */

static struct module_identity identity_of(const struct stat *st)
{
    return (struct module_identity){ st->st_dev, st->st_ino, st->st_size, st->st_mtim, st->st_ctim };
}

static bool same_time(struct timespec a, struct timespec b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; }

static bool is_same(const struct module_identity *a, const struct module_identity *b)
{
    return a->device == b->device && a->inode == b->inode && a->bytes == b->bytes && same_time(a->written, b->written) &&
           same_time(a->changed, b->changed);
}

/* Whoever can write it can do all that this worker can. */
static const char *why_unsafe(const struct stat *st)
{
    if (st->st_uid != 0 && st->st_uid != geteuid())
        return "belongs to another user: it must be root's or this worker's";
    return st->st_mode & S_IWOTH ? "can be written by everybody (chmod o-w)" : NULL;
}

/* Where a kernel is set to let no copy be run that was not asked for so. */
static int make_memory(const char *name)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    return fd < 0 && errno == EINVAL ? memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING) : fd;
}

int modules_seal(int fd)
{
    return fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
}

static int copy_file(struct module_version *v, int from, const struct stat *st)
{
    cleanup(closep) int fd = make_memory(v->name);
    struct stat after;
    if (fd < 0)
        return -errno;
    for (off_t left = st->st_size; left > 0;) {
        ssize_t n = sendfile(fd, from, NULL, (size_t)left);
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EAGAIN;
        left -= n;
    }
    struct module_identity before = identity_of(st), now;
    if (fstat(from, &after) < 0 || modules_seal(fd) < 0)
        return -errno;
    now = identity_of(&after);
    if (!is_same(&before, &now))
        return -EAGAIN;
    v->copy = TAKE_FD(fd);
    return 0;
}

static char *why_no_file(const struct stat *st)
{
    if (!S_ISREG(st->st_mode))
        return xstrdup("it is no file");
    if (st->st_size > MODULE_BYTES_MOST)
        return xasprintf("it has %lld bytes, and %u are the most", (long long)st->st_size, MODULE_BYTES_MOST);
    const char *unsafe = why_unsafe(st);
    return unsafe ? xasprintf("it %s", unsafe) : NULL;
}

/* Copies it, unless it is what is in use already. */
static void take_file(struct module_version *v, int dir)
{
    struct stat st;
    const char *bad = name_check(str_of(v->name), "module");
    cleanup(closep) int fd = bad ? -1 : openat(dir, v->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0) {
        modules_refuse(v, xstrdup(bad ? bad : strerror(errno)));
        return;
    }
    v->identity = identity_of(&st);
    const struct module_version *used = modules_find(&v->of->in_use, v->name);
    if (used && is_same(&used->identity, &v->identity))
        return;
    char *why = why_no_file(&st);
    int r = why ? 0 : copy_file(v, fd, &st);
    if (r == -EAGAIN)
        why = xstrdup("it is being written: send HUP again when it is whole");
    else if (r < 0)
        why = xasprintf("it cannot be copied: %s", strerror(-r));
    if (why)
        modules_refuse(v, why);
}

/* ---- the directory ---------------------------------------------------------------------------- */

static struct module_version *version_new(struct modules *m, const char *name)
{
    struct module_version *v = xcalloc(1, sizeof *v);
    list_init(&v->link);
    v->of = m;
    v->name = xstrdup(name);
    v->copy = v->socket = -1;
    return v;
}

static int is_module(const struct dirent *e)
{
    size_t n = strlen(e->d_name);
    return e->d_name[0] != '.' && n > 3 && strcmp(e->d_name + n - 3, ".so") == 0;
}

static int open_dir(const struct modules *m)
{
    struct stat st;
    int fd = open(m->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        if (errno != ENOENT || m->named)
            log_warning("event=no-modules dir=%s text=\"%s\"", m->dir, strerror(errno));
        return -1;
    }
    const char *unsafe = fstat(fd, &st) < 0 ? strerror(errno) : why_unsafe(&st);
    if (!unsafe)
        return fd;
    log_warning("event=no-modules dir=%s text=\"the directory %s\"", m->dir, unsafe);
    close(fd);
    return -1;
}

void modules_look(struct modules *m)
{
    struct dirent **names;
    cleanup(closep) int dir = open_dir(m);
    int n = dir < 0 ? 0 : scandirat(dir, ".", &names, is_module, alphasort);
    for (int i = 0; i < n; i++) {
        if (i < (int)MODULES_MOST) {
            struct module_version *v = version_new(m, names[i]->d_name);
            list_add_tail(&m->coming, &v->link);
            take_file(v, dir);
        }
        free(names[i]);
    }
    if (n > (int)MODULES_MOST)
        log_warning("event=modules-left text=\"there are %d modules in %s; those after the first %u are not used\"", n,
                    m->dir, MODULES_MOST);
    if (dir >= 0 && n >= 0)
        free(names);
}
