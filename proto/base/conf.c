/* conf.c - inih reads the lines through take_line, so that the line of an error is known. */
#include "proto/base/conf.h"

#include <ini.h>
#include <stdio.h>

struct reading {
    FILE *file;
    int line;
    bool too_long;
    int result;  /* of set() */
    char *error; /* owned */
    conf_fn *set;
    void *context;
};

/* What inih calls for each line; a line longer than its buffer would be read as two. */
static char *take_line(char *bytes, int n, void *stream)
{
    struct reading *r = stream;
    if (r->too_long || r->result < 0 || !fgets(bytes, n, r->file))
        return NULL;
    r->line++;
    if (strlen(bytes) + 1 == (size_t)n && bytes[n - 2] != '\n') {
        r->too_long = true;
        return NULL;
    }
    return bytes;
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
    if (r->result < 0)
        *ret_error =
            xasprintf("%s:%d: %s", path, r->line, r->error ? r->error : strerror(-r->result));
    else if (r->too_long)
        *ret_error = xasprintf("%s:%d: the line is too long", path, r->line);
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
    fclose(r.file);
    int result = report(&r, path, bad_line, ret_error);
    free(r.error);
    return result;
}
