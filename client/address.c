/* address.c - finds the broker's address. */
#include "client/address.h"

#include "client/up.h"
#include "proto/base/conf.h"
#include "proto/base/nearest.h"

#ifndef TERN_SYSCONFDIR
#define TERN_SYSCONFDIR "/etc/tern"
#endif

/* tern.conf: [client] broker = ADDRESS */
static int on_client_key(void *context, const char *section, const char *key, const char *value,
                         char **ret_error)
{
    char **address = context;
    if (strcmp(section, "client") != 0) {
        *ret_error = xasprintf("unknown section [%s]; it must be [client]", section);
        return -EINVAL;
    }
    if (strcmp(key, "broker") != 0) {
        struct nearest near = nearest_to(key);
        nearest_offer(&near, "broker");
        cleanup(freep) char *hint = nearest_hint(&near, "");
        *ret_error = xasprintf("unknown key %s%s", key, hint);
        return -EINVAL;
    }
    free(*address);
    *address = xstrdup(value);
    return 0;
}

/* broker.conf belongs to the broker, which checks it; here only where it listens counts. */
static int on_broker_key(void *context, const char *section, const char *key, const char *value,
                         char **ret_error)
{
    char **address = context;
    (void)section, (void)ret_error;
    if (strcmp(key, "listen") == 0 && !*address)
        *address = xstrdup(value);
    return 0;
}

static int from_configuration(const char *config, char **ret, char **ret_error)
{
    int r =
        conf_load(config ? config : TERN_SYSCONFDIR "/tern.conf", on_client_key, ret, ret_error);
    if (r < 0 && (config || (r != -ENOENT && r != -EACCES)))
        return -EINVAL;
    free(TAKE(*ret_error));
    if (!*ret) {
        conf_load(TERN_SYSCONFDIR "/broker.conf", on_broker_key, ret, ret_error);
        free(TAKE(*ret_error));
    }
    return 0;
}

int address_find(const char *broker, const char *config, char **ret, char **ret_error)
{
    cleanup(freep) char *found = NULL;
    const char *env = getenv("TERN_BROKER");
    if (broker)
        found = xstrdup(broker);
    else if (env && *env)
        found = xstrdup(env);
    else if (from_configuration(config, &found, ret_error) < 0)
        return -EINVAL;
    if (!found)
        found = up_running_address();
    *ret = found ? TAKE(found) : xstrdup(ADDRESS_DEFAULT);
    return 0;
}
