/* job_children.c - what a handler asks of its job's children: the functions of handler.h, the same in every pool. Each becomes an
 * ask (asks.h) that the pool carries to the link. */
#include "proto/base/utf8.h"
#include "worker/asks.h"
#include "worker/job_ask.h"

#include <inttypes.h>
#include <stdio.h>

#define SPAWN_BYTES (4u << 20) /* payloads in one ask; the last may reach beyond */

/* ---- spawning --------------------------------------------------------------------------------- */

struct spawning {
    struct job_spec specs[LIMIT_SPAWN];
    struct str keys[LIMIT_SPAWN];
    char ordinals[LIMIT_SPAWN][24];
};

static int64_t or_unset(int64_t v) { return v ? v : UNSET; }
static struct str text_of(const char *text) { return text ? str_of(text) : STR_UNSET; }

/* Which of its texts is none; NULL: all are good. */
static const char *bad_text(const struct tern_child *c)
{
    const struct {
        const char *name, *text;
    } texts[] = { { "handler", c->handler }, { "key", c->key }, { "queue", c->queue }, { "name", c->name }, { "tag", c->tag } };
    for (size_t i = 0; i < ELEMENTS(texts); i++)
        if (texts[i].text && !utf8_is_text(str_of(texts[i].text)))
            return texts[i].name;
    return NULL;
}

static int fill(struct tern_job *j, struct spawning *s, size_t i, const struct tern_child *c)
{
    struct job_spec *spec = &s->specs[i];
    int tag = c->tag ? tag_parse(str_of(c->tag)) : 0;
    const char *bad = bad_text(c);
    if (bad)
        return job_in_vain(j, -EINVAL, "a child's %s must be UTF-8", bad);
    if (!c->handler)
        return job_in_vain(j, -EINVAL, "a child needs a handler");
    if (tag < 0)
        return job_in_vain(j, -EINVAL, "a child's tag must be cpu, io, slow-io or auto, not %s", c->tag);
    record_init(RECORD_job_spec, spec);
    spec->handler = str_of(c->handler);
    spec->queue = text_of(c->queue);
    spec->name = text_of(c->name);
    spec->tag = c->tag ? tag : UNSET;
    spec->priority = or_unset(c->priority);
    spec->retries = c->retries < 0 ? 0 : or_unset(c->retries);
    spec->timeout_ms = or_unset(c->timeout_ms);
    spec->delay_ms = or_unset(c->delay_ms);
    spec->expire_ms = or_unset(c->expire_ms);
    spec->payload = c->payload_bytes ? (struct str){ c->payload, c->payload_bytes } : STR_UNSET;
    if (!c->key)
        snprintf(s->ordinals[i], sizeof s->ordinals[i], "#%" PRIu64, ++j->n_spawned);
    s->keys[i] = str_of(c->key ? c->key : s->ordinals[i]);
    return 0;
}

static int spawn_filled(struct tern_job *j, struct spawning *s, size_t n, bool detached, uint64_t *ret_ids)
{
    struct message m, answer;
    struct buf bytes;
    message_init(&m, MSG_SPAWN);
    m.spawn.req = ++j->n_asks;
    m.spawn.job = j->job->job;
    m.spawn.attempt = j->job->attempt;
    m.spawn.jobs = s->specs;
    m.spawn.keys = s->keys;
    m.spawn.n_jobs = m.spawn.n_keys = n;
    m.spawn.detached = detached;
    int r = job_ask(j, &m, &answer, &bytes);
    if (r < 0)
        return r;
    if (answer.type != MSG_SPAWNED || answer.spawned.code || answer.spawned.n_children != n)
        r = answer.type == MSG_SPAWNED ? job_refused(j, answer.spawned.code, answer.spawned.text) : job_refused(j, 0, STR_UNSET);
    for (size_t i = 0; i < n && r >= 0; i++)
        ret_ids[i] = answer.spawned.children[i].id;
    message_fini(&answer);
    buf_fini(&bytes);
    return r;
}

