/* table.c - aligned columns. */
#include "client/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define ROWS_AT_ONCE 1000u

static bool coloured(void)
{
    static int known = -1;
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    if (known < 0)
        known = isatty(STDOUT_FILENO) && !(no && *no) && term && strcmp(term, "dumb") != 0;
    return known;
}

const char *colour_of_state(const char *state)
{
    static const struct {
        const char *state, *colour;
    } colours[] = { { "running", "\033[36m" },
                    { "done", "\033[32m" },
                    { "dead", "\033[31m" },
                    { "expired", "\033[31m" },
                    { "cancelled", "\033[33m" } };
    for (size_t i = 0; state && coloured() && i < ELEMENTS(colours); i++)
        if (strcmp(state, colours[i].state) == 0)
            return colours[i].colour;
    return "";
}

const char *colour_off(void) { return coloured() ? "\033[0m" : ""; }

/* Controls are one byte, or two of which the first is 0xc2 (U+0080 to U+009F). */
char *printable(const char *text)
{
    char *copy = xstrdup(text ? text : "-"), *to = copy;
    for (const char *p = copy; *p; p++) {
        unsigned char c = (unsigned char)p[0], next = (unsigned char)p[1];
        bool two = c == 0xc2 && next >= 0x80 && next < 0xa0;
        *to++ = two || c < ' ' || c == 0x7f ? '?' : *p;
        p += two;
    }
    *to = '\0';
    return copy;
}

/* How many characters: UTF-8 continuation bytes do not count. */
static size_t columns(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static const char *head(const struct table *t, size_t column)
{
    return t->heads[column] + (t->heads[column][0] == '>');
}

void table_begin(struct table *t, const char *const *heads)
{
    *t = (struct table){ .heads = heads };
    for (; heads[t->n_columns]; t->n_columns++)
        t->width[t->n_columns] = columns(head(t, t->n_columns));
    assert(t->n_columns <= TABLE_COLUMNS);
}

static void print_cell(const struct table *t, size_t column, const char *text)
{
    int space = (int)(t->width[column] - min_size(t->width[column], columns(text)));
    bool right = t->heads[column][0] == '>', last = column + 1 == t->n_columns;
    const char *colour = colour_of_state(text);
    printf("%*s%s%s%s%*s%s", right ? space : 0, "", colour, text, *colour ? colour_off() : "",
           right || last ? 0 : space, "", last ? "\n" : "  ");
}

static void print_rows(struct table *t)
{
    for (size_t i = 0; !t->printed_heads && i < t->n_columns; i++)
        print_cell(t, i, head(t, i));
    t->printed_heads = true;
    for (size_t i = 0; i < t->n_cells; i++) {
        print_cell(t, i % t->n_columns, t->cells[i]);
        free(t->cells[i]);
    }
    t->n_cells = 0;
}

void table_add(struct table *t, const char *text)
{
    t->cells = grow_array(t->cells, &t->cap, t->n_cells + 1, sizeof *t->cells);
    size_t column = t->n_cells % t->n_columns;
    char *cell = t->cells[t->n_cells++] = printable(text);
    if (columns(cell) > t->width[column])
        t->width[column] = columns(cell);
    if (t->n_cells == ROWS_AT_ONCE * t->n_columns)
        print_rows(t);
}

void table_addf(struct table *t, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    cleanup(freep) char *text = NULL;
    if (vasprintf(&text, format, ap) < 0)
        text = NULL;
    va_end(ap);
    table_add(t, text);
}

void table_end(struct table *t)
{
    print_rows(t);
    free(t->cells);
    *t = (struct table){ 0 };
}

void table_field(const char *name, const char *value)
{
    if (!value)
        return;
    cleanup(freep) char *text = printable(value);
    const char *colour = strcmp(name, "state") == 0 ? colour_of_state(text) : "";
    printf("%-12s %s%s%s\n", name, colour, text, *colour ? colour_off() : "");
}
