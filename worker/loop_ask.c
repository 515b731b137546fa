/* loop_ask.c - what the strands of a job ask of the broker: each waits for its own answer. */
#include "worker/loop_ask.h"

#include "worker/asks.h"
#include "worker/loop_task.h"

struct loop_ask {
    struct link link; /* in its job's asks */
    uint64_t req;
    struct strand *strand; /* borrowed */
    struct buf answer;     /* owned */
    bool done;
};

/* A message's own number; 0: it is none of these. */
static uint64_t req_of(const struct buf *bytes)
{
    struct message m;
    const char *why;
    if (message_decode(&m, bytes->p, bytes->n, &why) < 0)
        return 0;
    uint64_t req = ask_is(&m) ? ask_req(&m) : answer_is(&m) ? answer_req(&m) : 0;
    message_fini(&m);
    return req;
}

/* A job may give up so many as it likes, and none is kept. */
static void give_up(struct loop_task *t, uint64_t req)
{
    struct message m;
    struct buf bytes;
    message_init(&m, MSG_UNWAIT);
    m.unwait.req = req;
    buf_init(&bytes, LIMIT_MESSAGE_BYTES);
    message_encode(&bytes, &m);
    mailbox_put(&t->looper->ended, &task_ask_new(&t->task, &bytes)->mail);
}

int loop_ask(struct tern_job *j, struct buf *request, struct buf *ret)
{
    struct loop_task *t = container_of(j, struct loop_task, task.call);
    struct loop_ask a = { .strand = strand_of(j), .req = req_of(request) };
    int r = strand_may_wait(a.strand);
    if (r < 0) {
        buf_fini(request);
        return r;
    }
    list_add_tail(&t->asks, &a.link);
    mailbox_put(&t->looper->ended, &task_ask_new(&t->task, request)->mail);
    while (r == 0 && !a.done)
        r = strand_wait(a.strand);
    list_remove(&a.link);
    if (a.done)
        *ret = a.answer;
    else
        give_up(t, a.req);
    return a.done ? 0 : r;
}

void loop_report(struct tern_job *j)
{
    struct loop_task *t = container_of(j, struct loop_task, task.call);
    struct task_ask *a = task_report_new(&t->task);
    if (a)
        mailbox_put(&t->looper->ended, &a->mail);
}

void loop_ask_answer(struct loop_task *t, struct buf *answer)
{
    uint64_t req = req_of(answer);
    list_each(l, &t->asks) {
        struct loop_ask *a = list_entry(l, struct loop_ask, link);
        if (a->req != req || a->done)
            continue;
        a->answer = *answer;
        buf_init(answer, 0); /* taken */
        a->done = true;
        strand_wake(a->strand);
        return;
    }
}
