/* cmd_run.c - `tern run`: submits, waits, relays the output, and ends as the command ended. INT and
 * TERM cancel the job.
 *
 * Status: the command's own, 128+N for signal N, 124 for its time limit; 125 for tern itself. */
#include "client/commands.h"

#include <inttypes.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "client/describe.h"
#include "client/job_options.h"
#include "client/show.h"

#define STATUS_TERN 125

static int ours(int status) { return status == STATUS_USAGE ? STATUS_USAGE : STATUS_TERN; }

/* INT and TERM as a descriptor, that ends a wait. -1 when that cannot be had. */
static int catch_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static bool take_signal(int fd)
{
    struct signalfd_siginfo info;
    return read(fd, &info, sizeof info) == (ssize_t)sizeof info;
}

static int fetch(struct cli *cli, uint64_t id, bool is_command, struct tern_result *ret)
{
    return is_command ? tern_client_fetch_output(cli->client, id, 0, ret)
                      : tern_client_fetch_result(cli->client, id, ret);
}

static int cancel(struct cli *cli, uint64_t id, bool is_command, int signals, struct tern_result *ret)
{
    struct tern_range job = { id, id };
    take_signal(signals);
    tern_client_set_interrupt(cli->client, -1);
    cli_notice("cancelling job %s; once more leaves it to itself", cli_id(cli, id).text);
    int r = tern_client_cancel(cli->client, &job, 1, NULL, NULL, NULL);
    tern_client_set_interrupt(cli->client, signals);
    if (r >= 0)
        r = tern_client_wait(cli->client, &job, 1, false, -1, NULL);
    return r < 0 ? r : fetch(cli, id, is_command, ret);
}

static int status_of(const struct tern_result *r, bool is_command)
{
    const char *reason = r->reason ? r->reason : "";
    if (strcmp(r->state, "done") == 0)
        return 0;
    if (strcmp(r->state, "dead") != 0)
        return STATUS_TERN;
    if (strcmp(reason, "exit") == 0 && r->exit_code > 0)
        return (int)(r->exit_code & 0xff);
    if (strcmp(reason, "signal") == 0 && r->signal > 0)
        return 128 + (int)(r->signal & 0x7f);
    if (strcmp(reason, "time-limit") == 0)
        return STATUS_TIMEOUT;
    if (strcmp(reason, "memory-limit") == 0)
        return 128 + SIGKILL;
    /* The handler of a command is tern itself. */
    return strcmp(reason, "handler-error") == 0 && !is_command ? STATUS_FAILED : STATUS_TERN;
}

/* The command says itself why it failed; what it cannot say is said here. */
static void explain(const struct cli *cli, const struct tern_result *r, int status)
{
    bool exited = r->reason && strcmp(r->reason, "exit") == 0;
    if (status == 0 || (exited && status != 126 && status != 127))
        return;
    cleanup(freep) char *how =
        describe_end(r->reason, r->exit_code, r->signal, exited ? NULL : r->error);
    if (exited && r->error)
        cli_notice("%s", r->error);
    else
        cli_notice("job %s is %s%s%s", cli_id(cli, r->job).text, r->state, *how ? ": " : "", how);
}

static int relay(const struct cli *cli, const struct tern_result *result, bool is_command)
{
    if (is_command)
        show_output(result, 0);
    else if (result->data)
        fwrite(result->data, 1, result->data_bytes, stdout);
    fflush(stdout);
    int status = status_of(result, is_command);
    explain(cli, result, status);
    return status;
}

static int run_job(struct cli *cli, const struct tern_job_spec *spec, bool is_command, int signals)
{
    uint64_t id;
    struct tern_result result;
    tern_client_set_interrupt(cli->client, signals);
    int r = tern_client_run(cli->client, spec, is_command, &id, &result);
    if (r == -EINTR && id) {
        r = cancel(cli, id, is_command, signals, &result);
        if (r == -EINTR)
            return STATUS_TERN;
    }
    if (r < 0)
        return ours(cli_broken(cli, r));
    int status = relay(cli, &result, is_command);
    tern_result_fini(&result);
    return status;
}

static int load_and_run(struct cli *cli, struct job_options *o, bool is_command, int signals)
{
    char *error = NULL;
    if (job_options_load(o, &error) < 0) {
        cli_notice("%s", error);
        free(error);
        return STATUS_USAGE;
    }
    int status = cli_use_home(cli, o->queue);
    if (status)
        return ours(status);
    struct tern_job_spec spec;
    job_options_spec(o, &spec);
    tern_client_on_notice(cli->client, cli_on_notice, cli);
    return run_job(cli, &spec, is_command, signals);
}

static int run(struct cli *cli, void *to, int n, char **args)
{
    struct job_options *o = to;
    for (int i = 0; i < n; i++)
        strings_add(&o->command, args[i]);
    cleanup(closep) int signals = catch_signals();
    return load_and_run(cli, o, n > 0, signals);
}

static void init(void *to) { job_options_init(to); }
static void fini(void *to) { job_options_fini_rest(to); }

const struct command command_run = {
    .name = "run",
    .operands = "[--] COMMAND [ARG...]",
    .summary = "submit a command, wait, relay its output, end as it ended",
    .job_options = job_options,
    .options_bytes = sizeof(struct job_options),
    .init = init,
    .fini = fini,
    .stop_at_operand = true,
    .run = run,
};
