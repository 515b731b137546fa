/* handlers.c - the handlers that this worker has. */
#include "worker/handlers.h"

#include "worker/handler_http_guard.h"

#include <curl/curl.h>

static const struct tern_handler *const built_in[] = {
    &handler_echo, &handler_exec, &handler_http, &handler_sha256, &handler_sleep, NULL,
};

/* Arrays of their own, for HELLO wants the infos in one. */
static struct {
    struct handler_info *info; /* owned; its texts stay for ever */
    struct entry {
        const struct tern_handler *handler; /* borrowed */
        const struct module *module;        /* borrowed; NULL: built in */
    } *at; /* owned */
    size_t n, cap_info, cap_at;
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

static struct handler_info info_of(const struct tern_handler *h)
{
    struct handler_info i;
    record_init(RECORD_handler_info, &i);
    i.name = str_of(h->name);
    i.forms = (h->blocking ? FORM_BLOCKING : 0) | (h->async ? FORM_ASYNC : 0);
    if (handler_is_exec(i.name)) /* no function, but it runs in every pool */
        i.forms = FORM_BLOCKING | FORM_ASYNC;
    i.tag = (int64_t)h->tag;
    i.retries = h->retries;
    i.timeout_ms = h->timeout_ms > 0 ? h->timeout_ms : UNSET;
    i.thread_safe = !h->not_thread_safe;
    return i;
}

static void add(const struct tern_handler *h, const struct module *m)
{
    table.info = grow_array(table.info, &table.cap_info, table.n + 1, sizeof *table.info);
    table.at = grow_array(table.at, &table.cap_at, table.n + 1, sizeof *table.at);
    table.info[table.n] = info_of(h);
    table.at[table.n] = (struct entry){ h, m };
    table.n++;
}

int handlers_init_from(const struct tern_handler *const *all, const char *only, bool with_exec, char **ret_error)
{
    int r = only ? check_only(all, only, ret_error) : 0;
    if (r < 0)
        return r;
    table.n = 0;
    for (; *all; all++)
        if ((!only || listed(only, (*all)->name)) && (with_exec || !handler_is_exec(str_of((*all)->name))))
            add(*all, NULL);
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

const struct tern_handler *handlers_find(struct str name)
{
    const struct entry *e = find(name);
    return e ? e->handler : NULL;
}

const struct tern_function *handlers_find_function(struct str handler, struct str function)
{
    const struct entry *e = find(handler);
    return e && e->module ? module_find_function(e->module, function) : NULL;
}

/* Why one of its names is taken, owned by the caller; or NULL. */
static char *why_taken(const struct module *m)
{
    for (size_t i = 0; i < m->n_handlers; i++) {
        const struct entry *e = find(str_of(m->handlers[i].name));
        if (e && e->module)
            return xasprintf("its handler %s is the module %s's", m->handlers[i].name, e->module->name);
        if (e || known(built_in, str_of(m->handlers[i].name)))
            return xasprintf("its handler %s has the name of one that is built in", m->handlers[i].name);
    }
    return NULL;
}

int handlers_add_module(const struct module *m, char **ret_error)
{
    char *why = why_taken(m);
    if (why) {
        *ret_error = why;
        return -EEXIST;
    }
    for (size_t i = 0; i < m->n_handlers; i++)
        add(&m->handlers[i], m);
    return 0;
}

const struct handler_info *handlers_info(size_t *ret_n)
{
    *ret_n = table.n;
    return table.info;
}
