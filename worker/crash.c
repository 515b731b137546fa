/* crash.c - names whose handler ends the worker. In a signal handler, on a stack of its own, as the handler's may be the reason:
 * nothing is called here that allocates or locks. */
#include "worker/crash.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "worker/number.h"
#include "worker/task.h"

#define STACK_BYTES (32u << 10)
#define SPEAK_NS 200000000

static __thread const struct crash_place *here;

/* ---- a line ----------------------------------------------------------------------------------- */

struct line {
    char text[512];
    size_t n;
};

static void add(struct line *l, const char *text)
{
    for (; *text && l->n < sizeof l->text; text++)
        l->text[l->n++] = *text;
}

static void add_number(struct line *l, uint64_t number)
{
    char digits[24];
    size_t at = sizeof digits;
    digits[--at] = '\0';
    do
        digits[--at] = (char)('0' + number % 10);
    while (number /= 10);
    add(l, digits + at);
}

static struct line begin_line(const char *event, const struct task *t)
{
    struct line l = { .n = 0 };
    add(&l, "tern-worker: error: event=");
    add(&l, event);
    add(&l, " job=");
    add_number(&l, number_own(t->call.job->job));
    add(&l, " attempt=");
    add_number(&l, t->call.job->attempt);
    add(&l, " handler=");
    add(&l, t->handler ? t->handler->name : "(a function that one awaits)");
    return l;
}

static void say(struct line *l)
{
    add(l, "\n");
    (void)!write(STDERR_FILENO, l->text, l->n);
}

/* The link's thread says meanwhile that the job has begun. A loss of what has not does not count: one that crashes at once would end
 * one worker after the other. */
static void let_others_speak(void) { nanosleep(&(struct timespec){ .tv_nsec = SPEAK_NS }, NULL); }

/* ---- exit ------------------------------------------------------------------------------------- */

/* On the thread that has called it. */
static void on_exit_called(void)
{
    const struct task *t = here ? here->who(here->ctx) : NULL;
    if (!t)
        return;
    struct line l = begin_line("handler-exited", t);
    add(&l, ": it called exit, and ends the worker");
    say(&l);
    let_others_speak();
    _exit(EXIT_FAILURE);
}

static void watch_exit(void)
{
    static bool watched;
    if (!__atomic_exchange_n(&watched, true, __ATOMIC_RELAXED))
        atexit(on_exit_called);
}

/* ---- crashes ---------------------------------------------------------------------------------- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) /* which say it themselves, and more */

static void watch_crashes(void) {}
static void unwatch_crashes(void) {}

#else

static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
static __thread void *own_stack; /* owned */

static void say_crash(const struct task *t, int signal, const void *address)
{
    struct line l = begin_line("handler-crashed", t);
    add(&l, " signal=");
    add_number(&l, (uint64_t)signal);
    if (here->overflowed(here->ctx, address))
        add(&l, ": its stack has overflowed");
    say(&l);
}

/* What it did is done again when this returns, and then ends the worker; what was sent is sent again. */
static void on_crash(int signal, siginfo_t *info, void *context)
{
    (void)context;
    const struct task *t = here ? here->who(here->ctx) : NULL;
    if (t) {
        say_crash(t, signal, info->si_addr);
        let_others_speak();
    }
    sigaction(signal, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
    if (info->si_code <= 0)
        raise(signal);
}

static void watch_crashes(void)
{
    sigset_t set;
    own_stack = xmalloc(STACK_BYTES);
    sigaltstack(&(stack_t){ .ss_sp = own_stack, .ss_size = STACK_BYTES }, NULL);
    sigemptyset(&set);
    for (size_t i = 0; i < ELEMENTS(signals); i++) {
        sigaddset(&set, signals[i]);
        sigaction(signals[i], &(struct sigaction){ .sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK }, NULL);
    }
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void unwatch_crashes(void)
{
    sigaltstack(&(stack_t){ .ss_flags = SS_DISABLE }, NULL);
    free(TAKE(own_stack));
}

#endif

void crash_open(const struct crash_place *p)
{
    here = p;
    watch_exit();
    watch_crashes();
}

void crash_close(void)
{
    unwatch_crashes();
    here = NULL;
}
