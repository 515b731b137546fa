/* libtern_list.c - jobs, page by page, as plain structs. */
#include "client/libtern.h"

static void view_times(const struct job_view *in, struct tern_job_view *out)
{
    out->submitted_ms = in->submitted_ms;
    out->due_ms = in->due_ms;
    out->started_ms = in->started_ms;
    out->finished_ms = in->finished_ms;
    out->expire_at_ms = in->expire_at_ms;
    out->timeout_ms = in->timeout_ms;
    out->wall_us = in->wall_us;
    out->cpu_us = in->cpu_us;
}

static void view_numbers(const struct job_view *in, struct tern_job_view *out)
{
    out->id = in->id;
    out->terminal = state_is_terminal((int64_t)in->state);
    out->priority = in->priority;
    out->retries = in->retries;
    out->crash_limit = in->crash_limit;
    out->attempt = in->attempt;
    out->failures = in->failures;
    out->crashes = in->crashes;
    out->parent = in->parent;
    out->exit_code = in->exit_code;
    out->signal = in->signal;
    out->max_rss_kb = in->max_rss_kb;
    out->progress = in->progress;
    out->memory_bytes = in->memory_bytes;
    out->cancel_asked = in->cancel_asked;
}

static void view_texts(struct texts *t, const struct job_view *in, struct tern_job_view *out)
{
    out->state = state_name((int64_t)in->state);
    out->tag = name_or_null(in->tag, tag_name);
    out->pool = name_or_null(in->pool, pool_name);
    out->pool_by = name_or_null(in->pool_by, chosen_by_name);
    out->pool_tag = name_or_null(in->pool_tag, tag_name);
    out->reason = in->reason == REASON_NONE ? NULL : name_or_null(in->reason, reason_name);
    out->queue = texts_add(t, in->queue);
    out->handler = texts_add(t, in->handler);
    out->command = in->n_command ? texts_add_all(t, in->command, in->n_command) : NULL;
    out->owner = texts_add(t, in->owner);
    out->name = texts_add(t, in->name);
    out->worker = texts_add(t, in->worker);
    out->error = texts_add(t, in->error);
    out->needs = texts_add(t, in->needs);
}

static bool tell_one(const struct job_view *job, tern_job_fn *fn, void *context)
{
    struct texts t = { 0 };
    struct tern_job_view view;
    view_numbers(job, &view);
    view_times(job, &view);
    view_texts(&t, job, &view);
    bool enough = fn(context, &view);
    texts_fini(&t);
    return enough;
}

/* A broker that does not know of `parent` gives others too. True: fn has enough. */
static bool tell(const struct msg_jobs *page, uint64_t parent, uint64_t *left, tern_job_fn *fn, void *context)
{
    for (size_t i = 0; i < page->n_jobs && *left; i++) {
        if (parent && page->jobs[i].parent != parent)
            continue;
        --*left;
        if (tell_one(&page->jobs[i], fn, context))
            return true;
    }
    return false;
}

static int states_mask(struct tern_client *c, const char *const *states, uint64_t *ret)
{
    *ret = 0;
    for (; states && *states; states++) {
        int n = state_parse(str_of(*states));
        if (n < 0)
            return client_fail(c, -EINVAL, "unknown state %s", *states);
        *ret |= UINT64_C(1) << n;
    }
    return 0;
}

static int fill(struct tern_client *c, const struct tern_filter *f, struct message *m,
                struct range *ranges)
{
    if (f->n_ranges > LIMIT_RANGES)
        return client_fail(c, -EINVAL, "%zu ranges of jobs; the limit is %u", f->n_ranges,
                           LIMIT_RANGES);
    message_init(m, MSG_LIST);
    for (size_t i = 0; i < f->n_ranges; i++)
        ranges[i] = (struct range){ f->ranges[i].first, f->ranges[i].last };
    m->list.ranges = ranges;
    m->list.n_ranges = f->n_ranges;
    m->list.queue = str_of(f->queue);
    m->list.newest_first = f->newest_first;
    m->list.own = f->own;
    m->list.parent = f->parent;
    return states_mask(c, f->states, &m->list.states);
}

int tern_client_list(struct tern_client *c, const struct tern_filter *f, tern_job_fn *fn,
                     void *context)
{
    struct message m;
    cleanup(freep) struct range *ranges = xcalloc(f->n_ranges, sizeof *ranges);
    int r = client_begin(c);
    if (r >= 0)
        r = fill(c, f, &m, ranges);
    uint64_t left = f->limit ? f->limit : UINT64_MAX, next = 0;
    bool more = true;
    while (r >= 0 && more && left) {
        struct request ask;
        m.list.from = next;
        m.list.limit = left < LIMIT_PAGE ? left : LIMIT_PAGE;
        r = request_call(c, &ask, &m, MSG_JOBS, INT64_MAX);
        if (r >= 0) {
            more = !tell(&ask.answer.jobs, f->parent, &left, fn, context) && ask.answer.jobs.next;
            next = ask.answer.jobs.next;
        }
        request_fini(&ask);
    }
    return r;
}
