/* module.c - what a module declares. It is the word of a stranger, compiled elsewhere and perhaps long ago: what it may
 * get wrong by mistake is checked before anything is believed. */
#include "worker/module.h"

#include <dlfcn.h>
#include <stdio.h>

#include "proto/name.h"

#define RETRIES_MOST 1000000

static int refuse(char **ret_error, char *why)
{
    *ret_error = why;
    return -EINVAL;
}

static int check_table(const struct tern_module *t, char **ret_error)
{
    if (t->abi != TERN_ABI)
        return refuse(ret_error, xasprintf("it is built for ABI %u of tern/handler.h, and this worker has %u: compile it "
                                           "anew", t->abi, TERN_ABI));
    if (t->handler_bytes > sizeof(struct tern_handler) || t->function_bytes > sizeof(struct tern_function))
        return refuse(ret_error, xstrdup("it is built with a newer tern/handler.h than this worker's: compile it with "
                                         "the one that is installed here"));
    if (t->handler_bytes < offsetof(struct tern_handler, tag) || t->function_bytes < sizeof(struct tern_function))
        return refuse(ret_error, xstrdup("its table is not one that TERN_MODULE made"));
    if (!t->n_handlers || !t->handlers)
        return refuse(ret_error, xstrdup("it declares no handler"));
    if (t->n_handlers > MODULE_HANDLERS_MOST || t->n_functions > MODULE_FUNCTIONS_MOST || (t->n_functions && !t->functions))
        return refuse(ret_error, xasprintf("it declares %u handlers and %u functions: %u and %u are the most", t->n_handlers,
                                           t->n_functions, MODULE_HANDLERS_MOST, MODULE_FUNCTIONS_MOST));
    return 0;
}

/* Elements of the size that the module knows them by: what it does not know is zero. */
static void *copy_elements(const void *from, size_t n, size_t from_bytes, size_t bytes)
{
    char *copy = xcalloc(n, bytes);
    for (size_t i = 0; i < n; i++)
        memcpy(copy + i * bytes, (const char *)from + i * from_bytes, from_bytes);
    return copy;
}

const struct tern_handler *module_find(const struct module *m, struct str handler)
{
    for (size_t i = 0; m->handlers && i < m->n_handlers; i++)
        if (m->handlers[i].name && str_is(handler, m->handlers[i].name))
            return &m->handlers[i];
    return NULL;
}

const struct tern_function *module_find_function(const struct module *m, struct str function)
{
    for (size_t i = 0; i < m->n_functions; i++)
        if (m->functions[i].name && str_is(function, m->functions[i].name))
            return &m->functions[i];
    return NULL;
}

/* Of a handler that has a good name: what else is wrong, or NULL. */
static const char *why_bad(const struct tern_handler *h)
{
    if (!h->blocking && !h->async)
        return "has no form: blocking, async, or both must be set";
    if ((unsigned)h->tag > TERN_TAG_SLOW_IO)
        return "has a tag that there is not";
    if (h->retries < 0 || h->retries > RETRIES_MOST)
        return "declares retries out of 0 to 1000000";
    if (h->timeout_ms < 0)
        return "declares a time limit below 0";
    return NULL;
}

static int check_handlers(const struct module *m, char **ret_error)
{
    for (size_t i = 0; i < m->n_handlers; i++) {
        const struct tern_handler *h = &m->handlers[i];
        const char *bad = h->name ? name_check(str_of(h->name), "handler") : "a handler has no name";
        if (bad)
            return refuse(ret_error, xstrdup(bad));
        if (module_find(m, str_of(h->name)) != h)
            return refuse(ret_error, xasprintf("it declares the handler %s twice", h->name));
        bad = why_bad(h);
        if (bad)
            return refuse(ret_error, xasprintf("its handler %s %s", h->name, bad));
    }
    return 0;
}

static int check_functions(const struct module *m, char **ret_error)
{
    for (size_t i = 0; i < m->n_functions; i++) {
        const struct tern_function *f = &m->functions[i];
        const char *bad = f->name ? name_check(str_of(f->name), "function") : "a function has no name";
        if (bad)
            return refuse(ret_error, xstrdup(bad));
        if (module_find_function(m, str_of(f->name)) != f)
            return refuse(ret_error, xasprintf("it declares the function %s twice", f->name));
        if (!f->call)
            return refuse(ret_error, xasprintf("its function %s is NULL", f->name));
    }
    return 0;
}

