/* child_signals.c - what a child is told by signals: to stop what runs in place, and that its zygote has died. */
#include "worker/child_state.h"

#include <signal.h>
#include <unistd.h>

#include "worker/call.h"
#include "worker/child.h"

#define ORPHAN_END_MS 2000

static struct tern_job *current; /* what runs in place */
static volatile sig_atomic_t told_stop;
static pid_t zygote;

static void on_term(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)context;
    if (info->si_pid != zygote)
        return;
    told_stop = 1;
    if (current)
        call_tell_stop(current);
}

static void on_orphaned(int sig)
{
    (void)sig;
    tree_end_children(ORPHAN_END_MS, NULL);
    _exit(EXIT_FAILURE);
}

void child_signals_set(void)
{
    sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
    sigaction(SIGPIPE, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL);
    sigaction(SIGTERM, &(struct sigaction){ .sa_sigaction = on_term, .sa_flags = SA_SIGINFO }, NULL);
    sigaction(CHILD_ORPHANED_SIGNAL, &(struct sigaction){ .sa_handler = on_orphaned }, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

void child_signals_reset(void)
{
    zygote = getppid();
    struct sigaction standard = { .sa_handler = SIG_DFL };
    for (int sig = 1; sig <= SIGRTMAX; sig++)
        sigaction(sig, &standard, NULL);
    child_signals_set();
}

void child_signals_run(struct tern_job *call)
{
    current = call;
    if (call && told_stop)
        call_tell_stop(call);
}

bool child_is_told(void) { return told_stop; }
