/* keys_rig.c - keys that the core on its bench knows. */
#include "tests/keys_rig.h"

struct grant *grant_add(struct grants *all, const char *key, const char *name, const char *role)
{
    cleanup(freep) char *error = NULL;
    struct grant *g = xcalloc(1, sizeof *g);
    grant_init(g);
    g->name = xstrdup(name);
    g->role_text = xstrdup(role);
    g->key_text = xstrdup(key);
    assert_int_equal(grant_check(g, &error), 0);
    strmap_put(&all->by_key, str_of(g->digits), g);
    return g;
}

struct grants *everybody(const char *without)
{
    static const struct { const char *key, *name, *role;
    } all[] = { { ADA, "ada", "client" }, { BOB, "bob", "client" }, { CHIEF, "chief", "admin" },
                { W1, "w1", "worker" },   { W2, "w2", "worker" } };
    struct grants *g = xcalloc(1, sizeof *g);
    for (size_t i = 0; i < ELEMENTS(all); i++)
        if (!without || strcmp(all[i].key, without) != 0)
            grant_add(g, all[i].key, all[i].name, all[i].role);
    return g;
}

struct grant *grant_in(struct grants *g, const char *key) { return strmap_find(&g->by_key, str_of(key)); }

void know(struct bench *t, struct grants *g)
{
    broker_set_grants(t->broker, g, t->now);
    bench_turn(t);
}

struct conn keyed(const char *id, const char *key)
{
    struct conn c = bench_conn(id, -1);
    c.key = key;
    return c;
}

struct conn client_of(struct bench *t, const char *id, const char *key)
{
    struct conn c = keyed(id, key);
    struct message m = bench_hello(&c, "client");
    bench_tell(t, &c, &m);
    bench_welcome(t, &c);
    return c;
}

struct conn worker_of(struct bench *t, const char *id, const char *key, const char *queue)
{
    struct conn c = keyed(id, key);
    c.name = id;
    c.slots[POOL_PROCESS] = c.slots[POOL_THREAD] = c.slots[POOL_LOOP] = 2;
    c.queue = queue;
    bench_worker_hello(t, &c, NULL, 0);
    return c;
}

void expect_hello_refused(struct bench *t, struct conn *c, const char *role, const char *part)
{
    struct message m = bench_hello(c, role);
    m.hello.name = str_of("w");
    bench_tell(t, c, &m);
    bench_turn(t);
    bench_expect_error(t, c, CODE_NOT_ALLOWED, part);
}