struct handler_info module_info(const struct tern_handler *h)
{
    struct handler_info i;
    record_init(RECORD_handler_info, &i);
    i.name = str_of(h->name);
    i.forms = (h->blocking ? FORM_BLOCKING : 0) | (h->async ? FORM_ASYNC : 0);
    i.tag = (int64_t)h->tag;
    i.retries = h->retries;
    i.timeout_ms = h->timeout_ms > 0 ? h->timeout_ms : UNSET;
    i.thread_safe = !h->not_thread_safe;
    return i;
}

int module_new(struct module **ret, const char *name, const struct tern_module *t, char **ret_error)
{
    int r = check_table(t, ret_error);
    if (r < 0)
        return r;
    struct module *m = xcalloc(1, sizeof *m);
    m->name = xstrdup(name);
    m->n_handlers = t->n_handlers;
    m->n_functions = t->n_functions;
    m->handlers = copy_elements(t->handlers, t->n_handlers, t->handler_bytes, sizeof *m->handlers);
    m->functions = copy_elements(t->functions, t->n_functions, t->function_bytes, sizeof *m->functions);
    r = check_handlers(m, ret_error);
    if (r >= 0)
        r = check_functions(m, ret_error);
    if (r < 0) {
        module_free(m);
        return r;
    }
    m->info = xcalloc(m->n_handlers, sizeof *m->info);
    for (size_t i = 0; i < m->n_handlers; i++)
        m->info[i] = module_info(&m->handlers[i]);
    *ret = m;
    return 0;
}

void module_free(struct module *m)
{
    if (!m)
        return;
    free(m->name);
    free(m->info);
    free(m->names);
    free(m->handlers);
    free(m->functions);
    free(m);
}

/* ---- loading ---------------------------------------------------------------------------------- */

/* The loader's words, with the module's name for that of its copy. */
static char *words_of_loader(const char *path)
{
    const char *words = dlerror();
    size_t n = strlen(path);
    if (!words)
        return xstrdup("it cannot be loaded");
    if (strncmp(words, path, n) == 0)
        words += n + strspn(words + n, ": ");
    return xasprintf("it cannot be loaded: %s", words);
}

int module_load(struct module **ret, const char *name, int fd, char **ret_error)
{
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!object)
        return refuse(ret_error, words_of_loader(path));
    const struct tern_module *table = dlsym(object, "tern_module");
    if (!table)
        return refuse(ret_error, xstrdup("it has no symbol tern_module: TERN_MODULE must stand in it once"));
    return module_new(ret, name, table, ret_error);
}

/* ---- what another process says ---------------------------------------------------------------- */

static bool is_possible(const struct handler_info *h)
{
    return !name_check(h->name, "handler") && h->forms && h->forms <= (FORM_BLOCKING | FORM_ASYNC) && h->tag >= TAG_AUTO &&
           h->tag <= TAG_SLOW_IO && h->retries >= 0 && h->retries <= RETRIES_MOST && h->thread_safe <= 1 &&
           (h->timeout_ms == UNSET || h->timeout_ms > 0);
}

int module_of_report(struct module **ret, const char *name, const struct msg_hello *h, char **ret_error)
{
    bool possible = h->n_handlers && h->n_handlers <= MODULE_HANDLERS_MOST;
    for (size_t i = 0; possible && i < h->n_handlers; i++)
        possible = is_possible(&h->handlers[i]);
    if (!possible)
        return refuse(ret_error, xstrdup("what it declares cannot be: something in it writes where it should not"));
    struct module *m = xcalloc(1, sizeof *m);
    m->name = xstrdup(name);
    m->n_handlers = h->n_handlers;
    m->info = xcalloc(h->n_handlers, sizeof *m->info);
    m->names = xcalloc(h->n_handlers, LIMIT_NAME_BYTES);
    for (size_t i = 0; i < h->n_handlers; i++) {
        char *own = m->names + i * LIMIT_NAME_BYTES;
        memcpy(own, h->handlers[i].name.p, h->handlers[i].name.n);
        m->info[i] = h->handlers[i];
        m->info[i].name.p = own;
    }
    *ret = m;
    return 0;
}
