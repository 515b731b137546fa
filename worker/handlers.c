/* handlers.c - the handlers that this worker has. */
#include "worker/handlers.h"

#include "worker/handler_http_guard.h"

#include <curl/curl.h>

static const struct tern_handler *const built_in[] = {
    &handler_echo, &handler_exec, &handler_http, &handler_sha256, &handler_sleep, NULL,
};

/* The built-in ones first. Arrays of their own, for HELLO wants the infos in one. */
static struct {
    struct handler_info *info; /* owned; its texts are the modules' */
    struct entry {
        const struct tern_handler *handler; /* borrowed; NULL: its code is not in this process */
        const struct module *module;        /* borrowed; NULL: none */
        size_t runner;                      /* whose it is (runners.h); 0: nobody's */
    } *at; /* owned */
    size_t n, n_built_in, cap_info, cap_at;
    char *only;                /* owned: the choice; NULL: all */
    bool with_modules;
    handlers_load_fn *load;    /* or NULL */
} table;

static bool listed(const char *only, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = only; *p; p += strspn(p, ",")) {
        size_t bytes = strcspn(p, ",");
        if (bytes == n && memcmp(p, name, n) == 0)
            return true;
        p += bytes;
    }
    return false;
}

static bool known(const struct tern_handler *const *all, struct str name)
{
    for (; *all; all++)
        if (str_is(name, (*all)->name))
            return true;
    return false;
}

static int check_only(const struct tern_handler *const *all, const char *only, char **ret_error)
{
    for (const char *p = only; *p; p += strspn(p, ",")) {
        struct str name = { p, strcspn(p, ",") };
        if (!known(all, name)) {
            *ret_error = xasprintf("there is no handler `%.*s`", (int)min_size(name.n, 128), name.p);
            return -ENOENT;
        }
        p += name.n;
    }
    return 0;
}

static void add(struct handler_info info, const struct tern_handler *h, const struct module *m)
{
    table.info = grow_array(table.info, &table.cap_info, table.n + 1, sizeof *table.info);
    table.at = grow_array(table.at, &table.cap_at, table.n + 1, sizeof *table.at);
    table.info[table.n] = info;
    table.at[table.n] = (struct entry){ .handler = h, .module = m };
    table.n++;
}

static void add_built_in(const struct tern_handler *h)
{
    struct handler_info info = module_info(h);
    if (handler_is_exec(info.name)) /* no function, but it runs in every pool */
        info.forms = FORM_BLOCKING | FORM_ASYNC;
    add(info, h, NULL);
}

int handlers_init_from(const struct tern_handler *const *all, const char *only, bool with_exec, char **ret_error)
{
    int r = only && !table.with_modules ? check_only(all, only, ret_error) : 0;
    if (r < 0)
        return r;
    free(table.only);
    table.only = only ? xstrdup(only) : NULL;
    table.n = 0;
    for (; *all; all++)
        if ((!only || listed(only, (*all)->name)) && (with_exec || !handler_is_exec(str_of((*all)->name))))
            add_built_in(*all);
    table.n_built_in = table.n;
    return 0;
}

int handlers_init(const char *only, bool with_exec, char **ret_error)
{
    int r = handlers_init_from(built_in, only, with_exec, ret_error);
    if (r < 0 || !handlers_find(str_of(handler_http.name)))
        return r;
    /* Now, because the first request on the loop would have everybody wait for it. Safe to repeat.
     * */
    if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
        return 0;
    *ret_error = xstrdup("libcurl cannot be initialised, which the handler `http` needs");
    return -EIO;
}

int handlers_allow_http(const char *list) { return http_guard_allow(list); }

static const struct entry *find(struct str name)
{
    for (size_t i = 0; i < table.n; i++)
        if (str_equal(name, table.info[i].name))
            return &table.at[i];
    return NULL;
}

static const struct entry *find_or_load(struct str name)
{
    const struct entry *e = find(name);
    return e || !table.load || table.load(name) < 0 ? e : find(name);
}

const struct tern_handler *handlers_find(struct str name)
{
    const struct entry *e = find_or_load(name);
    return e ? e->handler : NULL;
}

const struct tern_function *handlers_find_function(struct str handler, struct str function)
{
    const struct entry *e = find_or_load(handler);
    return e && e->module ? module_find_function(e->module, function) : NULL;
}

/* ---- runners ---------------------------------------------------------------------------------- */

static bool is_chosen(struct str name)
{
    if (!table.only)
        return true;
    cleanup(freep) char *text = xstrndup(name);
    return listed(table.only, text);
}

int handlers_add(const struct handler_info *h, size_t runner)
{
    if (handlers_find(h->name) || known(built_in, h->name) || table.n >= LIMIT_HANDLERS)
        return -EEXIST;
    if (!is_chosen(h->name))
        return 0;
    struct tern_handler *own = xcalloc(1, sizeof *own); /* stays for ever, as the built-in ones do */
    struct handler_info info = *h;
    own->name = xstrndup(h->name);
    info.name = str_of(own->name);
    add(info, own, NULL);
    table.at[table.n - 1].runner = runner;
    table.n_built_in = table.n;
    return 1;
}

size_t handlers_runner(struct str name)
{
    const struct entry *e = find(name);
    return e ? e->runner : 0;
}

/* ---- modules ---------------------------------------------------------------------------------- */

void handlers_with_modules(void) { table.with_modules = true; }
void handlers_set_load(handlers_load_fn *load) { table.load = load; }
void handlers_forget_modules(void) { table.n = table.n_built_in; }

/* Why one of its names is taken, owned by the caller; or NULL. */
static char *why_taken(const struct module *m)
{
    for (size_t i = 0; i < m->n_handlers; i++) {
        struct str name = m->info[i].name;
        const struct entry *e = find(name);
        if (e && e->module)
            return xasprintf("its handler %.*s is that of the module %s", (int)name.n, name.p, e->module->name);
        if (e || known(built_in, name))
            return xasprintf("its handler %.*s has the name of one that is built in", (int)name.n, name.p);
    }
    return table.n + m->n_handlers > LIMIT_HANDLERS
               ? xasprintf("with it this worker would have more than %u handlers", LIMIT_HANDLERS)
               : NULL;
}

int handlers_add_module(const struct module *m, char **ret_error)
{
    char *why = why_taken(m);
    if (why) {
        *ret_error = why;
        return -EEXIST;
    }
    for (size_t i = 0; i < m->n_handlers; i++)
        if (is_chosen(m->info[i].name))
            add(m->info[i], m->handlers ? &m->handlers[i] : NULL, m);
    return 0;
}

char *handlers_unknown(void)
{
    for (const char *p = table.only ? table.only : ""; *p; p += strspn(p, ",")) {
        struct str name = { p, strcspn(p, ",") };
        if (!find(name) && !known(built_in, name))
            return xstrndup(name);
        p += name.n;
    }
    return NULL;
}

const struct handler_info *handlers_info(size_t *ret_n)
{
    *ret_n = table.n;
    return table.info;
}
