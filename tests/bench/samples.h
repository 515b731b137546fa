/* samples.h - times that were measured one by one, and what is said of them. */
#ifndef TERN_BENCH_SAMPLES_H
#define TERN_BENCH_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

#define IDLE_MS 3 /* of rest before each of what is measured on an idle machine */

/* CLOCK_MONOTONIC: the same for every process of this machine. */
int64_t mono_ns(void);
void sleep_ms(int64_t ms);

struct samples {
    int64_t *ns; /* owned */
    size_t n, cap;
};
void samples_add(struct samples *s, int64_t ns);
void samples_fini(struct samples *s);
/* Prints "NAMEp50_us": N, "NAMEp99_us": N; sorts. There must be one at least. */
void samples_print(struct samples *s, const char *name);
/* Jobs, or whatever else, a second. */
double rate_of(size_t n, int64_t ns);

#endif
