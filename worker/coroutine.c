/* coroutine.c - stacks, and switching between them with ucontext: two system calls a switch pair,
 * which waiting for I/O does not notice, and no assembly of our own that shadow stacks or a new
 * processor would break. */
#include "worker/coroutine.h"

#include "worker/coroutine_sanitizer.h"

#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

/* At the high end of its own stack: a coroutine that waits touches no memory but that. */
struct coroutine {
    struct coroutine_arena *arena; /* borrowed; NULL: the stack is free */
    ucontext_t context;
    struct fiber fiber;
    void (*f)(void *arg);
    void *arg;
    bool ended;
};

struct coroutine_arena {
    char *low;              /* owned: max stacks, reserved */
    size_t max, n_opened;   /* stacks made usable so far, from the low end: read from other threads, by __atomic builtins */
    size_t n_used, peak;    /* in use; the most since the last trim */
    unsigned *free;         /* owned: numbers of opened stacks that are free, the next to use last; n_opened - n_used */
    unsigned *valgrind_ids; /* owned: one an opened stack */
    size_t guard_bytes;
    ucontext_t resumer; /* who resumed the one that runs */
    struct fiber resumer_fiber;
    bool running;
};

/* So many stacks keep their touched pages for ever. */
#define KEPT_STACKS 256u

