/* sweep.c - at every operation of the disk, everything that can happen to it: `tests/sweep/sweep all`, or at every N-th write and
 * eight times as many of what is rarer, from OFFSET on, with `every N [OFFSET]` (without arguments: a short one), or one case
 * with a trace: `K KIND VARIANT`. */
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "proto/base/log.h"
#include "tests/sweep/sweep.h"

#define SHORT_STRIDE 64
#define RARE_TIMES 8

static const char *const ops[] = { "write", "sync", "truncate", "delete" };

static const struct {
    const char *name;
    unsigned variants; /* of what the disk keeps */
} kinds[N_KINDS] = {
    [KIND_NONE] = { "none", 0 }, [KIND_DIE] = { "die", 1 }, [KIND_POWER] = { "power", 3 }, [KIND_EIO] = { "eio", 1 },
    [KIND_EIO_DIE] = { "eio-die", 3 }, [KIND_EIO_POWER] = { "eio-power", 2 }, [KIND_FULL] = { "full", 1 },
};

static struct {
    char dir[64], path[96];
    bool trace;
    unsigned long points, faults, reopenings, jobs_checked;
} all;

const char *kind_name(enum kind k) { return kinds[k].name; }

static void remove_dir(void)
{
    cleanup(freep) char *lock = xasprintf("%s.lock", all.path);
    unlink(lock);
    rmdir(all.dir);
}

void sweep_fail(const struct sweep *s, const char *format, ...)
{
    const char *op = disk_failed_op();
    va_list ap;
    fprintf(stderr, "operation %lu (%s), %s, variant %u, turn %lu: ", s->k, op ? op : "not yet", kind_name(s->kind), s->variant,
            s->turn);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fprintf(stderr, "\nagain: tests/sweep/sweep %lu %s %u\n", s->k, kind_name(s->kind), s->variant);
    remove_dir();
    exit(1);
}

void sweep_trace(const struct sweep *s, const char *format, ...)
{
    if (!s->trace)
        return;
    va_list ap;
    fprintf(stderr, "%4lu ", s->turn);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
}

static unsigned long run(unsigned long k, enum kind kind, unsigned variant)
{
    struct sweep s;
    run_begin(&s, k, kind, variant, all.path);
    s.trace = all.trace;
    load_run(&s);
    unsigned long done = disk_ops();
    sweep_check(&s, kind == KIND_NONE || disk_failed_op(), "the load never came so far");
    run_end(&s);
    all.faults += kind != KIND_NONE;
    all.reopenings += s.reopenings;
    all.jobs_checked += s.jobs_checked;
    return done;
}

static void run_kinds(unsigned long k)
{
    all.points++;
    for (enum kind kind = KIND_DIE; kind < N_KINDS; kind++)
        for (unsigned variant = 1; variant <= kinds[kind].variants; variant++)
            run(k, kind, variant);
}

static enum kind kind_of(const char *name)
{
    enum kind k = KIND_NONE;
    while (k < N_KINDS && strcmp(kind_name(k), name) != 0)
        k++;
    return k;
}

static unsigned long number(const char *text) { return strtoul(text, NULL, 10); }

/* The k of each operation of that name, in a run without faults; owned by the caller. */
static unsigned long *find_ops(const char *op, size_t *ret_n)
{
    unsigned long last = run(0, KIND_NONE, 0), *ks = xcalloc(last, sizeof *ks);
    *ret_n = 0;
    for (unsigned long k = 1; k <= last; k++)
        if (strcmp(disk_op(k), op) == 0)
            ks[(*ret_n)++] = k;
    return ks;
}

static void run_every(unsigned long stride, unsigned long offset)
{
    size_t counts[ELEMENTS(ops)];
    for (size_t i = 0; i < ELEMENTS(ops); i++) {
        size_t n, step = i == 0 ? stride : (stride + RARE_TIMES - 1) / RARE_TIMES;
        cleanup(freep) unsigned long *ks = find_ops(ops[i], &n);
        for (size_t at = offset % step; at < n; at += step)
            run_kinds(ks[at]);
        counts[i] = n;
    }
    printf("%zu writes, %zu syncs, %zu truncates, %zu deletes; at %lu of them %lu faults: %lu reopenings, "
           "%lu times a job was checked, 0 violations\n", counts[0], counts[1], counts[2], counts[3], all.points, all.faults,
           all.reopenings, all.jobs_checked);
}

static int usage(void)
{
    fprintf(stderr, "usage: sweep [all | every N [OFFSET] | K KIND VARIANT]\n");
    return 2;
}

int main(int argc, char **argv)
{
    snprintf(all.dir, sizeof all.dir, "/tmp/tern-sweep-XXXXXX");
    if (!mkdtemp(all.dir))
        return 1;
    snprintf(all.path, sizeof all.path, "%s/t.db", all.dir);
    disk_init();
    int r = 0;
    log_init("sweep", (enum log_level)0);
    if (argc == 1)
        run_every(SHORT_STRIDE, 0);
    else if (argc == 2 && strcmp(argv[1], "all") == 0)
        run_every(1, 0);
    else if (argc >= 3 && strcmp(argv[1], "every") == 0 && number(argv[2]) > 0)
        run_every(number(argv[2]), argc > 3 ? number(argv[3]) : 0);
    else if (argc == 4 && kind_of(argv[2]) < N_KINDS) {
        all.trace = true;
        log_init("sweep", LOG_LEVEL_DEBUG);
        run(number(argv[1]), kind_of(argv[2]), (unsigned)number(argv[3]));
    } else {
        r = usage();
    }
    remove_dir();
    return r;
}
