/* options.h - the one option parser of all three programs, driven by a table.
 *
 * The same table names the options for help, for completion, for the test of the man pages and, as
 * keys, for the configuration file: a new option is one row. Long options only: `--name VALUE`,
 * `--name=VALUE`, `--flag`.
 *
 * Every function that fails returns -EINVAL and a text in *ret_error, owned by the caller. */
#ifndef TERN_OPTIONS_H
#define TERN_OPTIONS_H

#include <stdio.h>

#include "proto/base/base.h"

enum option_type {
    OPTION_FLAG,     /* bool */
    OPTION_TEXT,     /* char *, owned; given twice, the last one counts */
    OPTION_NUMBER,   /* int64_t, from min to max */
    OPTION_DURATION, /* int64_t, milliseconds */
    OPTION_SIZE,     /* int64_t, bytes */
    OPTION_TIME,     /* int64_t, milliseconds since 1970 */
    OPTION_CALL,     /* whatever set() makes of it */
};

struct option_def {
    const char *name;  /* without the dashes; NULL ends a table */
    const char *value; /* what help calls the value; NULL for a flag */
    const char *help;  /* one line */
    enum option_type type;
    size_t offset;    /* of the field in the struct that the options fill */
    int64_t min, max; /* of a number, a duration, a size; max 0: no bounds for the last two */
    int (*set)(void *field, const char *text, char **ret_error);
    bool not_a_key; /* only on the command line, never in a configuration file */
};

/* A table and the struct that it fills. */
struct option_group {
    const struct option_def *options;
    void *to;
};

/* A key of another section than the options'. 1: taken; 0: there is no such section; -EINVAL with a text. */
typedef int options_other(void *to, const char *section, const char *key, const char *value, char **ret_error);

/* Reads args[0..n) and moves what is no option to the front, in order: returns how many operands
 * there are.
 * `--` ends the options. stop_at_operand: so does the first operand (its own options follow it). A
 * lone `-` is an operand. An unknown option is an error that names the nearest one. */
int options_parse(const struct option_group *groups, size_t n_groups, int n, char **args,
                  bool stop_at_operand, char **ret_error);

/* The value of --name in args before anything else is parsed (for --config); NULL when not there.
 * Borrowed. */
const char *options_peek(int n, char *const *args, const char *name);

/* Fills the same structs from an INI file: keys are the options' names; a flag is yes or no. A key
 * that no group has, or a section other than section, is an error that begins with FILE:LINE.
 * -ENOENT: no such file. */
int options_load(const struct option_group *groups, size_t n_groups, const char *path,
                 const char *section, char **ret_error);

/* The same; keys of other sections go to set_other. */
int options_load_sections(const struct option_group *groups, size_t n_groups, const char *path, const char *section,
                          options_other *set_other, void *to, char **ret_error);

/* One option from its text. */
int option_set(const struct option_def *o, void *to, const char *text, char **ret_error);
const struct option_def *option_find(const struct option_def *options, const char *name);

/* Frees the texts (OPTION_TEXT). */
void options_fini(const struct option_def *options, void *to);
/* Two aligned columns, one option a line. */
void options_print_help(FILE *f, const struct option_def *options);

#endif
