/* cmd_workers.c - `tern workers`: who is connected, and the slots of each pool. */
#include "client/commands.h"

#include <inttypes.h>

#include "client/describe.h"
#include "client/json.h"
#include "client/table.h"
#include "proto/base/buf.h"

static const char *const heads[] = { ">BROKER", "WORKER", "HOST",     ">PID",  "VERSION", "POOL",
                                     ">SLOTS", ">USED",    ">FREE", ">STUCK",  ">WAITING", ">PARKED", ">BLOCKED",
                                     "STATE",  ">HEARD",   "HAS",     "ISOLATION", "HANDLERS", NULL };

struct listing {
    const struct cli *cli;
    size_t n;
    struct table table;
};

static uint64_t free_slots(const struct tern_pool_view *p)
{
    return p->slots > p->used + p->stuck ? p->slots - p->used - p->stuck : 0;
}

static void add_pools(struct json *j, const struct tern_worker_view *w)
{
    json_open(j, "pools");
    for (size_t i = 0; i < w->n_pools; i++) {
        json_open(j, w->pools[i].pool);
        json_count(j, "slots", w->pools[i].slots);
        json_count(j, "used", w->pools[i].used);
        json_count(j, "free", free_slots(&w->pools[i]));
        json_count(j, "stuck", w->pools[i].stuck);
        json_count(j, "waiting", w->pools[i].waiting);
        json_count(j, "parked", w->pools[i].parked);
        if (strcmp(w->pools[i].pool, "loop") == 0) {
            json_count(j, "blocked", w->pools[i].blocked);
            json_ms(j, "blocked_ms", (int64_t)w->pools[i].blocked_ms);
        }
        json_close(j);
    }
    json_close(j);
}

static void add_amounts(struct json *j, const struct tern_worker_view *w)
{
    json_open(j, "resources");
    for (size_t i = 0; i < w->n_amounts; i++) {
        json_open(j, w->amounts[i].name);
        json_count(j, "total", w->amounts[i].total);
        json_count(j, "held", w->amounts[i].held);
        json_close(j);
    }
    json_close(j);
}

static void print_json(const struct cli *cli, const struct tern_worker_view *w)
{
    struct json j;
    json_begin(&j);
    json_text(&j, "name", w->name);
    json_text(&j, "instance", w->instance);
    json_text(&j, "host", w->host);
    json_count(&j, "pid", w->pid);
    json_text(&j, "version", w->software);
    json_text(&j, "owner", w->owner);
    json_text(&j, "isolation", w->isolation);
    json_bool(&j, "draining", w->draining);
    add_pools(&j, w);
    json_texts(&j, "queues", *w->queues ? w->queues : NULL);
    json_texts(&j, "handlers", w->handlers);
    json_ms(&j, "heard_ago_ms", w->heard_ago_ms);
    json_time(&j, "connected_at", w->connected_ms);
    json_texts(&j, "notices", w->notices);
    json_texts(&j, "labels", w->labels);
    add_amounts(&j, w);
    cli_json_broker(cli, &j);
    json_print(&j);
}

static char *joined(const char *const *texts)
{
    struct buf b;
    buf_init(&b, SIZE_MAX / 4);
    for (size_t i = 0; texts[i]; i++)
        buf_addf(&b, "%s%s", i ? " " : "", texts[i]);
    buf_add(&b, "", 1);
    return b.p;
}

/* Labels, and of what jobs can hold how much is held: `gpu=a100 licences 2/4`. */
static char *has(const struct tern_worker_view *w)
{
    struct buf b;
    buf_init(&b, SIZE_MAX / 4);
    for (size_t i = 0; w->labels[i]; i++)
        buf_addf(&b, "%s%s", b.n ? " " : "", w->labels[i]);
    for (size_t i = 0; i < w->n_amounts; i++)
        buf_addf(&b, "%s%s %" PRIu64 "/%" PRIu64, b.n ? " " : "", w->amounts[i].name, w->amounts[i].held,
                 w->amounts[i].total);
    buf_add(&b, "", 1);
    return b.p;
}

