/* grant.c - one peer's rights. */
#include "broker/grant.h"

#include "proto/name.h"

#define AT(field) offsetof(struct grant, field)

const struct option_def grant_options[] = {
    { "name", "NAME", "who this is", OPTION_TEXT, AT(name), 0, 0, NULL, false },
    { "role", "ROLE", "client, worker or admin", OPTION_TEXT, AT(role_text), 0, 0, NULL, false },
    { "key", "DIGITS", "its public key", OPTION_TEXT, AT(key_text), 0, 0, NULL, false },
    { "queues", "A,B", "only these queues (all)", OPTION_TEXT, AT(queues), 0, 0, NULL, false },
    { "handlers", "X,Y", "only these handlers (a client: all but exec; a worker: all)", OPTION_TEXT, AT(handlers), 0, 0, NULL, false },
    { "exec", NULL, "a client may run commands, too", OPTION_FLAG, AT(exec), 0, 0, NULL, false },
    { "sessions", "N", "connections at a time (1000)", OPTION_NUMBER, AT(sessions), 1, 1000000, NULL, false },
    { "rate", "N", "jobs a second that it may submit; 0: no limit (0)", OPTION_NUMBER, AT(rate), 0, 1000000000, NULL, false },
    { "bytes", "SIZE", "payload a second that it may submit; 0: no limit (0)", OPTION_SIZE, AT(bytes), 0, INT64_MAX / 2, NULL, false },
    { "open-jobs", "N", "jobs of its name that may be unfinished; 0: no limit (0)", OPTION_NUMBER, AT(open_jobs), 0, 1000000000, NULL,
      false },
    { 0 },
};

static const char *const role_names[N_ROLES] = { "client", "admin", "worker" };

const char *role_name(enum role role) { return role_names[role]; }

int role_parse(const char *text)
{
    for (int i = 0; i < N_ROLES; i++)
        if (strcmp(text, role_names[i]) == 0)
            return i;
    return -EINVAL;
}

const struct grant *grant_of_user(bool admin, bool may_work)
{
    static const struct grant anybody = { .role = ROLE_CLIENT, .exec = true };
    static const struct grant master = { .role = ROLE_ADMIN, .exec = true, .may_work = true };
    static const struct grant worker = { .role = ROLE_CLIENT, .exec = true, .may_work = true };
    return admin ? &master : may_work ? &worker : &anybody;
}

#define SESSIONS 1000

void grant_init(struct grant *g) { *g = (struct grant){ .sessions = SESSIONS }; }
void grant_fini(struct grant *g) { options_fini(grant_options, g); }

/* ---- lists of names: A,B ------------------------------------------------------------------------ */

static bool is_in(const char *list, struct str name)
{
    for (const char *at = list; *at; at += *at == ',') {
        struct str one = { at, strcspn(at, ",") };
        if (str_equal(one, name))
            return true;
        at += one.n;
    }
    return false;
}

/* Whoever empties a list means none, and not all. */
static int check_list(const char *list, const char *option, const char *what, char **ret_error)
{
    if (list && !*list) {
        *ret_error = xasprintf("%s: the list is empty; leave %s out for all of them", option, option);
        return -EINVAL;
    }
    for (const char *at = list; at && *at; at += *at == ',') {
        struct str one = { at, strcspn(at, ",") };
        const char *bad = name_check(one, what);
        if (bad) {
            *ret_error = xasprintf("%s: %s", option, bad);
            return -EINVAL;
        }
        at += one.n;
    }
    return 0;
}

/* ---- checking ----------------------------------------------------------------------------------- */

static int check_identity(struct grant *g, char **ret_error)
{
    const char *bad = g->name ? name_check_peer(str_of(g->name)) : "there is no name";
    int role = g->role_text ? role_parse(g->role_text) : -EINVAL;
    if (bad)
        *ret_error = xasprintf("%s", bad);
    else if (role < 0)
        *ret_error = xasprintf("role must be client, worker or admin%s%s", g->role_text ? ", not " : "", g->role_text ? g->role_text : "");
    else if (!g->key_text || key_parse(g->key_text, &g->key) < 0)
        *ret_error = xasprintf("key must be %d hexadecimal digits, as NAME.pub has them", KEY_DIGITS);
    else {
        g->role = (enum role)role;
        return 0;
    }
    return -EINVAL;
}

int grant_check(struct grant *g, char **ret_error)
{
    int r = check_identity(g, ret_error);
    if (r >= 0)
        r = check_list(g->queues, "queues", "queue", ret_error);
    if (r >= 0)
        r = check_list(g->handlers, "handlers", "handler", ret_error);
    if (r < 0)
        return r;
    key_format(&g->key, g->digits);
    g->may_work = g->role == ROLE_WORKER;
    return 0;
}

static bool same_text(const char *a, const char *b) { return strcmp(a ? a : "", b ? b : "") == 0; }

bool grant_equal(const struct grant *a, const struct grant *b)
{
    return a->role == b->role && key_equal(&a->key, &b->key) && same_text(a->name, b->name) && same_text(a->queues, b->queues) &&
           same_text(a->handlers, b->handlers) && a->exec == b->exec && a->sessions == b->sessions &&
           a->rate == b->rate && a->bytes == b->bytes && a->open_jobs == b->open_jobs;
}

/* ---- asking --------------------------------------------------------------------------------------- */

static bool is_given(const char *list) { return list && *list; }

bool grant_allows_queue(const struct grant *g, struct str queue) { return !is_given(g->queues) || is_in(g->queues, queue); }

/* exec is everything that the worker's user may do, so it is never among what was not named. */
bool grant_allows_handler(const struct grant *g, struct str handler)
{
    if (g->exec && str_is(handler, "exec"))
        return true;
    if (is_given(g->handlers))
        return is_in(g->handlers, handler);
    return g->role != ROLE_CLIENT || !str_is(handler, "exec");
}

char *grant_refuses_job(const struct grant *g, struct str queue, struct str handler)
{
    if (!grant_allows_queue(g, queue))
        return xasprintf("the key %s may not submit to the queue %.*s, only to %s", g->name, (int)queue.n, queue.p, g->queues);
    if (grant_allows_handler(g, handler))
        return NULL;
    if (str_is(handler, "exec"))
        return xasprintf("the key %s may not run commands; its broker's admin can allow it: exec = yes in its file", g->name);
    return xasprintf("the key %s may not use the handler %.*s, only %s", g->name, (int)handler.n, handler.p,
                     is_given(g->handlers) ? g->handlers : "those that are no commands");
}
