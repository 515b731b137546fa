/* run.c - one attempt as the worker holds it: owns the texts and bytes of what was told, and of how it ended. */
#include "worker/run.h"

static size_t texts_bytes(struct str *const texts[], size_t n)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += texts[i]->p ? texts[i]->n : 0;
    return bytes;
}

/* Moves the texts into one block, which the caller owns. */
static void *texts_copy(struct str *const texts[], size_t n)
{
    size_t bytes = texts_bytes(texts, n);
    char *block = xmalloc(bytes + 1), *at = block;
    for (size_t i = 0; i < n; i++) {
        if (!texts[i]->p)
            continue;
        if (texts[i]->n)
            memcpy(at, texts[i]->p, texts[i]->n);
        texts[i]->p = at;
        at += texts[i]->n;
    }
    return block;
}

#define TEXT_U64(of, name)
#define TEXT_I64(of, name)
#define TEXT_STR(of, name) &(of)->name,
#define TEXT_BIN(of, name) &(of)->name,
#define RUN_TEXT(kind, name, record) TEXT_##kind(&r->job, name)
#define OUTCOME_TEXT(kind, name, record) TEXT_##kind(&r->outcome, name)

struct run *run_new(const struct run_job *job, struct now now)
{
    struct run *r = xcalloc(1, sizeof(*r));
    list_init(&r->link);
    r->job = *job;
    struct str *const texts[] = { RUN_JOB_FIELDS(RUN_TEXT) };
    r->bytes = texts_copy(texts, ELEMENTS(texts));
    r->received_ms = now.mono_ms;
    r->expire_at_ms = NEVER;
    if (job->expire_in_ms != UNSET && job->expire_in_ms < NEVER - now.mono_ms)
        r->expire_at_ms = now.mono_ms + max_i64(job->expire_in_ms, 0);
    return r;
}

void run_free(struct run *r)
{
    if (!r)
        return;
    list_remove(&r->link);
    free(r->bytes);
    free(r->outcome_bytes);
    free(r);
}

void run_finish(struct run *r, const struct outcome *o, int64_t now_us)
{
    assert(r->state != RUN_FINISHED);
    r->outcome = *o;
    struct str *const texts[] = { OUTCOME_FIELDS(OUTCOME_TEXT) };
    r->outcome_bytes = texts_copy(texts, ELEMENTS(texts));
    r->outcome.job = r->job.job;
    r->outcome.attempt = r->job.attempt;
    r->outcome.pool = r->job.pool;
    r->finished_us = now_us;
    r->state = RUN_FINISHED;
}

char *run_text_of_memory(const struct run_job *job, int64_t peak_bytes)
{
    long long peak_mib = (long long)peak_bytes >> 20;
    if (run_is_limited(job))
        return xasprintf("used %lld MiB of memory, past its limit of %lld MiB", peak_mib, (long long)job->memory_bytes >> 20);
    return xasprintf("killed by the kernel, which had no memory left for the worker (the limit of its unit, or of the machine)");
}
