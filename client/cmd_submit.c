/* cmd_submit.c - `tern submit`: one job, or with --batch one for each line of JSON. */
#include "client/commands.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <unistd.h>

#include "client/batch.h"
#include "client/job_options.h"
#include "client/json.h"
#include "client/show.h"
#include "client/slurp.h"
#include "client/spread.h"

struct submit_options {
    struct job_options job;
    char *batch;
    bool wait;
};

static const struct option_def options[] = {
    { .name = "batch",
      .value = "FILE|-",
      .help = "a job for each line: a JSON object with the options' names as keys",
      .type = OPTION_TEXT,
      .offset = offsetof(struct submit_options, batch) },
    { .name = "wait",
      .help = "return when the job has ended; 1 unless it is done",
      .type = OPTION_FLAG,
      .offset = offsetof(struct submit_options, wait) },
    { 0 },
};

/* What was submitted, for --wait: of each broker as a range. */
struct submitted {
    struct cli *cli;
    struct tern_range at[LIMIT_BROKERS];
};

/* Of the broker at place, which need not be the one that was asked last. */
static void print_id(void *context, size_t place, uint64_t id)
{
    struct submitted *s = context;
    struct tern_range *range = &s->at[place];
    size_t asked = s->cli->place;
    s->cli->place = place;
    if (s->cli->json) {
        struct json j;
        json_begin(&j);
        json_count(&j, "id", id);
        cli_json_broker(s->cli, &j);
        json_print(&j);
    } else
        printf("%s\n", cli_id(s->cli, id).text);
    s->cli->place = asked;
    range->first = range->first && range->first < id ? range->first : id;
    range->last = range->last > id ? range->last : id;
}

static int wait_for(struct cli *cli, const struct submitted *done)
{
    int status = 0;
    for (size_t i = 0; i < cli->brokers.n; i++) {
        if (!done->at[i].first)
            continue;
        int r = cli_use(cli, i) == 0 ? tern_client_wait(cli->client, &done->at[i], 1, false, -1, NULL) : -EHOSTUNREACH;
        cli_keep_first(&status, r < 0 ? cli_broken(cli, r) : show_failures(cli, &done->at[i], 1));
    }
    return status;
}

/* ---- --batch -------------------------------------------------------------------------------- */

static int bad_line(const struct lines *l, int status, const char *why)
{
    fflush(stdout);
    fprintf(stderr, "line %" PRIu64 ": %s\n", l->number, why);
    return status;
}

/* A batch on its way: its lines, and who has them. */
struct batch {
    struct cli *cli;
    const struct job_options *base;
    struct lines lines;
    struct spread spread;
};

/* Whoever writes the lines may wait for the ids. */
static void on_submitted(void *context, uint64_t first_id, uint64_t count)
{
    spread_on_submitted(context, first_id, count);
    fflush(stdout);
}

/* The first line that the broker refuses is named. */
static void on_refused(void *context, uint64_t count, uint64_t job, const char *text)
{
    struct spread_broker *at = context;
    uint64_t line = spread_skip(at, count, job);
    if (at->named || !*text)
        return;
    at->named = true;
    fflush(stdout);
    fprintf(stderr, "line %" PRIu64 ": %s\n", line, text);
    if (count > 1)
        fprintf(stderr, "the %" PRIu64 " other lines that were sent with it are not submitted, either: those without an id\n", count - 1);
}

static int stream_failed(struct batch *b, int r)
{
    struct spread_broker *at = &b->spread.at[b->cli->place];
    at->broken = true;
    return at->named ? tern_exit_status(r) : cli_broken(b->cli, r);
}

static int flush_batch(struct batch *b)
{
    int status = 0;
    for (size_t i = 0; i < b->spread.n_at; i++) {
        struct spread_broker *at = &b->spread.at[i];
        if (!at->used || at->broken)
            continue;
        cli_use(b->cli, i);
        int r = tern_client_submit_flush(b->cli->client);
        cli_keep_first(&status, r < 0 ? stream_failed(b, r) : 0);
    }
    return status;
}

/* The home of a line's job, ready to take it. */
static int use_home(struct batch *b, const char *queue)
{
    int status = cli_use_home(b->cli, queue);
    struct spread_broker *at = &b->spread.at[b->cli->place];
    if (status)
        return bad_line(&b->lines, status, "it and what stands behind it is not submitted");
    if (!at->used) {
        tern_client_on_submitted(b->cli->client, on_submitted, at);
        tern_client_on_refused(b->cli->client, on_refused, at);
        tern_client_on_notice(b->cli->client, cli_on_notice, b->cli);
        at->used = true;
    }
    if (spread_add(&b->spread, at->place, b->lines.number))
        return 0;
    status = flush_batch(b);
    if (status == 0 && cli_use(b->cli, at->place) == 0)
        spread_add(&b->spread, at->place, b->lines.number);
    return status;
}

static int submit_job(struct batch *b, const struct job_options *o)
{
    struct tern_job_spec spec;
    job_options_spec(o, &spec);
    int status = use_home(b, spec.queue);
    if (status)
        return status;
    int r = tern_client_submit_add(b->cli->client, &spec);
    if (r >= 0)
        return 0;
    if ((r == -EINVAL || r == -EMSGSIZE) && !b->spread.at[b->cli->place].named) {
        spread_drop_last(&b->spread);
        return bad_line(&b->lines, STATUS_USAGE, tern_client_error(b->cli->client));
    }
    return stream_failed(b, r);
}

