/* modules.c - the modules of this worker: which are in use, and what becomes of those that come. */
#include "worker/modules_state.h"

#include <sys/mman.h>
#include <unistd.h>

#include "proto/base/log.h"
#include "worker/handlers.h"
#include "worker/job_text.h"
#include "worker/pass.h"

#define TRIALS_MOST 4 /* at a time */

/* Loaded into this process, for ever: threads and coroutines may be in them. */
static struct module *loaded_here[MODULE_LOADS_MOST];
static size_t n_loaded_here;

_Static_assert(MODULES_MOST < PASS_MOST, "the table and the copies of all go to a child at once");

/* ---- versions --------------------------------------------------------------------------------- */

static void version_free(struct module_version *v)
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

void modules_refuse(struct module_version *v, char *why)
{
    job_text_clean(why, LIMIT_TEXT_BYTES - LIMIT_NAME_BYTES - 32);
    free(v->why);
    v->why = why;
    v->stage = STAGE_REFUSED;
    log_warning("event=module-refused module=%s text=\"%s\"", v->name, why);
}

struct module_version *modules_find(const struct link *in, const char *name)
{
    list_each(l, in) {
        struct module_version *v = list_entry(l, struct module_version, link);
        if (strcmp(v->name, name) == 0)
            return v;
    }
    return NULL;
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
static int load_here(struct modules *m, struct module_version *v, char **ret_error)
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

static bool use(struct modules *m, struct module_version *v)
{
    char *why = NULL;
    if (load_here(m, v, &why) >= 0 && handlers_add_module(v->module, &why) >= 0)
        return true;
    modules_refuse(v, why);
    return false;
}

static void log_use(const struct module_version *v)
{
    struct buf b;
    buf_init(&b, SIZE_MAX / 4);
    for (size_t i = 0; i < v->module->n_handlers; i++)
        buf_addf(&b, "%s%.*s", i ? "," : "", (int)v->module->info[i].name.n, v->module->info[i].name.p);
    log_info("event=module-loaded module=%s handlers=%.*s", v->name, (int)b.n, b.p);
    buf_fini(&b);
}

static void add_notice(struct modules *m, const struct module_version *v)
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
        const struct module_version *v = list_entry(l, struct module_version, link);
        for (size_t i = 0; i < v->module->n_handlers; i++)
            buf_addf(&b, "%zu %.*s %s\n", number, (int)v->module->info[i].name.n, v->module->info[i].name.p, v->name);
        number++;
    }
    cleanup(closep) int fd = number ? memfd_create("tern-modules", MFD_CLOEXEC | MFD_ALLOW_SEALING) : -1;
    bool whole = fd >= 0 && write(fd, b.p, b.n) == (ssize_t)b.n && modules_seal(fd) == 0;
    buf_fini(&b);
    if (number && !whole)
        log_error("event=no-modules text=\"their table cannot be written; processes run no module\"");
    return whole ? TAKE_FD(fd) : -1;
}

static void free_all(struct link *versions)
{
    for (struct link *l; (l = list_pop(versions));)
        version_free(list_entry(l, struct module_version, link));
}

/* The new version of it if it can be used, else the one before if there is one: into `next`. True: something is other than
 * it was. */
static bool use_either(struct modules *m, struct module_version *v, struct link *next)
{
    struct module_version *before = modules_find(&m->in_use, v->name);
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
        const struct module_version *v = list_entry(l, const struct module_version, link);
        if (!modules_find(next, v->name))
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
        changed |= use_either(m, list_entry(l, struct module_version, link), &next);
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
        const struct module_version *v = list_entry(l, const struct module_version, link);
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
    modules_look(m);
    modules_tick(m, now);
}

int64_t modules_tick(struct modules *m, struct now now)
{
    int64_t due_ms = NEVER;
    if (!m->busy)
        return NEVER;
    list_each(l, &m->coming) {
        struct module_version *v = list_entry(l, struct module_version, link);
        if (v->stage == STAGE_WAITING && v->copy >= 0 && m->n_tried < TRIALS_MOST)
            modules_try(v, now);
        if (v->stage == STAGE_TRIED)
            due_ms = min_i64(due_ms, modules_end_late(v, now));
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
        fds[n++] = list_entry(l, const struct module_version, link)->copy;
    return pass_send(socket, fds, n);
}

const struct str *modules_notices(const struct modules *m, size_t *ret_n)
{
    *ret_n = m ? m->n_notices : 0;
    return m ? m->notices : NULL;
}
