/* cli.c - what the commands of `tern` share. */
#include "client/cli.h"

#include <inttypes.h>
#include <stdarg.h>

#include "client/json.h"
#include "client/selector.h"
#include "client/table.h"
#include "proto/socket.h"

const struct option_def cli_options[] = {
    { .name = "broker",
      .value = "ADDRESS[,...]",
      .help = "the broker's address, or several with commas (else TERN_BROKER, tern.conf, `tern up`)",
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
      .help = "how long a broker that has answered before may be silent, or busy (30s)",
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

/* What is said may come from anybody: a worker's notice, a job's error. None of it steers the terminal. */
static void say(const char *format, va_list ap) printf_like(1, 0);
static void say(const char *format, va_list ap)
{
    char *text = NULL;
    if (vasprintf(&text, format, ap) < 0)
        text = NULL;
    cleanup(freep) char *clean = printable(text);
    free(text);
    fflush(stdout);
    fprintf(stderr, "tern: %s\n", clean);
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
    int status = tern_exit_status(result);
    const char *why = tern_client_error(cli->client);
    return cli_has_several(cli) ? cli_fail(status, "broker %zu: %s", cli->place + 1, why) : cli_fail(status, "%s", why);
}

int cli_broken_job(struct cli *cli, int result, uint64_t id)
{
    if (result == -ENOENT)
        return cli_fail(STATUS_NOT_FOUND, "no such job: %s", cli_id(cli, id).text);
    return cli_broken(cli, result);
}

int cli_no_jobs(struct cli *cli)
{
    return cli->all_of_several ? STATUS_NOT_FOUND : cli_fail(STATUS_NOT_FOUND, "no such jobs");
}

int cli_broken_jobs(struct cli *cli, int result, const struct selector *sel)
{
    if (selector_is_one_job(sel))
        return cli_broken_job(cli, result, sel->ranges[0].first);
    return result == -ENOENT && cli->all_of_several ? STATUS_NOT_FOUND : cli_broken(cli, result);
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
    brokers_fini(&cli->brokers);
    strmap_fini(&cli->told);
    address_fini(&cli->where);
    options_fini(cli_options, cli);
}

struct cli_id cli_id(const struct cli *cli, uint64_t id)
{
    struct cli_id ret;
    if (cli_has_several(cli))
        snprintf(ret.text, sizeof ret.text, "%zu:%" PRIu64, cli->place + 1, id);
    else
        snprintf(ret.text, sizeof ret.text, "%" PRIu64, id);
    return ret;
}

void cli_json_broker(const struct cli *cli, struct json *j)
{
    if (cli_has_several(cli))
        json_count(j, "broker_number", cli->place + 1);
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
