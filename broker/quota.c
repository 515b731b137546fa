/* quota.c - counts and buckets, one set an owner. */
#include "broker/quota.h"

#include <inttypes.h>

struct quota *quota_of(struct strmap *by_owner, const char *owner, const struct grant *g, struct now now)
{
    struct quota *q = strmap_find(by_owner, str_of(owner));
    if (q)
        return q;
    q = xcalloc(1, sizeof *q);
    *q = (struct quota){ .jobs = (double)g->rate, .bytes = (double)g->bytes, .filled_mono_ms = now.mono_ms };
    strmap_put(by_owner, str_of(owner), q);
    return q;
}

void quotas_fini(struct strmap *by_owner)
{
    struct quota *q;
    for (size_t i = 0; (q = strmap_next(by_owner, &i));)
        free(q);
    strmap_fini(by_owner);
}

int quota_enter(struct quota *q, const struct grant *g)
{
    if (q && (int64_t)q->sessions >= g->sessions)
        return -EBUSY;
    if (q)
        q->sessions++;
    return 0;
}

void quota_leave(struct quota *q)
{
    if (q)
        q->sessions--;
}

/* A second's worth fills a bucket. */
static double filled(double has, int64_t a_second, int64_t ms)
{
    double now = has + (double)a_second * (double)ms / 1000;
    return now < (double)a_second ? now : (double)a_second;
}

static size_t bytes_of(const struct msg_submit *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n_jobs; i++)
        n += m->jobs[i].payload.n;
    return n;
}

/* Enough, or as much as there can ever be; what is taken beyond is owed. */
static bool has_for(double has, int64_t a_second, double wants)
{
    return !a_second || has >= wants || has >= (double)a_second;
}

char *quota_take(struct quota *q, const struct grant *g, const struct msg_submit *m, struct now now)
{
    if (!q || (!g->rate && !g->bytes))
        return NULL;
    q->jobs = filled(q->jobs, g->rate, now.mono_ms - q->filled_mono_ms);
    q->bytes = filled(q->bytes, g->bytes, now.mono_ms - q->filled_mono_ms);
    q->filled_mono_ms = now.mono_ms;
    double jobs = (double)m->n_jobs, bytes = (double)bytes_of(m);
    if (!has_for(q->jobs, g->rate, jobs))
        return xasprintf("the key %s may submit %" PRId64 " jobs a second", g->name, g->rate);
    if (!has_for(q->bytes, g->bytes, bytes))
        return xasprintf("the key %s may submit %" PRId64 " bytes of payload a second", g->name, g->bytes);
    q->jobs -= jobs;
    q->bytes -= bytes;
    return NULL;
}
