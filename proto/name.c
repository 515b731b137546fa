/* name.c - checks names. */
#include "proto/name.h"

#include <stdio.h>

#include "proto/limits.h"

static bool may_stand(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == ':' || c == '-';
}

static size_t first_bad(struct str name)
{
    size_t i = 0;
    while (i < name.n && may_stand(name.p[i]))
        i++;
    return i;
}

const char *name_check(struct str name, const char *what)
{
    static _Thread_local char text[160];
    size_t bad = first_bad(name);
    if (!name.n)
        snprintf(text, sizeof text, "the name of a %s must not be empty", what);
    else if (name.n > LIMIT_NAME_BYTES)
        snprintf(text, sizeof text, "the name of a %s may have at most %u bytes, this one has %zu", what,
                 LIMIT_NAME_BYTES, name.n);
    else if (bad < name.n)
        snprintf(text, sizeof text, "the name of a %s may have only [A-Za-z0-9._:-]; byte %zu is 0x%02x", what, bad + 1,
                 (unsigned char)name.p[bad]);
    else
        return NULL;
    return text;
}

const char *name_check_peer(struct str name)
{
    const char *bad = name_check(name, "peer");
    if (!bad && name.p[0] == '.')
        bad = "a peer's name must not begin with a dot: the file of its key would be a hidden one, which is not read";
    if (!bad && name.p[0] == '-')
        bad = "a peer's name must not begin with a dash: commands would take it for an option";
    return bad;
}
