/* commands.c - the table of verbs: finds the one that was asked for, reads its options, runs it. */
#include "client/commands.h"

#include "proto/base/nearest.h"

#define X(verb) &command_##verb,
const struct command *const commands[] = { COMMANDS(X) NULL };
#undef X

const struct command *command_find(const char *name)
{
    for (size_t i = 0; commands[i]; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

int command_unknown(const char *name)
{
    struct nearest near = nearest_to(name);
    for (size_t i = 0; commands[i]; i++)
        nearest_offer(&near, commands[i]->name);
    cleanup(freep) char *hint = nearest_hint(&near, "");
    return cli_fail(STATUS_USAGE, "unknown command %s%s%s", name, hint,
                    near.best ? "" : "; `tern help` lists them");
}

void command_print_help(const struct command *c)
{
    printf("usage: tern %s [OPTIONS]%s%s\n\n%s\n", c->name, *c->operands ? " " : "", c->operands,
           c->summary);
    if (c->options)
        printf("\n");
    options_print_help(stdout, c->options);
    if (c->job_options)
        printf("\nthe job\n");
    options_print_help(stdout, c->job_options);
    printf("\nall commands\n");
    options_print_help(stdout, cli_options);
}

void commands_print_help(void)
{
    printf("usage: tern COMMAND [OPTIONS] ...\n\n");
    for (size_t i = 0; commands[i]; i++)
        printf("  %-10s%s\n", commands[i]->name, commands[i]->summary);
    printf("\nA job is named by its id, a range 5-9, a list 5,7,12-20, `last` or `all`.\n"
           "Durations are 500ms, 10s, 5m, 1h30m, 7d; sizes 64M; times RFC 3339.\n"
           "`tern help COMMAND` says more; on a machine without a broker, begin with `tern up`.\n");
}

/* Data that could not be written is no success. */
static int check_output(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    return status ? status
                  : cli_fail(STATUS_FAILED, "cannot write the output: %s", strerror(errno));
}

static int run(const struct command *c, struct cli *cli, void *to, int n, char **args)
{
    const struct option_group groups[] = {
        { c->options, to },
        { c->job_options, (char *)to + c->job_options_offset },
        { cli_options, cli },
    };
    char *error = NULL;
    int operands = options_parse(groups, ELEMENTS(groups), n, args, c->stop_at_operand, &error);
    if (operands < 0) {
        cli_notice("%s (`tern help %s` lists the options)", error, c->name);
        free(error);
        return STATUS_USAGE;
    }
    if (cli->help) {
        command_print_help(c);
        return 0;
    }
    return c->run(cli, to, operands, args);
}

static int run_command(const struct command *c, struct cli *cli, int n, char **args)
{
    cleanup(freep) void *to = xcalloc(1, c->options_bytes + 1);
    if (c->init)
        c->init(to);
    int status = check_output(run(c, cli, to, n, args));
    options_fini(c->options, to);
    options_fini(c->job_options, (char *)to + c->job_options_offset);
    if (c->fini)
        c->fini(to);
    return status;
}

/* Options of all commands may stand before the verb too. */
static int find_and_run(struct cli *cli, int n, char **args)
{
    const struct option_group all = { cli_options, cli };
    cleanup(freep) char *error = NULL;
    n = options_parse(&all, 1, n, args, true, &error);
    if (n < 0)
        return cli_fail(STATUS_USAGE, "%s (`tern help` lists the commands)", error);
    if (n == 0) {
        commands_print_help();
        return cli->help ? 0 : STATUS_USAGE;
    }
    const struct command *c = command_find(args[0]);
    return c ? run_command(c, cli, n - 1, args + 1) : command_unknown(args[0]);
}

int commands_run(int n, char **args)
{
    static char version[] = "version";
    if (n > 0 && strcmp(args[0], "--version") == 0)
        args[0] = version;
    struct cli cli = { .broker_timeout_ms = 30000 };
    int status = find_and_run(&cli, n, args);
    cli_fini(&cli);
    return status;
}
