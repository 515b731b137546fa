/* test_coroutine.c - coroutines wait, come back, end, are cheap, and cannot run over their stacks
 * unseen. */
#include "worker/coroutine.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#if defined(__SANITIZE_THREAD__)
#define MANY 1000u /* the thread sanitizer has room for some 8,000 fibers, and each is large */
#else
#define MANY 10000u
#endif

struct counter {
    struct coroutine *c;
    int steps, at;
    uint64_t sum;
};

static void count(void *arg)
{
    struct counter *n = arg;
    for (n->at = 0; n->at < n->steps; n->at++) {
        int here = n->at; /* lives on this stack across the switch */
        coroutine_suspend(n->c);
        n->sum += (uint64_t)here;
    }
}

static void a_coroutine_goes_on_where_it_suspended(void **state)
{
    (void)state;
    struct coroutine_arena *a;
    struct counter n = { .steps = 100 };
    assert_int_equal(coroutine_arena_new(&a, 1), 0);
    assert_int_equal(coroutine_new(&n.c, a, count, &n), 0);
    int resumed = 1;
    while (coroutine_resume(n.c))
        resumed++;
    assert_int_equal(resumed, 101);
    assert_int_equal(n.sum, 4950);
    coroutine_free(n.c);
    coroutine_arena_free(a);
}

static void many_take_turns_and_each_keeps_its_own(void **state)
{
    (void)state;
    struct coroutine_arena *a;
    cleanup(freep) struct counter *n = xcalloc(MANY, sizeof *n);
    assert_int_equal(coroutine_arena_new(&a, MANY), 0);
    for (size_t i = 0; i < MANY; i++) {
        n[i].steps = (int)(i % 5);
        assert_int_equal(coroutine_new(&n[i].c, a, count, &n[i]), 0);
    }
    for (int round = 0; round < 5; round++)
        for (size_t i = 0; i < MANY; i++)
            if (round <= n[i].steps)
                assert_int_equal(coroutine_resume(n[i].c), round < n[i].steps);
    for (size_t i = 0; i < MANY; i++)
        coroutine_free(n[i].c);
    coroutine_arena_free(a);
}

static void past_its_room_an_arena_says_so_and_goes_on(void **state)
{
    (void)state;
    struct coroutine_arena *a;
    struct counter n = { .steps = 1 };
    struct coroutine *c[3];
    assert_int_equal(coroutine_arena_new(&a, 2), 0);
    assert_int_equal(coroutine_new(&c[0], a, count, &n), 0);
    assert_int_equal(coroutine_new(&c[1], a, count, &n), 0);
    assert_int_equal(coroutine_new(&c[2], a, count, &n), -EAGAIN);
    coroutine_free(c[0]);
    assert_int_equal(coroutine_new(&c[2], a, count, &n), 0);
    assert_ptr_equal(c[2], c[0]); /* last in, first out */
    coroutine_free(c[1]);
    coroutine_free(c[2]);
    coroutine_arena_free(a);
}

static void those_that_never_ended_go_with_their_arena(void **state)
{
    (void)state;
    struct coroutine_arena *a;
    struct counter n[2] = { { .steps = 3 }, { .steps = 3 } };
    assert_int_equal(coroutine_arena_new(&a, 5), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(coroutine_new(&n[i].c, a, count, &n[i]), 0);
        assert_true(coroutine_resume(n[i].c));
    }
    coroutine_free(n[0].c);
    coroutine_arena_free(a);
}

/* A thousand rounds of more and fewer: stacks are used again, also after their pages were given
 * back. */
static void stacks_are_used_again(void **state)
{
    (void)state;
    enum { MOST = 400 };
    struct coroutine_arena *a;
    struct counter n[MOST];
    assert_int_equal(coroutine_arena_new(&a, MOST), 0);
    for (unsigned round = 0; round < 100; round++) {
        unsigned many = (round * 131) % MOST + 1;
        for (unsigned i = 0; i < many; i++) {
            n[i] = (struct counter){ .steps = 2 };
            assert_int_equal(coroutine_new(&n[i].c, a, count, &n[i]), 0);
            assert_true(coroutine_resume(n[i].c));
        }
        for (unsigned i = 0; i < many; i++) {
            assert_true(coroutine_resume(n[i].c));
            assert_false(coroutine_resume(n[i].c));
            coroutine_free(n[i].c);
        }
    }
    coroutine_arena_free(a);
}

