/* base.c - memory that is there, and descriptors that get closed. */
#include "proto/base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static void *or_die(void *p, size_t n)
{
    if (!p && n) {
        dprintf(STDERR_FILENO, "out of memory: %zu bytes wanted\n", n);
        abort();
    }
    return p;
}

void *xmalloc(size_t n) { return or_die(malloc(n ? n : 1), n); }
void *xcalloc(size_t n, size_t size) { return or_die(calloc(n ? n : 1, size ? size : 1), n); }
void *xrealloc(void *p, size_t n) { return or_die(realloc(p, n ? n : 1), n); }
char *xstrdup(const char *s) { return s ? or_die(strdup(s), 1) : NULL; }

char *xstrndup(struct str s)
{
    if (!s.p)
        return NULL;
    char *copy = xmalloc(s.n + 1);
    memcpy(copy, s.p, s.n);
    copy[s.n] = '\0';
    return copy;
}

char *xasprintf(const char *format, ...)
{
    char *s = NULL;
    va_list ap;
    va_start(ap, format);
    if (vasprintf(&s, format, ap) < 0)
        s = NULL;
    va_end(ap);
    return or_die(s, 1);
}

void *grow_array(void *array, size_t *cap, size_t need, size_t element_bytes)
{
    if (need <= *cap)
        return array;
    size_t n = *cap ? *cap * 2 : 8;
    while (n < need)
        n *= 2;
    *cap = n;
    return xrealloc(array, n * element_bytes);
}

void closep(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}
