/* grants.h - all keys that are known: a directory with one file a key (NAME.conf, see grant.h). */
#ifndef TERN_GRANTS_H
#define TERN_GRANTS_H

#include "broker/grant.h"
#include "proto/base/map.h"

struct grants {
    struct strmap by_key; /* by digits; of struct grant, owned */
    size_t n_bad;         /* files that could not be read: their keys are not known */
};

/* Reads the directory; a file that is wrong is logged and left out, so that it lets nobody in and keeps nobody else out. < 0: the
 * directory cannot be read. */
int grants_load(struct grants **ret, const char *directory, char **ret_error);
struct grants *grants_free(struct grants *g);
/* NULL: nobody knows this key (any more). */
const struct grant *grants_find(const struct grants *g, const char *digits);

/* By its name: NAME.conf, not hidden. */
bool grants_is_key_file(const char *name);
/* A file of the directory. What else stands there under such a name is refused: a FIFO would be waited for. */
int grants_load_one(struct grant *g, const char *path, char **ret_error);
/* Any file. */
int grant_load(struct grant *g, const char *path, char **ret_error);

#endif
