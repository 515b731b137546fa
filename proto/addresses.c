/* addresses.c - reads a list of brokers. */
#include "proto/addresses.h"

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

static bool begins_address(const char *p) { return strncmp(p, "ipc://", 6) == 0 || strncmp(p, "tcp://", 6) == 0; }

/* The first address of *text, without the spaces around its comma; *text becomes what follows it, NULL behind the last one. */
static struct str next(const char **text)
{
    const char *begin = *text;
    for (const char *end = strchr(begin, ','); end; end = strchr(end + 1, ',')) {
        const char *behind = end + 1 + strspn(end + 1, " \t");
        if (!begins_address(behind))
            continue;
        while (end > begin && is_blank(end[-1]))
            end--;
        *text = behind;
        return (struct str){ begin, (size_t)(end - begin) };
    }
    *text = NULL;
    return str_of(begin);
}

bool addresses_are_several(const char *text)
{
    next(&text);
    return text;
}

static int wrong(char **ret_error, char *text)
{
    *ret_error = text;
    return -EINVAL;
}

bool addresses_find(const struct addresses *a, const char *address, size_t *ret_place)
{
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->at[i].address, address) == 0) {
            *ret_place = i;
            return true;
        }
    return false;
}

static int read_list(struct addresses *a, const char *text, char **ret_error)
{
    while (text) {
        cleanup(freep) char *one = xstrndup(next(&text));
        size_t place;
        if (addresses_find(a, one, &place))
            return wrong(ret_error, xasprintf("the broker %s is named twice", one));
        if (a->n == LIMIT_BROKERS)
            return wrong(ret_error, xasprintf("more than %u brokers", LIMIT_BROKERS));
        a->at[a->n++].address = TAKE(one);
    }
    return 0;
}

static int read_keys(struct addresses *a, const char *text, char **ret_error)
{
    size_t n = 1;
    for (const char *p = text; a->n > 1 && (p = strchr(p, ',')); p++)
        n++;
    if (n != 1 && n != a->n)
        return wrong(ret_error, xasprintf("%zu brokers and %zu of their keys: name one key for each, in the same order", a->n, n));
    for (size_t i = 0; i < a->n; i++) {
        text += n > 1 ? strspn(text, " \t") : 0;
        size_t bytes = n > 1 ? strcspn(text, ",") : strlen(text);
        a->at[i].key = xstrndup((struct str){ text, bytes });
        text += n > 1 ? bytes + (text[bytes] == ',') : 0;
    }
    return 0;
}

int addresses_read(struct addresses *a, const char *text, const char *keys, char **ret_error)
{
    *a = (struct addresses){ 0 };
    int r = read_list(a, text, ret_error);
    return r >= 0 && keys ? read_keys(a, keys, ret_error) : r;
}

void addresses_fini(struct addresses *a)
{
    for (size_t i = 0; i < a->n; i++) {
        free(a->at[i].address);
        free(a->at[i].key);
    }
    *a = (struct addresses){ 0 };
}
