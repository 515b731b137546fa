/* zygote_lost.c - the children of a zygote that has died. They hear of it from the kernel (child.h) and end themselves with
 * their trees; the worker, a subreaper, has become their parent, reaps them, and after 2 s kills what has not gone by itself.
 * Only then are they told of as lost. */
#include "worker/zygote_state.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/cgroup.h"

#define LEAVE_MS 2000   /* lost children may take so long to end themselves */
#define GIVE_UP_MS 7000 /* and after so long they are told of although something is left */

void zygote_lose(struct zygote *z, struct zchild *c)
{
    if (c->lost)
        return;
    c->lost = true;
    c->lost_at_ms = zygote_now_ms();
    z->n_lost++;
    if (c->pid)
        kill(c->pid, SIGCONT);
    zygote_set_timer(z, ZYGOTE_LOOK_MS);
}

/* Is this child of the worker one that the old zygote has left? Handlers in threads may have children of their own. */
static void end_leftover(void *ctx, const struct tree_process *p)
{
    const struct zygote *z = ctx;
    uint64_t job;
    if (p->pid == z->pid || !z->old_pid)
        return;
    if (p->session != z->old_pid && (p->state == 'Z' || !tree_environ_number(p->pid, "TERN_JOB_ID=", &job)))
        return;
    struct zchild *c;
    for (size_t i = 0; (c = idmap_next(&z->children, &i));)
        if (c->lost && c->pid == p->pid && zygote_now_ms() - c->lost_at_ms < LEAVE_MS)
            return; /* it is about to end itself and its tree */
    kill(p->pid, SIGKILL);
    waitpid(p->pid, NULL, WNOHANG);
}

static bool is_gone(struct zygote *z, struct zchild *c)
{
    if (!c->pid)
        return true;
    pid_t pid = waitpid(c->pid, NULL, WNOHANG | __WALL);
    if (pid == c->pid || (pid < 0 && errno == ECHILD))
        return true;
    int64_t since_ms = zygote_now_ms() - c->lost_at_ms;
    if (since_ms > LEAVE_MS) {
        tree_read(&z->tree, c->pid);
        tree_signal(&z->tree, true, SIGKILL);
    }
    return since_ms > GIVE_UP_MS;
}

static struct zchild *next_gone(struct zygote *z, uint64_t last)
{
    struct zchild *c;
    for (size_t i = 0; (c = idmap_next(&z->children, &i));)
        if (c->lost && c->number <= last && is_gone(z, c))
            return c;
    return NULL;
}

/* Their zygote would have. */
static void remove_groups_of_lost(const struct zchild *c)
{
    char name[CGROUP_NAME_BYTES];
    snprintf(name, sizeof(name), "command.%d.", (int)c->pid);
    if (c->pid)
        cgroup_remove_all(name);
    snprintf(name, sizeof(name), "child.%llu", (unsigned long long)c->number);
    cgroup_kill(name);
    cgroup_remove(name);
}

void zygote_look_after_lost(struct zygote *z, struct now now)
{
    struct child_ended e = { .lost = true, .cpu_us = UNSET, .max_rss_kb = UNSET };
    struct zchild *c;
    uint64_t last = z->last_child; /* who is told may ask for the next, which is lost in turn */
    if (z->n_lost)
        tree_each_child(getpid(), NULL, end_leftover, z);
    while (z->n_lost && (c = next_gone(z, last))) {
        remove_groups_of_lost(c);
        zygote_tell_ended(z, c, &e, now);
    }
    if (z->n_lost)
        zygote_set_timer(z, ZYGOTE_LOOK_MS);
}