static long resident_kb(void)
{
    long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld %ld", &size, &resident), 2);
    fclose(f);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void one_that_waits_costs_a_few_kib(void **state)
{
    (void)state;
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    skip();
#endif
    struct coroutine_arena *a;
    cleanup(freep) struct counter *n = xcalloc(MANY, sizeof *n);
    assert_int_equal(coroutine_arena_new(&a, MANY), 0);
    long before = resident_kb();
    for (size_t i = 0; i < MANY; i++) {
        n[i].steps = 1;
        assert_int_equal(coroutine_new(&n[i].c, a, count, &n[i]), 0);
        assert_true(coroutine_resume(n[i].c));
    }
    long each = (resident_kb() - before) * 1024 / MANY;
    print_message("a coroutine that waits: %ld bytes\n", each);
    assert_in_range(each, 1, 8192 + 1024);
    for (size_t i = 0; i < MANY; i++) {
        assert_false(coroutine_resume(n[i].c));
        coroutine_free(n[i].c);
    }
    assert_in_range(resident_kb() - before, 0, 8192); /* given back */
    coroutine_arena_free(a);
}

/* Bytes of this coroutine's stack that were ever touched: its pages that are there, from here down
 * to the guard page. */
static size_t touched(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), n = 0;
    unsigned char there = 1;
    for (uintptr_t p = (uintptr_t)__builtin_frame_address(0) / page * page; there & 1; p -= page, n++)
        if (mincore((void *)p, page, &there) < 0)
            break;
    return n * page;
}

static void print_words(void *arg)
{
    char text[64];
    snprintf(text, sizeof text, "%s %5.3f %d %zu", "text", 1.5, 7, sizeof text);
    *(size_t *)arg = touched();
}

static void print_the_longest_number(void *arg)
{
    volatile long double number = 1e4000L;
    char *text = NULL;
    if (asprintf(&text, "%Lf", number) > 0)
        free(text);
    *(size_t *)arg = touched();
}

static size_t stack_of(void (*f)(void *arg))
{
    struct coroutine_arena *a;
    struct coroutine *c;
    size_t used = 0;
    assert_int_equal(coroutine_arena_new(&a, 1), 0);
    assert_int_equal(coroutine_new(&c, a, f, &used), 0);
    assert_false(coroutine_resume(c));
    coroutine_free(c);
    coroutine_arena_free(a);
    return used;
}

static void a_stack_is_deep_enough_for_printf(void **state)
{
    (void)state;
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    skip();
#endif
    size_t words = stack_of(print_words), longest = stack_of(print_the_longest_number);
    print_message("printf takes %zu bytes of stack, at the worst %zu\n", words, longest);
    assert_in_range(words, 1, 16u << 10);
    assert_in_range(longest, 1, 48u << 10);
}

static unsigned __attribute__((noinline)) recurse(unsigned n)
{
    volatile char waste[1024];
    waste[n % sizeof waste] = (char)n;
    return n ? recurse(n - 1) + (unsigned char)waste[n % sizeof waste] : 0;
}

static void overflow(void *arg)
{
    unsigned *n = arg;
    *n = recurse(100000);
}

/* In a process of its own: the guard page ends it, nothing is scribbled over. */
static void an_overflow_is_a_crash(void **state)
{
    (void)state;
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    skip();
#endif
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct coroutine_arena *a;
        struct coroutine *c[2];
        unsigned n = 0;
        signal(SIGSEGV, SIG_DFL); /* cmocka catches it */
        setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 });
        for (int i = 0; i < 2; i++)
            if (coroutine_arena_new(&a, 2) < 0 || coroutine_new(&c[i], a, overflow, &n) < 0)
                _exit(1);
        coroutine_resume(c[1]);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSEGV);
}

static void fill(void *arg)
{
    volatile char large[20000];
    memset((char *)large, *(int *)arg, sizeof large);
    *(int *)arg = large[19999];
}

static void the_most_that_a_stack_was_used_is_known(void **state)
{
    (void)state;
    struct coroutine_arena *a;
    struct coroutine *c[2];
    struct counter n = { .steps = 1 };
    int filled = 7;
    assert_int_equal(coroutine_arena_new(&a, 4), 0);
    assert_int_equal(coroutine_arena_peak_bytes(a), 0);
    assert_int_equal(coroutine_new(&c[0], a, count, &n), 0);
    n.c = c[0];
    assert_true(coroutine_resume(c[0]));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_in_range(coroutine_arena_peak_bytes(a), 1, 16000);
#endif
    assert_int_equal(coroutine_new(&c[1], a, fill, &filled), 0);
    assert_false(coroutine_resume(c[1]));
    assert_int_equal(filled, 7);
    assert_in_range(coroutine_arena_peak_bytes(a), 20000, COROUTINE_STACK_BYTES);
    assert_true(coroutine_has_overflowed(c[0], (char *)c[0] - COROUTINE_STACK_BYTES + 3000));
    assert_false(coroutine_has_overflowed(c[0], c[0]));
    for (int i = 0; i < 2; i++)
        coroutine_free(c[i]);
    coroutine_arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_coroutine_goes_on_where_it_suspended),
        cmocka_unit_test(many_take_turns_and_each_keeps_its_own),
        cmocka_unit_test(past_its_room_an_arena_says_so_and_goes_on),
        cmocka_unit_test(those_that_never_ended_go_with_their_arena),
        cmocka_unit_test(stacks_are_used_again),
        cmocka_unit_test(one_that_waits_costs_a_few_kib),
        cmocka_unit_test(a_stack_is_deep_enough_for_printf),
        cmocka_unit_test(an_overflow_is_a_crash),
        cmocka_unit_test(the_most_that_a_stack_was_used_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
