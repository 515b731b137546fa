/* broker_list.c - reads the list of brokers, and tells commands which one is theirs. */
#include "worker/broker_list.h"

#include <stdio.h>

#include "proto/base/buf.h"
#include "proto/socket.h"

#define EXIT_USAGE 2
#define EXIT_CONFIG 78

/* ---- reading ---------------------------------------------------------------------------------- */

/* A file that is no key, or that others can read, is mended there: no option was wrong. */
static int as_config(int r, int *ret_status)
{
    if (r < 0)
        *ret_status = EXIT_CONFIG;
    return r;
}

static int read_one(struct broker_entry *e, const struct broker_words *w, const char *own, const char *key, int *ret_status,
                    char **ret_error)
{
    e->keyed = own && key && *key && address_is_tcp(e->address) && !w->insecure_loopback;
    *ret_error = address_check(e->address, e->keyed ? ADDRESS_HAS_KEYS : ADDRESS_WANTS_KEYS, w->insecure_loopback);
    if (*ret_error)
        return -EINVAL;
    return e->keyed ? as_config(key_read_broker(key, &e->key, ret_error), ret_status) : 0;
}

static int read_all(struct broker_list *l, struct addresses *a, const struct broker_words *w, int *ret_status, char **ret_error)
{
    cleanup(freep) char *own = key_find_file(w->own_key, "worker.key", TERN_SYSCONFDIR "/worker.key");
    bool keyed = false;
    int r = 0;
    for (size_t i = 0; i < a->n && r >= 0; i++) {
        struct broker_entry *e = &l->at[l->n++];
        e->address = TAKE(a->at[i].address);
        r = read_one(e, w, own, a->at[i].key, ret_status, ret_error);
        keyed |= e->keyed;
    }
    return r >= 0 && keyed ? as_config(key_read_secret(own, &l->own, ret_error), ret_status) : r;
}

int broker_list_read(struct broker_list *l, const struct broker_words *w, int *ret_status, char **ret_error)
{
    struct addresses a;
    cleanup(freep) char *keys = key_find_file(w->broker_keys, "broker.pub", TERN_SYSCONFDIR "/broker.pub");
    *ret_status = EXIT_USAGE;
    int r = addresses_read(&a, w->addresses, keys, ret_error);
    if (r >= 0)
        r = read_all(l, &a, w, ret_status, ret_error);
    addresses_fini(&a);
    return r;
}

void broker_list_fini(struct broker_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->at[i].address);
    key_pair_wipe(&l->own);
    *l = (struct broker_list){ 0 };
}

/* ---- told to commands -------------------------------------------------------------------------- */

/* One each process, made before it runs anything: their keys as digits, or empty. */
static struct addresses known;

static void add_known(const char *address, const char *key)
{
    known.at[known.n].address = xstrdup(address);
    known.at[known.n++].key = xstrdup(key);
}

void broker_list_know(const struct broker_list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        char digits[KEY_DIGITS + 1] = "";
        if (l->at[i].keyed)
            key_format(&l->at[i].key, digits);
        add_known(l->at[i].address, digits);
    }
}

int broker_list_know_again(const char *addresses, const char *keys, char **ret_error)
{
    return addresses_read(&known, addresses, keys, ret_error);
}

void broker_list_forget(void) { addresses_fini(&known); }

static void add(struct buf *b, size_t i, const char *text) { buf_addf(b, "%s%s", i ? "," : "", text); }

size_t broker_list_arguments(char *ret[static 2])
{
    struct buf addresses, keys;
    if (known.n < 2)
        return 0;
    buf_init(&addresses, SIZE_MAX);
    buf_init(&keys, SIZE_MAX);
    for (size_t i = 0; i < known.n; i++) {
        add(&addresses, i, known.at[i].address);
        add(&keys, i, known.at[i].key);
    }
    ret[0] = xasprintf("--broker=%.*s", (int)addresses.n, addresses.p);
    ret[1] = xasprintf("--broker-key=%.*s", (int)keys.n, keys.p);
    buf_fini(&addresses);
    buf_fini(&keys);
    return 2;
}

static const struct broker_address *find(size_t place) { return known.n > 1 && place < known.n ? &known.at[place] : NULL; }

size_t broker_list_environ(size_t place, char *ret[static BROKER_LIST_TEXTS])
{
    const struct broker_address *a = find(place);
    size_t n = 0;
    if (a)
        ret[n++] = xasprintf("TERN_BROKER=%s", a->address);
    if (a && a->key && *a->key)
        ret[n++] = xasprintf("TERN_BROKER_KEY=%s", a->key);
    return n;
}

char *broker_list_number(size_t place) { return find(place) ? xasprintf(BROKER_LIST_NUMBER "=%zu", place + 1) : NULL; }

const char *broker_list_pair(size_t place)
{
    static char pair[256];
    const struct broker_address *a = find(place);
    return a && snprintf(pair, sizeof pair, "broker=%s", a->address) > 0 ? pair : NULL;
}
