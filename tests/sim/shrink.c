/* shrink.c - delta debugging over the faults that happened (Zeller and Hildebrandt 2002: ddmin, without its complements). */
#include "tests/sim/shrink.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUNS_MAX 600

struct shrinking {
    uint64_t seed;
    struct report *report; /* owned, shared with the runs: of the last one */
    struct fault_list kept;
    struct report best;    /* of the shortest run that failed */
    unsigned runs;
};

/* A run that fails ends its process, so each has its own. */
static bool fails(struct shrinking *s, const struct fault_list *only, bool trace)
{
    memset(s->report, 0, sizeof *s->report);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        sim_run(s->seed, only, s->report, trace, s->best.about);
        _exit(0);
    }
    int status = 0;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    sim_clean_up(pid);
    s->runs++;
    if (WIFSIGNALED(status)) {
        s->report->failed = true;
        snprintf(s->report->text, sizeof s->report->text, "ended by signal %d", WTERMSIG(status));
    }
    return s->report->failed;
}

/* Tries without n of the kept from `at` on. True when it still fails: they stay out. */
static bool try_without(struct shrinking *s, size_t at, size_t n)
{
    static struct fault_list fewer;
    fewer.n = 0;
    for (size_t i = 0; i < s->kept.n; i++)
        if (i < at || i >= at + n)
            fewer.at[fewer.n++] = s->kept.at[i];
    if (!fails(s, &fewer, false))
        return false;
    s->kept = fewer;
    s->best = *s->report;
    return true;
}

static void leave_out(struct shrinking *s)
{
    size_t before = s->kept.n + 1;
    for (size_t n = (s->kept.n + 1) / 2; n > 1 || s->kept.n < before; n = (n + 1) / 2) {
        before = s->kept.n;
        for (size_t at = 0; at < s->kept.n && s->runs < RUNS_MAX;)
            if (!try_without(s, at, min_size(n, s->kept.n - at)))
                at += n;
    }
}

static void print_repeat(const struct shrinking *s)
{
    fprintf(stderr, "%zu of %zu faults are left after %u runs; all of it again: SEED=%" PRIu64 " FAULTS=", s->kept.n,
            s->best.happened.n, s->runs, s->seed);
    for (size_t i = 0; i < s->kept.n; i++)
        fprintf(stderr, "%s%" PRIu32, i ? "," : "", s->kept.at[i]);
    fprintf(stderr, " tests/sim/sim\n");
}

void shrink(const struct report *failed)
{
    static struct shrinking s;
    s = (struct shrinking){ .seed = failed->seed, .kept = failed->happened, .best = *failed };
    s.report = mmap(NULL, sizeof *s.report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s.report == MAP_FAILED)
        return;
    size_t all = s.kept.n;
    leave_out(&s);
    fprintf(stderr, "the shortest run that fails, what is about job %" PRIu64 " (0: everything):\n", s.best.about);
    fails(&s, &s.kept, true);
    s.best.happened.n = all;
    fprintf(stderr, "%s\n", s.best.text);
    print_repeat(&s);
    munmap(s.report, sizeof *s.report);
}
