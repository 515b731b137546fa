/* client.c - the client of the benchmark: one measure, once, against a broker that runs. Prints a line of JSON.
 *
 *   usage: client ADDRESS MEASURE [--jobs N] [--warm N] [--queue Q] [--handler H] [--tag T] [--payload TEXT] [--bytes N]
 *                                 [--command PROGRAM] [--workers N] [--rate N]
 *
 *   ready   nothing is measured: waits until the broker answers and so many workers are connected
 *   submit  one job at a time, each acknowledged before the next
 *   fill    a stream of jobs, up to 16 messages of 1,000 on their way; then their queue is paused
 *   drain   the same into a paused queue, which is then resumed: from there until all have ended; with --warm
 *   run     the same stream into a queue that runs, until all have ended; and how many the broker still keeps then
 *   idle    one job at a time: acknowledged, started, ended; then one more by tern_client_run: result in hand
 *   pace    so many jobs a second, whatever becomes of them: from when each was meant to come until its handler started
 *   look    asks for counts and pages, ten times a second, until its standard input ends
 *   remove  cancels the jobs of a paused queue, and deletes them and all others that have ended
 *
 * --warm: so many jobs go first, uncounted; a queue that never had a job cannot be paused. The payload is filled up with blanks. */
#include "client/tern.h"

#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/base.h"
#include "tests/bench/samples.h"

#define READY_MS 15000
#define READY_EVERY_MS 5
#define SETTLE_MS 500 /* between two parts of a measure: what the broker does when it has time is done by then */
#define LOOK_EVERY_MS 100
#define LOOK_AT 1000 /* jobs */
#define PACE_LOOKS 2000 /* of so many jobs, evenly spread, the start is looked at */

struct settings {
    const char *address, *queue, *handler, *tag, *payload, *command;
    size_t jobs, warm, bytes, workers, rate;
};

struct client {
    struct tern_client *link; /* owned */
    const struct settings *settings;
    struct tern_job_spec spec;
    char *payload;           /* owned */
    struct tern_range range; /* of the jobs submitted last */
    uint64_t acknowledged;   /* of them */
};

/* ---- all that fails ends it ------------------------------------------------------------------- */

_Noreturn static void quit(const char *what, const char *why)
{
    fprintf(stderr, "bench/client: %s: %s\n", what, why);
    exit(1);
}

static void must(struct client *c, int r, const char *what)
{
    if (r < 0)
        quit(what, tern_client_error(c->link));
}

static int complain(void *context, const struct tern_job_view *job)
{
    (void)context;
    fprintf(stderr, "bench/client: job %" PRIu64 " is %s: %s\n", job->id, job->state, job->error ? job->error : "");
    exit(1);
}

/* A rate counts only if every job is done. */
static void check_done(struct client *c)
{
    static const char *const others[] = { "blocked", "scheduled", "queued", "running", "dead", "cancelled", "expired", NULL };
    struct tern_filter filter = { .ranges = &c->range, .n_ranges = 1, .states = others, .limit = 1 };
    must(c, tern_client_list(c->link, &filter, complain, NULL), "list");
}

/* ---- jobs ------------------------------------------------------------------------------------- */

static void set_spec(struct client *c)
{
    static const char *argv[2];
    const struct settings *s = c->settings;
    tern_job_spec_init(&c->spec);
    c->spec.queue = s->queue;
    c->spec.tag = s->tag;
    if (s->command) {
        argv[0] = s->command;
        c->spec.argv = argv;
        return;
    }
    size_t n = strlen(s->payload);
    c->payload = xmalloc(s->bytes + n);
    memset(c->payload, ' ', s->bytes + n);
    memcpy(c->payload, s->payload, n);
    c->spec.handler = s->handler;
    c->spec.payload = c->payload;
    c->spec.payload_bytes = s->bytes > n ? s->bytes : n;
}

static void on_submitted(void *context, uint64_t first, uint64_t count)
{
    struct client *c = context;
    if (!c->range.first)
        c->range.first = first;
    c->range.last = first + count - 1;
    c->acknowledged += count;
}

static void submit_many(struct client *c, size_t n)
{
    c->range = (struct tern_range){ 0, 0 };
    c->acknowledged = 0;
    tern_client_on_submitted(c->link, on_submitted, c);
    for (size_t i = 0; i < n; i++)
        must(c, tern_client_submit_add(c->link, &c->spec), "submit");
    must(c, tern_client_submit_flush(c->link), "submit");
    if (c->acknowledged != n || c->range.last - c->range.first + 1 != n)
        quit("submit", "the ids do not follow each other: somebody else submits too");
}

