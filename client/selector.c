/* selector.c - reads selectors. */
#include "client/selector.h"

#include <ctype.h>

#include "proto/limits.h"

void selector_add_range(struct selector *s, uint64_t first, uint64_t last)
{
    s->ranges = grow_array(s->ranges, &s->cap, s->n + 1, sizeof *s->ranges);
    s->ranges[s->n++] = (struct tern_range){ first, last };
}

/* Digits at *p, from 1 to INT64_MAX: what an id can be. */
static bool take_id(const char **p, uint64_t *ret)
{
    int64_t v = 0;
    const char *begin = *p;
    for (; isdigit((unsigned char)**p); (*p)++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, **p - '0', &v))
            return false;
    *ret = (uint64_t)v;
    return *p > begin && v > 0;
}

static bool add_item(struct selector *s, const char **p)
{
    uint64_t first, last;
    if (!take_id(p, &first))
        return false;
    last = first;
    if (**p == '-') {
        (*p)++;
        if (!take_id(p, &last) || last < first)
            return false;
    }
    selector_add_range(s, first, last);
    return **p == '\0' || **p == ',';
}

static int wrong(const char *text, char **ret_error)
{
    if (isdigit((unsigned char)text[0]) && strchr(text, '.'))
        *ret_error =
            xasprintf("\"%s\": N.M is reserved for arrays, which this version does not have", text);
    else if (strchr(text, ':'))
        *ret_error = xasprintf(
            "\"%s\": BROKER:N is reserved for several brokers, which this version does not have",
            text);
    else
        *ret_error = xasprintf(
            "\"%s\" names no jobs; name an id, a range 5-9, a list 5,7,12-20, `last` or `all`",
            text);
    return -EINVAL;
}

int selector_add(struct selector *s, const char *text, char **ret_error)
{
    if (strcmp(text, "all") == 0) {
        selector_add_range(s, 1, UINT64_MAX);
        return 0;
    }
    for (const char *p = text;; p++) {
        if (strncmp(p, "last", 4) == 0 && (p[4] == '\0' || p[4] == ',')) {
            s->last = true;
            p += 4;
        } else if (!add_item(s, &p))
            return wrong(text, ret_error);
        if (!*p)
            return 0;
    }
}

static int by_first(const void *a, const void *b)
{
    const struct tern_range *x = a, *y = b;
    return x->first < y->first ? -1 : x->first > y->first;
}

int selector_compact(struct selector *s)
{
    if (s->n <= LIMIT_RANGES)
        return 0;
    qsort(s->ranges, s->n, sizeof *s->ranges, by_first);
    size_t n = 1;
    for (size_t i = 1; i < s->n; i++) {
        struct tern_range *before = &s->ranges[n - 1];
        if (before->last == UINT64_MAX || s->ranges[i].first <= before->last + 1)
            before->last = before->last > s->ranges[i].last ? before->last : s->ranges[i].last;
        else
            s->ranges[n++] = s->ranges[i];
    }
    s->n = n;
    return n <= LIMIT_RANGES ? 0 : -E2BIG;
}

bool selector_is_one_job(const struct selector *s)
{
    return s->n == 1 && s->ranges[0].first == s->ranges[0].last;
}

void selector_fini(struct selector *s)
{
    free(s->ranges);
    *s = (struct selector){ 0 };
}
