/* sim.c - runs worlds, one a seed: `tests/sim/sim [SEEDS [FIRST]]` in PROCESSES processes, TERN_SEEDS of them where no number is named;
 * SEED=n in the environment for one, with a trace, FAULTS=n,n,... with these of its faults alone, JOB=n for what is about this job. */
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/log.h"
#include "tests/sim/disk.h"
#include "tests/sim/shrink.h"
#include "tests/sim/world.h"

#define SEEDS_DEFAULT 300
#define PROCESSES_MAX 64

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static struct report *shared_reports(size_t n)
{
    void *p = mmap(NULL, n * sizeof(struct report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        perror("sim: mmap");
        exit(2);
    }
    return p;
}

static int run_one(uint64_t seed)
{
    static struct fault_list only;
    const char *list = getenv("FAULTS");
    for (char *end; list && only.n < FAULT_EVENTS_MAX; list = *end == ',' ? end + 1 : NULL)
        only.at[only.n++] = (uint32_t)strtoul(list, &end, 10);
    struct report *report = shared_reports(1);
    pid_t pid = fork(); /* a run that fails ends its process */
    if (pid == 0) {
        sim_run(seed, getenv("FAULTS") ? &only : NULL, report, true, number_from("JOB", 0));
        _exit(0);
    }
    int status = 1;
    waitpid(pid, &status, 0);
    sim_clean_up(pid);
    printf("%s\n", report->failed ? report->text : status ? "it crashed" : "0 violations");
    return status != 0;
}

static void run_seeds(uint64_t first, uint64_t end, uint64_t step, struct report *report)
{
    for (uint64_t seed = first; seed < end; seed += step)
        sim_run(seed, NULL, report, false, 0);
}

static void print_totals(const struct report *reports, size_t n)
{
    struct report sum = { 0 };
    for (size_t i = 0; i < n; i++) {
        sum.seeds += reports[i].seeds;
        sum.jobs += reports[i].jobs;
        sum.attempts += reports[i].attempts;
        sum.kept += reports[i].kept;
        sum.kept_late += reports[i].kept_late;
        for (int kind = 0; kind < N_FAULTS; kind++)
            sum.faults[kind] += reports[i].faults[kind];
    }
    printf("%" PRIu64 " seeds, %" PRIu64 " jobs acknowledged, %" PRIu64 " attempts\n", sum.seeds, sum.jobs, sum.attempts);
    printf("%" PRIu64 " checkpoints acknowledged, %" PRIu64 " refused that came late\n", sum.kept, sum.kept_late);
    for (int kind = 0; kind < N_FAULTS; kind++)
        printf("%10" PRIu64 " x %s\n", sum.faults[kind], fault_text(kind));
}

static int run_many(uint64_t seeds, uint64_t first, size_t processes)
{
    struct report *reports = shared_reports(processes);
    pid_t pids[PROCESSES_MAX];
    const struct report *failed = NULL;
    for (size_t i = 0; i < processes; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            run_seeds(first + i, first + seeds, processes, &reports[i]);
            exit(0);
        }
    }
    for (size_t i = 0; i < processes; i++) {
        int status;
        waitpid(pids[i], &status, 0);
        sim_clean_up(pids[i]);
        if (status && !reports[i].failed)
            snprintf(reports[i].text, sizeof reports[i].text, "SEED=%" PRIu64 " crashed", reports[i].seed);
        if (status && !failed)
            failed = &reports[i];
    }
    print_totals(reports, processes);
    if (!failed) {
        printf("0 violations\n");
        return 0;
    }
    fprintf(stderr, "%s\n", failed->text);
    shrink(failed);
    return 1;
}

int main(int argc, char **argv)
{
    bool one = getenv("SEED") != NULL;
    log_init("sim", one && getenv("DEBUG") ? LOG_LEVEL_DEBUG : (enum log_level)0);
    disk_init();
    if (one)
        return run_one(number_from("SEED", 1));
    uint64_t seeds = argc > 1 ? strtoull(argv[1], NULL, 10) : number_from("TERN_SEEDS", SEEDS_DEFAULT);
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    uint64_t processes = number_from("PROCESSES", 1);
    return run_many(seeds, first, processes < 1 ? 1 : processes > PROCESSES_MAX ? PROCESSES_MAX : processes);
}