static void wait_all(struct client *c) { must(c, tern_client_wait(c->link, &c->range, 1, false, -1, NULL), "wait"); }

static void warm_up(struct client *c)
{
    if (!c->settings->warm)
        return;
    submit_many(c, c->settings->warm);
    wait_all(c);
    check_done(c);
    sleep_ms(SETTLE_MS);
}

static void pause_queue(struct client *c, bool paused)
{
    must(c, tern_client_pause(c->link, c->settings->queue, paused), "pause");
}

static void print_rate(size_t n, int64_t ns) { printf("{\"rate\": %.2f}\n", rate_of(n, ns)); }

/* ---- measures --------------------------------------------------------------------------------- */

static int count_worker(void *context, const struct tern_worker_view *worker)
{
    (void)worker;
    ++*(size_t *)context;
    return 0;
}

static void ready(struct client *c)
{
    int64_t until = mono_ns() + READY_MS * INT64_C(1000000);
    size_t n = 0;
    while (tern_client_connect(c->link, c->settings->address) < 0) {
        if (mono_ns() > until)
            quit("connect", tern_client_error(c->link));
        sleep_ms(READY_EVERY_MS);
    }
    do {
        n = 0;
        must(c, tern_client_workers(c->link, count_worker, &n), "workers");
        sleep_ms(READY_EVERY_MS);
    } while (n < c->settings->workers && mono_ns() < until);
    if (n < c->settings->workers)
        quit("workers", "they did not come in time");
    printf("{}\n");
}

static void submit_each(struct client *c, size_t n, struct samples *s)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t id;
        int64_t began = mono_ns();
        must(c, tern_client_submit(c->link, &c->spec, 1, &id), "submit");
        samples_add(s, mono_ns() - began);
    }
}

static void submit(struct client *c)
{
    struct samples uncounted = { 0 }, s = { 0 };
    submit_each(c, c->settings->warm, &uncounted);
    int64_t began = mono_ns();
    submit_each(c, c->settings->jobs, &s);
    printf("{\"rate\": %.2f, ", rate_of(s.n, mono_ns() - began));
    samples_print(&s, "");
    printf("}\n");
    samples_fini(&uncounted);
    samples_fini(&s);
}

static void fill(struct client *c)
{
    if (c->settings->warm) {
        submit_many(c, c->settings->warm);
        sleep_ms(SETTLE_MS);
    }
    int64_t began = mono_ns();
    submit_many(c, c->settings->jobs);
    int64_t took = mono_ns() - began;
    pause_queue(c, true);
    print_rate(c->settings->jobs, took);
}

static void drain(struct client *c)
{
    warm_up(c);
    pause_queue(c, true);
    submit_many(c, c->settings->jobs);
    sleep_ms(SETTLE_MS);
    int64_t began = mono_ns();
    pause_queue(c, false);
    wait_all(c);
    int64_t took = mono_ns() - began;
    check_done(c);
    print_rate(c->settings->jobs, took);
}

struct counted {
    const char *queue;
    uint64_t jobs;
};

static int count_jobs(void *context, const struct tern_queue_view *queue)
{
    struct counted *of = context;
    for (size_t i = 0; i < queue->n_counts && strcmp(queue->name, of->queue) == 0; i++)
        of->jobs += queue->counts[i].jobs;
    return 0;
}

static void run(struct client *c)
{
    struct counted kept = { .queue = c->settings->queue };
    warm_up(c);
    int64_t began = mono_ns();
    submit_many(c, c->settings->jobs);
    wait_all(c);
    int64_t took = mono_ns() - began;
    must(c, tern_client_queues(c->link, count_jobs, &kept), "queues");
    check_done(c);
    printf("{\"rate\": %.2f, \"kept\": %" PRIu64 "}\n", rate_of(c->settings->jobs, took), kept.jobs);
}

enum { ACK, START, ENDED, RESULT, N_MOMENTS };

/* When the handler `clock` started. */
static int64_t take_start(struct tern_result *result)
{
    cleanup(freep) char *text = xstrndup((struct str){ result->data, result->data_bytes });
    tern_result_fini(result);
    return text ? strtoll(text, NULL, 10) : 0;
}

