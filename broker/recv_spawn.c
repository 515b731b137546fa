/* recv_spawn.c - SPAWN: a running attempt submits children, for its job's owner. What it, or an attempt before it, has submitted
 * under the same keys is found again. */
#include "broker/recv.h"

#include <inttypes.h>
#include <stdio.h>

#include "broker/lease.h"
#include "broker/open_jobs.h"
#include "broker/submit.h"
#include "proto/name.h"

static void refuse(struct broker *b, struct peer *p, uint64_t req, enum error_code code, const char *text)
{
    struct message m;
    message_init(&m, MSG_SPAWNED);
    m.spawned.req = req;
    m.spawned.code = code;
    m.spawned.text = str_of(text);
    broker_send(b, p, &m);
}

/* A name; or # and digits, the ordinal, which no name can be. */
static bool is_key(struct str key)
{
    if (!key.n || key.p[0] != '#')
        return !name_check(key, "key");
    bool good = key.n > 1 && key.n <= LIMIT_NAME_BYTES;
    for (size_t i = 1; i < key.n && good; i++)
        good = key.p[i] >= '0' && key.p[i] <= '9';
    return good;
}

static const char *check_children(const struct broker *b, const struct msg_spawn *s, enum error_code *ret_code)
{
    *ret_code = CODE_USAGE;
    if (!s->n_jobs || s->n_jobs > LIMIT_SPAWN || s->n_keys != s->n_jobs)
        return "SPAWN: needs 1 to 1000 jobs, and a key for each";
    for (size_t i = 0; i < s->n_keys; i++)
        if (!is_key(s->keys[i]))
            return "a child's key must be 1 to 128 bytes of [A-Za-z0-9._:-], or # and its ordinal";
    const char *bad = NULL;
    for (size_t i = 0; i < s->n_jobs && !bad; i++)
        bad = submit_check(b, NULL, &s->jobs[i], ret_code);
    return bad;
}

/* A worker's key that is for some queues and handlers makes work for those alone. */
static const char *check_rights(const struct grant *g, const struct lease *l, const struct msg_spawn *s, enum error_code *ret_code)
{
    *ret_code = CODE_NOT_ALLOWED;
    for (size_t i = 0; i < s->n_jobs; i++) {
        struct str queue = s->jobs[i].queue.p ? s->jobs[i].queue : str_of(l->class->queue->name);
        if (!grant_allows_queue(g, queue) || !grant_allows_handler(g, s->jobs[i].handler))
            return "this worker's key is not for the queue or the handler of a child";
    }
    return NULL;
}

/* How many of them there are not yet. */
static size_t count_new(struct broker *b, const struct msg_spawn *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_keys && !b->failed; i++) {
        uint64_t id = 0;
        broker_failed(b, store_find_child(b->store, s->job, s->keys[i], &id));
        n += !id;
    }
    return n;
}

static bool too_many(struct broker *b, struct lease *l, const struct msg_spawn *s)
{
    int64_t n = l->counted ? (int64_t)l->n_children : store_count_children(b->store, s->job);
    if (broker_failed(b, n < 0 ? (int)n : 0))
        return false;
    l->counted = true;
    l->n_children = (uint64_t)n;
    return l->n_children + s->n_jobs > LIMIT_CHILDREN && l->n_children + count_new(b, s) > LIMIT_CHILDREN;
}

/* In a static buffer. Refused, and not put off: parents that wait to have children may be all that their owner has. */
static const char *too_many_open(struct broker *b, const struct lease *l, const struct msg_spawn *s, enum error_code *ret_code)
{
    static char why[LIMIT_TEXT_BYTES];
    const struct account *a = open_jobs_account(b, l->job.owner);
    size_t n = a ? count_new(b, s) : 0;
    if (!n || open_jobs_fit(a, n))
        return NULL;
    cleanup(freep) char *text = open_jobs_text(a, "the owner of this job", n);
    *ret_code = a->known ? CODE_REFUSED : CODE_BUSY;
    snprintf(why, sizeof why, "%s", text);
    return why;
}

/* NULL, or why there will be no children. */
static const char *why_not(struct broker *b, const struct grant *g, struct lease *l, const struct msg_spawn *s, enum error_code *ret_code)
{
    *ret_code = CODE_REFUSED;
    if (!l)
        return "this attempt is not this worker's";
    if (l->job.cancel_asked)
        return "the job is being cancelled";
    const char *bad = check_children(b, s, ret_code);
    if (!bad)
        bad = check_rights(g, l, s, ret_code);
    if (bad)
        return bad;
    *ret_code = CODE_REFUSED;
    if (too_many(b, l, s))
        return "a job may have at most 10000 children";
    bad = too_many_open(b, l, s, ret_code);
    if (bad)
        return bad;
    *ret_code = CODE_BUSY;
    return b->disk_busy ? "busy: disk: too much of the broker's disk is used" : NULL;
}

/* What a child does not say for itself it has from its parent: the queue and the priority. */
static int plan(struct broker *b, const struct lease *l, struct job_spec *s, struct new_job *ret, struct now now)
{
    if (!s->queue.p)
        s->queue = str_of(l->class->queue->name);
    s->priority = or_default(s->priority, l->job.priority);
    int r = submit_plan(b, s, ret, now);
    ret->parent = l->job.id;
    return r;
}

static void add_one(struct broker *b, struct lease *l, const struct new_job *j, struct str key, bool detached,
                    struct child_ref *ret, struct now now)
{
    int r = store_add_child(b->store, j, key, detached, l->job.owner, now.wall_ms, &ret->id);
    if (broker_failed(b, r) || !r)
        return;
    ret->made = 1;
    l->n_children++;
    submit_note(b, j, ret->id);
}

static void answer(struct broker *b, struct peer *p, uint64_t req, struct child_ref *children, size_t n)
{
    struct message m;
    message_init(&m, MSG_SPAWNED);
    m.spawned.req = req;
    m.spawned.children = children;
    m.spawned.n_children = n;
    broker_send(b, p, &m);
}

static void add(struct broker *b, struct peer *p, struct lease *l, const struct msg_spawn *s, struct now now)
{
    cleanup(freep) struct new_job *jobs = xcalloc(s->n_jobs, sizeof *jobs);
    cleanup(freep) struct child_ref *children = xcalloc(s->n_jobs, sizeof *children);
    classes_begin_request(&b->classes);
    for (size_t i = 0; i < s->n_jobs; i++) {
        int r = plan(b, l, &s->jobs[i], &jobs[i], now);
        if (r == -E2BIG)
            refuse(b, p, s->req, CODE_REFUSED, "too many different queues and handlers: use fewer names");
        if (r == -E2BIG || broker_failed(b, r))
            return;
    }
    for (size_t i = 0; i < s->n_jobs && !b->failed; i++)
        add_one(b, l, &jobs[i], s->keys[i], s->detached, &children[i], now);
    if (!b->failed)
        answer(b, p, s->req, children, s->n_jobs);
}

void recv_spawn(struct broker *b, struct peer *p, const struct message *m, struct now now)
{
    const struct msg_spawn *s = &m->spawn;
    struct lease *l = lease_find(b, p->worker, s->job, s->attempt);
    enum error_code code;
    const char *why = why_not(b, p->grant, l, s, &code);
    if (b->failed)
        return;
    if (why)
        refuse(b, p, s->req, code, why);
    else
        add(b, p, l, s, now);
}
