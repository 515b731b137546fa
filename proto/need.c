/* need.c - needs as text, there and back. */
#include "proto/need.h"

#include <stdio.h>

#include "proto/base/buf.h"
#include "proto/base/parse.h"
#include "proto/name.h"

#define AMOUNT_DIGITS 15

/* 0: it is no number, or none that anybody can have. */
static int64_t number_of(struct str s)
{
    int64_t n = 0;
    if (!s.n || s.n > AMOUNT_DIGITS)
        return 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return 0;
        n = n * 10 + (s.p[i] - '0');
    }
    return n;
}

const char *need_read(struct str text, struct need *ret)
{
    const char *equals = text.n ? memchr(text.p, '=', text.n) : NULL;
    struct need n = { .name = { text.p, equals ? (size_t)(equals - text.p) : text.n } };
    const char *bad = name_check(n.name, "label");
    if (!bad && equals) {
        n.value = (struct str){ equals + 1, text.n - n.name.n - 1 };
        bad = name_check(n.value, "label's value");
    }
    if (bad)
        return bad;
    n.amount = equals ? number_of(n.value) : 1;
    *ret = n;
    return NULL;
}

static int compare(struct str a, struct str b)
{
    int order = memcmp(a.p, b.p, min_size(a.n, b.n));
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

const char *needs_read(struct str text, struct need ret[static LIMIT_NEEDS], size_t *ret_n)
{
    static _Thread_local char why[80];
    *ret_n = 0;
    for (size_t at = 0; text.n && at <= text.n;) {
        const char *comma = memchr(text.p + at, ',', text.n - at);
        size_t end = comma ? (size_t)(comma - text.p) : text.n;
        if (*ret_n == LIMIT_NEEDS) {
            snprintf(why, sizeof why, "a job may have at most %u needs", LIMIT_NEEDS);
            return why;
        }
        const char *bad = need_read((struct str){ text.p + at, end - at }, &ret[*ret_n]);
        if (bad)
            return bad;
        if (*ret_n && compare(ret[*ret_n - 1].name, ret[*ret_n].name) >= 0)
            return "needs must stand in the order of their names, each name once";
        ++*ret_n;
        at = end + 1;
    }
    return NULL;
}

static int by_name(const void *a, const void *b)
{
    const struct need *x = a, *y = b;
    return compare(x->name, y->name);
}

static int put(struct buf *out, const struct need *n, const struct need *before, char **ret_error)
{
    bool again = before && str_equal(before->name, n->name);
    if (again && (!before->value.p != !n->value.p || !str_equal(before->value, n->value))) {
        *ret_error = xasprintf("the need %.*s stands there twice, with two values", (int)n->name.n, n->name.p);
        return -EINVAL;
    }
    if (again)
        return 0;
    buf_addf(out, "%s%.*s", out->n ? "," : "", (int)n->name.n, n->name.p);
    if (n->value.p)
        buf_addf(out, "=%.*s", (int)n->value.n, n->value.p);
    return 0;
}

int needs_join(const char *const *each, size_t n, char **ret, char **ret_error)
{
    struct need needs[LIMIT_NEEDS];
    if (n > LIMIT_NEEDS) {
        *ret_error = xasprintf("a job may have at most %u needs", LIMIT_NEEDS);
        return -EINVAL;
    }
    for (size_t i = 0; i < n; i++) {
        const char *bad = need_read(str_of(each[i]), &needs[i]);
        if (bad) {
            *ret_error = xasprintf("%s: %s", each[i], bad);
            return -EINVAL;
        }
    }
    qsort(needs, n, sizeof *needs, by_name);
    struct buf out;
    buf_init(&out, LIMIT_NEEDS_BYTES + 1);
    int r = 0;
    for (size_t i = 0; i < n && r >= 0; i++)
        r = put(&out, &needs[i], i ? &needs[i - 1] : NULL, ret_error);
    if (r >= 0)
        *ret = n ? xstrndup(buf_str(&out)) : NULL;
    buf_fini(&out);
    return r;
}

int amount_read(const char *text, struct str *ret_name, int64_t *ret_n, char **ret_error)
{
    struct need n;
    const char *bad = need_read(str_of(text), &n);
    if (!bad && (!n.value.p || !n.amount))
        bad = "it looks like licences=4: a name and a number from 1 on";
    if (bad) {
        *ret_error = xasprintf("\"%s\": %s", text, bad);
        return -EINVAL;
    }
    *ret_name = n.name;
    *ret_n = n.amount;
    return 0;
}
