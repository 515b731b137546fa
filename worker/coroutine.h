/* coroutine.h - functions that can wait: each runs on a stack of its own, and never leaves the
 * thread it began on.
 *
 * Stacks come from one arena that is reserved at once and made usable stack by stack, each with a
 * guard page at its low end: an overflow is a crash, never a silent scribble. They are used again
 * last in, first out, so that few stay warm. What waits costs the pages its stack touched, mostly
 * one or two. */
#ifndef TERN_COROUTINE_H
#define TERN_COROUTINE_H

#include "proto/base/base.h"

/* Of one stack, its guard page included. Handlers on the loop must be frugal: no large locals, no
 * deep recursion; printf takes up to 8 KiB of it. */
#define COROUTINE_STACK_BYTES (64u << 10)

struct coroutine;
struct coroutine_arena; /* belongs to one thread */

/* Room for max coroutines at a time. */
int coroutine_arena_new(struct coroutine_arena **ret, size_t max);
/* Coroutines that have not ended are dropped where they stand. */
void coroutine_arena_free(struct coroutine_arena *a);

/* f(arg) begins at the first resume. -ENOMEM, -EAGAIN: all in use. */
int coroutine_new(struct coroutine **ret, struct coroutine_arena *a, void (*f)(void *arg), void *arg);
/* One that has ended, or not begun; one that is suspended is given up where it stands. Not from within a coroutine. */
void coroutine_free(struct coroutine *c);
/* Runs it until it suspends or ends; true while there is more to come. Not from within a coroutine.
 * */
bool coroutine_resume(struct coroutine *c);
/* Is the address in the guard page of its stack? Safe in a signal handler. */
bool coroutine_has_overflowed(const struct coroutine *c, const void *address);
/* The most of a stack that any coroutine has used since the stacks were last given back, in whole pages: from any thread. */
size_t coroutine_arena_peak_bytes(const struct coroutine_arena *a);
/* From within: gives control back to who resumed it. */
void coroutine_suspend(struct coroutine *c);

#endif
