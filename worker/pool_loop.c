/* pool_loop.c - the loop pool: one thread with a libuv loop, on which each job is a coroutine.
 *
 * The link's thread sends orders through a mailbox and uv_async_send; tasks that have ended come
 * back through a mailbox with an eventfd. Nothing else is shared: `tasks` is the link's, `looper`
 * the loop's. */
#include "worker/pool_kind.h"

#include "proto/base/log.h"
#include "worker/crash.h"
#include "worker/loop_ask.h"
#include "worker/loop_curl.h"
#include "worker/loop_task.h"
#include "worker/place.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define ORDERS_A_TURN 500u /* then timers and sockets have their turn */
#define CLOSE_WAIT_MS 1000
#define THREAD_STACK_BYTES (1u << 20)

struct order {
    struct mail mail; /* first */
    enum { ORDER_BEGIN, ORDER_STOP, ORDER_PART, ORDER_ANSWER, ORDER_CLOSE } what;
    size_t number;          /* of the slot */
    struct loop_task *task; /* ORDER_BEGIN: given to the loop */
    struct part *part;      /* ORDER_PART: given back */
    struct buf answer;      /* ORDER_ANSWER: owned */
};

struct pool_loop {
    struct looper looper;
    struct mailbox orders;    /* to the loop */
    struct mail *orders_left; /* the loop's: taken, and yet to be done */
    uv_async_t wake;
    pthread_t thread;
    int gone_fd;              /* eventfd: the thread is at its end */
    struct loop_task **tasks; /* the link's: by number of their slot */
    uint64_t asked, seen;     /* for a sign of life, how often; as of when the loop last came by: through __atomic builtins */
    struct loop_look look;    /* the link's */
};

/* ---- on the loop's thread --------------------------------------------------------------------- */

static void close_all(struct pool_loop *l)
{
    struct looper *k = &l->looper;
    k->closing = true;
    for (size_t i = 0; i < k->n_slots; i++)
        if (k->running[i])
            loop_task_tell_stop(k->running[i]);
    strand_resume_ready(k); /* they clean up */
    for (size_t i = 0; i < k->n_slots; i++)
        if (k->running[i])
            loop_task_drop(k->running[i]);
    loop_curl_close(TAKE(k->curl));
    uv_close((uv_handle_t *)&k->kick, NULL);
    uv_close((uv_handle_t *)&l->wake, NULL);
}

static void follow(struct pool_loop *l, struct order *o)
{
    struct looper *k = &l->looper;
    if (o->what == ORDER_BEGIN)
        loop_task_begin(k, o->task);
    else if (o->what == ORDER_STOP && k->running[o->number])
        loop_task_tell_stop(k->running[o->number]);
    else if (o->what == ORDER_PART)
        loop_part_ended(k, o->part);
    else if (o->what == ORDER_ANSWER && k->running[o->number])
        loop_ask_answer(k->running[o->number], &o->answer);
    else if (o->what == ORDER_CLOSE)
        close_all(l);
    buf_fini(&o->answer);
}

static void on_wake(uv_async_t *h)
{
    struct pool_loop *l = h->data;
    __atomic_store_n(&l->seen, __atomic_load_n(&l->asked, __ATOMIC_RELAXED), __ATOMIC_RELAXED);
    for (unsigned i = 0; i < ORDERS_A_TURN; i++) {
        if (!l->orders_left)
            l->orders_left = mailbox_take_all(&l->orders);
        struct order *o = (struct order *)l->orders_left;
        if (!o)
            return;
        l->orders_left = o->mail.next;
        follow(l, o);
        free(o);
    }
    if (!l->looper.closing)
        uv_async_send(h);
}

static const struct task *who_runs(const void *looper)
{
    const struct looper *k = looper;
    return k->current ? &k->current->job->task : NULL;
}

static bool has_overflowed(const void *looper, const void *address)
{
    return coroutine_has_overflowed(((const struct looper *)looper)->current->coroutine, address);
}

