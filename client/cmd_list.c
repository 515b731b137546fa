/* cmd_list.c - `tern list`: many jobs, newest first. */
#include "client/commands.h"

#include <inttypes.h>
#include <unistd.h>

#include "client/describe.h"
#include "client/job_options.h"
#include "client/selector.h"
#include "client/show.h"
#include "client/table.h"
#include "proto/base/nearest.h"
#include "proto/words.h"

#define WORK_COLUMNS 60

struct list_options {
    struct strings states;
    char *queue, *parent;
    int64_t limit;
};

/* `dead`, or `dead,expired`. */
static int add_states(void *field, const char *text, char **ret_error)
{
    for (const char *p = text;;) {
        size_t n = strcspn(p, ",");
        cleanup(freep) char *word = xstrndup((struct str){ p, n });
        if (state_parse(str_of(word)) < 0) {
            struct nearest near = nearest_to(word);
#define X(id, number, name) nearest_offer(&near, name);
            STATES(X)
#undef X
            cleanup(freep) char *hint = nearest_hint(&near, "");
            *ret_error = xasprintf("unknown state \"%s\"; it is one of blocked, scheduled, queued, "
                                   "running, done, dead, "
                                   "cancelled, expired%s",
                                   word, hint);
            return -EINVAL;
        }
        strings_add(field, word);
        if (!p[n])
            return 0;
        p += n + 1;
    }
}

static const struct option_def options[] = {
    { .name = "state",
      .value = "S",
      .help = "only jobs that are queued, running, dead... (several: A,B)",
      .type = OPTION_CALL,
      .offset = offsetof(struct list_options, states),
      .set = add_states },
    { .name = "queue",
      .value = "Q",
      .help = "only jobs of this queue",
      .type = OPTION_TEXT,
      .offset = offsetof(struct list_options, queue) },
    { .name = "parent",
      .value = "ID",
      .help = "only the children of this job",
      .type = OPTION_TEXT,
      .offset = offsetof(struct list_options, parent) },
    { .name = "limit",
      .value = "N",
      .help = "at most so many (100); 0: all",
      .type = OPTION_NUMBER,
      .offset = offsetof(struct list_options, limit),
      .min = 0,
      .max = INT64_MAX },
    { 0 },
};

static const char *const heads[] = { ">ID",  "STATE", "TAG",  "POOL", "QUEUE",
                                     ">TRY", ">WALL", ">AGE", "JOB",  NULL };

struct listing {
    const struct cli *cli;
    const struct list_options *o;
    bool cut;
    struct table table;
    uint64_t n, n_all, limit; /* n: of the broker that is asked */
    uint64_t parent;          /* 0: any */
    size_t parent_place;      /* its broker */
};

/* --parent: one job, by its id. */
static int read_parent(struct cli *cli, struct listing *l)
{
    cleanup(freep) char *error = NULL;
    const char *text = l->o->parent;
    int status = text ? cli_open(cli) : 0;
    if (status || !text)
        return status;
    struct selection s;
    selection_init(&s, cli->brokers.n);
    int r = selection_add(&s, text, &error);
    while (r >= 0 && l->parent_place + 1 < s.n && !s.of[l->parent_place].n)
        l->parent_place++;
    const struct selector *of = &s.of[l->parent_place];
    if (r < 0)
        status = cli_fail(STATUS_USAGE, "--parent: %s", error);
    else if (selection_brokers(&s) != 1 || s.last || !selector_is_one_job(of))
        status = cli_fail(STATUS_USAGE, "--parent takes the id of one job, not \"%s\"", text);
    else
        l->parent = of->ranges[0].first;
    selection_fini(&s);
    return status;
}

static char *work_of(const struct tern_job_view *job)
{
    cleanup(freep) char *work = describe_work(job);
    char *text = job->name ? xasprintf("%s: %s", job->name, work) : TAKE(work);
    if (strlen(text) > WORK_COLUMNS && isatty(STDOUT_FILENO)) {
        size_t n = WORK_COLUMNS - 3;
        while (n && ((unsigned char)text[n] & 0xc0) == 0x80)
            n--;
        memcpy(text + n, "...", 4);
    }
    return text;
}

static void add_row(struct table *t, const struct cli *cli, const struct tern_job_view *job)
{
    cleanup(freep) char *wall = describe_us(job->wall_us);
    cleanup(freep) char *age = describe_age(job->submitted_ms);
    cleanup(freep) char *work = work_of(job);
    table_add(t, cli_id(cli, job->id).text);
    table_add(t, job->state);
    table_add(t, job->tag);
    table_add(t, job->pool);
    table_add(t, job->queue);
    table_addf(t, "%" PRIu64, job->attempt);
    table_add(t, wall);
    table_add(t, age);
    table_add(t, work);
}

/* One more than was asked for is how it is known that there are more. */
static int take(void *context, const struct tern_job_view *job)
{
    struct listing *l = context;
    if (l->limit && l->n == l->limit) {
        l->cut = true;
        return 1;
    }
    l->n++;
    if (l->cli->json)
        show_json(l->cli, job);
    else
        add_row(&l->table, l->cli, job);
    return 0;
}

static int list_selected(struct cli *cli, void *context, const struct selector *sel)
{
    struct listing *l = context;
    struct tern_filter f = {
        .ranges = sel->ranges,
        .n_ranges = sel->n,
        .states = (const char *const *)l->o->states.at,
        .queue = l->o->queue,
        .newest_first = true,
        .limit = l->limit ? l->limit + 1 : 0,
        .parent = l->parent,
    };
    l->n = 0;
    if (l->parent && cli->place != l->parent_place)
        return 0;
    int r = tern_client_list(cli->client, &f, take, l);
    l->n_all += l->n;
    return r < 0 && (r != -ENOENT || sel->n) ? cli_broken_jobs(cli, r, sel) : 0;
}

static int list_broker(struct cli *cli, void *context)
{
    struct selector every = { 0 };
    return list_selected(cli, context, &every);
}

static void say_what_is_not_there(const struct listing *l)
{
    bool some = l->o->states.n || l->o->queue || l->parent;
    if (l->cut)
        cli_notice("the newest %" PRIu64 "%s are shown; there are more: --limit N, or --limit 0 for all", l->limit,
                   cli_has_several(l->cli) ? " of each broker" : "");
    if (!l->n_all && !l->cli->json)
        cli_notice("no jobs%s", some ? " like that" : " yet");
}

static int run(struct cli *cli, void *to, int n, char **args)
{
    const struct list_options *o = to;
    struct listing l = { .cli = cli, .o = o, .limit = (uint64_t)o->limit };
    int status = read_parent(cli, &l);
    if (status)
        return status;
    table_begin(&l.table, heads);
    status = n ? cli_each_selected(cli, n, args, list_selected, &l) : cli_each_broker(cli, list_broker, &l);
    if (l.n_all && !cli->json)
        table_end(&l.table);
    else
        free(l.table.cells);
    if (status == 0)
        say_what_is_not_there(&l);
    return status;
}

static void init(void *to) { ((struct list_options *)to)->limit = 100; }
static void fini(void *to) { strings_fini(&((struct list_options *)to)->states); }

const struct command command_list = {
    .name = "list",
    .operands = "[SEL...]",
    .summary = "many jobs, newest first",
    .options = options,
    .options_bytes = sizeof(struct list_options),
    .init = init,
    .fini = fini,
    .run = run,
};
