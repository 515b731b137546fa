/* job_text.c - well-formed UTF-8 without control characters, whatever a handler said (Unicode 15,
 * table 3-7). */
#include "worker/job_text.h"

/* Bytes of the well-formed character at p, of which n > 0 are there; 0 when there is none. */
static size_t character_bytes(const unsigned char *p, size_t n)
{
    unsigned char c = p[0];
    if (c < 0x80)
        return 1;
    size_t need = c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    if (!need || need > n)
        return 0;
    if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f) || (c == 0xf0 && p[1] < 0x90) ||
        (c == 0xf4 && p[1] > 0x8f))
        return 0;
    for (size_t i = 1; i < need; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return need;
}

void job_text_clean(char *text, size_t max)
{
    unsigned char *p = (unsigned char *)text;
    size_t n = strnlen(text, max), i = 0;
    bool cut = text[n] != '\0';
    while (i < n) {
        size_t bytes = character_bytes(p + i, n - i);
        if (bytes == 0 && cut && n - i < 4 && p[i] >= 0xc2)
            break; /* a character that the cut went through */
        if (bytes == 0)
            p[i] = '?';
        else if (p[i] < 0x20 || p[i] == 0x7f)
            p[i] = ' ';
        i += bytes ? bytes : 1;
    }
    p[i] = '\0';
}
