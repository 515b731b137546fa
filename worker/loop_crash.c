/* loop_crash.c - names who crashed the loop. In a signal handler, on a stack of its own, as the coroutine's may be the reason:
 * nothing is called here that allocates or locks. */
#include "worker/loop_crash.h"

#include "worker/loop_task.h"

#include <signal.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) /* which say it themselves, and more */

void loop_crash_open(const struct looper *l) { (void)l; }
void loop_crash_close(void) {}

#else

#define STACK_BYTES (32u << 10)

static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
static __thread const struct looper *here;
static __thread void *own_stack; /* owned */

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

static void say(const struct looper *k, int signal, const void *address)
{
    const struct loop_task *t = k->current->job;
    struct line l = { .n = 0 };
    add(&l, "tern-worker: error: event=loop-crashed job=");
    add_number(&l, t->task.call.job->job);
    add(&l, " attempt=");
    add_number(&l, t->task.call.job->attempt);
    add(&l, " handler=");
    add(&l, t->task.handler->name);
    add(&l, " signal=");
    add_number(&l, (uint64_t)signal);
    if (coroutine_has_overflowed(k->current->coroutine, address))
        add(&l, ": its stack has overflowed");
    add(&l, "\n");
    (void)!write(STDERR_FILENO, l.text, l.n);
}

/* What it did is done again when this returns, and then ends the worker; what was sent is sent again. */
static void on_crash(int signal, siginfo_t *info, void *context)
{
    (void)context;
    if (here && here->current)
        say(here, signal, info->si_addr);
    sigaction(signal, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
    if (info->si_code <= 0)
        raise(signal);
}

void loop_crash_open(const struct looper *l)
{
    sigset_t set;
    own_stack = xmalloc(STACK_BYTES);
    here = l;
    sigaltstack(&(stack_t){ .ss_sp = own_stack, .ss_size = STACK_BYTES }, NULL);
    sigemptyset(&set);
    for (size_t i = 0; i < ELEMENTS(signals); i++) {
        sigaddset(&set, signals[i]);
        sigaction(signals[i], &(struct sigaction){ .sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK }, NULL);
    }
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

void loop_crash_close(void)
{
    sigaltstack(&(stack_t){ .ss_flags = SS_DISABLE }, NULL);
    here = NULL;
    free(TAKE(own_stack));
}

#endif
