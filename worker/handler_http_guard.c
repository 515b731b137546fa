/* handler_http_guard.c - the addresses that `http` refuses, unless they are allowed: loopback and
 * link-local, in all the ways they can be written. Checked where the socket is made, so that
 * neither a name, a redirect nor an odd spelling gets by. */
#include "worker/handler_http_guard.h"

#include <arpa/inet.h>
#include <sys/socket.h>

enum { ALLOW_LOOPBACK = 1, ALLOW_LINK_LOCAL = 2 };

static const char *const words[] = { "loopback", "link-local" }; /* in the order of the bits above */
static unsigned allowed; /* fixed before any pool starts */

int http_guard_allow(const char *list)
{
    unsigned bits = 0;
    for (const char *p = list; *p; p += strspn(p, ", ")) {
        struct str word = { p, strcspn(p, ", ") };
        unsigned i = 0;
        while (i < ELEMENTS(words) && !str_is(word, words[i]))
            i++;
        if (word.n && i == ELEMENTS(words))
            return -EINVAL;
        bits |= word.n ? 1u << i : 0;
        p += word.n;
    }
    allowed = bits;
    return 0;
}

/* What must be allowed for an IPv4 address, 0: nothing. 0.0.0.0/8 is this host too. */
static unsigned needs_v4(uint32_t a)
{
    if (a >> 24 == 127 || a >> 24 == 0)
        return ALLOW_LOOPBACK;
    return a >> 16 == 0xa9fe ? ALLOW_LINK_LOCAL : 0;
}

static unsigned needs_v6(const struct in6_addr *a)
{
    static const unsigned char nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
    uint32_t low;
    memcpy(&low, a->s6_addr + 12, sizeof low);
    if (IN6_IS_ADDR_LINKLOCAL(a))
        return ALLOW_LINK_LOCAL;
    if (IN6_IS_ADDR_UNSPECIFIED(a) || IN6_IS_ADDR_LOOPBACK(a))
        return ALLOW_LOOPBACK;
    if (IN6_IS_ADDR_V4MAPPED(a) || IN6_IS_ADDR_V4COMPAT(a) || memcmp(a->s6_addr, nat64, sizeof nat64) == 0)
        return needs_v4(ntohl(low));
    return 0;
}

/* True when the address must not be connected to; notes why. */
static bool refuse(struct http_guard *g, const struct curl_sockaddr *address)
{
    const struct sockaddr_in *v4 = (const void *)&address->addr;
    const struct sockaddr_in6 *v6 = (const void *)&address->addr;
    bool is_v4 = address->family == AF_INET;
    if (!is_v4 && address->family != AF_INET6)
        return true;
    unsigned needs = is_v4 ? needs_v4(ntohl(v4->sin_addr.s_addr)) : needs_v6(&v6->sin6_addr);
    needs &= ~allowed;
    if (!needs)
        return false;
    inet_ntop(address->family, is_v4 ? (const void *)&v4->sin_addr : &v6->sin6_addr, g->refused, sizeof g->refused);
    g->word = words[needs & ALLOW_LOOPBACK ? 0 : 1];
    return true;
}

curl_socket_t http_guard_open(void *guard, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct http_guard *g = guard;
    if (purpose != CURLSOCKTYPE_IPCXN || refuse(g, address))
        return CURL_SOCKET_BAD;
    g->refused[0] = '\0';
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}
