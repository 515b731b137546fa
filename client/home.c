/* home.c - on which of several brokers a queue lives. */
#include "client/home.h"

static uint64_t fnv1a(uint64_t h, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)bytes[i]) * 0x100000001b3u;
    return h;
}

/* FNV alone leaves its high bits, which decide here, too much alike for names that differ at their ends. */
static uint64_t mix(uint64_t h)
{
    h = (h ^ h >> 33) * 0xff51afd7ed558ccdu;
    h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 33;
}

uint64_t home_weight(const char *queue, const char *address)
{
    uint64_t h = fnv1a(0xcbf29ce484222325u, address, strlen(address) + 1);
    return mix(fnv1a(h, queue, strlen(queue)));
}

size_t home_find(const char *queue, const char *const *addresses, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++) {
        uint64_t one = home_weight(queue, addresses[i]), other = home_weight(queue, addresses[best]);
        if (one > other || (one == other && strcmp(addresses[i], addresses[best]) > 0))
            best = i;
    }
    return best;
}