static int64_t fetch_start(struct client *c, uint64_t id)
{
    struct tern_result result;
    must(c, tern_client_fetch_result(c->link, id, &result), "result");
    return take_start(&result);
}

static void idle_run(struct client *c, struct samples *s)
{
    struct tern_result result;
    uint64_t id;
    sleep_ms(IDLE_MS);
    int64_t began = mono_ns();
    must(c, tern_client_run(c->link, &c->spec, false, &id, &result), "run");
    int64_t ended = mono_ns(), start = take_start(&result);
    if (start <= began || start >= ended)
        quit("idle", "the handler did not tell when it started");
    samples_add(s, ended - began);
}

static void idle_one(struct client *c, struct samples *s)
{
    int64_t at[RESULT];
    uint64_t id;
    sleep_ms(IDLE_MS);
    int64_t began = mono_ns();
    must(c, tern_client_submit(c->link, &c->spec, 1, &id), "submit");
    at[ACK] = mono_ns();
    struct tern_range range = { id, id };
    must(c, tern_client_wait(c->link, &range, 1, false, -1, NULL), "wait");
    at[ENDED] = mono_ns();
    at[START] = fetch_start(c, id);
    if (at[START] <= began || at[START] >= at[ENDED])
        quit("idle", "the handler did not tell when it started");
    for (int i = 0; i < RESULT; i++)
        samples_add(&s[i], at[i] - began);
    idle_run(c, &s[RESULT]);
}

static void idle(struct client *c)
{
    static const char *const names[] = { "ack_", "start_", "ended_", "result_" };
    struct samples uncounted[N_MOMENTS] = { 0 }, s[N_MOMENTS] = { 0 };
    for (size_t i = 0; i < c->settings->warm; i++)
        idle_one(c, uncounted);
    for (size_t i = 0; i < c->settings->jobs; i++)
        idle_one(c, s);
    for (int i = 0; i < N_MOMENTS; i++) {
        printf("%s", i ? ", " : "{");
        samples_print(&s[i], names[i]);
        samples_fini(&s[i]);
        samples_fini(&uncounted[i]);
    }
    printf("}\n");
}

/* Job number i is meant to come at began + i / rate, and is then submitted with all that have become due meanwhile: a queue that is late
 * for one is late for those behind it too. */
static int64_t due_ns(const struct client *c, size_t i) { return (int64_t)((double)i * 1e9 / (double)c->settings->rate); }

static void submit_paced(struct client *c, int64_t began)
{
    c->range = (struct tern_range){ 0, 0 };
    tern_client_on_submitted(c->link, on_submitted, c);
    for (size_t i = 0; i < c->settings->jobs;) {
        for (; i < c->settings->jobs && began + due_ns(c, i) <= mono_ns(); i++)
            must(c, tern_client_submit_add(c->link, &c->spec), "submit");
        must(c, tern_client_submit_flush(c->link), "submit");
        int64_t left = began + due_ns(c, i) - mono_ns();
        if (left > 0)
            nanosleep(&(struct timespec){ left / INT64_C(1000000000), left % INT64_C(1000000000) }, NULL);
    }
}

static void pace(struct client *c)
{
    struct samples s = { 0 };
    size_t n = c->settings->jobs, step = n / PACE_LOOKS + 1;
    if (!c->settings->rate)
        quit("pace", "--rate is to be given");
    warm_up(c);
    int64_t began = mono_ns();
    submit_paced(c, began);
    int64_t took = mono_ns() - began;
    wait_all(c);
    check_done(c);
    for (size_t i = 0; i < n; i += step) {
        int64_t start = fetch_start(c, c->range.first + i);
        if (start < began + due_ns(c, i))
            quit("pace", "the handler did not tell when it started");
        samples_add(&s, start - began - due_ns(c, i));
    }
    printf("{\"rate\": %.2f, ", rate_of(n, took));
    samples_print(&s, "start_");
    printf("}\n");
    samples_fini(&s);
}

static int ignore_job(void *context, const struct tern_job_view *job)
{
    (void)context;
    (void)job;
    return 0;
}

static int ignore_queue(void *context, const struct tern_queue_view *queue)
{
    (void)context;
    (void)queue;
    return 0;
}

static int ignore_stat(void *context, const char *name, int64_t value)
{
    (void)context;
    (void)name;
    (void)value;
    return 0;
}

