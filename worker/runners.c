/* runners.c - the runners that this worker was told of, and the words of their commands. */
#include "worker/runners.h"

#include "proto/name.h"

static struct {
    struct runner at[LIMIT_RUNNERS];
    size_t n;
} table;

/* ---- words ------------------------------------------------------------------------------------ */

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n'; }

/* The next character of a word at *s, outside of quotes (quote 0) or within; false: the word, or the quotes, end here. */
static bool next_of_word(const char **s, char *quote, char *ret)
{
    while (**s == '\'' || **s == '"') {
        if (*quote && **s != *quote)
            break;
        *quote = *quote ? '\0' : **s;
        ++*s;
    }
    if (!**s || (!*quote && is_blank(**s)))
        return false;
    if (**s == '\\' && *quote != '\'' && (*s)[1])
        ++*s;
    *ret = *(*s)++;
    return true;
}

static void free_words(char **argv)
{
    for (size_t i = 0; argv && argv[i]; i++)
        free(argv[i]);
    free(argv);
}

int runners_split(const char *command, char ***ret_argv, char **ret_error)
{
    char **argv = xcalloc(strlen(command) / 2 + 2, sizeof *argv), quote = '\0';
    size_t n = 0;
    for (const char *s = command; !quote;) {
        while (is_blank(*s))
            s++;
        if (!*s)
            break;
        char *word = xmalloc(strlen(s) + 1);
        size_t bytes = 0;
        while (next_of_word(&s, &quote, &word[bytes]))
            bytes++;
        word[bytes] = '\0';
        argv[n++] = word;
    }
    if (n && !quote) {
        *ret_argv = argv;
        return 0;
    }
    free_words(argv);
    *ret_error = quote ? xasprintf("a quote %c is not closed", quote) : xstrdup("the command is empty");
    return -EINVAL;
}

/* ---- the table -------------------------------------------------------------------------------- */

/* `NAME=` at the front: a name, and not a word of the command. */
static const char *take_name(const char *text, char **ret_name)
{
    size_t n = strcspn(text, "= \t\n/'\"");
    if (!n || text[n] != '=' || name_check((struct str){ text, n }, "runner"))
        return text;
    *ret_name = xstrndup((struct str){ text, n });
    return text + n + 1;
}

static bool is_known(const char *name)
{
    for (size_t i = 0; i < table.n; i++)
        if (strcmp(table.at[i].name, name) == 0)
            return true;
    return false;
}

int runners_add(const char *text, char **ret_error)
{
    cleanup(freep) char *name = NULL;
    struct runner r = { .room = 1 };
    text = take_name(text, &name);
    if (!name)
        name = xasprintf("runner-%zu", table.n + 1);
    if (table.n == LIMIT_RUNNERS) {
        *ret_error = xasprintf("there are more than %u runners", LIMIT_RUNNERS);
        return -EINVAL;
    }
    if (is_known(name)) {
        *ret_error = xasprintf("there are two runners called %s", name);
        return -EINVAL;
    }
    int e = runners_split(text, &r.argv, ret_error);
    if (e < 0)
        return e;
    r.name = TAKE(name);
    table.at[table.n++] = r;
    return 0;
}

void runners_clear(void)
{
    for (; table.n; table.n--) {
        free(table.at[table.n - 1].name);
        free_words(table.at[table.n - 1].argv);
    }
}

size_t runners_count(void) { return table.n; }

struct runner *runners_get(size_t number)
{
    assert(number >= 1 && number <= table.n);
    return &table.at[number - 1];
}