static int submit_line(struct batch *b, struct str line)
{
    struct job_options o;
    char *error = NULL;
    job_options_copy(&o, b->base);
    int status = batch_read_line(line, &o, &error) < 0 || job_options_load(&o, &error) < 0
                     ? bad_line(&b->lines, STATUS_USAGE, error)
                     : submit_job(b, &o);
    free(error);
    job_options_fini(&o);
    return status;
}

/* More to read at once, or else: what has come so far goes out, and answers come in, until there
 * is. Several brokers are to have answered first. */
static int attend(struct batch *b)
{
    struct pollfd p = { .fd = b->lines.fd, .events = POLLIN };
    if (poll(&p, 1, 0) != 0)
        return 0;
    if (cli_has_several(b->cli))
        return flush_batch(b);
    int r = tern_client_submit_attend(b->cli->client, b->lines.fd);
    return r < 0 ? stream_failed(b, r) : 0;
}

static int submit_lines(struct batch *b)
{
    struct lines *l = &b->lines;
    for (;;) {
        struct str line;
        int r = lines_next(l, &line), status = 0;
        if (r == 0)
            return 0;
        if (r == -EMSGSIZE)
            return bad_line(l, STATUS_USAGE, "longer than 2 MiB");
        if (r == -EAGAIN) {
            status = attend(b);
            r = status ? 0 : lines_fill(l);
            if (r < 0)
                return cli_fail(STATUS_USAGE, "reading the batch: %s", strerror(-r));
        } else if (!batch_is_blank(line))
            status = submit_line(b, line);
        if (status)
            return status;
    }
}

/* What was taken behind a line that was not: its id would stand in the wrong line of the output. */
static void tell_behind(struct batch *b)
{
    struct spread_line line;
    while (spread_next_behind(&b->spread, &line)) {
        b->cli->place = line.place;
        fprintf(stderr, "line %" PRIu64 ": submitted all the same, as %s\n", line.number, cli_id(b->cli, line.id).text);
    }
}

static int submit_batch(struct cli *cli, const struct submit_options *o, struct submitted *done)
{
    bool in = strcmp(o->batch, "-") == 0;
    cleanup(closep) int fd = in ? dup(STDIN_FILENO) : open(o->batch, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cli_fail(STATUS_USAGE, "%s: %s", o->batch, strerror(errno));
    int status = cli_open(cli);
    if (status == 0 && !cli_has_several(cli))
        status = cli_use(cli, 0);
    if (status)
        return status;
    struct batch b = { .cli = cli, .base = &o->job };
    spread_init(&b.spread, cli->brokers.n, print_id, done);
    lines_init(&b.lines, fd);
    status = submit_lines(&b);
    lines_fini(&b.lines);
    /* A bad line stops there; what stood before it is submitted. */
    cli_keep_first(&status, flush_batch(&b));
    tell_behind(&b);
    spread_fini(&b.spread);
    return status;
}

/* ---- one job -------------------------------------------------------------------------------- */

static int submit_one(struct cli *cli, struct job_options *o, struct submitted *done)
{
    char *error = NULL;
    int r = job_options_load(o, &error);
    if (r < 0) {
        int status = cli_fail(r == -EMSGSIZE ? STATUS_REFUSED : STATUS_USAGE, "%s", error);
        free(error);
        return status;
    }
    int status = cli_use_home(cli, o->queue);
    if (status)
        return status;
    struct tern_job_spec spec;
    uint64_t id;
    tern_client_on_notice(cli->client, cli_on_notice, cli);
    job_options_spec(o, &spec);
    r = tern_client_submit(cli->client, &spec, 1, &id);
    if (r < 0)
        return cli_broken(cli, r);
    print_id(done, cli->place, id);
    fflush(stdout);
    return 0;
}

static int check_batch(const struct submit_options *o, int n)
{
    const struct job_options *j = &o->job;
    if (n > 0)
        return cli_fail(STATUS_USAGE,
                        "either a command or --batch, not both: the commands stand in the lines");
    if (j->payload || j->stdin_file)
        return cli_fail(STATUS_USAGE, "--payload and --stdin belong into the lines of --batch");
    return 0;
}

static int run(struct cli *cli, void *to, int n, char **args)
{
    struct submit_options *o = to;
    struct submitted done = { .cli = cli };
    int status = o->batch ? check_batch(o, n) : 0;
    for (int i = 0; i < n; i++)
        strings_add(&o->job.command, args[i]);
    if (status)
        return status;
    status = o->batch ? submit_batch(cli, o, &done) : submit_one(cli, &o->job, &done);
    return status || !o->wait ? status : wait_for(cli, &done);
}

static void init(void *to) { job_options_init(&((struct submit_options *)to)->job); }
static void fini(void *to) { job_options_fini_rest(&((struct submit_options *)to)->job); }

const struct command command_submit = {
    .name = "submit",
    .operands = "[--] COMMAND [ARG...] | --handler NAME | --batch FILE",
    .summary = "submit a job, print its id",
    .options = options,
    .job_options = job_options,
    .job_options_offset = offsetof(struct submit_options, job),
    .options_bytes = sizeof(struct submit_options),
    .init = init,
    .fini = fini,
    .stop_at_operand = true,
    .run = run,
};
