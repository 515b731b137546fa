/* needs.c - needs against what a worker and the broker have. */
#include "broker/needs.h"

#include "broker/worker.h"

/* ---- amounts ----------------------------------------------------------------------------------- */

struct amount_held *amounts_find(const struct amounts *a, struct str name)
{
    for (size_t i = 0; i < a->n; i++)
        if (str_is(name, a->at[i].name))
            return &a->at[i];
    return NULL;
}

int amounts_add(struct amounts *a, struct str name, int64_t total)
{
    struct amount_held *known = amounts_find(a, name);
    if (!known && a->n == LIMIT_AMOUNTS)
        return -E2BIG;
    if (!known) {
        a->at = a->at ? a->at : xcalloc(LIMIT_AMOUNTS, sizeof *a->at); /* classes point into it: it never moves */
        known = &a->at[a->n++];
        known->name = xstrndup(name);
    }
    known->total = total;
    return 0;
}

void amounts_fini(struct amounts *a)
{
    for (size_t i = 0; i < a->n; i++)
        free(a->at[i].name);
    free(a->at);
    *a = (struct amounts){ 0 };
}

/* ---- labels ------------------------------------------------------------------------------------ */

int labels_add(struct labels *l, struct str text)
{
    struct need n;
    if (l->n == LIMIT_LABELS)
        return -E2BIG;
    if (need_read(text, &n))
        return -EINVAL;
    l->at = xrealloc(l->at, (l->n + 1) * sizeof *l->at);
    l->at[l->n++] = (struct label){ xstrndup(n.name), xstrndup(n.value) };
    return 0;
}

void labels_fini(struct labels *l)
{
    for (size_t i = 0; i < l->n; i++) {
        free(l->at[i].name);
        free(l->at[i].value);
    }
    free(l->at);
    *l = (struct labels){ 0 };
}

bool needs_find_label(const struct worker *w, struct str name, const char **ret_value)
{
    *ret_value = str_is(name, "host") ? w->host : str_is(name, "worker") ? w->name : NULL;
    if (*ret_value)
        return true;
    for (size_t i = w->labels.n; i-- > 0;)
        if (str_is(name, w->labels.at[i].name)) {
            *ret_value = w->labels.at[i].value;
            return true;
        }
    return false;
}

/* ---- needs ------------------------------------------------------------------------------------- */

void needs_init(struct needs *n, struct str text, const struct amounts *shared)
{
    struct need read[LIMIT_NEEDS];
    *n = (struct needs){ 0 };
    if (!text.n)
        return;
    n->text = xstrndup(text);
    const char *bad = needs_read(str_of(n->text), read, &n->n);
    if (bad) /* a database that was written to by hand: nobody meets what nobody can read */
        read[0] = (struct need){ .name = str_of(n->text), .value = str_of("?") };
    n->n = bad ? 1 : n->n;
    n->at = xcalloc(n->n, sizeof *n->at);
    for (size_t i = 0; i < n->n; i++)
        n->at[i] = (struct class_need){ read[i], shared ? amounts_find(shared, read[i].name) : NULL };
}

void needs_fini(struct needs *n)
{
    free(n->text);
    free(n->at);
    *n = (struct needs){ 0 };
}

struct amount_held *needs_amount(const struct class_need *n, const struct worker *w)
{
    return n->shared ? n->shared : amounts_find(&w->amounts, n->need.name);
}

bool needs_can_meet(const struct class_need *n, const struct worker *w)
{
    const struct amount_held *a = needs_amount(n, w);
    if (a)
        return n->need.amount && n->need.amount <= a->total;
    const char *value;
    return needs_find_label(w, n->need.name, &value) && (!n->need.value.p || (value && str_is(n->need.value, value)));
}

const struct class_need *needs_unmet(const struct needs *n, const struct worker *w)
{
    for (size_t i = 0; i < n->n; i++)
        if (!needs_can_meet(&n->at[i], w))
            return &n->at[i];
    return NULL;
}

const struct class_need *needs_short(const struct needs *n, const struct worker *w)
{
    for (size_t i = 0; i < n->n; i++) {
        const struct amount_held *a = needs_amount(&n->at[i], w);
        if (a && a->held + n->at[i].need.amount > a->total)
            return &n->at[i];
    }
    return NULL;
}

bool needs_hold(const struct needs *n, const struct worker *w)
{
    for (size_t i = 0; i < n->n; i++)
        if (needs_amount(&n->at[i], w))
            return true;
    return false;
}

static void hold(const struct needs *n, const struct worker *w, int sign)
{
    for (size_t i = 0; i < n->n; i++) {
        struct amount_held *a = needs_amount(&n->at[i], w);
        if (a)
            a->held += sign * n->at[i].need.amount;
    }
}

void needs_take(const struct needs *n, const struct worker *w) { hold(n, w, 1); }
void needs_give(const struct needs *n, const struct worker *w) { hold(n, w, -1); }

void needs_take_own(const struct needs *n, const struct worker *w)
{
    for (size_t i = 0; i < n->n; i++) {
        struct amount_held *a = n->at[i].shared ? NULL : amounts_find(&w->amounts, n->at[i].need.name);
        if (a)
            a->held += n->at[i].need.amount;
    }
}
