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

/* QUEUE=ADDRESS; with one broker there is nothing to choose. */
static int read_home(struct brokers *b, const struct addresses *list, const char *text, char **ret_error)
{
    size_t n = strcspn(text, "="), place;
    if (!n || !text[n])
        return wrong(ret_error, xasprintf("home = %s: it must be QUEUE=ADDRESS", text));
    if (!addresses_find(list, text + n + 1, &place))
        return wrong(ret_error, xasprintf("home = %s: the address is none of the brokers'", text));
    b->homes = grow_array(b->homes, &b->cap, b->n_homes + 1, sizeof *b->homes);
    b->homes[b->n_homes++] = (struct home){ xstrndup((struct str){ text, n }), place };
    return 0;
}

static void take_over(struct brokers *b, struct addresses *list)
{
    for (size_t i = 0; i < list->n; i++) {
        b->at[i].address = TAKE(list->at[i].address);
        b->at[i].key = TAKE(list->at[i].key);
    }
    b->n = list->n;
}

int brokers_read(struct brokers *b, const struct address *a, char **ret_error)
{
    struct addresses list;
    int r = addresses_read(&list, a->broker, a->broker_key, ret_error);
    for (size_t i = 0; r >= 0 && list.n > 1 && i < a->n_homes; i++)
        r = read_home(b, &list, a->homes[i], ret_error);
    if (r >= 0)
        take_over(b, &list);
    addresses_fini(&list);
    return r;
}

size_t brokers_home(const struct brokers *b, const char *queue)
{
    const char *addresses[LIMIT_BROKERS];
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
