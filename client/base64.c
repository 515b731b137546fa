/* base64.c - bytes as text and back; strict: no white space, right padding. */
#include "client/base64.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(struct str s)
{
    char *out = xmalloc((s.n + 2) / 3 * 4 + 1), *at = out;
    const unsigned char *p = (const unsigned char *)s.p;
    for (size_t i = 0; i < s.n; i += 3) {
        size_t n = min_size(3, s.n - i);
        uint32_t v =
            (uint32_t)p[i] << 16 | (n > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (n > 2 ? p[i + 2] : 0);
        *at++ = letters[v >> 18];
        *at++ = letters[v >> 12 & 63];
        *at++ = n > 1 ? letters[v >> 6 & 63] : '=';
        *at++ = n > 2 ? letters[v & 63] : '=';
    }
    *at = '\0';
    return out;
}

static int value(char c)
{
    const char *found = c ? strchr(letters, c) : NULL;
    return found ? (int)(found - letters) : -1;
}

int base64_decode(struct str text, struct buf *out)
{
    if (text.n % 4)
        return -EINVAL;
    for (size_t i = 0; i < text.n; i += 4) {
        bool end = i + 4 == text.n;
        size_t padding = end && text.p[i + 3] == '=' ? 1u + (text.p[i + 2] == '=') : 0u;
        uint32_t v = 0;
        for (size_t k = 0; k < 4; k++) {
            int d = k >= 4 - padding ? 0 : value(text.p[i + k]);
            if (d < 0)
                return -EINVAL;
            v = v << 6 | (uint32_t)d;
        }
        char bytes[3] = { (char)(v >> 16), (char)(v >> 8), (char)v };
        if (buf_add(out, bytes, 3 - padding) < 0)
            return -EMSGSIZE;
    }
    return 0;
}
