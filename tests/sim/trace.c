/* trace.c - what happens in a world, a line each, on standard error. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "tests/sim/world.h"

#define REFS_SHOWN 8

const char *node_name(size_t node)
{
    static const char *const names[N_NODES] = { "worker0", "worker1", "worker2", "client0", "client1" };
    return names[node];
}

static void print_time(const struct world *w) { fprintf(stderr, "%6" PRId64 " ", w->now.mono_ms); }

void world_trace(const struct world *w, const char *format, ...)
{
    if (!w->trace)
        return;
    va_list ap;
    va_start(ap, format);
    print_time(w);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
}

/* The attempts that a message names. */
static size_t refs_of(const struct message *m, struct attempt_ref *ret, size_t max)
{
    size_t n = 0;
#define REFS(list, count)                                                                          \
    while (n < (count) && n < max) {                                                               \
        ret[n] = (struct attempt_ref){ (list)[n].job, (list)[n].attempt };                         \
        n++;                                                                                       \
    }                                                                                              \
    break
    switch (m->type) {
    case MSG_HELLO: REFS(m->hello.held, m->hello.n_held);
    case MSG_WELCOME: REFS(m->welcome.gone, m->welcome.n_gone);
    case MSG_RUN: REFS(m->run.jobs, m->run.n_jobs);
    case MSG_STARTED: REFS(m->started.attempts, m->started.n_attempts);
    case MSG_RESULT: REFS(m->result.outcomes, m->result.n_outcomes);
    case MSG_RECORDED: REFS(m->recorded.attempts, m->recorded.n_attempts);
    case MSG_TAKE_BACK: REFS(m->take_back.attempts, m->take_back.n_attempts);
    case MSG_GIVEN: REFS(m->given.attempts, m->given.n_attempts);
    case MSG_STOP: REFS(m->stop.attempts, m->stop.n_attempts);
    case MSG_SPAWN:
        ret[n++] = (struct attempt_ref){ m->spawn.job, m->spawn.attempt };
        break;
    case MSG_CHECKPOINT:
        ret[n++] = (struct attempt_ref){ m->checkpoint.job, m->checkpoint.attempt };
        break;
    case MSG_AWAIT:
        ret[n++] = (struct attempt_ref){ m->await.job, m->await.attempt };
        break;
    case MSG_AWAITED:
        ret[n++] = (struct attempt_ref){ m->awaited.job, m->awaited.attempt };
        for (size_t i = 0; i < m->awaited.n_ended && n < max; i++) /* with their states */
            ret[n++] = (struct attempt_ref){ m->awaited.ended[i].id, m->awaited.ended[i].state };
        break;
    case MSG_SPAWNED:
        for (; n < m->spawned.n_children && n < max; n++) /* made or found */
            ret[n] = (struct attempt_ref){ m->spawned.children[n].id, m->spawned.children[n].made };
        break;
    default:
        break;
    }
#undef REFS
    return n;
}

static bool is_about(const struct world *w, const struct message *m, const struct attempt_ref *refs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (refs[i].job == w->trace_job)
            return true;
    uint64_t first = m->type == MSG_SUBMITTED ? m->submitted.first_id : 0;
    return !w->trace_job || (first && w->trace_job - first < m->submitted.count);
}

void world_trace_message(const struct world *w, const char *from, const char *to, const struct message *m)
{
    static struct attempt_ref refs[LIMIT_HELD];
    if (!w->trace || m->type == MSG_BEAT)
        return;
    size_t n = refs_of(m, refs, ELEMENTS(refs));
    if (!is_about(w, m, refs, n))
        return;
    print_time(w);
    fprintf(stderr, "%s -> %s %s %" PRIu64 ".%" PRIu64, from, to, message_name(m->type), m->epoch, m->session);
    if (m->type == MSG_SUBMITTED)
        fprintf(stderr, " %" PRIu64 "-%" PRIu64, m->submitted.first_id, m->submitted.first_id + m->submitted.count - 1);
    for (size_t i = 0; i < n && (i < REFS_SHOWN || w->trace_job); i++)
        if (!w->trace_job || refs[i].job == w->trace_job)
            fprintf(stderr, " %" PRIu64 "/%" PRIu64, refs[i].job, refs[i].attempt);
    fprintf(stderr, "%s\n", n > REFS_SHOWN && !w->trace_job ? " ..." : "");
}