static void *loop_main(void *arg)
{
    struct pool_loop *l = arg;
    struct crash_place place = { who_runs, has_overflowed, &l->looper };
    crash_open(&place);
    (void)place_take_own();
    int r = uv_run(&l->looper.uv, UV_RUN_DEFAULT);
    assert(r == 0);
    struct coroutine_arena *arena = TAKE(l->looper.arena);
    if (!l->looper.pinned)
        coroutine_arena_free(arena);
    crash_close();
    (void)!write(l->gone_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
    return NULL;
}

/* ---- on the link's thread --------------------------------------------------------------------- */

static void send_order(struct pool_loop *l, struct order o)
{
    struct order *copy = xmalloc(sizeof *copy);
    *copy = o;
    mailbox_put(&l->orders, &copy->mail);
    uv_async_send(&l->wake);
}

static int thread_start(struct pool_loop *l)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* inherited by the thread */
    int r = pthread_create(&l->thread, &attributes, loop_main, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (r == 0)
        pthread_setname_np(l->thread, "tern-loop");
    return -r;
}

static void free_all(struct pool_loop *l)
{
    coroutine_arena_free(l->looper.arena);
    mailbox_close(&l->looper.ended);
    mailbox_close(&l->looper.notes);
    mailbox_close(&l->orders);
    idmap_fini(&l->looper.parts);
    closep(&l->gone_fd);
    free(l->looper.running);
    free(l->tasks);
    free(l);
}

static int open_loop(struct pool_loop *l)
{
    loop_curl_prepare();
    int r = uv_loop_init(&l->looper.uv);
    if (r < 0)
        return r;
    r = uv_async_init(&l->looper.uv, &l->wake, on_wake);
    l->wake.data = l;
    uv_idle_init(&l->looper.uv, &l->looper.kick);
    l->looper.kick.data = &l->looper;
    if (r == 0)
        r = thread_start(l);
    if (r == 0)
        return 0;
    if (l->wake.loop)
        uv_close((uv_handle_t *)&l->wake, NULL);
    uv_close((uv_handle_t *)&l->looper.kick, NULL);
    uv_run(&l->looper.uv, UV_RUN_DEFAULT);
    uv_loop_close(&l->looper.uv);
    return r;
}

static void open_lines(const struct pool *p, struct pool_loop *l)
{
    struct pool *const *pools = p->options.pools;
    for (enum pool_kind k = 0; k < N_POOLS; k++) {
        struct part_line *line = &l->looper.lines[k];
        list_init(&line->jobs);
        line->max = pools && pools[k] && k != POOL_LOOP ? 2 * pools[k]->options.slots : 0;
    }
}

static int loop_pool_open(struct pool *p)
{
    size_t n = p->n_slots;
    struct pool_loop *l = xcalloc(1, sizeof *l);
    l->look.at_ms = NEVER;
    l->looper.n_slots = n;
    list_init(&l->looper.ready);
    l->looper.running = xcalloc(n, sizeof(struct loop_task *));
    l->tasks = xcalloc(n, sizeof(struct loop_task *));
    l->looper.ended.fd = l->looper.notes.fd = l->orders.fd = -1;
    open_lines(p, l);
    l->gone_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = l->gone_fd < 0 ? -errno : 0;
    if (r == 0)
        r = mailbox_open(&l->looper.ended, true);
    if (r == 0)
        r = coroutine_arena_new(&l->looper.arena, n + LOOP_TASKS_MAX);
    if (r == 0)
        r = open_loop(l);
    if (r < 0)
        free_all(l);
    else
        p->state = l;
    return r;
}

static void task_free(struct loop_task *t)
{
    task_fini(&t->task);
    free(t);
}

static void drop_notes(struct pool_loop *l)
{
    for (struct mail *m = mailbox_take_all(&l->looper.notes), *next; m; m = next) {
        struct part_note *n = (struct part_note *)m;
        next = m->next;
        if (n->what == NOTE_BEGIN)
            loop_part_free(n->part);
        free(n);
    }
}

/* A handler that never gives the thread back cannot be ended: then all of it is left behind. */
static void loop_pool_close(struct pool *p)
{
    struct pool_loop *l = TAKE(p->state);
    struct pollfd gone = { .fd = l->gone_fd, .events = POLLIN };
    for (size_t i = 0; i < l->looper.n_slots; i++)
        if (l->tasks[i])
            call_tell_stop(&l->tasks[i]->task.call);
    send_order(l, (struct order){ .what = ORDER_CLOSE });
    if (poll(&gone, 1, CLOSE_WAIT_MS) <= 0) {
        pthread_detach(l->thread);
        return;
    }
    pthread_join(l->thread, NULL);
    for (struct mail *m = mailbox_take_all(&l->looper.ended), *next; m; m = next) {
        next = m->next;
        if (task_ask_of(m)) {
            task_ask_free(task_ask_of(m));
            continue;
        }
        task_fini_run((struct task *)m);
        free(m);
    }
    drop_notes(l);
    uv_loop_close(&l->looper.uv);
    free_all(l);
}

/* Names a handler that has the thread for too long while it still has it; once it gives it back, the loop says how long. */
static int64_t name_blocker(struct pool *p, struct now now)
{
    struct pool_loop *l = p->state;
    size_t slot;
    int64_t ms;
    if (loop_blocked_look(&l->look, &l->looper.busy, now, &slot, &ms) && l->tasks[slot])
        log_warning("event=loop-is-blocked job=%" PRIu64 " handler=%s ms=%" PRId64, tern_job_id(&l->tasks[slot]->task.call),
                    l->tasks[slot]->task.handler->name, ms);
    return l->look.at_ms;
}

static int loop_pool_begin(struct pool *p, struct slot *s, struct now now)
{
    struct pool_loop *l = p->state;
    struct loop_task *t = xcalloc(1, sizeof *t);
    int r = task_init_of_slot(&t->task, p, s, now);
    if (r == 0 && !t->task.handler->async) {
        task_fini(&t->task);
        r = -EOPNOTSUPP;
    }
    if (r < 0) {
        free(t);
        return r;
    }
    assert(t->task.number < l->looper.n_slots && !l->tasks[t->task.number]);
    l->tasks[t->task.number] = t;
    t->task.call.ask = loop_ask;
    t->task.call.report = loop_report;
    send_order(l, (struct order){ .what = ORDER_BEGIN, .number = t->task.number, .task = t });
    return 0;
}

static void loop_pool_tell_stop(struct pool *p, struct slot *s)
{
    struct pool_loop *l = p->state;
    size_t i = pool_slot_index(p, s);
    if (!l->tasks[i])
        return;
    call_tell_stop(&l->tasks[i]->task.call); /* at once, for a handler that asks */
    send_order(l, (struct order){ .what = ORDER_STOP, .number = i });
}

static void loop_pool_answer(struct pool *p, struct slot *s, const struct message *m)
{
    struct order o = { .what = ORDER_ANSWER, .number = pool_slot_index(p, s) };
    buf_init(&o.answer, LIMIT_MESSAGE_BYTES);
    message_encode(&o.answer, m);
    send_order(p->state, o);
}

static int loop_pool_fd(const struct pool *p) { return ((struct pool_loop *)p->state)->looper.ended.fd; }

/* ---- parts ------------------------------------------------------------------------------------- */

static bool is_process(const struct part *p) { return p->kind != PART_FUNCTION; }

static void on_part_finished(void *ctx, struct part *part, struct run *r)
{
    struct pool *p = ctx;
    part->run = r;
    p->slots[part->slot].n_parts -= is_process(part);
    send_order(p->state, (struct order){ .what = ORDER_PART, .part = part });
}

static void begin_part(struct pool *p, struct part *part, struct now now)
{
    part->on_finished = on_part_finished;
    part->ctx = p;
    p->slots[part->slot].n_parts += is_process(part);
    pool_give(p->options.pools[part->pool], TAKE(part->run), now);
}

/* In the order in which they were posted. */
static void read_notes(struct pool *p, struct now now)
{
    struct pool_loop *l = p->state;
    for (struct mail *m = mailbox_take_all(&l->looper.notes), *next; m; m = next) {
        struct part_note *n = (struct part_note *)m;
        next = m->next;
        if (n->what == NOTE_BEGIN)
            begin_part(p, n->part, now);
        else
            pool_stop(p->options.pools[n->pool], n->number, 1, REASON_CANCELLED, n->grace_ms, now);
        free(n);
    }
}

static void loop_pool_on_readable(struct pool *p, struct now now)
{
    struct pool_loop *l = p->state;
    loop_blocked_asked(&l->look, now);
    for (struct mail *m = mailbox_take_all(&l->looper.ended), *next; m; m = next) {
        next = m->next;
        struct loop_task *t = (struct loop_task *)m;
        struct outcome o;
        if (task_ask_of(m)) {
            task_ask_post(task_ask_of(m), p, now);
            continue;
        }
        call_outcome(&t->task.call, t->task.r, &o);
        l->tasks[t->task.number] = NULL;
        pool_slot_ended(p, t->task.slot, &o, now);
        task_free(t);
    }
    read_notes(p, now);
}

static void loop_pool_ask_alive(struct pool *p)
{
    struct pool_loop *l = p->state;
    __atomic_fetch_add(&l->asked, 1, __ATOMIC_RELAXED);
    uv_async_send(&l->wake);
}

static bool loop_pool_is_alive(const struct pool *p)
{
    const struct pool_loop *l = p->state;
    return __atomic_load_n(&l->seen, __ATOMIC_RELAXED) == __atomic_load_n(&l->asked, __ATOMIC_RELAXED);
}

static void loop_pool_blocked(const struct pool *p, uint64_t *ret_n, uint64_t *ret_ms)
{
    loop_blocked_tell(&((const struct pool_loop *)p->state)->looper.busy, ret_n, ret_ms);
}

static void loop_pool_dump(const struct pool *p)
{
    const struct looper *k = &((const struct pool_loop *)p->state)->looper;
    uint64_t n, ms;
    loop_pool_blocked(p, &n, &ms);
    log_info("event=loop stack_peak_kb=%zu stack_kb=%u blocked=%" PRIu64 " blocked_ms=%" PRIu64,
             coroutine_arena_peak_bytes(k->arena) >> 10, COROUTINE_STACK_BYTES >> 10, n, ms);
}

const struct pool_kind_ops pool_loop_ops = {
    .blocked = loop_pool_blocked,
    .dump = loop_pool_dump,
    .open = loop_pool_open,
    .close = loop_pool_close,
    .begin = loop_pool_begin,
    .tell_stop = loop_pool_tell_stop,
    .answer = loop_pool_answer,
    .fd = loop_pool_fd,
    .on_readable = loop_pool_on_readable,
    .ask_alive = loop_pool_ask_alive,
    .is_alive = loop_pool_is_alive,
    .tick = name_blocker,
};
