/* cli.c - what the commands of `tern` share. */
#include "client/cli.h"

#include <stdarg.h>

#include "client/selector.h"
#include "proto/socket.h"

const struct option_def cli_options[] = {
    { .name = "broker",
      .value = "ADDRESS",
      .help = "the broker's address (else TERN_BROKER, tern.conf, `tern up`)",
      .type = OPTION_TEXT,
      .offset = offsetof(struct cli, where.broker) },
    { .name = "key",
      .value = "FILE",
      .help = "this client's secret key, for tcp:// (else TERN_KEY, tern.conf)",
      .type = OPTION_TEXT,
      .offset = offsetof(struct cli, where.key) },
    { .name = "broker-key",
      .value = "KEY",
      .help = "the broker's public key, or its file, for tcp:// (else TERN_BROKER_KEY, tern.conf, " TERN_SYSCONFDIR "/broker.pub)",
      .type = OPTION_TEXT,
      .offset = offsetof(struct cli, where.broker_key) },
    { .name = "broker-timeout",
      .value = "DUR",
      .help = "how long to look for a broker that was lost (30s)",
      .type = OPTION_DURATION,
      .offset = offsetof(struct cli, broker_timeout_ms) },
    { .name = "config",
      .value = "FILE",
      .help = "read this configuration instead of tern.conf",
      .type = OPTION_TEXT,
      .offset = offsetof(struct cli, config),
      .not_a_key = true },
    { .name = "json",
      .help = "print one JSON object a line",
      .type = OPTION_FLAG,
      .offset = offsetof(struct cli, json),
      .not_a_key = true },
    { .name = "help",
      .help = "say how to use the command",
      .type = OPTION_FLAG,
      .offset = offsetof(struct cli, help),
      .not_a_key = true },
    { 0 },
};

static void say(const char *format, va_list ap) printf_like(1, 0);
static void say(const char *format, va_list ap)
{
    fflush(stdout);
    fputs("tern: ", stderr);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
}

int cli_fail(int status, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    say(format, ap);
    va_end(ap);
    return status;
}

void cli_notice(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    say(format, ap);
    va_end(ap);
}

int cli_broken(struct cli *cli, int result)
{
    return cli_fail(tern_exit_status(result), "%s", tern_client_error(cli->client));
}

int cli_broken_job(struct cli *cli, int result, uint64_t id)
{
    if (result == -ENOENT)
        return cli_fail(STATUS_NOT_FOUND, "no such job: %llu", (unsigned long long)id);
    return cli_broken(cli, result);
}

int cli_broken_jobs(struct cli *cli, int result, const struct selector *sel)
{
    return selector_is_one_job(sel) ? cli_broken_job(cli, result, sel->ranges[0].first)
                                    : cli_broken(cli, result);
}

/* An address without keys is refused where it needs them, with what to do. */
static int set_keys(struct cli *cli)
{
    const struct address *a = &cli->where;
    if (!address_is_tcp(a->broker) || !a->key || !a->broker_key)
        return 0;
    return tern_client_set_keys(cli->client, a->key, a->broker_key);
}

int cli_connect(struct cli *cli)
{
    if (cli->client)
        return 0;
    char *error = NULL;
    int r = address_find(&cli->where, cli->config, &error);
    if (r < 0) {
        cli_notice("%s", error);
        free(error);
        return STATUS_USAGE;
    }
    cli->client = tern_client_new();
    tern_client_set_timeouts(cli->client, min_i64(5000, cli->broker_timeout_ms),
                             cli->broker_timeout_ms);
    r = set_keys(cli);
    if (r >= 0)
        r = tern_client_connect(cli->client, cli->where.broker);
    return r < 0 ? cli_broken(cli, r) : 0;
}

#define NOTICES_ONCE 1000u

void cli_on_notice(void *context, const char *text)
{
    struct cli *cli = context;
    if (strmap_find(&cli->told, str_of(text)))
        return;
    if (cli->told.n < NOTICES_ONCE)
        strmap_put(&cli->told, str_of(text), cli);
    cli_notice("%s", text);
}

void cli_fini(struct cli *cli)
{
    tern_client_free(cli->client);
    strmap_fini(&cli->told);
    address_fini(&cli->where);
    options_fini(cli_options, cli);
}

static int take_newest(void *context, const struct tern_job_view *job)
{
    *(uint64_t *)context = job->id;
    return 1;
}

static int resolve_last(struct cli *cli, struct selector *sel)
{
    uint64_t id = 0;
    struct tern_filter newest = { .own = true, .newest_first = true, .limit = 1 };
    int r = tern_client_list(cli->client, &newest, take_newest, &id);
    if (r < 0)
        return cli_broken(cli, r);
    if (!id)
        return cli_fail(STATUS_NOT_FOUND, "last: you have submitted no job yet");
    selector_add_range(sel, id, id);
    return 0;
}

int cli_select(struct cli *cli, int n, char **args, struct selector *sel)
{
    char *error = NULL;
    int r = n > 0 ? 0 : -EINVAL;
    if (n == 0)
        error = xstrdup("which job? Name an id, a range 5-9, a list 5,7,12-20, `last` or `all`");
    for (int i = 0; r >= 0 && i < n; i++)
        r = selector_add(sel, args[i], &error);
    if (r < 0) {
        cli_notice("%s", error);
        free(error);
        return STATUS_USAGE;
    }
    int status = cli_connect(cli);
    if (status == 0 && sel->last)
        status = resolve_last(cli, sel);
    if (status == 0 && selector_compact(sel) < 0)
        return cli_fail(STATUS_USAGE,
                        "too many ranges of jobs at once: name fewer, or a wider range");
    return status;
}

int cli_no_operands(int n, char **args)
{
    return n ? cli_fail(STATUS_USAGE, "unexpected \"%s\"", args[0]) : 0;
}

int cli_one_operand(int n, char **args, const char *what)
{
    if (n == 0)
        return cli_fail(STATUS_USAGE, "which %s?", what);
    return n > 1 ? cli_fail(STATUS_USAGE, "unexpected \"%s\": one %s at a time", args[1], what) : 0;
}