/* Only where there is something: parents that wait for children, and how often and how long the loop was blocked: `3x 4.20 s`. */
static void add_seldom(struct table *t, const struct tern_pool_view *p)
{
    cleanup(freep) char *parked = p->parked ? xasprintf("%" PRIu64, p->parked) : NULL;
    cleanup(freep) char *how_long = describe_us((int64_t)p->blocked_ms * 1000);
    cleanup(freep) char *blocked = p->blocked ? xasprintf("%" PRIu64 "x %s", p->blocked, how_long) : NULL;
    table_add(t, parked ? parked : "");
    table_add(t, blocked ? blocked : "");
}

static void add_row(struct table *t, const struct cli *cli, const struct tern_worker_view *w, size_t i)
{
    cleanup(freep) char *handlers = i ? NULL : joined(w->handlers);
    cleanup(freep) char *holds = i ? NULL : has(w), *heard = i ? NULL : describe_us(w->heard_ago_ms * 1000);
    cleanup(freep) char *pid = i ? NULL : xasprintf("%" PRIu64, w->pid);
    if (cli_has_several(cli) && i)
        table_add(t, "");
    else if (cli_has_several(cli))
        table_addf(t, "%zu", cli->place + 1);
    table_add(t, i ? "" : w->name);
    table_add(t, i ? "" : w->host);
    table_add(t, pid ? pid : "");
    table_add(t, i ? "" : w->software);
    table_add(t, w->pools[i].pool);
    table_addf(t, "%" PRIu64, w->pools[i].slots);
    table_addf(t, "%" PRIu64, w->pools[i].used);
    table_addf(t, "%" PRIu64, free_slots(&w->pools[i]));
    table_addf(t, "%" PRIu64, w->pools[i].stuck);
    table_addf(t, "%" PRIu64, w->pools[i].waiting);
    add_seldom(t, &w->pools[i]);
    table_add(t, i ? "" : w->draining ? "draining" : "ready");
    table_add(t, heard ? heard : "");
    table_add(t, i || !w->isolation ? "" : w->isolation);
    table_add(t, holds ? holds : "");
    table_add(t, handlers ? handlers : "");
}

static int take(void *context, const struct tern_worker_view *w)
{
    struct listing *l = context;
    l->n++;
    if (l->cli->json)
        print_json(l->cli, w);
    for (size_t i = 0; !l->cli->json && i < w->n_pools; i++)
        add_row(&l->table, l->cli, w, i);
    for (size_t i = 0; !l->cli->json && w->notices[i]; i++)
        cli_notice("worker %s: %s", w->name, w->notices[i]);
    return 0;
}

/* One without a worker is told of: the jobs of its queues wait. */
static int ask(struct cli *cli, void *context)
{
    struct listing *l = context;
    size_t before = l->n;
    if (!l->table.heads)
        table_begin(&l->table, cli_has_several(cli) ? heads : heads + 1);
    int r = tern_client_workers(cli->client, take, l);
    if (r >= 0 && l->n == before && !cli->json)
        cli_notice("no worker is connected%s%s: start one with `tern-worker --broker %s`",
                   cli_has_several(cli) ? " to " : "", cli_has_several(cli) ? cli_address(cli) : "", cli_address(cli));
    return r < 0 ? cli_broken(cli, r) : 0;
}

static int run(struct cli *cli, void *to, int n, char **args)
{
    (void)to;
    struct listing l = { .cli = cli };
    int status = cli_no_operands(n, args);
    if (status)
        return status;
    status = cli_each_broker(cli, ask, &l);
    if (l.n && !cli->json)
        table_end(&l.table);
    return status;
}

const struct command command_workers = {
    .name = "workers",
    .operands = "",
    .summary = "connected workers: slots by pool, handlers, host, version",
    .run = run,
};
