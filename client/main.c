/* main.c - `tern`: the verbs are in cmd_*.c, their table in commands.c. */
#include "client/commands.h"

int main(int argc, char **argv) { return commands_run(argc > 0 ? argc - 1 : 0, argv + 1); }
