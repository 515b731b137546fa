/* map.h - hash maps that borrow their values: idmap from a number, strmap from a byte string (copied).
 *
 * Open addressing with linear probing and backward-shift deletion (Knuth, TAOCP 3, 6.4, algorithm R):
 * no tombstones, so long-lived maps do not decay. Not safe to change while walking, unless said so. */
#ifndef TERN_MAP_H
#define TERN_MAP_H

#include "proto/base/base.h"

struct idmap {
    struct idmap_entry {
        uint64_t key;
        void *value; /* NULL: free place */
    } *at;           /* owned */
    size_t n, cap;   /* cap is 0 or a power of two */
};

void idmap_fini(struct idmap *m);
void *idmap_find(const struct idmap *m, uint64_t key);
/* Replaces what was there. value must not be NULL. */
void idmap_put(struct idmap *m, uint64_t key, void *value);
/* Returns what was there, or NULL. */
void *idmap_remove(struct idmap *m, uint64_t key);
/* for (size_t i = 0; (v = idmap_next(m, &i)); ) */
void *idmap_next(const struct idmap *m, size_t *i);

struct strmap {
    struct strmap_entry {
        char *key; /* owned */
        size_t n;
        uint64_t hash;
        void *value; /* NULL: free place */
    } *at;           /* owned */
    size_t n, cap;
};

void strmap_fini(struct strmap *m);
void *strmap_find(const struct strmap *m, struct str key);
void strmap_put(struct strmap *m, struct str key, void *value);
void *strmap_remove(struct strmap *m, struct str key);
void *strmap_next(const struct strmap *m, size_t *i);

#endif