static void look(struct client *c)
{
    struct pollfd end = { .fd = STDIN_FILENO, .events = POLLIN };
    struct tern_filter newest = { .newest_first = true, .limit = LOOK_AT };
    struct samples lists = { 0 }, stats = { 0 };
    do {
        int64_t began = mono_ns();
        must(c, tern_client_list(c->link, &newest, ignore_job, NULL), "list");
        samples_add(&lists, mono_ns() - began);
        must(c, tern_client_queues(c->link, ignore_queue, NULL), "queues");
        began = mono_ns();
        must(c, tern_client_stats(c->link, ignore_stat, NULL), "stats");
        samples_add(&stats, mono_ns() - began);
    } while (poll(&end, 1, LOOK_EVERY_MS) == 0);
    printf("{\"looks\": %zu, ", lists.n);
    samples_print(&lists, "list_");
    printf(", ");
    samples_print(&stats, "stats_");
    printf("}\n");
    samples_fini(&lists);
    samples_fini(&stats);
}

static int take_id(void *context, const struct tern_job_view *job)
{
    *(uint64_t *)context = job->id;
    return 1;
}

static void remove_all(struct client *c)
{
    uint64_t last = 0;
    struct tern_changed cancelled = { 0 }, removed = { 0 };
    struct tern_filter newest = { .newest_first = true, .limit = 1 };
    must(c, tern_client_list(c->link, &newest, take_id, &last), "list");
    struct tern_range range = { 1, last };
    int64_t began = mono_ns();
    must(c, tern_client_cancel(c->link, &range, 1, NULL, NULL, &cancelled), "cancel");
    must(c, tern_client_remove(c->link, &range, 1, NULL, NULL, &removed), "rm");
    int64_t took = mono_ns() - began;
    if (cancelled.changed != c->settings->jobs || removed.changed < c->settings->jobs)
        quit("rm", "not all of the jobs are gone");
    print_rate(removed.changed, took);
}

/* ---- words ------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    void (*measure)(struct client *c);
} measures[] = {
    { "ready", ready }, { "submit", submit }, { "fill", fill },        { "drain", drain },
    { "run", run },     { "idle", idle },     { "pace", pace },        { "look", look },
    { "remove", remove_all },
};

static size_t number(const char *text)
{
    char *end;
    long v = strtol(text, &end, 10);
    if (*end || v < 0)
        quit(text, "is no number");
    return (size_t)v;
}

static void read_option(struct settings *s, int option)
{
    switch (option) {
    case 'j': s->jobs = number(optarg); break;
    case 'w': s->warm = number(optarg); break;
    case 'q': s->queue = optarg; break;
    case 'h': s->handler = optarg; break;
    case 't': s->tag = optarg; break;
    case 'p': s->payload = optarg; break;
    case 'b': s->bytes = number(optarg); break;
    case 'c': s->command = optarg; break;
    case 'r': s->rate = number(optarg); break;
    case 'k': s->workers = number(optarg); break;
    default: exit(2);
    }
}

static void read_options(struct settings *s, int argc, char **argv)
{
    static const struct option options[] = {
        { "jobs", required_argument, NULL, 'j' },    { "warm", required_argument, NULL, 'w' },
        { "queue", required_argument, NULL, 'q' },   { "handler", required_argument, NULL, 'h' },
        { "tag", required_argument, NULL, 't' },     { "payload", required_argument, NULL, 'p' },
        { "bytes", required_argument, NULL, 'b' },   { "command", required_argument, NULL, 'c' },
        { "workers", required_argument, NULL, 'k' }, { "rate", required_argument, NULL, 'r' },
        { 0 },
    };
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0)
        read_option(s, option);
    if (argc - optind != 2)
        quit("usage", "client ADDRESS MEASURE [OPTIONS]");
    s->address = argv[optind];
}

int main(int argc, char **argv)
{
    struct settings s = { .queue = "bench", .handler = "echo", .payload = "", .bytes = 100, .jobs = 1 };
    read_options(&s, argc, argv);
    struct client c = { .link = tern_client_new(), .settings = &s };
    set_spec(&c);
    for (size_t i = 0; i < ELEMENTS(measures); i++) {
        if (strcmp(measures[i].name, argv[optind + 1]) != 0)
            continue;
        if (measures[i].measure != ready)
            must(&c, tern_client_connect(c.link, s.address), "connect");
        measures[i].measure(&c);
        tern_client_free(c.link);
        free(c.payload);
        return 0;
    }
    quit(argv[optind + 1], "there is no such measure");
}
