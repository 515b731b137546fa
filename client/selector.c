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

static bool ends(const char *p) { return *p == '\0' || *p == ','; }

static bool take_word(const char **p, const char *word)
{
    size_t n = strlen(word);
    bool is = strncmp(*p, word, n) == 0 && ends(*p + n);
    *p += is ? n : 0;
    return is;
}

static bool add_range(struct selector *s, const char **p)
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
    return ends(*p);
}

static int wrong_broker(const struct selection *s, const char *text, char **ret_error)
{
    *ret_error = s->n > 1 ? xasprintf("\"%s\": there are the brokers 1 to %zu", text, s->n)
                          : xasprintf("\"%s\": BROKER:N is for several brokers, and one is configured", text);
    return -EINVAL;
}

static int wrong(const struct selection *s, const char *text, char **ret_error)
{
    const char *digits = text + strspn(text, "0123456789");
    if (digits > text && *digits == '.')
        *ret_error =
            xasprintf("\"%s\": N.M is reserved for arrays, which this version does not have", text);
    else
        *ret_error = xasprintf("\"%s\" names no jobs; name an id%s, a range 5-9, a list 5,7,12-20, `last` or `all`", text,
                               s->n > 1 ? " as in 1:7" : "");
    return -EINVAL;
}

/* `2:`, which holds until the end of the word. 0: there is none. */
static int take_broker(const struct selection *s, const char **p, size_t *ret_place)
{
    uint64_t n;
    const char *at = *p;
    if (!take_id(&at, &n) || *at != ':')
        return 0;
    if (n > s->n)
        return -ERANGE;
    *ret_place = (size_t)n - 1;
    *p = at + 1;
    return 1;
}

static int add_item(struct selection *s, const char **p, size_t *place, bool *named)
{
    int r = take_broker(s, p, place);
    if (r < 0)
        return r;
    *named = *named || r > 0 || s->n == 1;
    struct selector *to = &s->of[*place];
    if (take_word(p, "last"))
        *(*named ? &to->last : &s->last) = true;
    else if (r > 0 && take_word(p, "all"))
        selector_add_range(to, 1, UINT64_MAX);
    else if (!add_range(to, p))
        return -EINVAL;
    else if (!*named)
        return -ENOENT;
    return 0;
}

int selection_add(struct selection *s, const char *text, char **ret_error)
{
    size_t place = 0;
    bool named = false;
    if (strcmp(text, "all") == 0) {
        for (size_t i = 0; i < s->n; i++)
            selector_add_range(&s->of[i], 1, UINT64_MAX);
        s->all = true;
        return 0;
    }
    for (const char *p = text;; p++) {
        int r = add_item(s, &p, &place, &named);
        if (r == -ERANGE)
            return wrong_broker(s, text, ret_error);
        if (r == -ENOENT) {
            *ret_error = xasprintf("\"%s\": of which broker? Each counts its own jobs: say 1:%s, or another number up to %zu", text,
                                   text, s->n);
            return -EINVAL;
        }
        if (r < 0)
            return wrong(s, text, ret_error);
        if (!*p)
            return 0;
    }
}

void selection_init(struct selection *s, size_t n_brokers)
{
    *s = (struct selection){ .of = xcalloc(n_brokers, sizeof *s->of), .n = n_brokers };
}

void selection_fini(struct selection *s)
{
    for (size_t i = 0; i < s->n; i++)
        selector_fini(&s->of[i]);
    free(s->of);
    *s = (struct selection){ 0 };
}

size_t selection_brokers(const struct selection *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        n += s->of[i].n > 0;
    return n;
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