/* As many of the first as one ask takes. */
static size_t share_of(const struct tern_child *children, size_t n)
{
    size_t bytes = 0, i = 0;
    for (; i < n && i < LIMIT_SPAWN && bytes <= SPAWN_BYTES && children[i].detached == children[0].detached; i++)
        bytes += children[i].payload_bytes;
    return i;
}

int tern_spawn_many(struct tern_job *job, const struct tern_child *children, size_t n, uint64_t *ret_ids)
{
    cleanup(freep) struct spawning *s = xmalloc(sizeof *s);
    int r = 0;
    for (size_t at = 0, k; at < n && r >= 0; at += k) {
        k = share_of(children + at, n - at);
        for (size_t i = 0; i < k && r >= 0; i++)
            r = fill(job, s, i, &children[at + i]);
        if (r >= 0)
            r = spawn_filled(job, s, k, children[at].detached, ret_ids + at);
    }
    return r;
}

int tern_spawn(struct tern_job *job, const struct tern_child *child, uint64_t *ret_id)
{
    return tern_spawn_many(job, child, 1, ret_id);
}

/* ---- awaiting --------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static size_t count_different(const struct range *ranges, size_t n)
{
    size_t different = 0;
    for (size_t i = 0; i < n; i++)
        different += ranges[i].last - ranges[i].first + 1;
    return different;
}

/* The ids as ranges, rising, each once; owned by the caller. */
static struct range *ranges_of(const uint64_t *ids, size_t n, size_t *ret_n)
{
    cleanup(freep) uint64_t *sorted = xcalloc(n, sizeof *sorted);
    struct range *ranges = xcalloc(n, sizeof *ranges);
    *ret_n = 0;
    memcpy(sorted, ids, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_value);
    for (size_t i = 0; i < n; i++) {
        struct range *last = *ret_n ? &ranges[*ret_n - 1] : NULL;
        if (last && (sorted[i] == last->last || sorted[i] == last->last + 1))
            last->last = sorted[i];
        else
            ranges[(*ret_n)++] = (struct range){ sorted[i], sorted[i] };
    }
    return ranges;
}

/* wanted: so many ends; 0: all. */
static int await(struct tern_job *j, const uint64_t *ids, size_t n, size_t wanted, struct message *ret, struct buf *ret_bytes)
{
    struct message m;
    if (!n || n > LIMIT_CHILDREN)
        return job_in_vain(j, -EINVAL, "1 to %u children can be awaited at a time", LIMIT_CHILDREN);
    message_init(&m, MSG_AWAIT);
    cleanup(freep) struct range *ranges = ranges_of(ids, n, &m.await.n_ranges);
    m.await.req = ++j->n_asks;
    m.await.job = j->job->job;
    m.await.attempt = j->job->attempt;
    m.await.ranges = ranges;
    m.await.number = wanted ? wanted : count_different(ranges, m.await.n_ranges);
    int r = job_ask(j, &m, ret, ret_bytes);
    if (r < 0)
        return r;
    if (ret->type == MSG_AWAITED && !ret->awaited.code)
        return 0;
    r = job_refused(j, ret->type == MSG_AWAITED ? ret->awaited.code : 0, ret->type == MSG_AWAITED ? ret->awaited.text : STR_UNSET);
    message_fini(ret);
    buf_fini(ret_bytes);
    return r;
}

static const struct child_end *find_end(const struct msg_awaited *m, uint64_t id)
{
    for (size_t from = 0, to = m->n_ended; from < to;) { /* they rise */
        size_t i = from + (to - from) / 2;
        if (m->ended[i].id == id)
            return &m->ended[i];
        if (m->ended[i].id < id)
            from = i + 1;
        else
            to = i;
    }
    return NULL;
}

