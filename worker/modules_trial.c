/* modules_trial.c - a module's trial: it is loaded in a child of its own, which says what it declares. */
#include "worker/modules_state.h"

#include <sys/wait.h>
#include <unistd.h>

#include "worker/frame.h"
#include "worker/pass.h"

#define TRIAL_MS 5000

/* What its child has said, owned by the caller: NULL if nothing was wrong. */
static char *hear(struct module_version *v)
{
    struct frames f;
    struct message m;
    char *why = NULL;
    frames_init(&f, TAKE_FD(v->socket));
    while (frames_read(&f, false) > 0)
        ;
    if (frames_next(&f, &m) <= 0) {
        frames_fini(&f);
        return xstrdup("it does not say what it declares: something in it writes where it should not, or ends the process");
    }
    if (m.type == MSG_ERROR)
        why = m.error.text.p ? xstrndup(m.error.text) : xstrdup("it cannot be loaded");
    else if (m.type != MSG_HELLO)
        why = xstrdup("what it declares cannot be");
    else
        module_of_report(&v->module, v->name, &m.hello, &why);
    message_fini(&m);
    frames_fini(&f);
    return why;
}

static char *why_ended(const struct module_version *v, const struct child_ended *e)
{
    if (v->late)
        return xasprintf("it was not loaded within %d s", TRIAL_MS / 1000);
    if (e->lost || e->error)
        return xasprintf("it could not be tried: %s", e->error ? strerror(e->error) : "the zygote died meanwhile");
    if (WIFSIGNALED(e->status))
        return xasprintf("it ends the process that loads it by signal %d (%s)", WTERMSIG(e->status),
                         sigabbrev_np(WTERMSIG(e->status)) ?: "?");
    if (WEXITSTATUS(e->status))
        return xasprintf("it ends the process that loads it with status %d", WEXITSTATUS(e->status));
    return NULL;
}

static void on_tried(void *ctx, const struct child_ended *e, struct now now)
{
    struct module_version *v = ctx;
    (void)now;
    v->of->n_tried--;
    v->stage = STAGE_GOOD;
    char *why = why_ended(v, e);
    if (!why)
        why = hear(v);
    closep(&v->socket);
    if (why)
        modules_refuse(v, why);
}

void modules_try(struct module_version *v, struct now now)
{
    struct modules *m = v->of;
    int r = zygote_fork(m->o.zygote, &(struct child_role){ 0 }, on_tried, v, &v->child, &v->socket);
    if (r >= 0)
        r = pass_send(v->socket, &v->copy, 1);
    if (r < 0) {
        if (v->socket >= 0)
            zygote_abandon(m->o.zygote, v->child);
        modules_refuse(v, xasprintf("it could not be tried: %s", strerror(-r)));
        return;
    }
    v->stage = STAGE_TRIED;
    v->until_ms = now.mono_ms + TRIAL_MS;
    m->n_tried++;
}

int64_t modules_end_late(struct module_version *v, struct now now)
{
    if (v->late || now.mono_ms < v->until_ms)
        return v->late ? NEVER : v->until_ms;
    v->late = true;
    zygote_kill(v->of->o.zygote, v->child);
    return NEVER;
}
