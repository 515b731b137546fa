/* limits_store.c - what the broker's own store can do, called in a loop: no socket, no turn, no worker. */
#include "tests/bench/limits.h"

#include "broker/store.h"
#include "proto/base/clock.h"

struct bare {
    struct store *store; /* owned */
    uint32_t class;
    uint64_t worker;
    struct head heads[A_COMMIT];
    struct lease_order orders[A_COMMIT];
    struct attempt_end ends[A_COMMIT];
    struct new_job jobs[A_COMMIT];
};

static void must(struct bare *b, int r, const char *what)
{
    if (r < 0)
        limits_quit(what, store_error_text(b->store));
}

static int64_t now_ms(void) { return clock_now().wall_ms; }

static struct bare *open_store(const char *path)
{
    struct bare *b = xcalloc(1, sizeof *b);
    struct store_options o = { .path = path, .quiet = true };
    char *error = NULL;
    if (store_open(&b->store, &o, &error) < 0)
        limits_quit("store", error);
    struct class_row class = { .queue = str_of("bench"), .handler = str_of("echo"), .tag = TAG_IO };
    must(b, store_add_class(b->store, &class, &b->class), "class");
    must(b, store_worker(b->store, (struct str){ "0123456789abcdef", 16 }, str_of("w"), str_of("h"), str_of("uid:0"), now_ms(), &b->worker),
         "worker");
    must(b, store_commit(b->store), "commit");
    return b;
}

static void close_store(struct bare *b)
{
    store_close(b->store);
    free(b);
}

/* Each of these is one commit. */

static void add_many(struct bare *b)
{
    static const char payload[PAYLOAD_BYTES];
    struct job_spec spec;
    uint64_t first;
    record_init(RECORD_job_spec, &spec);
    spec.payload = (struct str){ payload, sizeof payload };
    for (size_t i = 0; i < A_COMMIT; i++)
        b->jobs[i] = (struct new_job){ &spec, b->class, STATE_QUEUED, UNSET, UNSET, 0 };
    must(b, store_add_jobs(b->store, b->jobs, A_COMMIT, str_of("uid:1000"), now_ms(), &first), "insert");
    must(b, store_commit(b->store), "commit");
}

static void claim_many(struct bare *b)
{
    if (store_heads(b->store, b->class, b->heads, A_COMMIT) != A_COMMIT)
        limits_quit("heads", "not all that was inserted is there");
    for (size_t i = 0; i < A_COMMIT; i++)
        b->orders[i] = (struct lease_order){ .id = b->heads[i].id, .worker = b->worker, .pool = POOL_THREAD };
    must(b, store_lease(b->store, b->orders, A_COMMIT, now_ms()), "lease");
    must(b, store_commit(b->store), "commit");
    for (size_t i = 0; i < A_COMMIT; i++)
        free(b->orders[i].owned);
}

static void finish_many(struct bare *b)
{
    static const char result[PAYLOAD_BYTES];
    struct outcome o;
    int64_t now = now_ms();
    record_init(RECORD_outcome, &o);
    o.result = (struct str){ result, sizeof result };
    o.wall_us = o.cpu_us = 1;
    for (size_t i = 0; i < A_COMMIT; i++)
        b->ends[i] = (struct attempt_end){ .id = b->heads[i].id, .attempt = 1, .to = STATE_DONE, .due_ms = UNSET,
                                           .from_class = b->class, .class = b->class, .worker = b->worker,
                                           .pool = POOL_THREAD, .started_ms = now, .finished_ms = now, .outcome = &o };
    must(b, store_end_attempts(b->store, b->ends, A_COMMIT), "finish");
    must(b, store_commit(b->store), "commit");
    if (!b->ends[A_COMMIT - 1].recorded)
        limits_quit("finish", "nothing was recorded");
}

void limit_store_insert(const char *path, size_t n, struct measured *ret)
{
    struct bare *b = open_store(path);
    int64_t began = mono_ns();
    for (size_t i = 0; i < n / A_COMMIT; i++)
        add_many(b);
    ret->ns = mono_ns() - began;
    close_store(b);
}

void limit_store_finish(const char *path, size_t n, struct measured *ret)
{
    struct bare *b = open_store(path);
    for (size_t i = 0; i < n / A_COMMIT; i++)
        add_many(b);
    int64_t began = mono_ns();
    for (size_t i = 0; i < n / A_COMMIT; i++) {
        claim_many(b);
        finish_many(b);
    }
    ret->ns = mono_ns() - began;
    close_store(b);
}

void limit_store_life(const char *path, size_t n, struct measured *ret)
{
    struct bare *b = open_store(path);
    int64_t began = mono_ns();
    for (size_t i = 0; i < n / A_COMMIT; i++) {
        add_many(b);
        claim_many(b);
        finish_many(b);
    }
    ret->ns = mono_ns() - began;
    close_store(b);
}
