/* ranges.c - selectors, clamped. */
#include "broker/ranges.h"

size_t ranges_clamp(struct broker *b, const struct range *ranges, size_t n, struct range **ret)
{
    uint64_t last = store_last_id(b->store);
    struct range *out = xcalloc(n, sizeof *out);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        struct range r = { ranges[i].first ? ranges[i].first : 1, ranges[i].last < last ? ranges[i].last : last };
        if (r.first <= r.last)
            out[kept++] = r;
    }
    *ret = out;
    return kept;
}

bool ranges_contain(const struct range *ranges, size_t n, uint64_t id)
{
    for (size_t i = 0; i < n; i++)
        if (id >= ranges[i].first && id <= ranges[i].last)
            return true;
    return false;
}

int64_t ranges_owner_for(struct broker *b, const struct peer *p)
{
    if (p->admin)
        return 0;
    int64_t owner = store_owner(b->store, str_of(p->owner));
    return owner ? owner : -1;
}
