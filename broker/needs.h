/* needs.h - what the jobs of a class ask of a worker beside its handler, and the amounts that they hold while they run.
 *
 * A name is looked for in this order: among the broker's own amounts (shared by all workers: licences), among the worker's amounts (its
 * alone: cards), among its labels, which are there or not and are never used up. Every worker has the labels `host` and `worker`.
 * An amount is held from the lease until the attempt ends, however it ends. */
#ifndef TERN_NEEDS_H
#define TERN_NEEDS_H

#include "proto/need.h"

struct worker;

#define AMOUNT_MOST INT64_C(1000000000000000) /* no sum of them overflows */

struct amount_held {
    char *name; /* owned */
    int64_t total, held;
};
struct amounts {
    struct amount_held *at; /* owned */
    size_t n;
};
/* Given twice: the later total counts. -E2BIG past LIMIT_AMOUNTS. */
int amounts_add(struct amounts *a, struct str name, int64_t total);
struct amount_held *amounts_find(const struct amounts *a, struct str name);
void amounts_fini(struct amounts *a);

/* The labels of a worker. */
struct label {
    char *name, *value; /* owned; value NULL: it has none */
};
struct labels {
    struct label *at; /* owned */
    size_t n;
};
int labels_add(struct labels *l, struct str text);
void labels_fini(struct labels *l);

struct class_need {
    struct need need;           /* views into struct needs.text */
    struct amount_held *shared; /* borrowed: the broker's amount of this name; or NULL */
};
struct needs {
    char *text;            /* owned; NULL: none */
    struct class_need *at; /* owned */
    size_t n;
};
/* text was checked by needs_read. */
void needs_init(struct needs *n, struct str text, const struct amounts *shared);
void needs_fini(struct needs *n);

/* The amount that a job takes of, there; NULL: it is a label. */
struct amount_held *needs_amount(const struct class_need *n, const struct worker *w);
/* As the worker is, however long one waits. */
bool needs_can_meet(const struct class_need *n, const struct worker *w);
/* The first need that this worker cannot meet as it is, however long one waits. NULL: it can. */
const struct class_need *needs_unmet(const struct needs *n, const struct worker *w);
/* The first amount of which others hold too much at the moment. */
const struct class_need *needs_short(const struct needs *n, const struct worker *w);
/* Does a job of this class hold anything on this worker? */
bool needs_hold(const struct needs *n, const struct worker *w);
void needs_take(const struct needs *n, const struct worker *w);
void needs_give(const struct needs *n, const struct worker *w);
/* The worker's own amounts alone: it has declared them anew. */
void needs_take_own(const struct needs *n, const struct worker *w);

/* The label of this name; NULL. *ret_value: NULL when it has none. */
bool needs_find_label(const struct worker *w, struct str name, const char **ret_value);

#endif
