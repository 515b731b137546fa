/* run.c - one world, from its seed to its end. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/sim/check.h"
#include "tests/sim/disk.h"
#include "tests/sim/record.h"
#include "tests/sim/world.h"

#define STORM_MS 2000  /* faults happen for so long */
#define CALM_MS 60000  /* then everything must end within so long */
#define STEP_MS 3
#define BEGIN_WALL_MS 1700000000000
#define BEGIN_MONO_MS 1000
#define FEW_FINISHED 30 /* jobs kept, in a world that deletes finished ones */

bool world_chance(struct world *w, unsigned n) { return rng_below(&w->rng, n) == 0; }

/* ---- failing --------------------------------------------------------------------------------------- */

static void print_state(const struct world *w)
{
    for (size_t i = 0; i < N_WORKERS; i++)
        sim_worker_print(w->workers[i]);
    for (size_t i = 0; w->broker && i < w->broker->classes.n; i++) {
        const struct class *c = w->broker->classes.all[i];
        fprintf(stderr, "class %s %s %s%s:", c->queue->name, c->handler, tag_name(c->tag), c->suspect ? " suspect" : "");
        for (int s = 0; s < N_STATES; s++)
            fprintf(stderr, " %s=%" PRIu64, state_name(s), c->jobs[s]);
        fprintf(stderr, " leased=%" PRIu64 "\n", c->n_leased);
    }
}

static void path_of(char *ret, size_t n, pid_t pid)
{
    snprintf(ret, n, "%s/tern-sim-%d.db", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", (int)pid);
}

/* The lock's file is a real one; all else is on the disk of disk.h. */
void sim_clean_up(pid_t pid)
{
    char path[128];
    path_of(path, sizeof path, pid);
    cleanup(freep) char *lock = xasprintf("%s.lock", path);
    unlink(lock);
}

_Noreturn void world_fail(const struct world *w, uint64_t about, const char *format, ...)
{
    struct report *r = w->report;
    r->failed = true;
    r->seed = w->seed;
    r->about = about;
    int n = snprintf(r->text, sizeof r->text, "SEED=%" PRIu64 " at %" PRId64 " ms: ", w->seed, w->now.mono_ms);
    va_list ap;
    va_start(ap, format);
    vsnprintf(r->text + n, sizeof r->text - (size_t)n, format, ap);
    va_end(ap);
    if (w->trace)
        print_state(w);
    sim_clean_up(getpid());
    _exit(1);
}

/* ---- one world ------------------------------------------------------------------------------------- */

static void start(struct world *w)
{
    path_of(w->db_path, sizeof w->db_path, getpid());
    w->keep_finished = w->seed % 5 ? 1000000 : FEW_FINISHED;
    rng_init(&w->rng, w->seed);
    rng_init(&w->disk_rng, w->seed);
    faults_init(&w->faults, w->seed);
    disk_wipe();
    net_init(&w->net, N_NODES);
    w->record = record_new();
    amounts_add(&w->shared, str_of("licence"), LICENCES);
    for (size_t i = 0; i < N_WORKERS; i++)
        w->workers[i] = sim_worker_new(w, i);
    for (size_t i = 0; i < N_CLIENTS; i++)
        w->clients[i] = sim_client_new(w, N_WORKERS + i);
}

static void count(struct world *w)
{
    w->report->seeds++;
    w->report->jobs += record_n_acknowledged(w);
    w->report->attempts += record_n_attempts(w);
    w->report->kept += w->kept;
    w->report->kept_late += w->kept_late;
    for (int kind = 0; kind < N_FAULTS; kind++)
        w->report->faults[kind] += w->faults.drawn[kind];
}

static void stop(struct world *w)
{
    broker_close(w->broker);
    for (size_t i = 0; i < N_WORKERS; i++)
        sim_worker_free(w->workers[i]);
    for (size_t i = 0; i < N_CLIENTS; i++)
        sim_client_free(w->clients[i]);
    net_fini(&w->net);
    amounts_fini(&w->shared);
    record_free(w->record);
    sim_clean_up(getpid());
}

static void pass_time(struct world *w)
{
    int64_t step = 1 + (int64_t)rng_below(&w->rng, STEP_MS);
    w->now.mono_ms += step;
    w->now.wall_ms += step;
    struct rng *lot = fault_draw(&w->faults, FAULT_CLOCK_JUMPS, 400);
    if (!lot)
        return;
    int64_t jump = (int64_t)rng_below(lot, 20000) - 10000;
    w->now.wall_ms += jump;
    world_trace(w, "the clock jumps by %ld ms", (long)jump);
}

static void turn(struct world *w)
{
    pass_time(w);
    net_turn(w);
    sim_broker_turn(w);
    for (size_t i = 0; i < N_WORKERS; i++)
        sim_worker_turn(w, w->workers[i]);
    for (size_t i = 0; i < N_CLIENTS; i++)
        sim_client_turn(w, w->clients[i]);
}

static bool is_over(struct world *w)
{
    for (size_t i = 0; i < N_CLIENTS; i++)
        if (!sim_client_is_through(w->clients[i]))
            return false;
    return check_all_ended(w);
}

static void calm_down(struct world *w)
{
    world_trace(w, "calm; %lu jobs were acknowledged", (unsigned long)record_n_acknowledged(w));
    w->faults.over = true;
    w->now.wall_ms = BEGIN_WALL_MS + w->now.mono_ms - BEGIN_MONO_MS; /* somebody has set the clock right */
    int64_t end = w->now.mono_ms + CALM_MS;
    for (size_t i = 0; i < N_CLIENTS; i++)
        sim_client_stop_submitting(w->clients[i]);
    for (unsigned n = 0; n % 50 || !is_over(w); n++) {
        turn(w);
        world_check(w, 0, w->now.mono_ms < end, "P2: not everything has ended a minute after the faults stopped");
    }
    check_end(w);
}

void sim_run(uint64_t seed, const struct fault_list *only, struct report *report, bool trace, uint64_t trace_job)
{
    struct world w = { .seed = seed, .now = { BEGIN_WALL_MS, BEGIN_MONO_MS }, .report = report, .trace = trace, .trace_job = trace_job };
    report->happened.n = 0;
    report->seed = seed;
    start(&w);
    w.faults.only = only;
    w.faults.happened = &report->happened;
    int64_t calm_at = w.now.mono_ms + STORM_MS;
    while (w.now.mono_ms < calm_at)
        turn(&w);
    calm_down(&w);
    count(&w);
    stop(&w);
}
