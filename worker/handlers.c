/* handlers.c - the handlers that this worker has. */
#include "worker/handlers.h"

#include "worker/handler_http_guard.h"

#include <curl/curl.h>

static const struct tern_handler *const built_in[] = {
    &handler_echo, &handler_exec, &handler_http, &handler_sha256, &handler_sleep, NULL,
};

static struct {
    const struct tern_handler **at; /* owned; what it points to stays for ever */
    struct handler_info *info;      /* owned: one each */
    size_t n;
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

static void add(const struct tern_handler *h)
{
    table.at[table.n] = h;
    table.info[table.n] = info_of(h);
    table.n++;
}

int handlers_init_from(const struct tern_handler *const *all, const char *only, bool with_exec, char **ret_error)
{
    int r = only ? check_only(all, only, ret_error) : 0;
    if (r < 0)
        return r;
    size_t n = 0;
    while (all[n])
        n++;
    table.n = 0;
    table.at = xrealloc(table.at, n * sizeof *table.at);
    table.info = xrealloc(table.info, n * sizeof *table.info);
    for (size_t i = 0; i < n; i++)
        if ((!only || listed(only, all[i]->name)) && (with_exec || !handler_is_exec(str_of(all[i]->name))))
            add(all[i]);
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

const struct tern_handler *handlers_find(struct str name)
{
    for (size_t i = 0; i < table.n; i++)
        if (str_equal(name, table.info[i].name))
            return table.at[i];
    return NULL;
}

const struct handler_info *handlers_info(size_t *ret_n)
{
    *ret_n = table.n;
    return table.info;
}
