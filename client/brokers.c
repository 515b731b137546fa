/* brokers.c - reads the list of brokers. */
#include "client/brokers.h"

#include "client/home.h"
#include "client/tern.h"
#include "proto/addresses.h"

static int wrong(char **ret_error, char *text)
{
    *ret_error = text;
    return -EINVAL;
}

static bool find_place(const struct brokers *b, const char *address, size_t *ret)
{
    for (size_t i = 0; i < b->n; i++)
        if (strcmp(b->at[i].address, address) == 0) {
            *ret = i;
            return true;
        }
    return false;
}

static int read_addresses(struct brokers *b, const char *text, char **ret_error)
{
    while (text) {
        cleanup(freep) char *one = xstrndup(addresses_next(&text));
        size_t place;
        if (find_place(b, one, &place))
            return wrong(ret_error, xasprintf("the broker %s is named twice", one));
        if (b->n == BROKERS_MOST)
            return wrong(ret_error, xasprintf("more than %u brokers", BROKERS_MOST));
        b->at[b->n++].address = TAKE(one);
    }
    return 0;
}

/* One key for all, or one for each in the same order. */
static int read_keys(struct brokers *b, const char *text, char **ret_error)
{
    size_t n = 1;
    for (const char *p = text; b->n > 1 && (p = strchr(p, ',')); p++)
        n++;
    if (n != 1 && n != b->n)
        return wrong(ret_error, xasprintf("%zu brokers and %zu of their keys: name one key for each, in the same order", b->n, n));
    for (size_t i = 0; i < b->n; i++) {
        text += n > 1 ? strspn(text, " \t") : 0;
        size_t bytes = n > 1 ? strcspn(text, ",") : strlen(text);
        b->at[i].key = xstrndup((struct str){ text, bytes });
        text += n > 1 ? bytes + (text[bytes] == ',') : 0;
    }
    return 0;
}

/* QUEUE=ADDRESS; with one broker there is nothing to choose. */
static int read_home(struct brokers *b, const char *text, char **ret_error)
{
    size_t n = strcspn(text, "="), place;
    if (!n || !text[n])
        return wrong(ret_error, xasprintf("home = %s: it must be QUEUE=ADDRESS", text));
    if (!find_place(b, text + n + 1, &place))
        return wrong(ret_error, xasprintf("home = %s: the address is none of the brokers'", text));
    b->homes = grow_array(b->homes, &b->cap, b->n_homes + 1, sizeof *b->homes);
    b->homes[b->n_homes++] = (struct home){ xstrndup((struct str){ text, n }), place };
    return 0;
}

int brokers_read(struct brokers *b, const struct address *a, char **ret_error)
{
    int r = read_addresses(b, a->broker, ret_error);
    if (r >= 0 && a->broker_key)
        r = read_keys(b, a->broker_key, ret_error);
    for (size_t i = 0; r >= 0 && b->n > 1 && i < a->n_homes; i++)
        r = read_home(b, a->homes[i], ret_error);
    return r;
}

size_t brokers_home(const struct brokers *b, const char *queue)
{
    const char *addresses[BROKERS_MOST];
    for (size_t i = 0; i < b->n_homes; i++)
        if (strcmp(b->homes[i].queue, queue) == 0)
            return b->homes[i].place;
    for (size_t i = 0; i < b->n; i++)
        addresses[i] = b->at[i].address;
    return home_find(queue, addresses, b->n);
}

void brokers_fini(struct brokers *b)
{
    for (size_t i = 0; i < b->n; i++) {
        tern_client_free(b->at[i].client);
        free(b->at[i].address);
        free(b->at[i].key);
    }
    for (size_t i = 0; i < b->n_homes; i++)
        free(b->homes[i].queue);
    free(b->homes);
    *b = (struct brokers){ 0 };
}
