/* handler_exec.c - what `exec` says of itself: a command. It is no function: commands are run by
 * command.c. */
#include "worker/handlers.h"

const struct tern_handler handler_exec = {
    .name = "exec",
    .description = "runs a command; its result is its standard output",
    .tag = TERN_TAG_AUTO,
    .retries = 0, /* a command may not be safe to repeat */
};
