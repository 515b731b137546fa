/* ranges.h - a selector as ranges of ids: "the jobs that exist now and may be seen". */
#ifndef TERN_RANGES_H
#define TERN_RANGES_H

#include "broker/broker.h"

/* A copy of the ranges that ends at the newest job; empty ones are left out. Returns how many; *ret is owned by the caller. */
size_t ranges_clamp(struct broker *b, const struct range *ranges, size_t n, struct range **ret);
bool ranges_contain(const struct range *ranges, size_t n, uint64_t id);
/* Whose jobs the peer may see: an owner's number; 0: all. -1: an owner without any job. */
int64_t ranges_owner_for(struct broker *b, const struct peer *p);

#endif
