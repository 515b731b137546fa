/* need.h - what a job asks of a worker beside its handler, as text: `gpu=1`, `host=anna`, `licences=2`, `avx512`.
 *
 * A name and, after a =, a value, both of the bytes of a name (name.h). A label is written the same way. Many stand in one text with
 * commas between, in the order of their names, each name once: so that the same needs are the same text. */
#ifndef TERN_NEED_H
#define TERN_NEED_H

#include "proto/base/base.h"
#include "proto/limits.h"

struct need {
    struct str name;
    struct str value; /* unset: any */
    int64_t amount;   /* of an amount: what the value says, 1 without one; 0: the value is no number of 1 or more */
};

/* NULL when good, else what is wrong, in a static buffer of this thread. The views go into text. */
const char *need_read(struct str text, struct need *ret);
/* Many in one text; the same answers. text unset or empty: none. */
const char *needs_read(struct str text, struct need ret[static LIMIT_NEEDS], size_t *ret_n);
/* From single ones in any order to the text, owned by the caller; NULL when there are none. -EINVAL with *ret_error owned by the
 * caller: one is wrong, two of one name differ, or there are too many. */
int needs_join(const char *const *each, size_t n, char **ret, char **ret_error);

/* A place for a worker's or a broker's own amount: `NAME=N`. -EINVAL. */
int amount_read(const char *text, struct str *ret_name, int64_t *ret_n, char **ret_error);

#endif
