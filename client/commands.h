/* commands.h - the verbs of `tern`, one cmd_*.c each. */
#ifndef TERN_COMMANDS_H
#define TERN_COMMANDS_H

#include "client/cli.h"

/* In the order in which help shows them. C(verb) */
#define COMMANDS(C)                                                                                \
    C(up) C(down) C(submit) C(run) C(wait) C(result) C(logs) C(show) C(list) C(why) C(history)     \
    C(cancel) C(retry) C(rm) C(queues) C(pause) C(resume) C(workers) C(drain) C(stats) C(advise) C(ping) \
    C(keygen) C(version) C(help)

#define X(verb) extern const struct command command_##verb;
COMMANDS(X)
#undef X

/* All of them, ending with NULL. */
extern const struct command *const commands[];
const struct command *command_find(const char *name);
/* How to use one; all of them. */
void command_print_help(const struct command *c);

/* What `pause` and `resume` do, with operands of the one or the other. */
int cmd_pause(struct cli *cli, int n, char **args, bool paused);
void commands_print_help(void);

/* A word of the command line that is no command: says so, and the nearest. */
int command_unknown(const char *name);

/* Everything after argv[0]: an exit status. */
int commands_run(int n, char **args);

#endif