int coroutine_arena_new(struct coroutine_arena **ret, size_t max)
{
    void *low = mmap(NULL, max * COROUTINE_STACK_BYTES, PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (low == MAP_FAILED)
        return -errno;
    struct coroutine_arena *a = xcalloc(1, sizeof *a);
    a->low = low;
    a->max = max;
    a->guard_bytes = (size_t)sysconf(_SC_PAGESIZE);
    a->free = xcalloc(max, sizeof *a->free);
    a->valgrind_ids = xcalloc(max, sizeof *a->valgrind_ids);
    *ret = a;
    return 0;
}

static char *stack_low(const struct coroutine_arena *a, size_t i)
{
    return a->low + i * COROUTINE_STACK_BYTES + a->guard_bytes;
}

static struct coroutine *stack_coroutine(const struct coroutine_arena *a, size_t i)
{
    size_t aligned = (sizeof(struct coroutine) + 63) & ~(size_t)63;
    return (void *)(a->low + (i + 1) * COROUTINE_STACK_BYTES - aligned);
}

static unsigned stack_number(const struct coroutine *c)
{
    return (unsigned)((size_t)((const char *)c - c->arena->low) / COROUTINE_STACK_BYTES);
}

void coroutine_arena_free(struct coroutine_arena *a)
{
    if (!a)
        return;
    assert(!a->running);
    for (size_t i = 0; i < a->n_opened; i++) {
        struct coroutine *c = stack_coroutine(a, i);
        if (c->arena)
            fiber_close(&c->fiber);
        fiber_forget(stack_low(a, i), COROUTINE_STACK_BYTES - a->guard_bytes);
        VALGRIND_STACK_DEREGISTER(a->valgrind_ids[i]);
    }
    munmap(a->low, a->max * COROUTINE_STACK_BYTES);
    free(a->valgrind_ids);
    free(a->free);
    free(a);
}

/* A stack that was never used. */
static int open_stack(struct coroutine_arena *a)
{
    size_t i = a->n_opened, bytes = COROUTINE_STACK_BYTES - a->guard_bytes;
    if (i == a->max)
        return -EAGAIN;
    if (mprotect(stack_low(a, i), bytes, PROT_READ | PROT_WRITE) < 0)
        return -errno;
    a->valgrind_ids[i] = VALGRIND_STACK_REGISTER(stack_low(a, i), stack_low(a, i) + bytes);
    a->free[i - a->n_used] = (unsigned)i;
    __atomic_store_n(&a->n_opened, i + 1, __ATOMIC_RELEASE);
    return 0;
}

/* When nothing is in use after many were, their pages go back to the kernel. */
static void trim(struct coroutine_arena *a)
{
    if (a->n_used > 0 || a->peak <= KEPT_STACKS)
        return;
    for (size_t i = 0; i < a->n_opened; i++)
        a->free[i] = (unsigned)(a->n_opened - 1 - i);
    char *from = a->low + KEPT_STACKS * COROUTINE_STACK_BYTES;
    madvise(from, (a->n_opened - KEPT_STACKS) * COROUTINE_STACK_BYTES, MADV_DONTNEED);
    a->peak = 0;
}

static void leave(struct coroutine *c)
{
    struct coroutine_arena *a = c->arena;
    fiber_leave(&c->fiber, &a->resumer_fiber, c->ended);
    swapcontext(&c->context, &a->resumer);
    fiber_arrive(&c->fiber, &a->resumer_fiber);
}

/* makecontext hands over ints only. */
static void enter(unsigned high, unsigned low)
{
    struct coroutine *c = (void *)((uintptr_t)high << 32 | (uintptr_t)low);
    fiber_arrive(&c->fiber, &c->arena->resumer_fiber);
    c->f(c->arg);
    c->ended = true;
    leave(c);
    abort(); /* what has ended is never resumed */
}

static void prepare(struct coroutine *c)
{
    char *low = stack_low(c->arena, stack_number(c));
    size_t bytes = (size_t)((char *)c - low);
    fiber_open(&c->fiber, low, bytes);
    getcontext(&c->context);
    c->context.uc_stack.ss_sp = low;
    c->context.uc_stack.ss_size = bytes;
    c->context.uc_link = NULL;
    makecontext(&c->context, (void (*)(void))enter, 2, (unsigned)((uintptr_t)c >> 32), (unsigned)(uintptr_t)c);
}

int coroutine_new(struct coroutine **ret, struct coroutine_arena *a, void (*f)(void *arg), void *arg)
{
    int r = a->n_used == a->n_opened ? open_stack(a) : 0;
    if (r < 0)
        return r;
    unsigned i = a->free[a->n_opened - a->n_used - 1];
    a->n_used++;
    if (a->n_used > a->peak)
        a->peak = a->n_used;
    struct coroutine *c = stack_coroutine(a, i);
    c->arena = a;
    c->f = f;
    c->arg = arg;
    c->ended = false;
    prepare(c);
    *ret = c;
    return 0;
}

void coroutine_free(struct coroutine *c)
{
    if (!c)
        return;
    struct coroutine_arena *a = c->arena;
    fiber_close(&c->fiber);
    a->n_used--;
    a->free[a->n_opened - a->n_used - 1] = stack_number(c);
    c->arena = NULL;
    trim(a);
}

bool coroutine_resume(struct coroutine *c)
{
    struct coroutine_arena *a = c->arena;
    assert(!a->running && !c->ended);
    a->running = true;
    fiber_leave(&a->resumer_fiber, &c->fiber, false);
    swapcontext(&a->resumer, &c->context);
    fiber_arrive(&a->resumer_fiber, NULL);
    a->running = false;
    return !c->ended;
}

void coroutine_suspend(struct coroutine *c)
{
    assert(c->arena->running && !c->ended);
    leave(c);
}

bool coroutine_has_overflowed(const struct coroutine *c, const void *address)
{
    const char *low = stack_low(c->arena, stack_number(c)), *at = address;
    return at >= low - c->arena->guard_bytes && at < low;
}

/* What no coroutine has touched has no page: no stack is read for it. */
static size_t used_bytes(const unsigned char *pages, size_t n, size_t page_bytes)
{
    for (size_t i = 1; i < n; i++) /* the first is the guard */
        if (pages[i] & 1)
            return (n - i) * page_bytes;
    return 0;
}

size_t coroutine_arena_peak_bytes(const struct coroutine_arena *a)
{
    size_t n = __atomic_load_n(&a->n_opened, __ATOMIC_ACQUIRE), peak = 0;
    size_t a_stack = COROUTINE_STACK_BYTES / a->guard_bytes;
    cleanup(freep) unsigned char *pages = xcalloc(n * a_stack + 1, 1);
    if (n == 0 || mincore(a->low, n * COROUTINE_STACK_BYTES, pages) < 0)
        return 0;
    for (size_t i = 0; i < n; i++) {
        size_t bytes = used_bytes(pages + i * a_stack, a_stack, a->guard_bytes);
        peak = bytes > peak ? bytes : peak;
    }
    return peak;
}
