/* conf.c - inih reads the lines through take_line, so that the line of an error is known. */
#include "proto/base/conf.h"

#include <ini.h>
#include <stdio.h>

struct reading {
    FILE *file;
    int line;
    const char *bad; /* static: what is wrong with this line, before it is looked into */
    int result;  /* of set(), or of reading */
    char *error; /* owned */
    conf_fn *set;
    void *context;
};

/* What inih calls for each line. One longer than its buffer would be read as two, one with a NUL as what stands before
 * that, and an indented one as more of the value before: so neither of the first two gets there, and no line is
 * indented. */
static char *take_line(char *bytes, int n, void *stream)
{
    struct reading *r = stream;
    int used = 0, c = EOF;
    if (r->bad || r->result < 0)
        return NULL;
    while (used < n - 1 && c != '\n' && (c = getc(r->file)) != EOF)
        if (used || (c != ' ' && c != '\t')) {
            bytes[used++] = (char)c;
            r->bad = c ? r->bad : "there is a NUL in the line";
        }
    if (ferror(r->file))
        r->result = -errno;
    if (ferror(r->file) || (!used && c == EOF))
        return NULL;
    bytes[used] = '\0';
    r->line++;
    if (used == n - 1 && c != '\n')
        r->bad = "the line is too long";
    return r->bad ? NULL : bytes;
}

static int on_key(void *user, const char *section, const char *key, const char *value)
{
    struct reading *r = user;
    if (r->result < 0)
        return 0;
    r->result = r->set(r->context, section, key, value, &r->error);
    return r->result >= 0;
}

static int report(struct reading *r, const char *path, int bad_line, char **ret_error)
{
    if (ferror(r->file))
        *ret_error = xasprintf("%s: %s", path, strerror(-r->result));
    else if (r->result < 0)
        *ret_error =
            xasprintf("%s:%d: %s", path, r->line, r->error ? r->error : strerror(-r->result));
    else if (r->bad)
        *ret_error = xasprintf("%s:%d: %s", path, r->line, r->bad);
    else if (bad_line > 0)
        *ret_error = xasprintf("%s:%d: neither `key = value`, nor `[section]`, nor a comment", path,
                               bad_line);
    else
        return 0;
    return r->result < 0 ? r->result : -EINVAL;
}

int conf_load(const char *path, conf_fn *set, void *context, char **ret_error)
{
    struct reading r = { .set = set, .context = context };
    r.file = fopen(path, "re");
    if (!r.file) {
        int error = errno;
        *ret_error = xasprintf("%s: %s", path, strerror(error));
        return -error;
    }
    int bad_line = ini_parse_stream(take_line, &r, on_key, &r);
    int result = report(&r, path, bad_line, ret_error);
    fclose(r.file);
    free(r.error);
    return result;
}
