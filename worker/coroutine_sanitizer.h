/* coroutine_sanitizer.h - tells the address sanitizer, the thread sanitizer and valgrind of stack
 * switches: they follow no swapcontext on their own. Nothing is left of it in an ordinary build,
 * but for valgrind's few instructions that do nothing. For coroutine.c alone. */
#ifndef TERN_COROUTINE_SANITIZER_H
#define TERN_COROUTINE_SANITIZER_H

#include "proto/base/base.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define VALGRIND_STACK_REGISTER(low, high) 0u
#define VALGRIND_STACK_DEREGISTER(id) ((void)(id))
#endif

/* Never calls of their own: the thread sanitizer would see one begin on one stack and end on the
 * other. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* A stack that can be switched to, as the sanitizers know it. */
struct fiber {
    void *low;    /* of the usable part; of a thread's own stack learnt at the first switch away from it */
    size_t bytes;
    void *fake;   /* the address sanitizer's, while switched away */
    void *tsan;
};

/* What an earlier user of the stack left in the address sanitizer's books. */
ALWAYS_INLINE void fiber_forget(void *low, size_t bytes)
{
    (void)low, (void)bytes;
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(low, bytes);
#endif
}

ALWAYS_INLINE void fiber_open(struct fiber *f, void *low, size_t bytes)
{
    *f = (struct fiber){ .low = low, .bytes = bytes };
    fiber_forget(low, bytes);
#if defined(__SANITIZE_THREAD__)
    f->tsan = __tsan_create_fiber(0);
#endif
}

ALWAYS_INLINE void fiber_close(struct fiber *f)
{
    (void)f;
#if defined(__SANITIZE_THREAD__)
    __tsan_destroy_fiber(f->tsan);
#endif
}

/* Before the switch. last: from will never be switched to again. */
ALWAYS_INLINE void fiber_leave(struct fiber *from, struct fiber *to, bool last)
{
    (void)from, (void)to, (void)last;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(last ? NULL : &from->fake, to->low, to->bytes);
#endif
#if defined(__SANITIZE_THREAD__)
    if (!from->tsan)
        from->tsan = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(to->tsan, 0);
#endif
}

/* The first thing after it, on the new stack. from: the stack that was left, where it is yet to be
 * learnt; or NULL. */
ALWAYS_INLINE void fiber_arrive(struct fiber *at, struct fiber *from)
{
    (void)at, (void)from;
#if defined(__SANITIZE_ADDRESS__)
    const void *low = NULL;
    size_t bytes = 0;
    __sanitizer_finish_switch_fiber(at->fake, &low, &bytes);
    if (from) {
        from->low = (void *)(uintptr_t)low;
        from->bytes = bytes;
    }
#endif
}

#endif
