/* modules.c - the modules of this worker: looks, copies, tries, and then uses them. */
#include "worker/modules.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/list.h"
#include "proto/base/log.h"
#include "proto/name.h"
#include "worker/frame.h"
#include "worker/handlers.h"
#include "worker/job_text.h"
#include "worker/pass.h"

#define TRIAL_MS 5000
#define TRIALS_MOST 4 /* at a time */

#ifndef MFD_EXEC
#define MFD_EXEC 0x10u
#endif

/* What tells one version of a file from another. */
struct identity {
    dev_t device;
    ino_t inode;
    off_t bytes;
    struct timespec written, changed;
};

/* WAITING without a copy: it is the same as the one in use. */
enum stage { STAGE_WAITING, STAGE_TRIED, STAGE_GOOD, STAGE_REFUSED };

/* One version of a module. */
struct version {
    struct link link;   /* in use, or in coming */
    struct modules *of; /* borrowed */
    char *name;         /* owned: of the file */
    struct identity identity;
    enum stage stage;
    int copy;               /* owned */
    struct module *module;  /* owned; NULL until it is good */
    char *why;              /* owned: refused */
    bool loaded;            /* into this process: its module and its copy stay for ever */

    /* while it is tried */
    uint64_t child;
    int socket; /* owned */
    int64_t until_ms;
    bool late;
};

struct modules {
    struct modules_options o;
    struct link in_use; /* owned versions, by name */
    struct link coming; /* owned versions, by name: of the directory as it was read */
    size_t n_tried;
    bool busy, again;
    char *dir;    /* owned: what `again` is to read */
    bool named;
    int table;    /* owned: what children are told; -1: there are none */
    struct str *notices; /* owned, and its texts */
    size_t n_notices;
};

/* Loaded into this process, for ever: threads and coroutines may be in them. */
static struct module *loaded_here[MODULE_LOADS_MOST];
static size_t n_loaded_here;

_Static_assert(MODULES_MOST < PASS_MOST, "the table and the copies of all go to a child at once");

/* ---- versions --------------------------------------------------------------------------------- */

static struct version *version_new(struct modules *m, const char *name)
{
    struct version *v = xcalloc(1, sizeof *v);
    list_init(&v->link);
    v->of = m;
    v->name = xstrdup(name);
    v->copy = v->socket = -1;
    return v;
}

static void version_free(struct version *v)
{
    list_remove(&v->link);
    closep(&v->socket);
    if (!v->loaded) {
        closep(&v->copy);
        module_free(v->module);
    }
    free(v->name);
    free(v->why);
    free(v);
}

/* Takes why. */
static void refuse(struct version *v, char *why)
{
    job_text_clean(why, LIMIT_TEXT_BYTES - LIMIT_NAME_BYTES - 32);
    free(v->why);
    v->why = why;
    v->stage = STAGE_REFUSED;
    log_warning("event=module-refused module=%s text=\"%s\"", v->name, why);
}

static struct version *find(const struct link *in, const char *name)
{
    list_each(l, in) {
        struct version *v = list_entry(l, struct version, link);
        if (strcmp(v->name, name) == 0)
            return v;
    }
    return NULL;
}

/* ---- copies ----------------------------------------------------------------------------------- */

static struct identity identity_of(const struct stat *st)
{
    return (struct identity){ st->st_dev, st->st_ino, st->st_size, st->st_mtim, st->st_ctim };
}

static bool same_time(struct timespec a, struct timespec b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; }

static bool is_same(const struct identity *a, const struct identity *b)
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

static int seal(int fd)
{
    return fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
}

