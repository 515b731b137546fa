/* utf8.c - well-formed UTF-8. */
#include "proto/base/utf8.h"

size_t utf8_sequence(const unsigned char *p, size_t n)
{
    size_t want = p[0] < 0x80   ? 1
                  : p[0] < 0xc2 ? 0
                  : p[0] < 0xe0 ? 2
                  : p[0] < 0xf0 ? 3
                  : p[0] < 0xf5 ? 4
                                : 0;
    if (want > n)
        return 0;
    for (size_t i = 1; i < want; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool bad = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
               (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f);
    return bad ? 0 : want;
}

bool utf8_is_text(struct str s)
{
    for (size_t i = 0, n; i < s.n; i += n) {
        n = utf8_sequence((const unsigned char *)s.p + i, s.n - i);
        if (!n || !s.p[i])
            return false;
    }
    return true;
}
