/* advise.c - from measures to a sentence. */
#include "broker/advise.h"

#include <inttypes.h>

#include "broker/route.h"

#define WORTH_US 2000        /* a run that is shorter costs little in any pool */
#define COMPUTES_SHARE 0.7   /* clearly: beyond where `auto` changes its mind */
#define WAITS_SHARE 0.3
#define IDLE_SHARE 0.1       /* as of `auto`: thousands of them at once are no load */
#define MIDDLE_SHARE 500     /* in thousandths: where half of the runs may not be */
#define LONG_US (500 * 1000)
#define CLEARLY_LONG_US (1000 * 1000)

/* ---- what it does ----------------------------------------------------------------------------------- */

static bool computes(const struct tally *t, struct measure_means m)
{
    return m.share >= COMPUTES_SHARE && sketch_quantile(&t->share, 0.25) >= MIDDLE_SHARE;
}

static bool waits(const struct tally *t, struct measure_means m)
{
    return m.share <= WAITS_SHARE && sketch_quantile(&t->share, 0.75) <= MIDDLE_SHARE;
}

/* The same tag when it is right, or nothing is clear. */
static enum tag better_tag(const struct advise_case *c, struct measure_means m)
{
    if (m.wall_us < WORTH_US)
        return c->asked;
    if (c->asked != TAG_CPU && computes(c->tally, m))
        return TAG_CPU;
    if (c->asked == TAG_CPU && waits(c->tally, m))
        return m.wall_us >= LONG_US && m.share <= IDLE_SHARE ? TAG_SLOW_IO : TAG_IO;
    bool long_one = m.wall_us >= CLEARLY_LONG_US && sketch_quantile(&c->tally->wall, 0.25) >= LONG_US;
    return c->asked == TAG_IO && long_one && m.share <= IDLE_SHARE && waits(c->tally, m) ? TAG_SLOW_IO : c->asked;
}

/* ---- what that gains -------------------------------------------------------------------------------- */

/* Jobs a second: no more than slots are free of, no more than the cores can compute. A pool of processes has a slot for each
 * core, unless it was told otherwise; what computes on the loop has one core. A command is a process of its own in every
 * pool. */
static double most_rate(const struct advise_case *c, enum pool_kind pool, struct measure_means m)
{
    bool shares_loop = pool == POOL_LOOP && strcmp(c->handler->name, "exec") != 0;
    double alone_us = m.wall_us - m.ready_us;
    double by_slots = alone_us > 0 ? 1e6 * (double)c->slots[pool] / alone_us : 0;
    double cores = shares_loop ? 1 : (double)c->slots[POOL_PROCESS];
    double by_cores = m.cpu_us > 0 && cores > 0 ? 1e6 * cores / m.cpu_us : by_slots;
    return by_slots < by_cores ? by_slots : by_cores;
}

static char *time_text(double us)
{
    return us < 1e6 ? xasprintf("%.*f ms", us < 1e4 ? 1 : 0, us / 1e3) : xasprintf("%.*f s", us < 1e7 ? 1 : 0, us / 1e6);
}

static char *rate_text(double rate) { return xasprintf("%.*f", rate < 10 ? 1 : 0, rate); }

static char *order_text(const struct advise_case *c, enum pool_kind from, struct measure_means m)
{
    cleanup(freep) char *cpu = time_text(m.cpu_us);
    if (from == POOL_LOOP && strcmp(c->handler->name, "exec") != 0)
        return xasprintf("each run computes for %s on the one thread on which all others of the loop wait", cpu);
    return xasprintf("up to %" PRIu64 " runs at once share the cores, %s of CPU time each; as cpu at most %" PRIu64
                     " run at once, and the %s pool is free for what waits",
                     c->slots[from], cpu, c->slots[POOL_PROCESS], pool_name(from));
}

static char *gain_text(const struct advise_case *c, enum pool_kind from, enum pool_kind to, struct measure_means m,
                       struct advice_given *a)
{
    double now = most_rate(c, from, m), then = most_rate(c, to, m);
    cleanup(freep) char *order = to == POOL_PROCESS ? order_text(c, from, m) : NULL;
    if (now <= 0 || then <= 0)
        return order ? xstrdup(order) : xasprintf("no slot of the %s pool would be held while it waits", pool_name(from));
    a->most_now = (int64_t)(1000 * now);
    a->most_then = (int64_t)(1000 * then);
    if (then < 1.2 * now)
        return order ? xstrdup(order) : xasprintf("the slots of the %s pool are free for others", pool_name(from));
    cleanup(freep) char *rate_now = rate_text(now), *rate_then = rate_text(then);
    return xasprintf("%s%sat most %s jobs a second instead of %s, with the slots that are connected", order ? order : "",
                     order ? "; " : "", rate_then, rate_now);
}

/* ---- saying it -------------------------------------------------------------------------------------- */

static char *wrong_text(const struct advise_case *c, enum tag better, struct measure_means m)
{
    cleanup(freep) char *wall = time_text(m.wall_us);
    const char *s = c->tally->runs == 1 ? "" : "s";
    double percent = 100 * m.share;
    if (better == TAG_CPU)
        return xasprintf("`%s` is tagged %s; %" PRIu64 " run%s used %.0f %% CPU: tag it %s", c->name, tag_name(c->asked),
                         c->tally->runs, s, percent, tag_name(better));
    return xasprintf("`%s` is tagged %s; %" PRIu64 " run%s used %.0f %% CPU and waited for the rest of %s: tag it %s", c->name,
                     tag_name(c->asked), c->tally->runs, s, percent, wall, tag_name(better));
}

static struct advice_given say(const char *verdict, char *why)
{
    return (struct advice_given){ .verdict = verdict, .better = UNSET, .most_now = UNSET, .most_then = UNSET, .why = why };
}

static struct advice_given say_wrong(const struct advise_case *c, enum tag better, struct measure_means m)
{
    int from = route_of_tag(c->asked, c->handler), to = route_of_tag(better, c->handler);
    if (from == to || from < 0 || to < 0)
        return say("right", xasprintf("another tag would not change its pool, which is %s", from < 0 ? "none" : pool_name(from)));
    struct advice_given a = say("wrong", wrong_text(c, better, m));
    a.better = better;
    a.gain = gain_text(c, (enum pool_kind)from, (enum pool_kind)to, m, &a);
    return a;
}

struct advice_given advise(const struct advise_case *c)
{
    struct measure_means m = tally_means(c->tally);
    if (c->asked == TAG_AUTO)
        return say("auto", c->decided == TAG_AUTO ? xstrdup("too few runs are known: a process")
                                                  : xasprintf("by what was measured it is %s", tag_name(c->decided)));
    if (c->tally->runs < ADVISE_RUNS_NEEDED)
        return say("unknown", xasprintf("%" PRIu64 " runs are known, %d are needed", c->tally->runs, ADVISE_RUNS_NEEDED));
    if (c->runs - c->tally->last_run >= ADVISE_RUNS_NEEDED)
        return say("past", xasprintf("the last %" PRIu64 " runs had other tags", c->runs - c->tally->last_run));
    if (!c->handler)
        return say("unknown", xstrdup("no connected worker has it"));
    enum tag better = better_tag(c, m);
    return better == c->asked ? say("right", xstrdup("what was measured fits its tag")) : say_wrong(c, better, m);
}
