/* address.c - finds the broker's address. */
#include "client/address.h"

#include "client/up.h"
#include "proto/addresses.h"
#include "proto/base/conf.h"
#include "proto/base/nearest.h"
#include "proto/socket.h"

#ifndef TERN_SYSCONFDIR
#define TERN_SYSCONFDIR "/etc/tern"
#endif

static const struct {
    const char *key, *variable;
    size_t offset;
} places[] = {
    { "broker", "TERN_BROKER", offsetof(struct address, broker) },
    { "key", "TERN_KEY", offsetof(struct address, key) },
    { "broker-key", "TERN_BROKER_KEY", offsetof(struct address, broker_key) },
};

static char **field(struct address *a, size_t i) { return (char **)(void *)((char *)a + places[i].offset); }

static void keep(char **field, const char *text)
{
    if (!*field && text && *text)
        *field = xstrdup(text);
}

static void add_home(struct address *a, const char *text)
{
    a->homes = grow_array(a->homes, &a->cap, a->n_homes + 1, sizeof *a->homes);
    a->homes[a->n_homes++] = xstrdup(text);
}

/* tern.conf: [client] broker = ADDRESS, key = FILE, broker-key = FILE, home = QUEUE=ADDRESS */
static int on_client_key(void *context, const char *section, const char *key, const char *value,
                         char **ret_error)
{
    struct nearest near = nearest_to(key);
    if (strcmp(section, "client") != 0) {
        *ret_error = xasprintf("unknown section [%s]; it must be [client]", section);
        return -EINVAL;
    }
    if (strcmp(key, "home") == 0) {
        add_home(context, value);
        return 0;
    }
    nearest_offer(&near, "home");
    for (size_t i = 0; i < ELEMENTS(places); i++) {
        nearest_offer(&near, places[i].key);
        if (strcmp(key, places[i].key) != 0)
            continue;
        keep(field(context, i), value);
        return 0;
    }
    cleanup(freep) char *hint = nearest_hint(&near, "");
    *ret_error = xasprintf("unknown key %s%s", key, hint);
    return -EINVAL;
}

/* broker.conf belongs to the broker, which checks it; here only where it listens counts: a Unix socket, which needs no keys, before
 * what else there is. */
static int on_broker_key(void *context, const char *section, const char *key, const char *value,
                         char **ret_error)
{
    char **address = context;
    (void)section, (void)ret_error;
    for (const char *at = strcmp(key, "listen") == 0 ? value : ""; *at; at += *at == ',') {
        struct str one = { at, strcspn(at, ",") };
        at += one.n;
        if (*address && (address_ipc_path(*address) || strncmp(one.p, "ipc://", 6) != 0))
            continue;
        free(*address);
        *address = xstrndup((struct str){ one.p, strcspn(one.p, ",=") });
    }
    return 0;
}

static int from_configuration(const char *config, struct address *a, char **ret_error)
{
    int r =
        conf_load(config ? config : TERN_SYSCONFDIR "/tern.conf", on_client_key, a, ret_error);
    if (r < 0 && (config || (r != -ENOENT && r != -EACCES)))
        return -EINVAL;
    free(TAKE(*ret_error));
    if (!a->broker) {
        conf_load(TERN_SYSCONFDIR "/broker.conf", on_broker_key, &a->broker, ret_error);
        free(TAKE(*ret_error));
    }
    return 0;
}

static void take_credential(char **field, const char *name, const char *otherwise)
{
    if (!*field)
        *field = key_find_file(NULL, name, otherwise);
}

int address_find(struct address *a, const char *config, char **ret_error)
{
    for (size_t i = 0; i < ELEMENTS(places); i++)
        keep(field(a, i), getenv(places[i].variable));
    bool all = a->broker && !addresses_are_several(a->broker) && (address_ipc_path(a->broker) || (a->key && a->broker_key));
    if (!all && from_configuration(config, a, ret_error) < 0)
        return -EINVAL;
    take_credential(&a->key, "client.key", NULL);
    take_credential(&a->broker_key, "broker.pub", TERN_SYSCONFDIR "/broker.pub");
    if (!a->broker)
        a->broker = up_running_address();
    keep(&a->broker, ADDRESS_DEFAULT);
    return 0;
}

void address_fini(struct address *a)
{
    for (size_t i = 0; i < ELEMENTS(places); i++)
        free(TAKE(*field(a, i)));
    for (size_t i = 0; i < a->n_homes; i++)
        free(a->homes[i]);
    free(TAKE(a->homes));
    a->n_homes = a->cap = 0;
}
