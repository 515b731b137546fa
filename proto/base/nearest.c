/* nearest.c - edit distance with swaps of neighbours (optimal string alignment), over three rows.
 */
#include "proto/base/nearest.h"

#define WORD_BYTES 64u

static size_t least(size_t a, size_t b, size_t c) { return min_size(a, min_size(b, c)); }

static size_t edit_distance(const char *a, const char *b)
{
    size_t n_a = strlen(a), n_b = strlen(b);
    if (n_a >= WORD_BYTES || n_b >= WORD_BYTES)
        return SIZE_MAX;
    size_t rows[3][WORD_BYTES];
    for (size_t j = 0; j <= n_b; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= n_a; i++) {
        size_t *now = rows[i % 3], *before = rows[(i + 2) % 3], *older = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= n_b; j++) {
            size_t differs = a[i - 1] != b[j - 1];
            now[j] = least(before[j] + 1, now[j - 1] + 1, before[j - 1] + differs);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = min_size(now[j], older[j - 2] + 1);
        }
    }
    return rows[n_a % 3][n_b];
}

void nearest_offer(struct nearest *n, const char *name)
{
    size_t d = edit_distance(n->word, name);
    /* A word that begins another was cut short. */
    if (strlen(n->word) >= 3 && strncmp(n->word, name, strlen(n->word)) == 0)
        d = min_size(d, 1);
    size_t allowed = 1 + min_size(strlen(n->word), strlen(name)) / 3;
    if (d <= allowed && d < n->distance) {
        n->best = name;
        n->distance = d;
    }
}

char *nearest_hint(const struct nearest *n, const char *prefix)
{
    return n->best ? xasprintf("; did you mean %s%s?", prefix, n->best) : xstrdup("");
}
