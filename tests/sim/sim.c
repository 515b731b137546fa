/* sim.c - runs worlds, one a seed: `tests/sim/sim [SEEDS [FIRST]]`, or SEED=n in the environment for one, with a trace. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "proto/base/log.h"
#include "tests/sim/disk.h"
#include "tests/sim/record.h"
#include "tests/sim/world.h"

#define STORM_MS 4000  /* faults happen for so long */
#define CALM_MS 60000  /* then everything must end within so long */
#define STEP_MS 3

/* What the failed world looks like: for whoever repeats the seed. */
static void print_state(const struct world *w)
{
    for (size_t i = 0; w->trace && i < N_WORKERS; i++)
        sim_worker_print(w->workers[i]);
    for (size_t i = 0; w->trace && w->broker && i < w->broker->classes.n; i++) {
        const struct class *c = w->broker->classes.all[i];
        fprintf(stderr, "class %s %s %s%s:", c->queue->name, c->handler, tag_name(c->tag), c->suspect ? " suspect" : "");
        for (int s = 0; s < N_STATES; s++)
            fprintf(stderr, " %s=%" PRIu64, state_name(s), c->jobs[s]);
        fprintf(stderr, " leased=%" PRIu64 "\n", c->n_leased);
    }
}

_Noreturn void world_fail(const struct world *w, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    fprintf(stderr, "SEED=%" PRIu64 " at %" PRId64 " ms: ", w->seed, w->now.mono_ms);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
    print_state(w);
    exit(1);
}

void world_trace(const struct world *w, const char *format, ...)
{
    if (!w->trace)
        return;
    va_list ap;
    va_start(ap, format);
    fprintf(stderr, "%8" PRId64 " ", w->now.mono_ms);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
}

bool world_chance(struct world *w, unsigned n) { return rng_below(&w->rng, n) == 0; }

static struct faults choose_faults(struct world *w)
{
    unsigned bits = (unsigned)rng_below(&w->rng, 128);
    if (w->seed % 4 == 0)
        return (struct faults){ .broker_dies = true }; /* then P5 can be held to the letter */
    return (struct faults){ bits & 1, bits & 2, bits & 4, bits & 8, bits & 16, bits & 32, bits & 64 };
}

static void remove_db(struct world *w)
{
    static const char *const ends[] = { "", "-wal", "-shm", ".lock", ".ballast" };
    for (size_t i = 0; i < ELEMENTS(ends); i++) {
        char path[160];
        snprintf(path, sizeof path, "%s%s", w->db_path, ends[i]);
        unlink(path);
    }
}

static void start(struct world *w, uint64_t seed)
{
    const char *dir = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    *w = (struct world){ .seed = seed, .now = { 1700000000000, 1000 }, .trace = getenv("SEED") != NULL };
    rng_init(&w->rng, seed);
    snprintf(w->db_path, sizeof w->db_path, "%s/tern-sim-%d.db", dir, (int)getpid());
    remove_db(w);
    w->faults = choose_faults(w);
    w->record = record_new();
    for (size_t i = 0; i < N_NODES; i++)
        net_init(w, i);
    for (size_t i = 0; i < N_WORKERS; i++)
        w->workers[i] = sim_worker_new(w, i);
    for (size_t i = 0; i < N_CLIENTS; i++)
        w->clients[i] = sim_client_new(w, N_WORKERS + i);
}

static void stop(struct world *w)
{
    broker_close(w->broker);
    for (size_t i = 0; i < N_WORKERS; i++)
        sim_worker_free(w->workers[i]);
    for (size_t i = 0; i < N_CLIENTS; i++)
        sim_client_free(w->clients[i]);
    for (size_t i = 0; i < N_NODES; i++)
        net_fini(w, i);
    record_free(w->record);
    remove_db(w);
}

static void pass_time(struct world *w)
{
    int64_t step = 1 + (int64_t)rng_below(&w->rng, STEP_MS);
    w->now.mono_ms += step;
    w->now.wall_ms += step;
    if (w->faults.wall_jumps && !w->calm && world_chance(w, 400))
        w->now.wall_ms += (int64_t)rng_below(&w->rng, 20000) - 10000;
}

static void cut_somebody(struct world *w)
{
    if (!w->faults.cuts || w->calm || !world_chance(w, 300))
        return;
    size_t node = rng_below(&w->rng, N_NODES);
    int64_t down = (int64_t)rng_below(&w->rng, world_chance(w, 4) ? 2 * LOST_AFTER_MS : 50);
    world_trace(w, "node %zu is cut for %" PRId64 " ms", node, down);
    net_cut(w, node, down);
}

static void turn(struct world *w)
{
    pass_time(w);
    cut_somebody(w);
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
    return record_all_ended(w);
}

static size_t run(uint64_t seed)
{
    struct world w;
    start(&w, seed);
    int64_t calm_at = w.now.mono_ms + STORM_MS;
    while (w.now.mono_ms < calm_at)
        turn(&w);
    w.calm = true;
    world_trace(&w, "calm; %zu jobs were acknowledged", record_count(&w));
    for (size_t i = 0; i < N_CLIENTS; i++)
        sim_client_stop_submitting(w.clients[i]);
    for (unsigned n = 0; n % 50 || !is_over(&w); n++) {
        turn(&w);
        world_check(&w, w.now.mono_ms < calm_at + CALM_MS, "P2: not everything has ended a minute after the faults stopped");
    }
    record_check_end(&w);
    size_t jobs = record_count(&w);
    stop(&w);
    return jobs;
}

int main(int argc, char **argv)
{
    log_init("sim", getenv("SEED") ? LOG_LEVEL_DEBUG : (enum log_level)0);
    uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : 200, first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    if (getenv("SEED")) {
        first = strtoull(getenv("SEED"), NULL, 10);
        seeds = 1;
    }
    size_t jobs = 0;
    disk_init();
    for (uint64_t seed = first; seed < first + seeds; seed++)
        jobs += run(seed);
    printf("%" PRIu64 " seeds, %zu jobs acknowledged, %lu writes refused by a full disk, 0 violations\n", seeds, jobs, disk_refused());
    return 0;
}
