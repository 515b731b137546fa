/* cmd_help.c - `tern help`: all commands, or one of them; `--names` for programs that ask: a line
 * for each command, its options behind it. */
#include "client/commands.h"

struct help_options {
    bool names;
};

static const struct option_def options[] = {
    { .name = "names",
      .help = "commands and options, one command a line, for completion",
      .type = OPTION_FLAG,
      .offset = offsetof(struct help_options, names) },
    { 0 },
};

static void print_options(const struct option_def *o)
{
    for (; o && o->name; o++)
        printf(" --%s", o->name);
}

static void print_names(void)
{
    for (size_t i = 0; commands[i]; i++) {
        fputs(commands[i]->name, stdout);
        print_options(commands[i]->options);
        print_options(commands[i]->job_options);
        print_options(cli_options);
        putchar('\n');
    }
}

static int run(struct cli *cli, void *to, int n, char **args)
{
    (void)cli;
    const struct help_options *o = to;
    if (n > 1)
        return cli_fail(STATUS_USAGE, "unexpected \"%s\": one command at a time", args[1]);
    if (o->names)
        print_names();
    else if (n == 0)
        commands_print_help();
    else if (command_find(args[0]))
        command_print_help(command_find(args[0]));
    else
        return command_unknown(args[0]);
    return 0;
}

const struct command command_help = {
    .name = "help",
    .operands = "[COMMAND]",
    .summary = "this; or how to use one command",
    .options = options,
    .options_bytes = sizeof(struct help_options),
    .run = run,
};
