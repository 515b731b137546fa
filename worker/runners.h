/* runners.h - the runners that this worker was told of: programs that have handlers in other languages (proto/RUNNER.md).
 * Fixed before any pool starts, and the same in the zygote. A runner is named by its number, from 1. */
#ifndef TERN_RUNNERS_H
#define TERN_RUNNERS_H

#include "proto/limits.h"
#include "proto/words.h"

struct zygote;

struct runner {
    char *name;           /* owned */
    char **argv;          /* owned, NULL at its end */
    size_t room;          /* runs at once in one process, as it says itself */
    unsigned n_ended;     /* how often one of its processes ended by itself */
};

/* What an option or a section of the configuration says: `NAME=COMMAND`, or `COMMAND` alone. The command is split into
 * words at blanks; quotes and backslashes keep them together as in a shell, and nothing else is special. -EINVAL with a
 * text that the caller owns. */
int runners_add(const char *text, char **ret_error);
void runners_clear(void);
size_t runners_count(void);
struct runner *runners_get(size_t number);

/* Starts each of them once, to hear which handlers it has, and adds those to handlers.h. Waits until all have answered, for
 * 10 s at most. What a runner says is checked: a handler that cannot be, or is there already, is left out, and so are all
 * of a runner that does not answer, each with a line in the log. */
void runners_ask(struct zygote *z);

/* For tests, and for the check of the options. The words are owned by the caller, like the array. */
int runners_split(const char *command, char ***ret_argv, char **ret_error);

#endif
