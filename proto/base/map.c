/* map.c - hash maps by number and by byte string. */
#include "proto/base/map.h"

/* Finalizer of splitmix64 (Steele, Lea, Flood 2014): every input bit reaches every output bit. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static size_t id_place(const struct idmap *m, uint64_t key)
{
    size_t i = mix(key) & (m->cap - 1);
    while (m->at[i].value && m->at[i].key != key)
        i = (i + 1) & (m->cap - 1);
    return i;
}

void idmap_fini(struct idmap *m)
{
    free(m->at);
    *m = (struct idmap){ 0 };
}

void *idmap_find(const struct idmap *m, uint64_t key)
{
    return m->cap ? m->at[id_place(m, key)].value : NULL;
}

static void id_grow(struct idmap *m)
{
    struct idmap bigger = { .cap = m->cap ? m->cap * 2 : 16 };
    bigger.at = xcalloc(bigger.cap, sizeof *bigger.at);
    for (size_t i = 0; i < m->cap; i++)
        if (m->at[i].value)
            bigger.at[id_place(&bigger, m->at[i].key)] = m->at[i];
    bigger.n = m->n;
    free(m->at);
    *m = bigger;
}

void idmap_put(struct idmap *m, uint64_t key, void *value)
{
    assert(value);
    if (m->n + 1 > m->cap - m->cap / 4)
        id_grow(m);
    struct idmap_entry *e = &m->at[id_place(m, key)];
    m->n += !e->value;
    *e = (struct idmap_entry){ key, value };
}

void *idmap_remove(struct idmap *m, uint64_t key)
{
    if (!m->cap)
        return NULL;
    size_t hole = id_place(m, key), mask = m->cap - 1;
    void *value = m->at[hole].value;
    if (!value)
        return NULL;
    for (size_t i = (hole + 1) & mask; m->at[i].value; i = (i + 1) & mask) {
        size_t home = mix(m->at[i].key) & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->at[hole] = m->at[i];
            hole = i;
        }
    }
    m->at[hole].value = NULL;
    m->n--;
    return value;
}

void *idmap_next(const struct idmap *m, size_t *i)
{
    while (*i < m->cap) {
        void *value = m->at[(*i)++].value;
        if (value)
            return value;
    }
    return NULL;
}

/* FNV-1a, then mixed. Keys come from authenticated peers and their number is bounded by named limits. */
static uint64_t hash_bytes(struct str key)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < key.n; i++)
        h = (h ^ (unsigned char)key.p[i]) * 0x100000001b3u;
    return mix(h);
}

static size_t str_place(const struct strmap *m, struct str key, uint64_t hash)
{
    size_t i = hash & (m->cap - 1);
    while (m->at[i].value &&
           !(m->at[i].hash == hash && str_equal((struct str){ m->at[i].key, m->at[i].n }, key)))
        i = (i + 1) & (m->cap - 1);
    return i;
}

void strmap_fini(struct strmap *m)
{
    for (size_t i = 0; i < m->cap; i++)
        if (m->at[i].value)
            free(m->at[i].key);
    free(m->at);
    *m = (struct strmap){ 0 };
}

void *strmap_find(const struct strmap *m, struct str key)
{
    return m->cap ? m->at[str_place(m, key, hash_bytes(key))].value : NULL;
}

static void str_grow(struct strmap *m)
{
    struct strmap bigger = { .cap = m->cap ? m->cap * 2 : 16, .n = m->n };
    bigger.at = xcalloc(bigger.cap, sizeof *bigger.at);
    for (size_t i = 0; i < m->cap; i++) {
        struct strmap_entry *e = &m->at[i];
        if (e->value)
            bigger.at[str_place(&bigger, (struct str){ e->key, e->n }, e->hash)] = *e;
    }
    free(m->at);
    *m = bigger;
}

void strmap_put(struct strmap *m, struct str key, void *value)
{
    assert(value && key.p);
    if (m->n + 1 > m->cap - m->cap / 4)
        str_grow(m);
    uint64_t hash = hash_bytes(key);
    struct strmap_entry *e = &m->at[str_place(m, key, hash)];
    if (!e->value) {
        *e = (struct strmap_entry){ .key = xstrndup(key), .n = key.n, .hash = hash };
        m->n++;
    }
    e->value = value;
}

void *strmap_remove(struct strmap *m, struct str key)
{
    if (!m->cap)
        return NULL;
    size_t hole = str_place(m, key, hash_bytes(key)), mask = m->cap - 1;
    void *value = m->at[hole].value;
    if (!value)
        return NULL;
    free(m->at[hole].key);
    for (size_t i = (hole + 1) & mask; m->at[i].value; i = (i + 1) & mask) {
        size_t home = m->at[i].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->at[hole] = m->at[i];
            hole = i;
        }
    }
    m->at[hole] = (struct strmap_entry){ 0 };
    m->n--;
    return value;
}

void *strmap_next(const struct strmap *m, size_t *i)
{
    while (*i < m->cap) {
        void *value = m->at[(*i)++].value;
        if (value)
            return value;
    }
    return NULL;
}
