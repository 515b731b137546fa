/* name.h - names of queues, handlers and workers: 1 to 128 bytes of [A-Za-z0-9._:-]. */
#ifndef TERN_NAME_H
#define TERN_NAME_H

#include "proto/base/base.h"

/* NULL when good; else what is wrong, the first bad byte named, in a static buffer of this thread. what: "queue", "handler"... */
const char *name_check(struct str name, const char *what);
/* The same, of a peer's name, after which files are called: it begins with neither a dot nor a dash. */
const char *name_check_peer(struct str name);

#endif
