/* base.h - what every file of tern may use: ownership of locals, byte views, arithmetic, memory.
 *
 * Memory: the x* functions never return NULL; out of memory ends the process with one line, so that no
 * caller has an untested branch for it. All else that can fail returns a negative errno. */
#ifndef TERN_BASE_H
#define TERN_BASE_H

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef NDEBUG
#error "tern's assertions are always on"
#endif

#define cleanup(f) __attribute__((cleanup(f)))
#define printf_like(f, a) __attribute__((format(printf, f, a)))

/* Gives a local away: yields its value and leaves the empty value behind. */
#define TAKE(p)                                                                                    \
    ({                                                                                             \
        __auto_type take_value_ = (p);                                                             \
        (p) = NULL;                                                                                \
        take_value_;                                                                               \
    })
#define TAKE_FD(fd)                                                                                \
    ({                                                                                             \
        int take_fd_ = (fd);                                                                       \
        (fd) = -1;                                                                                 \
        take_fd_;                                                                                  \
    })

#define ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

static inline int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t max_i64(int64_t a, int64_t b) { return a > b ? a : b; }
static inline size_t min_size(size_t a, size_t b) { return a < b ? a : b; }

/* A number that was not given: nil on the wire, NULL in the database, null in JSON. */
#define UNSET INT64_MIN
static inline int64_t or_default(int64_t v, int64_t when_unset) { return v == UNSET ? when_unset : v; }

/* A view of bytes that somebody else owns. p == NULL: not given (which differs from empty). */
struct str {
    const char *p;
    size_t n;
};
#define STR_UNSET ((struct str){ NULL, 0 })
static inline struct str str_of(const char *s) { return (struct str){ s, s ? strlen(s) : 0 }; }
static inline bool str_equal(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline bool str_is(struct str a, const char *s) { return str_equal(a, str_of(s)); }

/* Cleanup functions for locals. */
static inline void freep(void *p) { free(*(void **)p); }
void closep(int *fd);

void *xmalloc(size_t n);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s);
/* A NUL-terminated copy of a view; NULL for an unset one. */
char *xstrndup(struct str s);
char *xasprintf(const char *format, ...) printf_like(1, 2);

/* Makes room for one more element in a growing array: doubles *cap, and moves *array. */
void *grow_array(void *array, size_t *cap, size_t need, size_t element_bytes);

#endif