static struct tern_child_end as_told(uint64_t id, const struct child_end *e)
{
    bool ended = e && state_is_terminal((int64_t)e->state) && e->state < N_STATES;
    return (struct tern_child_end){
        .id = id,
        .state = ended ? (enum tern_child_state)(e->state - STATE_DONE + TERN_CHILD_DONE) : TERN_CHILD_GONE,
        .reason = ended ? reason_name((int64_t)e->reason) : "",
        .exit_code = ended && e->exit_code != UNSET ? (int)e->exit_code : -1,
        .signal = ended && e->signal != UNSET ? (int)e->signal : -1,
    };
}

static int not_done(struct tern_job *j, const struct tern_child_end *e)
{
    static const char *const states[] = { "gone", "done", "dead", "cancelled", "expired" };
    return job_in_vain(j, -ECHILD, "child %" PRIu64 " is %s%s%s%s", e->id, states[e->state], *e->reason ? " (" : "", e->reason,
                   *e->reason ? ")" : "");
}

/* The caller hears how it ended, or it must be done. */
static int tell(struct tern_job *j, uint64_t id, const struct child_end *e, struct tern_child_end *ret)
{
    struct tern_child_end end = as_told(id, e);
    if (ret)
        *ret = end;
    return ret || end.state == TERN_CHILD_DONE ? 0 : not_done(j, &end);
}

int tern_await_children(struct tern_job *job, const uint64_t *ids, size_t n, struct tern_child_end *ret)
{
    struct message m;
    struct buf bytes;
    int r = n ? await(job, ids, n, 0, &m, &bytes) : 0;
    if (r < 0 || !n)
        return r;
    for (size_t i = 0; i < n && r >= 0; i++)
        r = tell(job, ids[i], find_end(&m.awaited, ids[i]), ret ? &ret[i] : NULL);
    message_fini(&m);
    buf_fini(&bytes);
    return r;
}

int tern_await_any_child(struct tern_job *job, const uint64_t *ids, size_t n, struct tern_child_end *ret)
{
    struct message m;
    struct buf bytes;
    int r = await(job, ids, n, 1, &m, &bytes);
    if (r < 0)
        return r;
    size_t i = 0;
    while (i < n && !find_end(&m.awaited, ids[i]))
        i++;
    r = i == n ? -EBADMSG : (int)i;
    if (r >= 0 && ret)
        *ret = as_told(ids[i], find_end(&m.awaited, ids[i]));
    message_fini(&m);
    buf_fini(&bytes);
    return r;
}

int tern_await_child(struct tern_job *job, uint64_t id, struct tern_child_end *ret)
{
    return tern_await_children(job, &id, 1, ret);
}

/* ---- results ---------------------------------------------------------------------------------- */

static int take_result(struct tern_job *j, uint64_t id, const struct msg_fetched *f, void **ret, size_t *ret_bytes)
{
    if (f->state != STATE_DONE)
        return job_in_vain(j, -ECHILD, "child %" PRIu64 " is %s%s%.*s", id, f->state ? state_name((int64_t)f->state) : "not to be had",
                       f->error.n ? ": " : "", (int)min_size(f->error.n, LIMIT_TEXT_BYTES), f->error.p ? f->error.p : "");
    *ret = NULL;
    *ret_bytes = f->data.n;
    if (f->data.n)
        *ret = memcpy(xmalloc(f->data.n), f->data.p, f->data.n);
    return 0;
}

int tern_child_result(struct tern_job *job, uint64_t id, void **ret, size_t *ret_bytes)
{
    struct message m, answer;
    struct buf bytes;
    message_init(&m, MSG_FETCH);
    m.fetch.req = ++job->n_asks;
    m.fetch.job = id;
    m.fetch.what = WHAT_RESULT;
    m.fetch.parent = job->job->job;
    m.fetch.parent_attempt = job->job->attempt;
    int r = job_ask(job, &m, &answer, &bytes);
    if (r < 0)
        return r;
    r = answer.type == MSG_FETCHED ? take_result(job, id, &answer.fetched, ret, ret_bytes) : -EBADMSG;
    message_fini(&answer);
    buf_fini(&bytes);
    return r;
}
