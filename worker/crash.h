/* crash.h - a handler that crashes in the worker itself, on a thread or on the loop, or calls exit there, takes the worker with it:
 * before that, it is named. */
#ifndef TERN_CRASH_H
#define TERN_CRASH_H

#include "proto/base/base.h"

struct task;

struct crash_place {
    const struct task *(*who)(const void *ctx); /* what runs on this thread now, or NULL */
    bool (*overflowed)(const void *ctx, const void *address); /* is that just below the stack it runs on? */
    const void *ctx;
};

/* On a thread, before it runs anything: from then on a crash there, or a call of exit, says on standard error which job of which
 * handler it was; then the worker ends of it as it would have, after exit with status 1. The place must stand until crash_close. */
void crash_open(const struct crash_place *p);
void crash_close(void);

#endif
