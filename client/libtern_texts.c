/* libtern_texts.c - NUL-terminated copies of views, freed together. */
#include "client/libtern.h"

static void *keep(struct texts *t, void *p)
{
    t->at = grow_array(t->at, &t->cap, t->n + 1, sizeof *t->at);
    return t->at[t->n++] = p;
}

const char *texts_add(struct texts *t, struct str s) { return s.p ? keep(t, xstrndup(s)) : NULL; }

void *texts_alloc(struct texts *t, size_t n, size_t size) { return keep(t, xcalloc(n, size)); }

const char *const *texts_add_all(struct texts *t, const struct str *s, size_t n)
{
    const char **all = texts_alloc(t, n + 1, sizeof *all);
    for (size_t i = 0; i < n; i++)
        all[i] = texts_add(t, s[i].p ? s[i] : str_of(""));
    return all;
}

void texts_fini(struct texts *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->at[i]);
    free(t->at);
    *t = (struct texts){ 0 };
}