static int copy_file(struct version *v, int from, const struct stat *st)
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
    struct identity before = identity_of(st), now;
    if (fstat(from, &after) < 0 || seal(fd) < 0)
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
static void take_file(struct version *v, int dir)
{
    struct stat st;
    const char *bad = name_check(str_of(v->name), "module");
    cleanup(closep) int fd = bad ? -1 : openat(dir, v->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0) {
        refuse(v, xstrdup(bad ? bad : strerror(errno)));
        return;
    }
    v->identity = identity_of(&st);
    const struct version *used = find(&v->of->in_use, v->name);
    if (used && is_same(&used->identity, &v->identity))
        return;
    char *why = why_no_file(&st);
    int r = why ? 0 : copy_file(v, fd, &st);
    if (r == -EAGAIN)
        why = xstrdup("it is being written: send HUP again when it is whole");
    else if (r < 0)
        why = xasprintf("it cannot be copied: %s", strerror(-r));
    if (why)
        refuse(v, why);
}

/* ---- the directory ---------------------------------------------------------------------------- */

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

static void look(struct modules *m)
{
    struct dirent **names;
    cleanup(closep) int dir = open_dir(m);
    int n = dir < 0 ? 0 : scandirat(dir, ".", &names, is_module, alphasort);
    for (int i = 0; i < n; i++) {
        if (i < (int)MODULES_MOST) {
            struct version *v = version_new(m, names[i]->d_name);
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

/* ---- trials ----------------------------------------------------------------------------------- */

/* What its child has said, owned by the caller: NULL if nothing was wrong. */
static char *hear(struct version *v)
{
    struct frames f;
    struct message m;
    char *why = NULL;
    frames_init(&f, TAKE_FD(v->socket));
    while (frames_read(&f, false) > 0)
        ;
    if (frames_next(&f, &m) <= 0) {
        frames_fini(&f);
        return xstrdup("it does not say what it declares: something in it writes where it should not, or ends the process");
    }
    if (m.type == MSG_ERROR)
        why = m.error.text.p ? xstrndup(m.error.text) : xstrdup("it cannot be loaded");
    else if (m.type != MSG_HELLO)
        why = xstrdup("what it declares cannot be");
    else
        module_of_report(&v->module, v->name, &m.hello, &why);
    message_fini(&m);
    frames_fini(&f);
    return why;
}

static char *why_ended(const struct version *v, const struct child_ended *e)
{
    if (v->late)
        return xasprintf("it was not loaded within %d s", TRIAL_MS / 1000);
    if (e->lost || e->error)
        return xasprintf("it could not be tried: %s", e->error ? strerror(e->error) : "the zygote died meanwhile");
    if (WIFSIGNALED(e->status))
        return xasprintf("it ends the process that loads it by signal %d (%s)", WTERMSIG(e->status),
                         sigabbrev_np(WTERMSIG(e->status)) ?: "?");
    if (WEXITSTATUS(e->status))
        return xasprintf("it ends the process that loads it with status %d", WEXITSTATUS(e->status));
    return NULL;
}

static void on_tried(void *ctx, const struct child_ended *e, struct now now)
{
    struct version *v = ctx;
    (void)now;
    v->of->n_tried--;
    v->stage = STAGE_GOOD;
    char *why = why_ended(v, e);
    if (!why)
        why = hear(v);
    closep(&v->socket);
    if (why)
        refuse(v, why);
}

static void try(struct version *v, struct now now)
{
    struct modules *m = v->of;
    int r = zygote_fork(m->o.zygote, &(struct child_role){ 0 }, on_tried, v, &v->child, &v->socket);
    if (r >= 0)
        r = pass_send(v->socket, &v->copy, 1);
    if (r < 0) {
        if (v->socket >= 0)
            zygote_abandon(m->o.zygote, v->child);
        refuse(v, xasprintf("it could not be tried: %s", strerror(-r)));
        return;
    }
    v->stage = STAGE_TRIED;
    v->until_ms = now.mono_ms + TRIAL_MS;
    m->n_tried++;
}

/* ---- using ------------------------------------------------------------------------------------ */

static bool belongs_here(const struct modules *m, const struct module *of)
{
    for (size_t i = 0; i < of->n_handlers; i++) {
        const struct handler_info *h = &of->info[i];
        if ((m->o.in_loop && h->forms & FORM_ASYNC) ||
            (m->o.in_thread && h->forms & FORM_BLOCKING && h->thread_safe))
            return true;
    }
    return false;
}

/* Into this process, if one of its pools may run it. The module that it then is has the code. */
static int load_here(struct modules *m, struct version *v, char **ret_error)
{
    if (v->loaded || !belongs_here(m, v->module))
        return 0;
    if (n_loaded_here == MODULE_LOADS_MOST) {
        *ret_error = xasprintf("this worker has loaded %u modules since its start, and lets go of none: restart it",
                               MODULE_LOADS_MOST);
        return -EMFILE;
    }
    struct module *loaded;
    int r = module_load(&loaded, v->name, v->copy, ret_error);
    if (r < 0)
        return r;
    loaded_here[n_loaded_here++] = loaded;
    module_free(v->module);
    v->module = loaded;
    v->loaded = true;
    return 0;
}

static bool use(struct modules *m, struct version *v)
{
    char *why = NULL;
    if (load_here(m, v, &why) >= 0 && handlers_add_module(v->module, &why) >= 0)
        return true;
    refuse(v, why);
    return false;
}

static void log_use(const struct version *v)
{
    struct buf b;
    buf_init(&b, SIZE_MAX / 4);
    for (size_t i = 0; i < v->module->n_handlers; i++)
        buf_addf(&b, "%s%.*s", i ? "," : "", (int)v->module->info[i].name.n, v->module->info[i].name.p);
    log_info("event=module-loaded module=%s handlers=%.*s", v->name, (int)b.n, b.p);
    buf_fini(&b);
}

static void add_notice(struct modules *m, const struct version *v)
{
    if (m->n_notices == LIMIT_NOTICES)
        return;
    m->notices = xrealloc(m->notices, (m->n_notices + 1) * sizeof *m->notices);
    m->notices[m->n_notices++] = str_of(xasprintf("module %s refused: %s", v->name, v->why));
}

static void forget_notices(struct modules *m)
{
    for (size_t i = 0; i < m->n_notices; i++)
        free((char *)m->notices[i].p);
    m->n_notices = 0;
}

/* Lines of NUMBER HANDLER MODULE: modules_child.c reads them. */
static int write_table(const struct modules *m)
{
    size_t number = 0;
    struct buf b;
    buf_init(&b, SIZE_MAX / 4);
    list_each(l, &m->in_use) {
        const struct version *v = list_entry(l, struct version, link);
        for (size_t i = 0; i < v->module->n_handlers; i++)
            buf_addf(&b, "%zu %.*s %s\n", number, (int)v->module->info[i].name.n, v->module->info[i].name.p, v->name);
        number++;
    }
    cleanup(closep) int fd = number ? memfd_create("tern-modules", MFD_CLOEXEC | MFD_ALLOW_SEALING) : -1;
    bool whole = fd >= 0 && write(fd, b.p, b.n) == (ssize_t)b.n && seal(fd) == 0;
    buf_fini(&b);
    if (number && !whole)
        log_error("event=no-modules text=\"their table cannot be written; processes run no module\"");
    return whole ? TAKE_FD(fd) : -1;
}

static void free_all(struct link *versions)
{
    for (struct link *l; (l = list_pop(versions));)
        version_free(list_entry(l, struct version, link));
}

/* The new version of it if it can be used, else the one before if there is one: into `next`. True: something is other than
 * it was. */
static bool use_either(struct modules *m, struct version *v, struct link *next)
{
    struct version *before = find(&m->in_use, v->name);
    if (v->stage == STAGE_GOOD && use(m, v)) {
        log_use(v);
        list_add_tail(next, &v->link);
        return true;
    }
    if (v->why)
        add_notice(m, v);
    bool kept = before && use(m, before);
    if (kept) {
        list_remove(&before->link);
        list_add_tail(next, &before->link);
        if (v->why)
            log_info("event=module-kept module=%s text=\"the version before it stays in use\"", v->name);
    }
    version_free(v);
    return before && !kept;
}

static void log_gone(const struct link *before, const struct link *next)
{
    list_each(l, before) {
        const struct version *v = list_entry(l, const struct version, link);
        if (!find(next, v->name))
            log_info("event=module-gone module=%s text=\"what runs ends with it\"", v->name);
    }
}

static void settle(struct modules *m, struct now now)
{
    struct link next;
    bool changed = m->n_notices > 0;
    list_init(&next);
    m->busy = false;
    forget_notices(m);
    handlers_forget_modules();
    for (struct link *l; (l = list_pop(&m->coming));)
        changed |= use_either(m, list_entry(l, struct version, link), &next);
    changed |= !list_empty(&m->in_use);
    log_gone(&m->in_use, &next);
    free_all(&m->in_use);
    list_take_all(&m->in_use, &next);
    closep(&m->table);
    m->table = write_table(m);
    if (changed || m->n_notices)
        m->o.on_changed(m->o.ctx, now);
}

/* ---- for the loop ----------------------------------------------------------------------------- */

struct modules *modules_new(const struct modules_options *o)
{
    struct modules *m = xcalloc(1, sizeof *m);
    m->o = *o;
    m->table = -1;
    list_init(&m->in_use);
    list_init(&m->coming);
    return m;
}

void modules_free(struct modules *m)
{
    if (!m)
        return;
    list_each(l, &m->coming) {
        const struct version *v = list_entry(l, const struct version, link);
        if (v->stage == STAGE_TRIED)
            zygote_abandon(m->o.zygote, v->child);
    }
    free_all(&m->coming);
    free_all(&m->in_use);
    forget_notices(m);
    free(m->notices);
    closep(&m->table);
    free(m->dir);
    free(m);
}

bool modules_are_settled(const struct modules *m) { return !m->busy; }

void modules_reload(struct modules *m, const char *dir, bool named, struct now now)
{
    char *own = xstrdup(dir);
    free(m->dir);
    m->dir = own;
    m->named = named;
    m->again = m->busy;
    if (m->busy)
        return;
    m->busy = true;
    look(m);
    modules_tick(m, now);
}

/* A child that does not end by itself is ended, and then heard of as any other. */
static int64_t end_late(struct version *v, struct now now)
{
    if (v->late || now.mono_ms < v->until_ms)
        return v->late ? NEVER : v->until_ms;
    v->late = true;
    zygote_kill(v->of->o.zygote, v->child);
    return NEVER;
}

int64_t modules_tick(struct modules *m, struct now now)
{
    int64_t due_ms = NEVER;
    if (!m->busy)
        return NEVER;
    list_each(l, &m->coming) {
        struct version *v = list_entry(l, struct version, link);
        if (v->stage == STAGE_WAITING && v->copy >= 0 && m->n_tried < TRIALS_MOST)
            try(v, now);
        if (v->stage == STAGE_TRIED)
            due_ms = min_i64(due_ms, end_late(v, now));
    }
    if (m->n_tried)
        return due_ms;
    settle(m, now);
    if (m->again)
        modules_reload(m, m->dir, m->named, now);
    return NEVER;
}

int modules_hand(const struct modules *m, int socket)
{
    int fds[PASS_MOST];
    size_t n = 0;
    if (!m || m->table < 0)
        return pass_send(socket, NULL, 0);
    fds[n++] = m->table;
    list_each(l, &m->in_use)
        fds[n++] = list_entry(l, const struct version, link)->copy;
    return pass_send(socket, fds, n);
}

const struct str *modules_notices(const struct modules *m, size_t *ret_n)
{
    *ret_n = m ? m->n_notices : 0;
    return m ? m->notices : NULL;
}
