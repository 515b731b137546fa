/* text.h - texts that must be cut are cut between two characters: half of one would make the whole message unreadable. */
#ifndef TERN_BROKER_TEXT_H
#define TERN_BROKER_TEXT_H

#include "proto/base/base.h"

/* The first bytes of s, at most max, without a character of UTF-8 that is cut in two. */
static inline struct str text_cut(struct str s, size_t max)
{
    if (s.n <= max)
        return s;
    while (max > 0 && ((unsigned char)s.p[max] & 0xc0) == 0x80)
        max--;
    return (struct str){ s.p, max };
}

#endif
