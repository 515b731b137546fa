/* ahead_rig.c - a pool of processes, and runs that it gives them ahead. */
#include "tests/ahead_rig.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/rng.h"
#include "worker/asks.h"
#include "worker/frame.h"
#include "worker/handlers.h"
#include "worker/tree.h"

/* ---- handlers; each notes first that it runs ------------------------------------------------- */

#define NOTES "TEST_POOL_AHEAD_NOTES" /* in the environment: the file */

void nap(int64_t ms)
{
    int64_t until_us = clock_mono_us() + ms * 1000;
    while (clock_mono_us() < until_us)
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

static void note(const struct tern_job *job)
{
    static int fd = -1;
    uint64_t id = tern_job_id(job);
    if (fd < 0)
        fd = open(getenv(NOTES), O_WRONLY | O_APPEND | O_CLOEXEC);
    if (write(fd, &id, sizeof(id)) != sizeof(id))
        abort();
}

static const char *payload_of(struct tern_job *job)
{
    static char text[32];
    size_t n;
    const char *p = tern_payload(job, &n);
    snprintf(text, sizeof(text), "%.*s", (int)n, p);
    return text;
}

static int well(struct tern_job *job)
{
    note(job);
    return tern_should_stop(job) ? tern_fail(job, "told to stop") : tern_result(job, "well", 4);
}

/* For so many milliseconds. */
static int hold(struct tern_job *job)
{
    int64_t until_us = clock_mono_us() + strtol(payload_of(job), NULL, 10) * 1000;
    note(job);
    while (clock_mono_us() < until_us && !tern_should_stop(job))
        nap(1);
    return tern_should_stop(job) ? tern_fail(job, "told to stop") : 0;
}

static int asks(struct tern_job *job)
{
    note(job);
    return tern_checkpoint(job, "so far", 6);
}

static int large(struct tern_job *job)
{
    static char result[1 << 20];
    note(job);
    return tern_result(job, result, sizeof(result));
}

static int dies(struct tern_job *job)
{
    note(job);
    return kill(getpid(), SIGKILL);
}

/* Over the memory that it finds to be shared with the worker: all of it, its numbers, or its places. */
static int scribbles(struct tern_job *job)
{
    const char *kind = payload_of(job);
    char line[256];
    struct rng rng;
    uint64_t *from = NULL, *to = NULL;
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps && fgets(line, sizeof(line), maps))
        if (strstr(line, "tern-ring") && sscanf(line, "%p-%p", (void **)&from, (void **)&to) != 2)
            abort();
    fclose(maps);
    note(job);
    rng_init(&rng, tern_job_id(job));
    if (strcmp(kind, "numbers") == 0)
        to = from + 3;
    if (strcmp(kind, "places") == 0)
        from += 3;
    for (; from < to; from++)
        *from = strcmp(kind, "zeros") == 0 ? 0 : strcmp(kind, "ones") == 0 ? UINT64_MAX : rng_next(&rng);
    return 0;
}

/* Says that the next one has ended. */
static int forges(struct tern_job *job)
{
    struct frames f;
    struct outcome o;
    struct message m;
    record_init(RECORD_outcome, &o);
    message_init(&m, MSG_RESULT);
    o.job = tern_job_id(job) + 1;
    o.attempt = 1;
    o.ending = ENDING_DONE;
    o.result = str_of("forged");
    m.result.outcomes = &o;
    m.result.n_outcomes = 1;
    note(job);
    frames_init(&f, 3);
    frames_put(&f, &m);
    frames_flush(&f, true);
    nap(5000);
    return 0;
}

/* Writes where its process speaks to the worker. */
static int babbles(struct tern_job *job)
{
    note(job);
    if (write(3, "\x7f\xff\xff\xff babble", 11) != 11)
        abort();
    nap(2);
    return 0;
}

static const struct tern_handler handlers[] = {
    { .name = "asks", .blocking = asks },           { .name = "babbles", .blocking = babbles },
    { .name = "well", .blocking = well },           { .name = "hold", .blocking = hold },
    { .name = "dies", .blocking = dies },           { .name = "scribbles", .blocking = scribbles },
    { .name = "forges", .blocking = forges },       { .name = "large", .blocking = large },
};

/* ---- a pool, and what has run ---------------------------------------------------------------- */

static void on_started(void *ctx, struct run *r) { ((struct rig *)ctx)->started = r->job.job; }

static void on_finished(void *ctx, struct run *r)
{
    struct rig *g = ctx;
    assert_null(g->runs[r->job.job]); /* exactly once */
    g->runs[r->job.job] = r;
    g->n++;
}

static void on_asked(void *ctx, struct run *r, const struct message *ask, struct now now)
{
    struct rig *g = ctx;
    (void)now;
    g->asked = r->job.job;
    g->req = ask_req(ask);
}

void answer(struct rig *g)
{
    struct message m;
    message_init(&m, MSG_CHECKPOINTED);
    m.checkpointed.req = g->req;
    pool_answer(g->pool, g->asked, 1, &m, clock_now());
}

struct rig *rig_open(size_t slots)
{
    static struct rig g;
    g = (struct rig){ .n = 0 };
    struct pool_options o = { .kind = POOL_PROCESS, .slots = slots, .zygote = zygote, .on_started = on_started,
                              .on_finished = on_finished, .on_asked = on_asked, .ctx = &g };
    assert_int_equal(pool_open(&g.pool, &o), 0);
    assert_int_equal(truncate(getenv(NOTES), 0), 0);
    return &g;
}

void rig_close(struct rig *g)
{
    pool_close(g->pool);
    for (size_t i = 0; i < MOST; i++)
        run_free(g->runs[i]);
}

