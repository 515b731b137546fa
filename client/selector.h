/* selector.h - which jobs a person means: `7`, `5-9`, `5,7,12-20`, `last`, `all`. */
#ifndef TERN_SELECTOR_H
#define TERN_SELECTOR_H

#include "client/tern.h"
#include "proto/base/base.h"

struct selector {
    struct tern_range *ranges; /* owned; a job named alone has first == last */
    size_t n, cap;
    bool last; /* this user's newest was asked for too: the caller adds it */
};

/* One word of the command line. -EINVAL with a text in *ret_error, owned by the caller. */
int selector_add(struct selector *s, const char *text, char **ret_error);
void selector_add_range(struct selector *s, uint64_t first, uint64_t last);
/* So many ranges as one request may have: beyond, neighbours are merged. -E2BIG when that is not
 * enough. */
int selector_compact(struct selector *s);
bool selector_is_one_job(const struct selector *s);
void selector_fini(struct selector *s);

#endif
