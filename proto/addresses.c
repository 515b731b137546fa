/* addresses.c - parts a list of addresses. */
#include "proto/addresses.h"

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

static bool begins_address(const char *p) { return strncmp(p, "ipc://", 6) == 0 || strncmp(p, "tcp://", 6) == 0; }

struct str addresses_next(const char **text)
{
    const char *begin = *text;
    for (const char *end = strchr(begin, ','); end; end = strchr(end + 1, ',')) {
        const char *next = end + 1 + strspn(end + 1, " \t");
        if (!begins_address(next))
            continue;
        while (end > begin && is_blank(end[-1]))
            end--;
        *text = next;
        return (struct str){ begin, (size_t)(end - begin) };
    }
    *text = NULL;
    return str_of(begin);
}

bool addresses_are_several(const char *text)
{
    addresses_next(&text);
    return text;
}
