/* asks.c - asks and their answers as messages. */
#include "worker/asks.h"

uint64_t *ask_req_at(struct message *ask)
{
    return ask->type == MSG_SPAWN        ? &ask->spawn.req
           : ask->type == MSG_AWAIT      ? &ask->await.req
           : ask->type == MSG_CHECKPOINT ? &ask->checkpoint.req
                                         : &ask->fetch.req;
}

uint64_t ask_req(const struct message *ask) { return *ask_req_at((struct message *)ask); }

uint64_t *ask_job_at(struct message *ask)
{
    return ask->type == MSG_SPAWN        ? &ask->spawn.job
           : ask->type == MSG_AWAIT      ? &ask->await.job
           : ask->type == MSG_CHECKPOINT ? &ask->checkpoint.job
                                         : &ask->fetch.parent;
}

struct attempt_ref ask_of(const struct message *ask)
{
    switch (ask->type) {
    case MSG_SPAWN:
        return (struct attempt_ref){ ask->spawn.job, ask->spawn.attempt };
    case MSG_AWAIT:
        return (struct attempt_ref){ ask->await.job, ask->await.attempt };
    case MSG_CHECKPOINT:
        return (struct attempt_ref){ ask->checkpoint.job, ask->checkpoint.attempt };
    case MSG_FETCH:
        return (struct attempt_ref){ ask->fetch.parent, ask->fetch.parent_attempt };
    default:
        assert(ask->type == MSG_PROGRESS);
        const struct msg_progress *p = &ask->progress;
        return p->n_attempts ? (struct attempt_ref){ p->attempts->job, p->attempts->attempt } : (struct attempt_ref){ 0 };
    }
}

uint64_t *answer_req_at(struct message *m)
{
    return m->type == MSG_SPAWNED        ? &m->spawned.req
           : m->type == MSG_AWAITED      ? &m->awaited.req
           : m->type == MSG_CHECKPOINTED ? &m->checkpointed.req
                                         : &m->fetched.req;
}

uint64_t answer_req(const struct message *m) { return *answer_req_at((struct message *)m); }

static bool await_is_sane(const struct msg_await *a)
{
    uint64_t n = 0;
    for (size_t i = 0; i < a->n_ranges; i++) {
        const struct range *r = &a->ranges[i];
        if (r->last < r->first || r->last - r->first >= LIMIT_CHILDREN || (i && r->first <= a->ranges[i - 1].last))
            return false;
        n += r->last - r->first + 1;
        if (n > LIMIT_CHILDREN)
            return false;
    }
    return a->number > 0 && a->number <= n;
}

static bool progress_is_sane(const struct msg_progress *p, uint64_t job, uint64_t attempt)
{
    const struct attempt_progress *a = p->attempts;
    return p->n_attempts == 1 && a->job == job && a->attempt == attempt && a->percent >= 0 && a->percent <= 100;
}

bool ask_is_sane(const struct message *m, uint64_t job, uint64_t attempt)
{
    switch (m->type) {
    case MSG_SPAWN:
        return m->spawn.job == job && m->spawn.attempt == attempt;
    case MSG_AWAIT:
        return m->await.job == job && m->await.attempt == attempt && await_is_sane(&m->await);
    case MSG_CHECKPOINT:
        return m->checkpoint.job == job && m->checkpoint.attempt == attempt && m->checkpoint.body.n <= LIMIT_CHECKPOINT_BYTES;
    case MSG_PROGRESS:
        return progress_is_sane(&m->progress, job, attempt);
    case MSG_FETCH:
        return m->fetch.parent == job && m->fetch.parent_attempt == attempt;
    default:
        return false;
    }
}

void ask_refuse(const struct message *ask, enum error_code code, const char *text, struct message *ret)
{
    if (ask->type == MSG_SPAWN) {
        message_init(ret, MSG_SPAWNED);
        ret->spawned.req = ask->spawn.req;
        ret->spawned.code = code;
        ret->spawned.text = str_of(text);
    } else if (ask->type == MSG_AWAIT) {
        message_init(ret, MSG_AWAITED);
        ret->awaited.req = ask->await.req;
        ret->awaited.code = code;
        ret->awaited.text = str_of(text);
    } else if (ask->type == MSG_CHECKPOINT) {
        message_init(ret, MSG_CHECKPOINTED);
        ret->checkpointed.req = ask->checkpoint.req;
        ret->checkpointed.code = code;
        ret->checkpointed.text = str_of(text);
    } else {
        message_init(ret, MSG_FETCHED);
        ret->fetched.req = ask->fetch.req;
        ret->fetched.error = str_of(text);
    }
}
