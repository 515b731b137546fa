/* table.h - aligned columns for people; coloured on a terminal only (and not with NO_COLOR).
 * Control bytes in cells are shown as `?`: what a job calls itself must not drive a terminal. */
#ifndef TERN_TABLE_H
#define TERN_TABLE_H

#include "proto/base/base.h"

#define TABLE_COLUMNS 18

struct table {
    const char *const
        *heads; /* borrowed: ends with NULL; one that begins with '>' is flushed right */
    size_t n_columns;
    size_t width[TABLE_COLUMNS];
    char **cells; /* owned */
    size_t n_cells, cap;
    bool printed_heads;
};

void table_begin(struct table *t, const char *const *heads);
/* The next cell, row by row; NULL is shown as `-`. Every 1,000 rows are printed as they are. */
void table_add(struct table *t, const char *text);
void table_addf(struct table *t, const char *format, ...) printf_like(2, 3);
/* Prints what is left and frees it. */
void table_end(struct table *t);

/* One `name: value` line; nothing for NULL. */
void table_field(const char *name, const char *value);

/* For text in front of which colour stands: "" where standard output is no terminal. */
const char *colour_of_state(const char *state);
const char *colour_off(void);
/* Control characters become `?`. Owned by the caller. */
char *printable(const char *text);

#endif