size_t n_ran(uint64_t job)
{
    uint64_t id;
    size_t n = 0;
    FILE *f = fopen(getenv(NOTES), "re");
    while (f && fread(&id, sizeof(id), 1, f) == 1)
        n += id == job;
    fclose(f);
    return n;
}

void wait_ran(uint64_t job)
{
    int64_t until_us = clock_mono_us() + 60000000;
    while (!n_ran(job) && clock_mono_us() < until_us)
        nap(1);
    assert_int_equal(n_ran(job), 1);
}

void turn(struct rig *g)
{
    struct now now = clock_now();
    size_t n = g->n;
    int64_t due_ms = pool_tick(g->pool, now);
    if (g->n != n)
        return;
    struct pollfd fds[] = { { pool_fd(g->pool), POLLIN, 0 }, { zygote_fd(zygote), POLLIN, 0 } };
    poll(fds, ELEMENTS(fds), (int)max_i64(0, min_i64(due_ms - now.mono_ms, 20)));
    now = clock_now();
    pool_on_readable(g->pool, now);
    zygote_on_readable(zygote, now);
}

void finish(struct rig *g, size_t n)
{
    int64_t until_ms = clock_now().mono_ms + 60000;
    while (g->n < n && clock_now().mono_ms < until_ms)
        turn(g);
    assert_int_equal(g->n, n);
}

const struct outcome *outcome_of(const struct rig *g, uint64_t job)
{
    assert_non_null(g->runs[job]);
    return &g->runs[job]->outcome;
}

void assert_ended(struct rig *g, uint64_t job, enum ending ending, enum reason reason, size_t times)
{
    assert_int_equal(outcome_of(g, job)->ending, ending);
    assert_int_equal(outcome_of(g, job)->reason, reason);
    assert_int_equal(n_ran(job), times);
}

void assert_done(struct rig *g, uint64_t first, uint64_t last)
{
    for (uint64_t job = first; job <= last; job++)
        assert_ended(g, job, ENDING_DONE, REASON_NONE, 1);
}

/* ---- runs ahead ------------------------------------------------------------------------------ */

static struct buf script(const char *text)
{
    cleanup(freep) char *noting = xasprintf("printf \"\\\\$(printf %%o $((TERN_JOB_ID %% 256)))\\\\$(printf %%o $((TERN_JOB_ID / 256)))"
                                            "\\\\0\\\\0\\\\0\\\\0\\\\0\\\\0\" >> $" NOTES "; %s", text);
    return own_zygote_script(noting);
}

uint64_t give(struct rig *g, const struct what *w)
{
    struct now now = clock_now();
    struct run_job j;
    record_init(RECORD_run_job, &j);
    j.job = ++g->last;
    assert_true(j.job < MOST);
    j.attempt = 1;
    j.handler = str_of(w->handler);
    struct buf command = handler_is_exec(j.handler) ? script(w->payload) : (struct buf){ 0 };
    j.payload = command.n ? buf_str(&command) : str_of(w->payload);
    j.timeout_ms = w->timeout_ms ? w->timeout_ms : UNSET;
    j.expire_in_ms = w->expire_ms ? w->expire_ms : UNSET;
    j.memory_bytes = w->memory_bytes ? w->memory_bytes : UNSET;
    pool_give(g->pool, run_new(&j, now), now);
    buf_fini(&command);
    return j.job;
}

void be_quick(struct rig *g)
{
    for (int i = 0; i < 30; i++)
        give(g, &(struct what)WELL);
    finish(g, g->last);
}

static void start(struct rig *g, uint64_t job)
{
    while (g->started < job)
        turn(g);
    pool_tick(g->pool, clock_now()); /* now what is behind it is sent */
}

void cancel_all(struct rig *g, uint64_t from)
{
    for (uint64_t job = from; job <= g->last; job++)
        pool_stop(g->pool, job, 1, REASON_CANCELLED, 0, clock_now());
    finish(g, g->last);
}

uint64_t set_up(struct rig *g, const struct what *w, size_t n, size_t n_ahead)
{
    size_t slots = pool_load(g->pool).slots;
    for (int i = 0; i < 100; i++) {
        be_quick(g);
        for (size_t slot = 0; slot < slots; slot++)
            give(g, &(struct what)WELL);
        uint64_t first = g->last + 1;
        for (size_t at = 0; at < n; at++)
            give(g, &w[at]);
        start(g, first + slots - 1);
        if (g->pool->n_ahead == n_ahead)
            return first;
        cancel_all(g, first);
    }
    fail_msg("nothing is given ahead");
    return 0;
}

pid_t any_child_pid(void)
{
    struct tree t = { 0 };
    pid_t found = 0;
    tree_read(&t, zygote_pid(zygote));
    for (size_t i = 1; i < t.n; i++)
        found = t.at[i].pid;
    tree_fini(&t);
    return found;
}

pid_t child_pid(void)
{
    pid_t found = any_child_pid();
    assert_true(found > 0);
    return found;
}

int ahead_main(int argc, char **argv, const struct CMUnitTest *tests, size_t n_tests)
{
    own_zygote_handlers(handlers, ELEMENTS(handlers));
    char notes[] = "/tmp/tern-test-pool-ahead.XXXXXX";
    if (getenv(NOTES)) /* the zygote */
        return own_zygote_main(argc, argv, tests, n_tests);
    closep(&(int){ mkstemp(notes) });
    setenv(NOTES, notes, 1);
    int status = own_zygote_main(argc, argv, tests, n_tests);
    unlink(notes);
    return status;
}
