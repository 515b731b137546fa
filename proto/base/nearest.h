/* nearest.h - which of the right words was meant: the one at the smallest edit distance, if that is
 * small. */
#ifndef TERN_NEAREST_H
#define TERN_NEAREST_H

#include "proto/base/base.h"

struct nearest {
    const char *word; /* borrowed: what was typed */
    const char *best; /* borrowed: the nearest so far, or NULL */
    size_t distance;
};

static inline struct nearest nearest_to(const char *word)
{
    return (struct nearest){ word, NULL, SIZE_MAX };
}
/* One right word. It must outlive n. */
void nearest_offer(struct nearest *n, const char *name);
/* `; did you mean PREFIXbest?`, or an empty text when nothing is near. Owned by the caller. */
char *nearest_hint(const struct nearest *n, const char *prefix);

#endif
