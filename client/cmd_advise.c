/* cmd_advise.c - `tern advise`: which tags are wrong by what was measured, why, and what the right ones would gain. */
#include "client/commands.h"

#include <inttypes.h>

#include "client/json.h"
#include "client/table.h"

struct advising {
    const struct cli *cli;
    const char *handler; /* or NULL: all */
    bool known;
    size_t n, n_wrong;
    char *last; /* owned: what is said of the last one that is not wrong */
};

static void print_json(const struct cli *cli, const struct tern_advice *a)
{
    struct json j;
    json_begin(&j);
    json_text(&j, "handler", a->handler);
    json_text(&j, "program", a->program);
    json_text(&j, "tag", a->tag);
    json_text(&j, "tag_by", a->tag_by);
    json_text(&j, "pool", a->pool);
    json_count(&j, "runs", a->runs);
    json_time(&j, "last_at", a->last_ms);
    json_us(&j, "wall_mean_ms", a->wall_us);
    json_us(&j, "wall_p50_ms", a->wall_p50_us);
    json_us(&j, "wall_p99_ms", a->wall_p99_us);
    json_us(&j, "cpu_share", a->cpu_share); /* thousandths, as it were */
    json_us(&j, "wait_p50_ms", a->wait_p50_us);
    json_us(&j, "wait_p99_ms", a->wait_p99_us);
    json_number(&j, "memory_p50_kb", a->memory_p50_kb);
    json_number(&j, "memory_p99_kb", a->memory_p99_kb);
    json_text(&j, "verdict", a->verdict);
    json_text(&j, "better", a->better);
    json_text(&j, "why", a->why);
    json_text(&j, "gain", a->gain);
    json_us(&j, "most_per_second_now", a->most_now);
    json_us(&j, "most_per_second_then", a->most_then);
    cli_json_broker(cli, &j);
    json_print(&j);
}

static void print_wrong(const struct tern_advice *a)
{
    cleanup(freep) char *why = printable(a->why), *gain = a->gain ? printable(a->gain) : NULL;
    printf("%s\n", why);
    if (gain)
        printf("    %s\n", gain);
}

static int take(void *context, const struct tern_advice *a)
{
    struct advising *g = context;
    bool wrong = strcmp(a->verdict, "wrong") == 0;
    g->n++;
    g->n_wrong += wrong;
    if (g->cli->json)
        print_json(g->cli, a);
    else if (wrong)
        print_wrong(a);
    if (!wrong) {
        free(g->last);
        g->last = xasprintf("%s, tagged %s: %s", a->program ? a->program : a->handler, a->tag, a->why);
    }
    return 0;
}

static void say_nothing(const struct advising *g, const char *handler)
{
    if (!g->n)
        cli_notice("nothing to say: no run of %s has ended yet", handler ? handler : "any handler");
    else if (g->n == 1 && g->last)
        cli_notice("nothing to say of %s", g->last);
    else
        cli_notice("nothing to say: of %zu tags none is clearly wrong", g->n);
}

/* A handler that one broker does not know, another may. */
static int ask(struct cli *cli, void *context)
{
    struct advising *g = context;
    int r = tern_client_advise(cli->client, g->handler, take, g);
    g->known = g->known || r >= 0;
    return r < 0 && (r != -ENOENT || !cli_has_several(cli)) ? cli_broken(cli, r) : 0;
}

static int run(struct cli *cli, void *to, int n, char **args)
{
    (void)to;
    struct advising g = { .cli = cli, .handler = n > 0 ? args[0] : NULL };
    int status = n ? cli_one_operand(n, args, "handler") : 0;
    if (status)
        return status;
    status = cli_each_broker(cli, ask, &g);
    if (status == 0 && !g.known)
        status = cli_fail(STATUS_NOT_FOUND, "no broker knows the handler or program %s", g.handler);
    else if (status == 0 && !cli->json && !g.n_wrong)
        say_nothing(&g, g.handler);
    free(g.last);
    return status;
}

const struct command command_advise = {
    .name = "advise",
    .operands = "[HANDLER]",
    .summary = "which tags are wrong by what was measured, and what the right ones gain",
    .run = run,
};
