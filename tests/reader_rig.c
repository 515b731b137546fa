/* reader_rig.c - a store with jobs, and what its reader answers. */
#include "tests/reader_rig.h"

#include <stdio.h>
#include <unistd.h>

char dir[64], path[80];
struct store *s;
struct store_reader *reader;
uint32_t classes[3]; /* queue a, queue b, commands in a */
uint64_t worker;
struct buf bytes;
struct message answer;
bool answered;

static uint32_t add_class(const char *queue, const char *handler)
{
    struct class_row c = { .queue = str_of(queue), .handler = str_of(handler) };
    uint32_t id;
    assert_int_equal(store_add_class(s, &c, &id), 0);
    return id;
}

int make(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/tern-reader-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/t.db", dir);
    struct store_options o = { .path = path, .quiet = true };
    char *error = NULL;
    if (store_open(&s, &o, &error) < 0 || store_reader_open(&reader, path, &error) < 0)
        fail_msg("%s", error);
    classes[0] = add_class("a", "cpu");
    classes[1] = add_class("b", "cpu");
    classes[2] = add_class("a", "exec");
    struct str instance = { "0123456789abcdef", 16 };
    assert_int_equal(store_worker(s, instance, str_of("w"), str_of("h"), str_of("uid:0"), NOW, &worker), 0);
    buf_init(&bytes, LIMIT_MESSAGE_BYTES);
    return store_commit(s);
}

static void forget_answer(void)
{
    if (answered)
        message_fini(&answer);
    answered = false;
    buf_clear(&bytes);
}

int unmake(void **state)
{
    (void)state;
    static const char *const ends[] = { "", "-wal", "-shm", ".lock" };
    forget_answer();
    buf_fini(&bytes);
    reader = store_reader_close(reader);
    s = store_close(s);
    for (size_t i = 0; i < ELEMENTS(ends); i++) {
        cleanup(freep) char *p = xasprintf("%s%s", path, ends[i]);
        unlink(p);
    }
    return rmdir(dir);
}

uint64_t add(uint32_t class, size_t n, const char *owner, struct str payload)
{
    struct job_spec spec;
    record_init(RECORD_job_spec, &spec);
    spec.payload = payload;
    struct new_job *jobs = xcalloc(n, sizeof *jobs);
    for (size_t i = 0; i < n; i++)
        jobs[i] = (struct new_job){ &spec, class, STATE_QUEUED, UNSET, UNSET, 0 };
    uint64_t id = 0;
    assert_int_equal(store_add_jobs(s, jobs, n, str_of(owner), NOW, &id), 0);
    assert_int_equal(store_commit(s), 0);
    free(jobs);
    return id;
}

void lease_at(uint64_t id, int64_t now)
{
    struct lease_order o = { .id = id, .worker = worker, .pool = POOL_PROCESS };
    assert_int_equal(store_lease(s, &o, 1, now), 0);
    assert_true(o.leased);
    free(o.owned);
    assert_int_equal(store_commit(s), 0);
}

void end_at(uint64_t id, uint32_t class, uint64_t attempt, enum job_state to, struct outcome *o, int64_t now)
{
    struct attempt_end e = { .id = id,
                             .attempt = attempt,
                             .to = to,
                             .due_ms = to == STATE_SCHEDULED ? now + 500 : UNSET,
                             .from_class = class,
                             .class = class,
                             .worker = worker,
                             .pool = POOL_PROCESS,
                             .started_ms = now - 10,
                             .finished_ms = now,
                             .outcome = o };
    assert_int_equal(store_end_attempts(s, &e, 1), 0);
    assert_true(e.recorded);
    assert_int_equal(store_commit(s), 0);
}

const struct message *ask_as(const struct message *m, const char *owner)
{
    forget_answer();
    const char *why;
    assert_int_equal(store_reader_answer(reader, m, str_of(owner), &bytes), 0);
    assert_int_equal(message_decode(&answer, bytes.p, bytes.n, &why), 0);
    answered = true;
    assert_int_equal(answer.list.req, m->list.req);
    return &answer;
}

const struct message *ask(const struct message *m) { return ask_as(m, NULL); }

struct message list(void)
{
    struct message m;
    message_init(&m, MSG_LIST);
    m.list.req = 77;
    return m;
}

uint64_t add_child(uint64_t parent, const char *key)
{
    struct job_spec spec;
    record_init(RECORD_job_spec, &spec);
    struct new_job j = { &spec, classes[0], STATE_QUEUED, UNSET, UNSET, parent };
    uint64_t id;
    assert_int_equal(store_add_child(s, &j, str_of(key), false, 1, NOW, &id), 1);
    assert_int_equal(store_commit(s), 0);
    return id;
}

void assert_not_found(const struct message *m)
{
    assert_int_equal(m->type, MSG_ERROR);
    assert_int_equal(m->error.code, CODE_NOT_FOUND);
}

/* ---- FETCH, HISTORY -------------------------------------------------------------------------- */

struct outcome outcome(enum ending ending)
{
    struct outcome o;
    record_init(RECORD_outcome, &o);
    o.ending = ending;
    return o;
}
