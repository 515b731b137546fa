/* samples.c - times that were measured one by one, and what is said of them. */
#include "tests/bench/samples.h"

#include <stdio.h>
#include <time.h>

#include "proto/base/base.h"

int64_t mono_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

void sleep_ms(int64_t ms)
{
    struct timespec left = { ms / 1000, ms % 1000 * 1000000 };
    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        ;
}

void samples_add(struct samples *s, int64_t ns)
{
    s->ns = grow_array(s->ns, &s->cap, s->n + 1, sizeof *s->ns);
    s->ns[s->n++] = ns;
}

void samples_fini(struct samples *s)
{
    free(s->ns);
    *s = (struct samples){ 0 };
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The smallest that no less than percent of them stay within. */
static double within_us(const struct samples *s, size_t percent)
{
    return (double)s->ns[(s->n * percent + 99) / 100 - 1] / 1000;
}

void samples_print(struct samples *s, const char *name)
{
    assert(s->n);
    qsort(s->ns, s->n, sizeof *s->ns, ascending);
    printf("\"%sp50_us\": %.2f, \"%sp99_us\": %.2f", name, within_us(s, 50), name, within_us(s, 99));
}

double rate_of(size_t n, int64_t ns) { return (double)n * 1e9 / (double)max_i64(ns, 1); }
