/* address.c - where a broker listens: ipc:///PATH or tcp://HOST:PORT. */
#include "proto/address.h"

#include <arpa/inet.h>
#include <sys/un.h>

const char *address_ipc_path(const char *address)
{
    return strncmp(address, "ipc://", 6) == 0 ? address + 6 : NULL;
}

/* The port of HOST:PORT, or NULL when it has none. */
static const char *port_of(const char *host)
{
    const char *colon = strrchr(host, ':');
    bool is_number = colon && colon[1] && !colon[1 + strspn(colon + 1, "0123456789")];
    return is_number ? colon + 1 : NULL;
}

/* Of HOST:PORT. A name that only begins like a loopback address may be anywhere. */
static bool is_loopback(const char *host)
{
    struct in_addr a;
    size_t n = (size_t)(port_of(host) - 1 - host);
    cleanup(freep) char *name = xstrndup((struct str){ host, n });
    if (inet_pton(AF_INET, name, &a) == 1)
        return ntohl(a.s_addr) >> 24 == 127;
    return strcmp(name, "[::1]") == 0 || strcmp(name, "localhost") == 0;
}

bool address_is_tcp(const char *address) { return strncmp(address, "tcp://", 6) == 0; }

char *address_check(const char *address, enum address_keys keys, bool insecure_loopback)
{
    const char *path = address_ipc_path(address);
    if (path && path[0] != '/' )
        return xasprintf("address %s: the path of a Unix socket must be absolute, as in ipc:///run/tern/broker.sock", address);
    if (path && strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
        return xasprintf("address %s: a Unix socket's path may have at most 107 bytes; choose a shorter one", address);
    if (path)
        return NULL;
    if (!address_is_tcp(address) || !port_of(address + 6))
        return xasprintf("address %s: must be ipc:///PATH or tcp://HOST:PORT", address);
    if (keys == ADDRESS_HAS_KEYS || (is_loopback(address + 6) && insecure_loopback))
        return NULL;
    return xasprintf("address %s: TCP needs keys: %s%s", address,
                     keys == ADDRESS_WANTS_BROKER_KEY
                         ? "`tern-broker keygen` makes this broker's, `tern-broker authorize` lets peers in"
                         : "name them with --key and --broker-key; `tern keygen NAME` makes one",
                     is_loopback(address + 6) ? "; or use ipc://, or --insecure-loopback to let every local user in without" : "");
}
