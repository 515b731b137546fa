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

/* What was submitted, in order: as ranges, since --wait needs them. */
struct submitted {
    bool json;
    struct tern_range range;
};

static void print_ids(void *context, uint64_t first_id, uint64_t count)
{
    struct submitted *s = context;
    for (uint64_t id = first_id; id < first_id + count; id++) {
        if (s->json) {
            struct json j;
            json_begin(&j);
            json_count(&j, "id", id);
            json_print(&j);
        } else
            printf("%" PRIu64 "\n", id);
    }
    /* Whoever writes the lines may wait for the ids. */
    fflush(stdout);
    if (!s->range.first || first_id < s->range.first)
        s->range.first = first_id;
    if (first_id + count - 1 > s->range.last)
        s->range.last = first_id + count - 1;
}

static int wait_for(struct cli *cli, const struct tern_range *range)
{
    int r = tern_client_wait(cli->client, range, 1, false, -1, NULL);
    return r < 0 ? cli_broken(cli, r) : show_failures(cli, range, 1);
}

/* ---- --batch -------------------------------------------------------------------------------- */

static int bad_line(const struct lines *l, int status, const char *why)
{
    fflush(stdout);
    fprintf(stderr, "line %" PRIu64 ": %s\n", l->number, why);
    return status;
}

static int submit_line(struct cli *cli, const struct job_options *base, const struct lines *l,
                       struct str line)
{
    struct job_options o;
    struct tern_job_spec spec;
    char *error = NULL;
    int status = 0;
    job_options_copy(&o, base);
    if (batch_read_line(line, &o, &error) < 0 || job_options_load(&o, &error) < 0)
        status = bad_line(l, STATUS_USAGE, error);
    else {
        job_options_spec(&o, &spec);
        int r = tern_client_submit_add(cli->client, &spec);
        if (r == -EINVAL || r == -EMSGSIZE)
            status = bad_line(l, STATUS_USAGE, tern_client_error(cli->client));
        else if (r < 0)
            status = cli_broken(cli, r);
    }
    free(error);
    job_options_fini(&o);
    return status;
}

/* More to read at once, or else: what has come so far goes out, and answers come in, until there
 * is. */
static int attend(struct cli *cli, int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    if (poll(&p, 1, 0) != 0)
        return 0;
    int r = tern_client_submit_attend(cli->client, fd);
    return r < 0 ? cli_broken(cli, r) : 0;
}

static int submit_lines(struct cli *cli, const struct job_options *base, struct lines *l)
{
    for (;;) {
        struct str line;
        int r = lines_next(l, &line), status = 0;
        if (r == 0)
            return 0;
        if (r == -EMSGSIZE)
            return bad_line(l, STATUS_USAGE, "longer than 2 MiB");
        if (r == -EAGAIN) {
            status = attend(cli, l->fd);
            r = status ? 0 : lines_fill(l);
            if (r < 0)
                return cli_fail(STATUS_USAGE, "reading the batch: %s", strerror(-r));
        } else if (!batch_is_blank(line))
            status = submit_line(cli, base, l, line);
        if (status)
            return status;
    }
}

static int submit_batch(struct cli *cli, const struct submit_options *o, struct submitted *done)
{
    bool in = strcmp(o->batch, "-") == 0;
    cleanup(closep) int fd = in ? dup(STDIN_FILENO) : open(o->batch, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cli_fail(STATUS_USAGE, "%s: %s", o->batch, strerror(errno));
    int status = cli_connect(cli);
    if (status)
        return status;
    tern_client_on_submitted(cli->client, print_ids, done);
    tern_client_on_notice(cli->client, cli_on_notice, cli);
    struct lines l;
    lines_init(&l, fd);
    status = submit_lines(cli, &o->job, &l);
    lines_fini(&l);
    /* A bad line stops there; what stood before it is submitted. */
    int r = status == 0 || status == STATUS_USAGE ? tern_client_submit_flush(cli->client) : 0;
    return r < 0 ? cli_broken(cli, r) : status;
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
    int status = cli_connect(cli);
    if (status)
        return status;
    struct tern_job_spec spec;
    uint64_t id;
    tern_client_on_notice(cli->client, cli_on_notice, cli);
    job_options_spec(o, &spec);
    r = tern_client_submit(cli->client, &spec, 1, &id);
    if (r < 0)
        return cli_broken(cli, r);
    print_ids(done, id, 1);
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
    struct submitted done = { .json = cli->json };
    int status = o->batch ? check_batch(o, n) : 0;
    for (int i = 0; i < n; i++)
        strings_add(&o->job.command, args[i]);
    if (status)
        return status;
    status = o->batch ? submit_batch(cli, o, &done) : submit_one(cli, &o->job, &done);
    if (status || !o->wait || !done.range.first)
        return status;
    return wait_for(cli, &done.range);
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
