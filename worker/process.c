/* process.c - a process of the process pool and its slot: made, given runs, told no more. */
#include "worker/process.h"

#include <sys/epoll.h>

#include "worker/modules.h"

static struct process *process_new(struct pool *p, struct slot *slot, size_t runner)
{
    struct process *c = xcalloc(1, sizeof(*c));
    list_init(&c->link);
    list_init(&c->ahead);
    list_init(&c->to_look);
    list_init(&c->to_feed);
    list_init(&c->to_send);
    frames_init(&c->frames, -1);
    c->pool = p;
    c->slot = slot;
    c->runner = runner;
    c->job_us = UNSET;
    return c;
}

void process_free(struct process *c)
{
    if (!c)
        return;
    list_remove(&c->link);
    list_remove(&c->to_look);
    list_remove(&c->to_send);
    frames_fini(&c->frames);
    ring_close(c->ring);
    free(c->words);
    free(c);
}

int process_attach(struct pool *p, struct slot *slot, struct process **ret)
{
    struct processes *s = processes_of(p);
    struct process *c = process_new(p, slot, slot->run->runner);
    struct child_role role = { 1, c->runner, POOL_PROCESS };
    int fd;
    int r = zygote_fork(p->options.zygote, &role, process_on_ended, c, &c->number, &fd);
    if (r < 0) {
        process_free(c);
        return r;
    }
    frames_init(&c->frames, fd);
    r = c->runner ? 0 : ring_open(&c->ring, fd);
    if (r >= 0 && !c->runner)
        r = modules_hand(p->options.modules, fd);
    if (r < 0) {
        zygote_abandon(p->options.zygote, c->number);
        process_free(c);
        return r;
    }
    epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){ .events = EPOLLIN, .data.ptr = c });
    list_add_tail(&s->all, &c->link);
    *process_at(p, slot, c->runner) = c;
    *ret = c;
    return 0;
}

int process_put(struct process *c, struct run *r)
{
    int e = frames_put_run(&c->frames, &r->job);
    if (e < 0)
        return e;
    r->place = c->n_given++;
    if (c->ring)
        ring_give(c->ring, r->place);
    list_remove(&c->to_send);
    list_add_tail(&processes_of(c->pool)->to_send, &c->to_send);
    return 0;
}

void process_flush(struct process *c)
{
    bool to_write = frames_flush(&c->frames, false) == -EAGAIN;
    if (to_write == c->watched_to_write || c->frames.fd < 0)
        return;
    c->watched_to_write = to_write;
    struct epoll_event e = { .events = EPOLLIN | (to_write ? EPOLLOUT : 0u), .data.ptr = c };
    epoll_ctl(processes_of(c->pool)->epoll, EPOLL_CTL_MOD, c->frames.fd, &e);
}

void process_detach(struct process *c)
{
    process_feed_no_more(c);
    process_recall(c, true);
    if (c->slot)
        *process_at(c->pool, c->slot, c->runner) = NULL;
    c->slot = NULL;
}

void process_retire(struct process *c)
{
    process_detach(c);
    zygote_kill(c->pool->options.zygote, c->number);
}
