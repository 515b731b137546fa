/* keeper_asks.c - the asks and answers of a runner's runs, from one protocol into the other. */
#include "worker/keeper_asks.h"

#include "worker/asks.h"

/* ---- asks ------------------------------------------------------------------------------------- */

static void spawn(const struct runner_spawn *from, struct message *ret)
{
    message_init(ret, MSG_SPAWN);
    ret->spawn.req = from->req;
    ret->spawn.job = from->job;
    ret->spawn.attempt = from->attempt;
    ret->spawn.jobs = from->jobs;
    ret->spawn.n_jobs = from->n_jobs;
    ret->spawn.keys = from->keys;
    ret->spawn.n_keys = from->n_keys;
    ret->spawn.detached = from->detached;
}

static void await(const struct runner_await *from, struct message *ret)
{
    message_init(ret, MSG_AWAIT);
    ret->await.req = from->req;
    ret->await.job = from->job;
    ret->await.attempt = from->attempt;
    ret->await.ranges = from->ranges;
    ret->await.n_ranges = from->n_ranges;
    ret->await.number = from->number;
}

static void checkpoint(const struct runner_checkpoint *from, struct message *ret)
{
    message_init(ret, MSG_CHECKPOINT);
    ret->checkpoint.req = from->req;
    ret->checkpoint.job = from->job;
    ret->checkpoint.attempt = from->attempt;
    ret->checkpoint.body = from->body.p ? from->body : (struct str){ "", 0 };
}

static void fetch(const struct runner_fetch *from, struct message *ret)
{
    message_init(ret, MSG_FETCH);
    ret->fetch.req = from->req;
    ret->fetch.job = from->child;
    ret->fetch.what = WHAT_RESULT;
    ret->fetch.parent = from->job;
    ret->fetch.parent_attempt = from->attempt;
}

void keeper_ask(uint64_t what, const union keeper_ask *from, struct message *ret)
{
    if (what == RUNNER_CHECKPOINT)
        checkpoint(&from->checkpoint, ret);
    else if (what == RUNNER_SPAWN)
        spawn(&from->spawn, ret);
    else if (what == RUNNER_AWAIT)
        await(&from->await, ret);
    else
        fetch(&from->fetch, ret);
}

const char *keeper_why_not(const struct message *ask)
{
    struct attempt_ref of = ask_of(ask);
    if (ask->type == MSG_SPAWN && (!ask->spawn.n_jobs || ask->spawn.n_jobs > LIMIT_SPAWN || ask->spawn.n_keys != ask->spawn.n_jobs))
        return "SPAWN has 1 to 1,000 children, and a key for each";
    if (ask_is_sane(ask, of.job, of.attempt))
        return NULL;
    return ask->type == MSG_CHECKPOINT ? "a checkpoint may have at most 65,536 bytes"
                                       : "AWAIT has ranges that rise, of 1 to 10,000 jobs, and a number within them";
}

/* ---- answers ---------------------------------------------------------------------------------- */

static void fetched(const struct msg_fetched *f, struct runner_answer *ret)
{
    ret->state = f->state;
    ret->data = f->data;
    ret->code = f->state ? 0 : CODE_REFUSED;
    ret->text = f->error;
}

void keeper_answer(const struct message *m, struct runner_answer *ret)
{
    record_init(RECORD_runner_answer, ret);
    ret->what = RUNNER_ANSWER;
    if (m->type == MSG_SPAWNED) {
        ret->code = m->spawned.code;
        ret->text = m->spawned.text;
        ret->children = m->spawned.children;
        ret->n_children = m->spawned.n_children;
    } else if (m->type == MSG_AWAITED) {
        ret->code = m->awaited.code;
        ret->text = m->awaited.text;
        ret->ended = m->awaited.ended;
        ret->n_ended = m->awaited.n_ended;
    } else if (m->type == MSG_CHECKPOINTED) {
        ret->code = m->checkpointed.code;
        ret->text = m->checkpointed.text;
    } else {
        fetched(&m->fetched, ret);
    }
}
